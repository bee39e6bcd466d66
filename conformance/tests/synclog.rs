//! Logs shared with Cyrus: who writes, who reads, and at once. [CS-LOG-2] [CS-LOG-3] [CS-LOG-5] [CS-LOG-6]
//!
//! A log is read where the store is: what Cyrus writes is replicated by ours from a store of ours, and what ours writes
//! by Cyrus from a Cyrus.

use conformance::compare::{self, Facts, Scope};
use conformance::csync::Csync;
use conformance::csync::dlist::{Value, string};
use conformance::cyrus::{ADMIN, Cyrus, Setup};
use conformance::population::{DATE, activate_script, put_script};
use conformance::process::{self, Daemon};
use conformance::programs::{self, Twin};
use conformance::rolling::{Roller, twin_channels};
use conformance::{cyrus, imap::Imap};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

type Outcome = Result<(), Box<dyn std::error::Error>>;
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Longest that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(90);
const COMMAND_LIMIT: Duration = Duration::from_secs(60);
const STOCK: &str = "/usr/lib/cyrus/bin/cyr_synclog";
const CHANNEL: &str = "both";
/// Names in the wire's form that need care: blanks, quotes, brackets, backslashes, what looks like a literal, other
/// scripts in modified UTF-7, bytes beyond ASCII, and very long ones.
const ODD: [&str; 12] = [
    "with blank",
    "two  blanks ",
    "tab\there",
    "quote\"d",
    "\"",
    "(bracket)",
    "brace{5}",
    "{12}",
    "back\\slash\\",
    "&AOQ-rger &ZeVnLIqe-",
    "per%cent*",
    "r\u{e4}w \u{65e5}",
];

fn usable(test: &str) -> bool {
    cyrus::usable(test) && programs::usable(test)
}

/// A program of ours that the user cyrus may run, wherever it was built.
fn for_cyrus(program: &str, folder: &Path) -> Result<PathBuf, Failure> {
    let target = folder.join(program);
    std::fs::copy(programs::folder()?.join(program), &target)?;
    std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o755))?;
    Ok(target)
}

fn as_cyrus(program: &Path, conf: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args([
            "--reuid=cyrus",
            "--regid=mail",
            "--clear-groups",
            "--pdeathsig=KILL",
        ])
        .arg(program)
        .arg("-C")
        .arg(conf)
        .env_remove("RUST_LOG");
    command
}

fn until<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>, Failure>) -> Result<T, Failure> {
    let end = Instant::now() + PATIENCE;
    loop {
        match look()? {
            Some(found) => return Ok(found),
            None if Instant::now() > end => return Err(format!("no end of waiting for {what}").into()),
            None => thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// A Cyrus whose log our programs write as well, all under the user cyrus.
struct Shared {
    cyrus: Cyrus,
    /// Our configuration over the same folder.
    conf: PathBuf,
    log: PathBuf,
    cyr_synclog: PathBuf,
}

impl Shared {
    /// `lines` are of our configuration.
    fn new(setup: Setup, lines: &str) -> Result<Shared, Failure> {
        let cyrus = Cyrus::start(setup)?;
        let place = cyrus.directory().to_path_buf();
        let conf = place.join("ours.conf");
        let text = format!(
            "configdirectory: {0}/conf\nmailtwin_store: {0}/ours\npartition-default: {0}/spool\ndefaultpartition: default\n\
             admins: {ADMIN}\nmailtwin_socket_mode: 0666\nsync_log: yes\nsync_log_channels: {CHANNEL}\n{lines}",
            place.display()
        );
        std::fs::write(&conf, text)?;
        let ours = place.join("ours");
        std::fs::create_dir_all(&ours)?;
        process::run(Command::new("chown").arg("cyrus:mail").arg(&ours), COMMAND_LIMIT)?.success("chown")?;
        Ok(Shared {
            log: place.join("conf/sync").join(CHANNEL),
            cyr_synclog: for_cyrus("cyr_synclog", &place)?,
            cyrus,
            conf,
        })
    }

    /// One line by our cyr_synclog.
    fn ours(&self, arguments: &[&str]) -> Result<(), Failure> {
        let mut command = as_cyrus(&self.cyr_synclog, &self.conf);
        process::run(command.args(arguments), COMMAND_LIMIT)?.success("our cyr_synclog")?;
        Ok(())
    }

    /// One line by Cyrus's.
    fn stock(&self, arguments: &[&str]) -> Result<(), Failure> {
        self.cyrus
            .tool("cyr_synclog", arguments)?
            .success("Cyrus's cyr_synclog")?;
        Ok(())
    }

    fn start(&self, program: &str, arguments: &[&str]) -> Result<Daemon, Failure> {
        let program = for_cyrus(program, self.cyrus.directory())?;
        let said = std::fs::File::create(program.with_extension("log"))?;
        let mut command = as_cyrus(&program, &self.conf);
        command
            .args(arguments)
            .stdout(said.try_clone()?)
            .stderr(Stdio::from(said));
        Ok(Daemon::start(&mut command)?)
    }
}

fn take(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_default()
}

/// Both programs, asked for the same, write the same line.
#[test]
fn both_programs_write_the_same_lines() -> Outcome {
    if !usable("synclog_lines") {
        return Ok(());
    }
    let mut setup = Setup::new("master", &[])
        .with("sync_log", "yes")
        .with("sync_log_channels", CHANNEL);
    setup.in_memory = true;
    let shared = Shared::new(setup, "").map_err(|error| error.to_string())?;
    let log = shared.log.join("log");
    let long = format!("user.ada.{}", "long level.".repeat(35));
    let mut cases: Vec<Vec<String>> = Vec::new();
    for letter in ["-u", "-U", "-v", "-m", "-M", "-q", "-n"] {
        cases.push(vec![letter.into(), "user.ada".into()]);
    }
    for odd in ODD.into_iter().chain([long.as_str()]) {
        cases.push(vec!["-m".into(), format!("user.ada.{odd}")]);
        cases.push(vec!["-s".into(), odd.into(), "9f3a".into()]);
        cases.push(vec!["-b".into(), "ada".into(), odd.into()]);
    }
    for case in &cases {
        let arguments: Vec<&str> = case.iter().map(String::as_str).collect();
        let mut lines = Vec::new();
        for stock in [true, false] {
            let written = if stock {
                shared.stock(&arguments)
            } else {
                shared.ours(&arguments)
            };
            written.map_err(|error| error.to_string())?;
            lines.push(take(&log));
            std::fs::remove_file(&log)?;
        }
        assert!(lines[0].ends_with(b"\n"), "{case:?}: Cyrus wrote nothing");
        assert_eq!(
            String::from_utf8_lossy(&lines[1]),
            String::from_utf8_lossy(&lines[0]),
            "{case:?}"
        );
    }
    Ok(())
}

/// Subscriptions that each writer makes.
const EACH: usize = 700;
/// Lines that each of the two programs writes.
const CALLS: usize = 60;

/// imapd, our sync_server, Cyrus's cyr_synclog and ours write at once, while our sync_client takes the log over and over:
/// each line is in what it took, once and whole.
#[test]
fn writers_of_both_kinds_and_our_reader_lose_no_line() -> Outcome {
    if !usable("synclog_at_once") {
        return Ok(());
    }
    at_once().map_err(|error| error.to_string().into())
}

fn at_once() -> Result<(), Failure> {
    let mut setup = Setup::new("master", &["ada", "ben"])
        .with("sync_log", "yes")
        .with("sync_log_channels", CHANNEL)
        .with("allowallsubscribe", "yes");
    setup.in_memory = true;
    // Nobody listens there: what the reader has taken stays in its working file.
    let nobody = "sync_log_chain: yes\nboth_sync_host: 127.0.0.1\nboth_sync_port: 1\nsync_authname: x\nsync_password: x\n";
    let shared = Shared::new(setup, nobody)?;
    let mut admin = shared.cyrus.imap(ADMIN)?;
    for user in ["ada", "ben"] {
        admin.create(&format!("user/{user}"))?;
    }
    let socket = shared.cyrus.directory().join("ours/csync");
    let listen = format!("unix:{}", socket.display());
    let _server = shared.start("sync_server", &["--listen", &listen])?;
    until("our server", || Ok(Csync::unix(&socket).ok()))?;
    for path in ["log", "log-run"] {
        let _ = std::fs::remove_file(shared.log.join(path));
    }
    let mut reader = shared.start("sync_client", &["-R", "-n", CHANNEL])?;

    let expected: Vec<String> = thread::scope(|scope| {
        let mut writers = Vec::new();
        for user in ["ada", "ben"] {
            let cyrus = &shared.cyrus;
            writers.push(scope.spawn(move || subscribe_by_imap(cyrus.imap(user)?, user)));
            let socket = &socket;
            writers.push(scope.spawn(move || subscribe_by_csync(Csync::unix(socket)?, user)));
        }
        let shared = &shared;
        writers.push(scope.spawn(move || by_program("stock", |arguments| shared.stock(arguments))));
        writers.push(scope.spawn(move || by_program("ours", |arguments| shared.ours(arguments))));
        let mut expected = Vec::new();
        for writer in writers {
            expected.extend(writer.join().map_err(|_| "a writer panicked")??);
        }
        Ok::<_, Failure>(expected)
    })?;
    until("the reader to take the rest", || {
        Ok((!shared.log.join("log").exists()).then_some(()))
    })?;
    assert!(reader.ended().is_none(), "our reader ended");
    let rounds = reader.kill();
    rounds?;

    let taken: Vec<u8> = ["log-run", "log-next", "log"]
        .iter()
        .flat_map(|name| take(&shared.log.join(name)))
        .collect();
    let mut count = BTreeMap::<&str, usize>::new();
    let text = std::str::from_utf8(&taken)?;
    text.lines().for_each(|line| *count.entry(line).or_default() += 1);
    for line in &expected {
        assert_eq!(count.remove(line.as_str()), Some(1), "{line}");
    }
    // What else Cyrus logs of its own accord is whole as well.
    for (line, times) in &count {
        let word = line.split(' ').next().unwrap_or_default();
        assert!(
            ["MAILBOX", "USER", "SUB", "META", "QUOTA"].contains(&word),
            "{times} times {line:?}"
        );
    }
    assert!(expected.len() >= 4 * EACH + 2 * CALLS);
    Ok(())
}

fn subscribe_by_imap(mut imap: Imap, user: &str) -> Result<Vec<String>, Failure> {
    let mut lines = Vec::new();
    for number in 0..EACH {
        imap.subscribe(&format!("INBOX/by imap {number}"))?;
        lines.push(format!("SUB {user} \"user.{user}.by imap {number}\""));
    }
    Ok(lines)
}

fn subscribe_by_csync(mut csync: Csync, user: &str) -> Result<Vec<String>, Failure> {
    let mut lines = Vec::new();
    for number in 0..EACH {
        let mailbox = format!("user.{user}.by csync {number}");
        let mut command = b"APPLY SUB %(USERID ".to_vec();
        command.extend_from_slice(&string(user.as_bytes()));
        command.extend_from_slice(b" MBOXNAME ");
        command.extend_from_slice(&string(mailbox.as_bytes()));
        command.push(b')');
        csync.run(&command)?;
        lines.push(format!("SUB {user} \"{mailbox}\""));
    }
    Ok(lines)
}

fn by_program(name: &str, write: impl Fn(&[&str]) -> Result<(), Failure>) -> Result<Vec<String>, Failure> {
    let mut lines = Vec::new();
    for number in 0..CALLS {
        let mailbox = format!("user.{name}.odd \"{{{number}}}\" name");
        write(&["-m", &mailbox])?;
        lines.push(format!(
            "MAILBOX \"user.{name}.odd \\\"\\{{{number}\\}}\\\" name\""
        ));
    }
    Ok(lines)
}

/// What each side says about users and about the server.
fn facts(mut csync: Csync, users: &[&str]) -> Result<Facts, Failure> {
    let mut scope = Scope::all(users);
    scope.shared = false;
    // Scripts as scripts: that is how the log tells of them.
    scope.sieve_mailbox = false;
    let mut facts = Facts::new();
    compare::collect_csync(&mut csync, &scope, &[], &mut facts)?;
    let answer = csync.run(b"GET ANNOTATION \"\"")?;
    for (number, value) in answer.all("ANNOTATION").enumerate() {
        let place = compare::Place {
            view: "annotations".to_owned(),
            object: "the server".to_owned(),
            uid: u32::try_from(number).ok(),
            field: "ANNOTATION".to_owned(),
        };
        facts.insert(place, without_modseq(value));
    }
    Ok(facts)
}

fn is_mailbox_gone(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    let error = error.downcast_ref::<conformance::Error>();
    error.is_some_and(conformance::Error::is_mailbox_gone)
}

/// The modseq of an annotation counts changes of one server only.
fn without_modseq(value: &Value) -> Vec<u8> {
    match value {
        Value::Map(pairs) => {
            let kept = pairs.iter().filter(|(key, _)| key != "MODSEQ");
            kept.flat_map(|(key, value)| [key.as_bytes(), b"=", &value.canonical(), b" "].concat())
                .collect()
        }
        other => other.canonical(),
    }
}

/// Writes one line of a log, by the arguments of `cyr_synclog`.
type Line<'a> = Box<dyn Fn(&[&str]) -> Result<(), Failure> + 'a>;

/// A master, a replica, and the means to write one line of the log that leads from one to the other.
struct Pair<'a> {
    master: Box<dyn Fn() -> conformance::Result<Csync> + 'a>,
    replica: Box<dyn Fn() -> conformance::Result<Csync> + 'a>,
    line: Line<'a>,
    said: Box<dyn Fn() -> String + 'a>,
}

impl Pair<'_> {
    fn differences(&self) -> Result<Vec<String>, Failure> {
        let users = ["kim", "lee"];
        let (left, right) = (
            facts((self.master)()?, &users)?,
            facts((self.replica)()?, &users)?,
        );
        Ok(compare::differences(&left, &right)
            .iter()
            .map(ToString::to_string)
            .collect())
    }

    /// A change was made that nothing tells of; the line is all that does.
    fn follows(&self, line: &[&str]) -> Result<(), Failure> {
        assert!(!self.differences()?.is_empty(), "{line:?}: nothing to replicate");
        (self.line)(line)?;
        let arrived = until(&format!("{line:?}"), || match self.differences() {
            // The replica took it away between the list and the look: look again.
            Err(error) if is_mailbox_gone(error.as_ref()) => Ok(None),
            found => Ok(found?.is_empty().then_some(())),
        });
        arrived.map_err(|error| {
            let found = self.differences().unwrap_or_default();
            format!("{error}\n{}\n{}", found.join("\n"), (self.said)()).into()
        })
    }
}

/// Every action in a line that Cyrus's cyr_synclog wrote, replicated by our sync_client from a store of ours.
#[test]
fn ours_reads_what_cyrus_writes() -> Outcome {
    if !usable("synclog_cyrus_writes") {
        return Ok(());
    }
    cyrus_writes().map_err(|error| error.to_string().into())
}

fn cyrus_writes() -> Result<(), Failure> {
    let mut replica = Twin::tcp("replica", &[])?;
    replica.start()?;
    let mut lines = twin_channels(&[(CHANNEL, &replica.address())], false);
    // The commands below change the store without a word.
    lines.retain(|line| !line.starts_with("sync_log:"));
    lines.push("sync_log: no".to_owned());
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let mut master = Twin::tcp("master", &lines)?;
    master.start()?;
    let stock = master.directory().join("stock.conf");
    let text = format!(
        "configdirectory: {0}/conf\npartition-default: {0}/spool\ndefaultpartition: default\ncyrus_user: root\n\
         sync_log: yes\nsync_log_channels: {CHANNEL}\n",
        master.directory().display()
    );
    std::fs::write(&stock, text)?;
    let mut roller = Roller::start(&master, CHANNEL, &[])?;
    let tool = |arguments: &[&str]| -> Result<(), Failure> {
        let mut command = Command::new(STOCK);
        process::run(command.arg("-C").arg(&stock).args(arguments), COMMAND_LIMIT)?
            .success("Cyrus's cyr_synclog")?;
        Ok(())
    };
    let pair = Pair {
        master: Box::new(|| master.csync()),
        replica: Box::new(|| replica.csync()),
        line: Box::new(tool),
        said: Box::new(|| {
            std::fs::read_to_string(master.directory().join("rolling-both.log")).unwrap_or_default()
        }),
    };
    let change = |arguments: &[&str]| -> Result<(), Failure> {
        master
            .mailtwin(arguments)?
            .success(&format!("mailtwin {arguments:?}"))?;
        Ok(())
    };
    let message = master.directory().join("message");
    std::fs::write(&message, "Subject: one\r\n\r\nx\r\n")?;
    let script = master.directory().join("script");
    let (message, script_path) = (message.display().to_string(), script.display().to_string());

    change(&["create", "user/kim", "user/lee"])?;
    (pair.line)(&["-u", "lee"])?;
    pair.follows(&["-u", "kim"])?;
    change(&["create", "user/kim/one", "user/kim/two"])?;
    (pair.line)(&["-m", "user.kim.one"])?;
    pair.follows(&["-m", "user.kim.two"])?;
    change(&["append", "user/kim", &message])?;
    pair.follows(&["APPEND user.kim"])?;
    change(&["append", "user/kim/one", &message])?;
    change(&["append", "user/kim/two", &message])?;
    pair.follows(&["DOUBLEMAILBOX user.kim.one user.kim.two"])?;
    change(&["rename", "user/kim/one", "user/kim/new name"])?;
    pair.follows(&["RENAME user.kim.one \"user.kim.new name\""])?;
    change(&["delete", "--now", "user/kim/two"])?;
    pair.follows(&["-M", "user.kim.two"])?;
    change(&["quota", "user/kim", "--storage", "12345"])?;
    pair.follows(&["-q", "user.kim"])?;
    change(&["annotate", "user/kim", "/comment", "a comment"])?;
    pair.follows(&["-n", "user.kim"])?;
    change(&["annotate", "", "/comment", "of the server"])?;
    pair.follows(&["ANNOTATION \"\""])?;
    seen(&master, "lee", "user.kim")?;
    pair.follows(&["-s", "lee", &uniqueid(&mut master.csync()?, "user.kim")?])?;
    change(&["subscribe", "kim", "INBOX/new name"])?;
    pair.follows(&["-b", "kim", "user.kim.new name"])?;
    change(&["unsubscribe", "kim", "INBOX/new name"])?;
    pair.follows(&["UNSUB kim \"user.kim.new name\""])?;
    for (number, line) in [&["-v", "kim"][..], &["SIEVE kim"]].into_iter().enumerate() {
        std::fs::write(&script, format!("# {number}\r\nkeep;\r\n"))?;
        change(&["sieve", "put", "kim", "filter", &script_path, "--activate"])?;
        pair.follows(line)?;
    }
    for odd in [
        "with blank",
        "(bracket)",
        "brace{5}",
        "\u{e4}rger \u{65e5}\u{672c}",
        &"long ".repeat(30),
    ] {
        let odd = odd.trim();
        change(&["create", &format!("user/lee/{odd}")])?;
        let name = newest(&mut master.csync()?, "lee", &mut replica.csync()?)?;
        pair.follows(&["-m", &name])?;
    }
    change(&["delete", "--user", "kim", "--now"])?;
    pair.follows(&["-U", "kim"])?;
    assert!(roller.ended().is_none(), "our client ended");
    Ok(roller.stop()?)
}

fn uniqueid(csync: &mut Csync, mailbox: &str) -> Result<String, Failure> {
    let answer = csync.run(&[b"GET MAILBOXES (", string(mailbox.as_bytes()).as_slice(), b")"].concat())?;
    let found = answer.all("MAILBOX").find_map(|mailbox| mailbox.text("UNIQUEID"));
    found.ok_or_else(|| format!("no {mailbox}").into())
}

/// `reader` has read the first message of a mailbox of somebody else's.
fn seen(master: &Twin, reader: &str, mailbox: &str) -> Result<(), Failure> {
    let mut csync = master.csync()?;
    let uniqueid = uniqueid(&mut csync, mailbox)?;
    let command = format!(
        "APPLY SEEN %(USERID {reader} UNIQUEID {uniqueid} LASTREAD 1600000000 LASTUID 1 LASTCHANGE 1600000001 SEENUIDS 1)"
    );
    csync.run(command.as_bytes())?;
    Ok(())
}

/// The mailbox of `user` that the replica does not have.
fn newest(master: &mut Csync, user: &str, replica: &mut Csync) -> Result<String, Failure> {
    let names = |csync: &mut Csync| -> Result<Vec<String>, Failure> {
        let answer = csync.run(format!("GET USER {user}").as_bytes())?;
        Ok(answer
            .all("MAILBOX")
            .filter_map(|mailbox| mailbox.text("MBOXNAME"))
            .collect())
    };
    let known = names(replica)?;
    let new = names(master)?.into_iter().find(|name| !known.contains(name));
    new.ok_or_else(|| "nothing is new".into())
}

/// Every action in a line that our cyr_synclog wrote, replicated by Cyrus's sync_client -r from a Cyrus.
#[test]
fn cyrus_reads_what_ours_writes() -> Outcome {
    if !usable("synclog_ours_writes") {
        return Ok(());
    }
    ours_writes().map_err(|error| error.to_string().into())
}

fn ours_writes() -> Result<(), Failure> {
    let mut replica = Twin::tcp("replica", &[])?;
    replica.start()?;
    let mut setup = Setup::new("master", &["kim", "lee"])
        .rolling(&[(CHANNEL, &replica.address())])
        .with("delete_mode", "immediate")
        .with("sync_repeat_interval", "0")
        .with("anysievefolder", "yes");
    // Cyrus itself does not log.
    setup.extra.retain(|(key, _)| key != "sync_log");
    setup.extra.push(("sync_log".to_owned(), "no".to_owned()));
    setup.in_memory = true;
    let shared = Shared::new(setup, "")?;
    let cyrus = &shared.cyrus;
    let pair = Pair {
        master: Box::new(|| cyrus.csync()),
        replica: Box::new(|| replica.csync()),
        line: Box::new(|arguments| shared.ours(arguments)),
        said: Box::new(|| replica.log()),
    };
    let mut admin = cyrus.imap(ADMIN)?;
    admin.create("user/kim")?;
    admin.create("user/lee")?;
    let (mut kim, mut lee) = (cyrus.imap("kim")?, cyrus.imap("lee")?);
    (pair.line)(&["-u", "lee"])?;
    pair.follows(&["-u", "kim"])?;
    kim.create("INBOX/one")?;
    kim.create("INBOX/two")?;
    (pair.line)(&["-m", "user.kim.one"])?;
    pair.follows(&["-m", "user.kim.two"])?;
    let message = b"Subject: one\r\n\r\nx\r\n";
    kim.append("INBOX", "()", DATE, message)?;
    pair.follows(&["APPEND user.kim"])?;
    kim.append("INBOX/one", "(\\Seen)", DATE, message)?;
    kim.append("INBOX/two", "()", DATE, message)?;
    pair.follows(&["DOUBLEMAILBOX user.kim.one user.kim.two"])?;
    kim.rename("INBOX/one", "INBOX/new name")?;
    pair.follows(&["RENAME user.kim.one \"user.kim.new name\""])?;
    kim.delete("INBOX/two")?;
    pair.follows(&["-M", "user.kim.two"])?;
    admin.set_quota("user/kim", "(STORAGE 12345)")?;
    pair.follows(&["-q", "user.kim"])?;
    kim.set_metadata("INBOX", "/shared/comment", Some(b"a comment"))?;
    // The annotations of a mailbox travel with the mailbox. For ANNOTATION with its name Cyrus 3.6 looks at a mailbox
    // called as people write it (user/kim), finds none, and takes away what the replica has: no imapd writes that line.
    pair.follows(&["-m", "user.kim"])?;
    admin.set_metadata("", "/shared/comment", Some(b"of the server"))?;
    pair.follows(&["ANNOTATION \"\""])?;
    kim.set_acl("INBOX", "lee", "lrs")?;
    pair.follows(&["-c", "user.kim"])?;
    lee.select("user/kim")?;
    lee.store("1", "+FLAGS.SILENT", "(\\Seen)")?;
    lee.simple("UNSELECT")?;
    // The message has a new modseq by that.
    (pair.line)(&["-m", "user.kim"])?;
    pair.follows(&["-s", "lee", &uniqueid(&mut cyrus.csync()?, "user.kim")?])?;
    kim.subscribe("INBOX/new name")?;
    pair.follows(&["-b", "kim", "user.kim.new name"])?;
    kim.unsubscribe("INBOX/new name")?;
    pair.follows(&["UNSUB kim \"user.kim.new name\""])?;
    put_script(&mut cyrus.csync()?, "kim", "filter", "keep;\r\n")?;
    activate_script(&mut cyrus.csync()?, "kim", "filter")?;
    // Cyrus 3.6 keeps scripts in a mailbox.
    pair.follows(&["-m", "user.kim.#sieve"])?;
    kim.subscribe("INBOX/new name")?;
    pair.follows(&["-v", "kim"])?;
    kim.subscribe("INBOX")?;
    pair.follows(&["SIEVE kim"])?;
    for odd in [
        "with blank",
        "(bracket)",
        "it's $5",
        "&AOQ-rger &ZeVnLIqe-",
        &"long ".repeat(30),
    ] {
        lee.create(&format!("INBOX/{}", odd.trim()))?;
        let name = newest(&mut cyrus.csync()?, "lee", &mut replica.csync()?)?;
        pair.follows(&["-m", &name])?;
    }
    drop(kim);
    admin.set_acl("user/kim", ADMIN, "+xca")?;
    admin.delete("user/kim")?;
    pair.follows(&["-U", "kim"])?;
    Ok(())
}
