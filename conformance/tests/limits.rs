//! What a peer can do to the machine, the log and the terminal: names that mean harm over the wire, words that work on a
//! terminal, and where passwords must not be.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conformance::csync::dlist;
use conformance::cyrus::{ADMIN, PASSWORD};
use conformance::process::{self, Daemon, Output};
use conformance::programs::{self, Twin};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

const PATIENCE: Duration = Duration::from_secs(60);

/// Names that have done harm somewhere; `@` stands for a name in /tmp that nobody has.
const NASTY: [&str; 26] = [
    "..",
    ".",
    "../x",
    "../../../../../../../../tmp/@",
    "/tmp/@",
    "a/../../../b",
    "\\..\\x",
    "C:\\x",
    "NUL",
    "a\0b",
    "a\nUSER jane",
    "a\r\nAPPLY UNUSER alice",
    "\u{1b}[31mred",
    "\u{1b}]0;title\u{7}",
    "\u{9b}31m",
    "\u{202e}evil",
    "%2e%2e%2f",
    "~root",
    "$(touch /tmp/@)",
    "`touch /tmp/@`",
    "-rf",
    ".hidden",
    "shared.db",
    "alice.db-wal",
    "a b\tc",
    "*",
];

/// All that lies below a folder.
fn below(folder: &Path) -> Outcome<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            }
            found.insert(entry.path());
        }
    }
    Ok(found)
}

/// Whether text can be shown on a terminal: no control character but line ends and tabs, and no change of direction.
fn is_showable(text: &str) -> bool {
    let allowed = |c: char| c == '\n' || c == '\t';
    text.chars().all(|c| {
        allowed(c) || !(c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
    })
}

/// A mailbox without messages.
fn put(mailbox: &[u8], id: &[u8], partition: &[u8]) -> Vec<u8> {
    let header: &[u8] = b" LAST_UID 0 HIGHESTMODSEQ 1 RECENTUID 0 RECENTTIME 0 LAST_APPENDDATE 0 POP3_LAST_LOGIN 0 UIDVALIDITY 1 \
        ACL \"\" OPTIONS \"\" RECORD ())";
    let parts: [&[u8]; 7] = [
        b"APPLY MAILBOX %(UNIQUEID ",
        id,
        b" MBOXNAME ",
        mailbox,
        b" PARTITION ",
        partition,
        header,
    ];
    parts.concat()
}

/// One command of each kind that takes a name.
fn commands(name: &str, number: usize) -> Vec<Vec<u8>> {
    let word = |text: &str| dlist::string(text.as_bytes());
    let own = word(name);
    let below = word(&format!("user.alice.{name}"));
    let inbox = word(&format!("user.{name}"));
    let id = word(&format!("u{number} {name}"));
    let one = |before: &str, value: &[u8], after: &str| [before.as_bytes(), value, after.as_bytes()].concat();
    vec![
        put(&below, &id, b"default"),
        put(&inbox, &word(&format!("i{number}")), b"default"),
        put(&own, &word(&format!("o{number}")), b"default"),
        put(
            &word(&format!("user.alice.p{number}")),
            &word(&format!("p{number}")),
            &own,
        ),
        one(
            "APPLY SIEVE %(USERID alice FILENAME ",
            &own,
            " LAST_UPDATE 1 CONTENT \"keep;\")",
        ),
        one(
            "APPLY SIEVE %(USERID ",
            &own,
            " FILENAME a LAST_UPDATE 1 CONTENT \"keep;\")",
        ),
        one("APPLY ACTIVATE_SIEVE %(USERID alice FILENAME ", &own, ")"),
        one("APPLY SUB %(USERID alice MBOXNAME ", &own, ")"),
        one("APPLY SUB %(MBOXNAME user.alice USERID ", &own, ")"),
        one(
            "APPLY SEEN %(UNIQUEID u LASTREAD 1 LASTUID 1 LASTCHANGE 1 SEENUIDS 1 USERID ",
            &own,
            ")",
        ),
        one("APPLY QUOTA %(LIMIT 1 ROOT ", &below, ")"),
        one(
            "APPLY ANNOTATION %(MBOXNAME \"\" USERID \"\" VALUE x ENTRY ",
            &own,
            ")",
        ),
        one(
            "APPLY RENAME %(PARTITION default OLDMBOXNAME user.alice NEWMBOXNAME ",
            &own,
            ")",
        ),
        one(
            "APPLY RESERVE %(MBOXNAME (user.alice) GUID () PARTITION ",
            &own,
            ")",
        ),
        one("APPLY UNMAILBOX ", &inbox, ""),
        one("APPLY UNUSER ", &own, ""),
        one("GET USER ", &own, ""),
        one("GET META ", &own, ""),
        one("GET FULLMAILBOX ", &below, ""),
        one("GET FETCH_SIEVE %(USERID alice FILENAME ", &own, ")"),
    ]
}

#[test]
fn names_over_the_wire_stay_inside() -> Outcome {
    if !programs::usable("hostile_names") {
        return Ok(());
    }
    let escape = format!("mailtwin-escape-{}", std::process::id());
    let mut twin = Twin::tcp(
        "twin",
        &[
            "sync_log: yes",
            "sync_log_chain: yes",
            "sync_log_channels: far \"\"",
        ],
    )?;
    twin.start()?;
    let mut csync = twin.csync()?;
    csync.limit(PATIENCE)?;
    let mut done = 0;
    // The INBOX, which other mailboxes need.
    csync.run(&put(b"user.alice", b"inbox", b"default"))?;
    for (number, name) in NASTY.iter().enumerate() {
        let name = name.replace('@', &escape);
        for command in commands(&name, number) {
            let answer = csync.ask(&command)?;
            done += usize::from(answer.is_ok());
        }
    }
    assert!(
        done > NASTY.len() * 4,
        "only {done} commands were accepted; the test looks away"
    );
    assert!(twin.is_running(), "{}", twin.log());
    assert!(!Path::new("/tmp").join(&escape).exists());
    let listed = twin.mailtwin(&["list", "alice"])?.success("list")?;
    assert!(is_showable(&listed.text()), "{:?}", listed.text());
    for arguments in [&["list"][..], &["status"], &["quarantine", "list"], &["check"]] {
        let said = twin.mailtwin(arguments)?.text();
        assert!(is_showable(&said), "{arguments:?}: {said:?}");
    }
    twin.mailtwin(&["verify"])?.success("verify")?;
    twin.stop()?;
    assert!(is_showable(&twin.log()), "{:?}", twin.log());
    let known = ["conf", "imapd.conf", "server.log"].map(|name| twin.directory().join(name));
    for path in below(twin.directory())? {
        assert!(
            known.iter().any(|known| path.starts_with(known)),
            "{}",
            path.display()
        );
        let file = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let file = file.ok_or("a name")?;
        let tame = |c: char| c.is_ascii_alphanumeric() || "@_-+=.%~".contains(c);
        assert!(
            file.chars().all(tame) && !file.starts_with('.'),
            "{}",
            path.display()
        );
    }
    for log in ["conf/sync/log", "conf/sync/far/log"] {
        let lines = std::fs::read(twin.directory().join(log))?;
        let lines = String::from_utf8_lossy(&lines);
        assert!(lines.lines().count() > NASTY.len(), "{log}");
        for line in lines.lines() {
            let action = line.split(' ').next().unwrap_or_default();
            assert!(
                action.len() >= 3 && action.chars().all(|c| c.is_ascii_uppercase() || c == '_'),
                "{log}: {line:?}"
            );
            assert!(line != "USER jane", "a name became a line of its own");
        }
    }
    Ok(())
}

/// A log that somebody else wrote into: what cannot be a name is set aside, and the rest goes its way.
#[test]
fn lines_in_the_log_stay_inside() -> Outcome {
    if !programs::usable("hostile_log") {
        return Ok(());
    }
    let escape = format!("mailtwin-escape-{}", std::process::id());
    let mut replica = Twin::tcp("replica", &[])?;
    replica.start()?;
    let master = Twin::tcp("master", &["sync_log: yes", "mailtwin_quarantine_after: 1"])?;
    twin_mail(&master)?;
    let folder = master.directory().join("conf/sync");
    std::fs::create_dir_all(&folder)?;
    let mut log = b"\0\xff\x1b[31m\nNONSENSE\n".to_vec();
    for name in NASTY {
        let name = name.replace('@', &escape);
        for line in [
            format!("USER {name}\n"),
            format!("MAILBOX \"user.alice.{name}\"\n"),
            format!("META \"{name}\"\n"),
            format!("SUB \"{name}\" \"{name}\"\n"),
        ] {
            log.extend_from_slice(line.as_bytes());
        }
    }
    log.extend_from_slice(b"USER alice\n");
    std::fs::write(folder.join("log"), log)?;
    let run = master.sync_client(&replica.address(), &["-1", "-v"])?;
    assert!(is_showable(&run.text()), "{:?}", run.text());
    for arguments in [&["status"][..], &["quarantine", "list"]] {
        let said = master.mailtwin(arguments)?.text();
        assert!(is_showable(&said), "{arguments:?}: {said:?}");
    }
    let listed = replica.mailtwin(&["list", "alice"])?;
    assert!(
        listed.status.success(),
        "what was right went its way: {}",
        run.text()
    );
    assert!(!Path::new("/tmp").join(&escape).exists());
    for place in [master.directory(), replica.directory()] {
        for path in below(place)? {
            let file = path.file_name().map(|name| name.to_string_lossy().into_owned());
            let tame = |c: char| c.is_ascii_alphanumeric() || "@_-+=.%~".contains(c);
            let file = file.ok_or("a name")?;
            assert!(
                file.chars().all(tame) && !file.starts_with('.'),
                "{}",
                path.display()
            );
        }
    }
    replica.stop()?;
    Ok(())
}

/// A server whose every word is meant for the terminal; answers until the client leaves.
fn colourful() -> Outcome<String> {
    const WORD: &str = "\u{1b}[31mred\u{1b}]0;title\u{7}\u{8}\u{9b}5m\u{202e}";
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let Ok(other) = stream.try_clone() else { return };
            let banner = format!("* SASL PLAIN\r\n* OK {WORD} Cyrus sync server 3.6.1 {WORD}\r\n");
            let _ = stream.write_all(banner.as_bytes());
            let refused = "NO IMAP_MAILBOX_LOCKED ".to_owned() + WORD + "\r\n";
            for line in BufReader::new(other).split(b'\n') {
                let Ok(line) = line else { break };
                let answer = match line.split(|&byte| byte == b' ').next() {
                    Some(b"AUTHENTICATE") => "OK Success (no protection)\r\n".to_owned(),
                    Some(b"EXIT\r") => "OK Finished\r\n".to_owned(),
                    Some(b"GET") if line.starts_with(b"GET USER") => format!(
                        "* SIEVE %(USERID alice FILENAME {{{}}}\r\n{WORD} LAST_UPDATE 1)\r\nOK success\r\n",
                        WORD.len()
                    ),
                    _ => refused.clone(),
                };
                if stream.write_all(answer.as_bytes()).is_err() {
                    break;
                }
            }
        }
    });
    Ok(address)
}

#[test]
fn what_a_replica_says_works_on_no_terminal() -> Outcome {
    if !programs::usable("hostile_words") {
        return Ok(());
    }
    let twin = Twin::tcp("twin", &[])?;
    twin_mail(&twin)?;
    let address = colourful()?;
    for arguments in [
        &["-u", "alice"][..],
        &["-v", "-u", "alice"],
        &["-v", "-v", "-u", "alice"],
    ] {
        let said = twin.sync_client(&address, arguments)?.text();
        assert!(said.contains("red"), "the test looks away: {said}");
        assert!(is_showable(&said), "{arguments:?}: {said:?}");
    }
    let said = twin.mailtwin(&["compare", &address, "alice"])?.text();
    assert!(is_showable(&said), "{said:?}");
    Ok(())
}

fn twin_mail(twin: &Twin) -> Outcome {
    let file = twin.directory().join("m.eml");
    std::fs::write(&file, "Subject: x\r\n\r\n")?;
    twin.mailtwin(&["import", "alice", "INBOX", "eml", &file.display().to_string()])?
        .success("import")?;
    Ok(())
}

/// A secret as it is, and in base64 at any alignment.
fn forms(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned()];
    for lead in 0..3_usize {
        let coded = STANDARD.encode([&[0; 2][..lead], secret.as_bytes()].concat());
        let (first, last) = ((lead * 8).div_ceil(6), ((lead + secret.len()) * 8) / 6);
        forms.push(coded[first..last].to_owned());
    }
    forms
}

fn assert_no_secret(what: &str, text: &str, secrets: &[&str]) {
    for form in secrets.iter().flat_map(|secret| forms(secret)) {
        assert!(!text.contains(&form), "{what} shows {form}:\n{text}");
    }
}

fn serve_verbosely(twin: &Twin, errors: &Path) -> Outcome<(Daemon, String)> {
    let mut command: Command = twin.command("sync_server")?;
    command
        .args(["-v", "-v", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::from(std::fs::File::create(errors)?));
    let mut server = Daemon::start(&mut command)?;
    let stdout = server.child().stdout.take().ok_or("no stdout")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let address = line
        .split(" ready on ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    Ok((server, address.ok_or(line.clone())?.to_owned()))
}

/// Neither the right password nor a wrong one stands in a log, an error, a process title or a file other than the
/// configuration, however much is asked to be said.
#[test]
fn passwords_are_nowhere() -> Outcome {
    const WRONG: &str = "not-the-Right-one-42";
    if !programs::usable("secrets") {
        return Ok(());
    }
    let replica = Twin::tcp("replica", &[])?;
    let log = replica.directory().join("verbose.log");
    let (mut server, address) = serve_verbosely(&replica, &log)?;
    let secrets = [PASSWORD, WRONG];
    let mut said = String::new();
    for mechanism in ["PLAIN", "SCRAM-SHA-256"] {
        for password in secrets {
            let lines = [
                format!("force_sasl_client_mech: {mechanism}"),
                format!("sync_password: {password}"),
                format!("sync_host: {address}"),
            ];
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let master = Twin::tcp("master", &lines)?;
            twin_mail(&master)?;
            let run = master.sync_client(&address, &["-v", "-v", "-u", "alice"])?;
            assert_eq!(run.status.success(), password == PASSWORD, "{}", run.text());
            assert!(
                run.text().contains("AUTHENTICATE"),
                "the trace is missing: {}",
                run.text()
            );
            said += &run.text();
            for arguments in [&["check"][..], &["check", "--json"], &["status"], &["list"]] {
                said += &mailtwin(&master, arguments)?.text();
            }
            said += &files_but(master.directory(), "imapd.conf")?;
        }
    }
    for part in ["cmdline", "comm"] {
        let title = std::fs::read(format!("/proc/{}/{part}", server.id()))?;
        said += &String::from_utf8_lossy(&title);
    }
    server.terminate(PATIENCE);
    let log = std::fs::read_to_string(&log)?;
    assert!(
        log.contains(ADMIN) || log.contains("login failed"),
        "the log is missing: {log}"
    );
    assert_no_secret("the server's log", &log, &secrets);
    assert_no_secret("a program", &said, &secrets);
    assert_no_secret("a file", &files_but(replica.directory(), "imapd.conf")?, &secrets);
    Ok(())
}

fn mailtwin(twin: &Twin, arguments: &[&str]) -> Outcome<Output> {
    Ok(process::run(twin.command("mailtwin")?.args(arguments), PATIENCE)?)
}

/// The contents of all files below a folder but this one.
fn files_but(folder: &Path, name: &str) -> Outcome<String> {
    let mut contents = String::new();
    for path in below(folder)? {
        if path.is_file() && path.file_name().is_none_or(|file| file != name) {
            contents += &String::from_utf8_lossy(&std::fs::read(&path)?);
        }
    }
    Ok(contents)
}
