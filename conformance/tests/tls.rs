//! TLS and logins with real Cyrus on the other side, in both directions: from a Cyrus through our server and our client
//! into another Cyrus. A recording proxy in front of each server shows what an eavesdropper would see.

#[path = "../../net/tests/support/certificates.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod certificates;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certificates::{Authority, Files, Oddity};
use conformance::compare::{self, Facts, Scope};
use conformance::csync::Csync;
use conformance::cyrus::{self, ADMIN, Cyrus, PASSWORD, Setup};
use conformance::imap::Imap;
use conformance::population::{self, USERS};
use conformance::programs::{self, Twin};
use conformance::proxy::{Proxy, Recording};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Everything that one test needs besides servers.
struct Place {
    folder: tempfile::TempDir,
    authority: Authority,
}

impl Place {
    fn new() -> Result<Place, Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        // Cyrus runs as another user.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
        let authority = Authority::new(folder.path(), "ca");
        Ok(Place { folder, authority })
    }

    fn ca(&self) -> String {
        self.folder.path().join("ca.pem").display().to_string()
    }

    fn issue(&self, name: &str, hosts: &[&str], oddity: Oddity) -> Files {
        self.authority.issue(name, name, hosts, oddity)
    }
}

fn usable(test: &str) -> bool {
    cyrus::usable(test) && programs::usable(test)
}

fn cyrus_with(name: &str, lines: &[(&str, &str)]) -> Setup {
    let mut setup = population::setup(name);
    setup.extra = lines
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    setup
}

fn served(files: &Files) -> [(&'static str, String); 2] {
    [
        ("tls_server_cert", files.cert.display().to_string()),
        ("tls_server_key", files.key.display().to_string()),
    ]
}

/// As lines of our own configuration.
fn lines(pairs: &[(&str, &str)]) -> Vec<String> {
    pairs
        .iter()
        .map(|(key, value)| format!("{key}: {value}"))
        .collect()
}

fn contains(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|part| part == what)
}

/// Nothing of the password, as it is or in base64 at any alignment, in either direction.
fn assert_password_hidden(recordings: &[Recording]) {
    assert!(!recordings.is_empty());
    let mut forms = vec![PASSWORD.as_bytes().to_vec()];
    for lead in 0..3 {
        let coded = STANDARD.encode([&[0; 2][..lead.min(2)], PASSWORD.as_bytes()].concat());
        // What the bytes before and behind it have no part in.
        let first = (lead * 8).div_ceil(6);
        let last = ((lead + PASSWORD.len()) * 8) / 6;
        forms.push(coded.as_bytes()[first..last].to_vec());
    }
    for recording in recordings {
        for form in &forms {
            let shown = String::from_utf8_lossy(form);
            assert!(!contains(&recording.sent, form), "{shown} was sent in clear");
            assert!(
                !contains(&recording.received, form),
                "{shown} was received in clear"
            );
        }
    }
}

fn assert_inside_tls(recordings: &[Recording]) {
    for recording in recordings {
        assert!(contains(&recording.sent, b"STARTTLS\r\n"));
        assert!(contains(&recording.received, b"OK Begin TLS negotiation now\r\n"));
        let in_clear = [&recording.sent[..], &recording.received].concat();
        for word in [&b"AUTHENTICATE"[..], b"APPLY", b"GET ", b"OK Success"] {
            assert!(!contains(&in_clear, word), "{} in clear", word.escape_ascii());
        }
    }
}

/// Both hold the same, asked over their Unix sockets.
fn assert_equal(first: &Cyrus, last: &Cyrus) -> Outcome {
    let shared = ["shared", "shared.board", "shared.team", "shared.team.Old stuff"].map(str::to_owned);
    let facts = |cyrus: &Cyrus| -> Result<Facts, Box<dyn std::error::Error>> {
        let mut facts = Facts::new();
        let mut csync = Csync::unix(&cyrus.csync_socket())?;
        compare::collect_csync(&mut csync, &Scope::all(&USERS), &shared, &mut facts)?;
        Ok(facts)
    };
    let (left, right) = (facts(first)?, facts(last)?);
    assert!(left.len() > 1_000, "the comparison looks away");
    compare::assert_equal(
        "the first Cyrus and the last",
        &compare::differences(&left, &right),
    );
    Ok(())
}

/// What passed in front of our server and of the last Cyrus.
struct Seen {
    ours: Vec<Recording>,
    theirs: Vec<Recording>,
}

/// From a Cyrus to our server, and by our client from there to another Cyrus.
fn chain(
    first: &[(&str, &str)],
    ours: &[(&str, &str)],
    last: &[(&str, &str)],
) -> Result<Seen, Box<dyn std::error::Error>> {
    let master = Cyrus::start(cyrus_with("cyrus-a", first))?;
    population::fill(&master)?;
    let ours = lines(ours);
    let ours: Vec<&str> = ours.iter().map(String::as_str).collect();
    let mut twin = Twin::tcp("twin", &ours)?;
    twin.start()?;
    let proxy = Proxy::start(&twin.address())?;
    let run = master.sync_client(proxy.address(), &["-A"])?;
    run.success(&format!("the stock client\n{}", twin.log()))?;
    let seen_ours = proxy.take();
    let replica = Cyrus::start(cyrus_with("cyrus-b", last))?;
    let proxy = Proxy::start(&replica.csync_address())?;
    twin.sync_client(proxy.address(), &["-A"])?
        .success("our client")?;
    assert_equal(&master, &replica)?;
    assert!(!twin.log().contains("panicked"), "{}", twin.log());
    twin.stop()?;
    Ok(Seen {
        ours: seen_ours,
        theirs: proxy.take(),
    })
}

fn strs<'a>(pairs: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    pairs.iter().map(|(key, value)| (*key, value.as_str())).collect()
}

#[test]
fn plain_passwords_travel_inside_tls_only() -> Outcome {
    if !usable("tls_plain") {
        return Ok(());
    }
    let place = Place::new()?;
    let files = served(&place.issue("server", &["127.0.0.1"], Oddity::None));
    let ca = place.ca();
    // The stock client turns to STARTTLS when nothing can be used in clear.
    let mut ours = strs(&files);
    ours.extend([
        ("sasl_mech_list", "PLAIN"),
        ("allowplaintext", "no"),
        ("tls_required", "yes"),
        ("mailtwin_tls", "required"),
        ("tls_server_ca_file", &ca),
    ]);
    let mut last = strs(&files);
    last.extend([("sasl_mech_list", "PLAIN"), ("allowplaintext", "no")]);
    let seen = chain(&[("tls_server_ca_file", &ca)], &ours, &last)?;
    for recordings in [&seen.ours, &seen.theirs] {
        assert_password_hidden(recordings);
        assert_inside_tls(recordings);
    }
    Ok(())
}

#[test]
fn scram_with_cyrus_on_either_side() -> Outcome {
    if !usable("tls_scram") {
        return Ok(());
    }
    for mechanism in ["SCRAM-SHA-1", "SCRAM-SHA-256"] {
        let only = [("sasl_mech_list", mechanism), ("allowplaintext", "no")];
        let both = [("force_sasl_client_mech", mechanism)];
        let ours = [&only[..], &both].concat();
        let seen = chain(&both, &ours, &only)?;
        for recordings in [&seen.ours, &seen.theirs] {
            assert_password_hidden(recordings);
            let login = format!("AUTHENTICATE {mechanism}");
            assert!(
                recordings
                    .iter()
                    .all(|recording| contains(&recording.sent, login.as_bytes()))
            );
        }
    }
    Ok(())
}

#[test]
fn a_certificate_logs_in_with_cyrus_on_either_side() -> Outcome {
    if !usable("tls_external") {
        return Ok(());
    }
    let place = Place::new()?;
    let files = served(&place.issue("server", &["127.0.0.1"], Oddity::None));
    let own = place.issue(ADMIN, &[], Oddity::None);
    let (cert, key) = (own.cert.display().to_string(), own.key.display().to_string());
    let ca = place.ca();
    let shows = [
        ("force_sasl_client_mech", "EXTERNAL"),
        ("tls_client_cert", cert.as_str()),
        ("tls_client_key", key.as_str()),
        ("tls_server_ca_file", &ca),
        ("sync_password", "not this one"),
    ];
    let mut server = strs(&files);
    server.extend([
        ("tls_client_ca_file", ca.as_str()),
        ("tls_client_certs", "require"),
    ]);
    let mut ours = [&server[..], &shows].concat();
    ours.push(("mailtwin_tls", "required"));
    let mut last = server.clone();
    last.push(("sasl_mech_list", "EXTERNAL"));
    // Without a mechanism for clear the stock client turns to TLS.
    ours.push(("tls_required", "yes"));
    let seen = chain(&shows, &ours, &last)?;
    for recordings in [&seen.ours, &seen.theirs] {
        assert_inside_tls(recordings);
    }
    Ok(())
}

/// Deflate inside TLS, which Cyrus does not offer and yet does [CS-EXC-32]: both clients insist on it.
#[test]
fn deflate_travels_inside_tls() -> Outcome {
    if !usable("tls_deflate") {
        return Ok(());
    }
    let place = Place::new()?;
    let files = served(&place.issue("server", &["127.0.0.1"], Oddity::None));
    let ca = place.ca();
    let master = Cyrus::start(cyrus_with("cyrus-a", &[("tls_server_ca_file", &ca)]))?;
    population::fill(&master)?;
    let mut ours = strs(&files);
    ours.extend([
        ("sasl_mech_list", "PLAIN"),
        ("allowplaintext", "no"),
        ("tls_required", "yes"),
        ("mailtwin_tls", "required"),
        ("tls_server_ca_file", &ca),
        ("sync_compress", "required"),
    ]);
    let ours = lines(&ours);
    let ours: Vec<&str> = ours.iter().map(String::as_str).collect();
    let mut twin = Twin::tcp("twin", &ours)?;
    twin.start()?;
    let proxy = Proxy::start(&twin.address())?;
    let run = master.sync_client(proxy.address(), &["-z", "-A"])?;
    run.success(&format!("the stock client\n{}", twin.log()))?;
    assert_inside_tls(&proxy.take());
    let mut last = strs(&files);
    last.extend([("sasl_mech_list", "PLAIN"), ("allowplaintext", "no")]);
    let replica = Cyrus::start(cyrus_with("cyrus-b", &last))?;
    let proxy = Proxy::start(&replica.csync_address())?;
    twin.sync_client(proxy.address(), &["-A"])?
        .success("our client")?;
    assert_inside_tls(&proxy.take());
    assert_equal(&master, &replica)?;
    twin.stop()?;
    Ok(())
}

/// What our client says to a Cyrus with these certificate files.
fn refusal(files: &Files, more: &[(&str, &str)]) -> Result<String, Box<dyn std::error::Error>> {
    let replica = Cyrus::start(cyrus_with("cyrus-b", &strs(&served(files))))?;
    let lines = lines(&[more, &[("mailtwin_tls", "required")]].concat());
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let twin = Twin::tcp("twin", &lines)?;
    twin.mailtwin(&["verify"])?;
    let proxy = Proxy::start(&replica.csync_address())?;
    let output = twin.sync_client(proxy.address(), &["-A"])?;
    assert!(!output.status.success(), "{}", output.text());
    assert_password_hidden(&proxy.take());
    let mut replica_imap: Imap = replica.imap(ADMIN)?;
    assert!(replica_imap.simple("NOOP").is_ok(), "the replica goes on");
    Ok(output.text())
}

#[test]
fn a_cyrus_that_is_not_believed() -> Outcome {
    if !usable("tls_refusals") {
        return Ok(());
    }
    let place = Place::new()?;
    let other = Authority::new(place.folder.path(), "other-ca");
    let ca = place.ca();
    let elsewhere = place.issue("elsewhere", &["mx.example.org"], Oddity::None);
    let expired = place.issue("expired", &["127.0.0.1"], Oddity::Expired);
    let foreign = other.issue("foreign", "foreign", &["127.0.0.1"], Oddity::None);
    for (files, parts) in [
        (
            &elsewhere,
            [
                "is not for the name 127.0.0.1 but for mx.example.org",
                "mailtwin_tls_name",
            ],
        ),
        (&expired, ["expired on 2020-02-29", "renew it"]),
        (&foreign, ["issued by O=Test, CN=other-ca", "tls_server_ca_file"]),
    ] {
        let said = refusal(files, &[("tls_server_ca_file", &ca)])?;
        for part in parts {
            assert!(said.contains(part), "{said}");
        }
    }
    Ok(())
}

/// What the stock client does not check, so that nobody counts on it.
#[test]
fn the_stock_client_believes_any_certificate() -> Outcome {
    if !usable("tls_stock_client") {
        return Ok(());
    }
    let place = Place::new()?;
    let other = Authority::new(place.folder.path(), "other-ca");
    let files = served(&other.issue("foreign", "foreign", &["mx.example.org"], Oddity::Expired));
    let ca = place.ca();
    let master = Cyrus::start(cyrus_with("cyrus-a", &[("tls_server_ca_file", &ca)]))?;
    master.imap(ADMIN)?.create("user/alice")?;
    let mut ours = strs(&files);
    ours.push(("tls_required", "yes"));
    let ours = lines(&ours);
    let ours: Vec<&str> = ours.iter().map(String::as_str).collect();
    let mut twin = Twin::tcp("twin", &ours)?;
    twin.start()?;
    let proxy = Proxy::start(&twin.address())?;
    master
        .sync_client(proxy.address(), &["-u", "alice"])?
        .success("the stock client")?;
    assert_inside_tls(&proxy.take());
    assert!(Path::new(&ca).exists());
    twin.stop()?;
    Ok(())
}
