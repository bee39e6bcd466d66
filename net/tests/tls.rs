//! TLS between our two sides: who is believed, what is said when somebody is not, who is logged in by a certificate, and
//! what happens to words in clear that do not belong there.

#[path = "support/certificates.rs"]
mod certificates;
#[allow(dead_code, reason = "other tests use more of it")]
mod support;

use std::path::Path;
use std::time::Duration;

use certificates::{Authority, Files, Oddity};
use engine::master::{Compress, Ending, Job, MasterConfig, Progress};
use net::address::PeerAddress;
use net::client::{self, ConnectError, Target};
use net::config::{Config, Service, Settings};
use net::server::ServerConfig;
use net::tls::ServerTls;
use protocol::Text;
use store::memory::MemoryStore;
use support::mail::Mail;
use support::{Running, assert_done, assert_equal, of_memory, sample, sync};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A folder with an authority and a certificate for this machine.
struct Place {
    folder: tempfile::TempDir,
    authority: Authority,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::new(folder.path(), "ca");
        Place { folder, authority }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn ca(&self) -> String {
        self.path().join("ca.pem").display().to_string()
    }

    fn issue(&self, name: &str, oddity: Oddity) -> Files {
        self.authority
            .issue("server", name, &["localhost", "127.0.0.1"], oddity)
    }

    fn settings(&self, lines: &str) -> Settings {
        let path = self.path().join("imapd.conf");
        std::fs::write(&path, format!("configdirectory: /nowhere\n{lines}\n")).expect("writes");
        let config = Config::load(&path, Service::Mailtwin).expect("a configuration");
        Settings::from_config(&config).expect("settings")
    }

    fn server_tls(&self, files: &Files, more: &str) -> ServerTls {
        let lines = format!(
            "tls_server_cert: {}\ntls_server_key: {}\n{more}",
            files.cert.display(),
            files.key.display()
        );
        let tls = ServerTls::new(&self.settings(&lines).tls);
        tls.expect("sound files").expect("a certificate")
    }

    async fn serve(
        &self,
        files: &Files,
        more: &str,
        change: impl FnOnce(&mut ServerConfig),
    ) -> (Running, Mail) {
        let theirs = Mail::new("theirs");
        let tls = self.server_tls(files, more);
        let server = Running::tcp(of_memory(&theirs.store), |config| {
            config.tls = Some(tls);
            change(config);
        })
        .await;
        (server, theirs)
    }

    /// As `sync_client` with these lines would connect to `HOST:PORT/tls`.
    fn target(&self, address: &str, lines: &str) -> Target {
        let settings = self.settings(lines);
        let peer = PeerAddress::parse(&format!("{address}/tls"), 2005).expect("an address");
        Target::from_settings(&settings, peer)
    }
}

const LOGIN: &str = "sync_authname: repl\nsync_password: pencil\nclient_timeout: 20";

async fn run(target: &Target) -> Result<Progress, ConnectError> {
    let config = MasterConfig::new(Job::AllUsers { prefix: Text::EMPTY });
    let session = Box::new(sample().store.session());
    client::run(target, config, session, std::future::pending(), |_| {}).await
}

/// How it ended, as text.
async fn ended(target: &Target) -> String {
    match run(target).await {
        Ok(progress) => format!("{:?}", progress.ended.expect("an end")),
        Err(error) => error.to_string(),
    }
}

fn port(server: &Running) -> &str {
    server.address.rsplit(':').next().expect("a port")
}

/// Fingerprints and ports, which differ each time, hidden.
fn steady(text: &str, place: &Place) -> String {
    let text = text.replace(&place.path().display().to_string(), "FOLDER");
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find(|c: char| c.is_ascii_hexdigit()) {
        let end = at
            + rest[at..]
                .find(|c: char| !c.is_ascii_hexdigit())
                .unwrap_or(rest.len() - at);
        out.push_str(&rest[..at]);
        out.push_str(if end - at == 64 {
            "FINGERPRINT"
        } else {
            &rest[at..end]
        });
        rest = &rest[end..];
    }
    out + rest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_inside_tls_with_and_without_deflate() {
    let place = Place::new();
    let files = place.issue("server", Oddity::None);
    for (compress, versions) in [
        (Compress::No, "tls1_3"),
        (Compress::Required, "tls1_2"),
        (Compress::WhenOffered, "tls1_2 tls1_3"),
    ] {
        let (server, theirs) = place.serve(&files, "", |_| {}).await;
        let target = place.target(
            &format!("localhost:{}", port(&server)),
            &format!(
                "{LOGIN}\ntls_server_ca_file: {}\ntls_versions: {versions}",
                place.ca()
            ),
        );
        let ours = sample();
        assert_done(&sync(&target, ours.store.session(), compress).await);
        assert_equal(&ours, &theirs);
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_not_believed() {
    let place = Place::new();
    let other = Authority::new(place.path(), "other-ca");
    let sound = place.issue("server", Oddity::None);
    let elsewhere = place.authority.issue(
        "elsewhere",
        "elsewhere",
        &["mx1.example.org", "mx2.example.org"],
        Oddity::None,
    );
    let nameless = place.authority.issue("nameless", "localhost", &[], Oddity::None);
    let expired = place
        .authority
        .issue("expired", "server", &["localhost"], Oddity::Expired);
    let early = place
        .authority
        .issue("early", "server", &["localhost"], Oddity::NotYetValid);
    let itself = place
        .authority
        .issue("self", "server", &["localhost"], Oddity::SelfSigned);
    let foreign = other.issue("foreign", "server", &["localhost"], Oddity::None);
    let trusts = format!("tls_server_ca_file: {}", place.ca());
    let zeros = "00".repeat(32);
    let cases = [
        ("wrong name", &elsewhere, trusts.clone()),
        ("no name", &nameless, trusts.clone()),
        (
            "name by configuration",
            &sound,
            format!("{trusts}\nmailtwin_tls_name: mx.example.org"),
        ),
        ("expired", &expired, trusts.clone()),
        (
            "expired and named",
            &expired,
            format!("tls_server_ca_file: {}", expired.cert.display()),
        ),
        ("not yet valid", &early, trusts.clone()),
        ("self-signed", &itself, trusts.clone()),
        ("unknown authority", &foreign, trusts.clone()),
        ("system's authorities", &sound, String::new()),
        (
            "another fingerprint",
            &sound,
            format!("mailtwin_tls_fingerprint: {zeros}"),
        ),
        ("version", &sound, format!("{trusts}\ntls_versions: tls1_2")),
    ];
    let mut said = String::new();
    for (case, files, lines) in cases {
        let versions = if case == "version" {
            "tls_versions: tls1_3"
        } else {
            ""
        };
        let (server, theirs) = place.serve(files, versions, |_| {}).await;
        let target = place.target(
            &format!("localhost:{}", port(&server)),
            &format!("{LOGIN}\n{lines}"),
        );
        said.push_str(&format!("# {case}\n{}\n", ended(&target).await));
        assert_eq!(
            theirs.dump(&support::scopes()[0]),
            Mail::new("empty").dump(&support::scopes()[0])
        );
        server.stop().await;
    }
    insta::assert_snapshot!(steady(&said, &place));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_believed_by_the_operators_word() {
    let place = Place::new();
    let itself = place
        .authority
        .issue("self", "server", &["localhost"], Oddity::SelfSigned);
    let named = format!("tls_server_ca_file: {}", itself.cert.display());
    let folder = place.path().join("trusted");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::copy(&itself.cert, folder.join("a.pem")).expect("copies");
    std::fs::write(folder.join("README"), "no certificate").expect("writes");
    let (server, _theirs) = place.serve(&itself, "", |_| {}).await;
    let address = format!("localhost:{}", port(&server));
    let refusal = ended(&place.target(&address, LOGIN)).await;
    let hex = refusal
        .split("mailtwin_tls_fingerprint: ")
        .nth(1)
        .and_then(|rest| rest.get(..64));
    let pinned = format!(
        "mailtwin_tls_fingerprint: {}",
        hex.expect("the message offers a fingerprint")
    );
    let by_directory = format!("tls_server_ca_dir: {}", folder.display());
    for lines in [named, by_directory, pinned, "mailtwin_tls_verify: no".to_owned()] {
        let target = place.target(&address, &format!("{LOGIN}\n{lines}"));
        assert_eq!(ended(&target).await, "Done", "{lines}");
    }
    server.stop().await;
}

/// [CS-AUTH-16]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_in_clear_goes_only_where_it_may() {
    let place = Place::new();
    let files = place.issue("server", Oddity::None);
    let (server, _theirs) = place
        .serve(&files, "", |config| config.mechanisms = vec!["PLAIN".to_owned()])
        .await;
    let address = format!("127.0.0.1:{}", port(&server));
    let trusts = format!("{LOGIN}\ntls_server_ca_file: {}", place.ca());
    let unverified = format!("{LOGIN}\nmailtwin_tls_verify: no");
    let careful = |target: Target| {
        // As towards another machine.
        let mut target = target;
        target.credentials.as_mut().expect("credentials").allow_plain = false;
        target
    };
    assert_eq!(ended(&careful(place.target(&address, &trusts))).await, "Done");
    let refused = ended(&careful(place.target(&address, &unverified))).await;
    assert!(
        refused.contains("AuthenticationFailed") && refused.contains("mailtwin_tls_verify"),
        "{refused}"
    );
    let mut in_clear = careful(place.target(&address, &trusts));
    in_clear.tls = None;
    let refused = ended(&in_clear).await;
    assert!(refused.contains("mailtwin_allow_plaintext"), "{refused}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_is_known_by_its_certificate() {
    let place = Place::new();
    let files = place.issue("server", Oddity::None);
    let other = Authority::new(place.path(), "other-ca");
    let repl = place.authority.issue("repl", "repl", &[], Oddity::None);
    let jane = place.authority.issue("jane", "jane", &[], Oddity::None);
    let foreign = other.issue("foreign", "repl", &[], Oddity::None);
    let shown = |files: &Files| {
        format!(
            "client_timeout: 20\ntls_client_cert: {}\ntls_client_key: {}\ntls_server_ca_file: {}",
            files.cert.display(),
            files.key.display(),
            place.ca()
        )
    };
    let asks = format!("tls_client_ca_file: {}", place.ca());
    let (server, _theirs) = place.serve(&files, &asks, |_| {}).await;
    let address = format!("localhost:{}", port(&server));
    assert_eq!(ended(&place.target(&address, &shown(&repl))).await, "Done");
    // Whoever has a password for another user is that user.
    let by_password = format!("{}\n{LOGIN}", shown(&jane).replace("client_timeout: 20\n", ""));
    assert_eq!(ended(&place.target(&address, &by_password)).await, "Done");
    let forced = format!("{by_password}\nforce_sasl_client_mech: EXTERNAL");
    let stranger = run(&place.target(&address, &forced)).await.expect("connects");
    assert_ne!(stranger.ended, Some(Ending::Done), "{stranger:?}");
    let nobody = format!("client_timeout: 20\ntls_server_ca_file: {}", place.ca());
    assert!(
        ended(&place.target(&address, &nobody))
            .await
            .contains("sync_authname")
    );
    let unknown = ended(&place.target(&address, &shown(&foreign))).await;
    assert!(unknown.contains("does not trust the issuer"), "{unknown}");
    server.stop().await;

    let demands = format!("{asks}\ntls_client_certs: require");
    let (server, _theirs) = place.serve(&files, &demands, |_| {}).await;
    let address = format!("localhost:{}", port(&server));
    assert_eq!(ended(&place.target(&address, &shown(&repl))).await, "Done");
    let refused = ended(&place.target(
        &address,
        &format!("{nobody}\nsync_authname: repl\nsync_password: pencil"),
    ))
    .await;
    assert!(refused.contains("tls_client_cert"), "{refused}");
    server.stop().await;
}

/// [CS-AUTH-15]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_that_is_demanded_and_not_there() {
    let place = Place::new();
    let server = Running::tcp(of_memory(&MemoryStore::new()), |_| {}).await;
    let said = ended(&place.target(&server.address, LOGIN)).await;
    assert!(
        said.contains("TlsFailed") && said.contains("does not offer STARTTLS"),
        "{said}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_in_clear_behind_starttls_end_the_connection() {
    let place = Place::new();
    let files = place.issue("server", Oddity::None);
    let (server, _theirs) = place.serve(&files, "", |_| {}).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"STARTTLS\r\nAUTHENTICATE PLAIN\r\n")
        .await
        .expect("writes");
    let mut said = Vec::new();
    stream.read_to_end(&mut said).await.expect("reads");
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("* STARTTLS\r\n"), "{said}");
    assert!(
        said.ends_with("* Fatal error: bytes in clear behind STARTTLS\r\n"),
        "{said}"
    );

    // Words that come in a packet of their own are no handshake.
    let mut stream = server.connect().await;
    let mut reader = String::new();
    stream.write_all(b"STARTTLS\r\n").await.expect("writes");
    while !reader.contains("OK Begin TLS negotiation now\r\n") {
        let mut some = [0; 512];
        let n = stream.read(&mut some).await.expect("reads");
        assert!(n > 0, "{reader}");
        reader.push_str(&String::from_utf8_lossy(&some[..n]));
    }
    stream
        .write_all(b"AUTHENTICATE PLAIN\r\nNOOP\r\n")
        .await
        .expect("writes");
    let mut rest = Vec::new();
    // An alert may come before the end; an answer may not.
    let _ = stream.read_to_end(&mut rest).await;
    assert!(!String::from_utf8_lossy(&rest).contains("BAD"), "{rest:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_in_clear_behind_the_replicas_consent_are_not_believed() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("bound").to_string();
    let heard = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let banner = b"* SASL PLAIN\r\n* STARTTLS\r\n* OK a Cyrus sync server 3.6.1\r\n";
        stream.write_all(banner).await.expect("writes");
        let mut said = [0; 64];
        let n = stream.read(&mut said).await.expect("reads");
        let tampered = b"OK Begin TLS negotiation now\r\n* SASL PLAIN\r\n* OK b Cyrus sync server 3.6.1\r\n";
        stream.write_all(tampered).await.expect("writes");
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        (said[..n].to_vec(), rest)
    });
    let said = ended(&place.target(&address, &format!("{LOGIN}\nmailtwin_tls_verify: no"))).await;
    assert!(said.contains("tampering"), "{said}");
    let (first, rest) = heard.await.expect("no panic");
    assert_eq!(first, b"STARTTLS\r\n");
    assert!(rest.is_empty(), "{}", rest.escape_ascii());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_certificate_is_shown_without_a_restart() {
    let place = Place::new();
    let files = place
        .authority
        .issue("server", "server", &["elsewhere.example"], Oddity::None);
    let (server, _theirs) = place.serve(&files, "", |_| {}).await;
    let trusts = format!("{LOGIN}\ntls_server_ca_file: {}", place.ca());
    let target = place.target(&format!("localhost:{}", port(&server)), &trusts);
    assert!(ended(&target).await.contains("elsewhere.example"));
    let renewed = place
        .authority
        .issue("renewed", "server", &["localhost"], Oddity::None);
    std::fs::rename(&renewed.key, &files.key).expect("renames");
    std::fs::rename(&renewed.cert, &files.cert).expect("renames");
    assert_eq!(ended(&target).await, "Done");
    // A file that is of no use leaves the last one in force.
    std::fs::write(&files.cert, "half a file").expect("writes");
    assert_eq!(ended(&target).await, "Done");
    server.stop().await;
}

/// [CS-LIMIT-4]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_stays_without_a_login() {
    let place = Place::new();
    let files = place.issue("server", Oddity::None);
    let (server, _theirs) = place
        .serve(&files, "", |config| {
            config.login_timeout = Duration::from_millis(300)
        })
        .await;
    for said in [&b""[..], b"NOOP\r\n", b"STARTTLS\r\n"] {
        let mut stream: TcpStream = server.connect().await;
        stream.write_all(said).await.expect("writes");
        let mut heard = Vec::new();
        let read = stream.read_to_end(&mut heard);
        // A server that never closes is the failure here.
        let _ = tokio::time::timeout(Duration::from_secs(20), read)
            .await
            .expect("closed in the end");
        assert!(String::from_utf8_lossy(&heard).contains("* OK test"), "{heard:?}");
    }
    server.stop().await;
}

#[test]
fn files_that_are_of_no_use() {
    let place = Place::new();
    let sound = place.issue("server", Oddity::None);
    let other = place
        .authority
        .issue("other", "other", &["localhost"], Oddity::None);
    let write = |name: &str, text: &str| {
        let path = place.path().join(name);
        std::fs::write(&path, text).expect("writes");
        path.display().to_string()
    };
    let (cert, key) = (sound.cert.display(), sound.key.display());
    let empty = write("empty.pem", "");
    let broken = write(
        "broken.pem",
        "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n",
    );
    let locked = write(
        "locked.pem",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let mut said = String::new();
    for lines in [
        "tls_server_cert: /nowhere/cert.pem".to_owned(),
        format!("tls_server_cert: {empty}"),
        format!("tls_server_cert: {broken}"),
        format!("tls_server_cert: {cert}"),
        format!("tls_server_cert: {cert}\ntls_server_key: {locked}"),
        format!("tls_server_cert: {cert}\ntls_server_key: {}", other.key.display()),
        format!("tls_server_cert: {cert}\ntls_server_key: {key}\ntls_client_certs: require"),
        format!("tls_server_cert: {cert}\ntls_server_key: {key}\ntls_client_ca_file: {empty}"),
        format!("tls_server_cert: {cert}\ntls_server_key: {key}\ntls_client_ca_dir: /nowhere"),
    ] {
        let error = ServerTls::new(&place.settings(&lines).tls).expect_err("of no use");
        said.push_str(&format!("{error}\n"));
    }
    for lines in [
        "tls_server_ca_file: /nowhere/ca.pem".to_owned(),
        format!("tls_client_key: {key}"),
        format!("tls_client_cert: {cert}\ntls_client_key: {}", other.key.display()),
        "mailtwin_tls_name: two words".to_owned(),
    ] {
        let target = place.target("127.0.0.1:1", &lines);
        let error = target.tls.expect("TLS").load().expect_err("of no use");
        said.push_str(&format!("{error}\n"));
    }
    insta::assert_snapshot!(steady(&said, &place));
}
