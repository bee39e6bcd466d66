//! Our `sync_server` as a service of Cyrus's process master: `syncserver cmd="..." listen="..."` in cyrus.conf.

use conformance::csync::Csync;
use conformance::cyrus::{self, ADMIN, Cyrus, PASSWORD, Setup};
use conformance::ports::Port;
use conformance::process;
use conformance::programs::{self, Twin};
use conformance::proxy::Proxy;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Longer than anything here takes, on a machine that does a lot else.
const PATIENCE: Duration = Duration::from_secs(90);
const USER: &str = "anna";
/// What administrators are told to do, which is what is done here.
const PAGE: &str = include_str!("../../docs/OPERATIONS.md");
const MESSAGE: &[u8] = b"From: a@example.org\r\nSubject: hello\r\n\r\nHello.\r\n";

/// Our programs where every user may start them; they are copied when a folder above them is closed to others.
struct Programs {
    folder: PathBuf,
    _copies: Option<tempfile::TempDir>,
}

impl Programs {
    fn find() -> Result<Programs, Box<dyn std::error::Error>> {
        let folder = programs::folder()?.canonicalize()?;
        let open = |path: &Path| path.metadata().is_ok_and(|of| of.mode() & 0o001 != 0);
        if folder.ancestors().all(open) {
            return Ok(Programs {
                folder,
                _copies: None,
            });
        }
        let copies = tempfile::tempdir()?;
        std::fs::set_permissions(copies.path(), std::fs::Permissions::from_mode(0o755))?;
        for name in ["sync_server", "mailtwin"] {
            std::fs::copy(folder.join(name), copies.path().join(name))?;
        }
        Ok(Programs {
            folder: copies.path().to_path_buf(),
            _copies: Some(copies),
        })
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }
}

/// The line for cyrus.conf as the page has it: name, program and address.
fn line_of_the_page() -> Option<(&'static str, &'static str, &'static str)> {
    let line = PAGE.lines().find(|line| line.starts_with("  syncserver cmd="))?;
    let (name, rest) = line.trim().split_once(" cmd=\"")?;
    let (command, rest) = rest.split_once('"')?;
    let program = command.strip_suffix(" -C /etc/imapd.conf")?;
    Some((name, program, rest.strip_prefix(" listen=\"")?.strip_suffix('"')?))
}

/// A Cyrus one of whose services is our server.
struct Served {
    cyrus: Cyrus,
    port: Port,
    program: String,
    programs: Programs,
}

impl Served {
    /// `None` where Cyrus or our programs are not there.
    fn start(test: &str) -> Result<Option<Served>, Box<dyn std::error::Error>> {
        if !cyrus::usable(test) || !programs::usable(test) {
            return Ok(None);
        }
        let (name, program, listen) = line_of_the_page().ok_or("no line for cyrus.conf on the page")?;
        assert_eq!((program, listen), ("/usr/lib/mailtwin/bin/sync_server", "csync"));
        let programs = Programs::find()?;
        let program = programs.path("sync_server");
        let port = Port::reserve()?;
        let setup = Setup::new("mail", &[USER]).service(name, &program, &port.address());
        let cyrus = Cyrus::start(setup)?;
        let served = Served {
            cyrus,
            port,
            program,
            programs,
        };
        served.set_password()?;
        Ok(Some(served))
    }

    /// As the administrator does it, under the user cyrus.
    fn set_password(&self) -> Outcome {
        let mut child = self
            .cyrus
            .command(&self.programs.path("mailtwin"))
            .args(["passwd", ADMIN])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            writeln!(stdin, "{PASSWORD}")?;
        }
        assert!(child.wait()?.success(), "mailtwin passwd");
        Ok(())
    }

    /// The processes of our server that master has started.
    fn processes(&self) -> Vec<u32> {
        let mut found: Vec<u32> = process::children(self.cyrus.master_pid())
            .into_iter()
            .filter(|(_, line)| line.starts_with(&self.program))
            .map(|(id, _)| id)
            .collect();
        found.sort_unstable();
        found
    }

    /// A connection that is logged in, which may have to wait for a process to be started.
    fn connect(&self) -> Result<Csync, Box<dyn std::error::Error>> {
        let mut csync = Csync::tcp(&self.port.address())?;
        assert!(
            csync.banner.iter().any(|line| line.contains(" mailtwin ")),
            "{:?}",
            csync.banner
        );
        csync.login(ADMIN, PASSWORD)?;
        Ok(csync)
    }

    /// The last UID of the user's inbox in our store; `None` when it has no such mailbox.
    fn last_uid(&self) -> Result<Option<u64>, Box<dyn std::error::Error>> {
        let answer = self
            .connect()?
            .ask(format!("GET MAILBOXES (user.{USER})").as_bytes())?;
        Ok(answer
            .all("MAILBOX")
            .next()
            .and_then(|value| value.number("LAST_UID")))
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.cyrus.directory().join("master.log")).unwrap_or_default()
    }
}

/// Waits until the condition holds.
fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a process runs; one that has ended but that nobody has asked for does not.
fn runs(id: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').map_or("", |(_, rest)| rest.trim_start());
    !state.is_empty() && !state.starts_with('Z')
}

/// [CS-SVC-1] [CS-SVC-2] [CS-SVC-3] [CS-SVC-8] [CS-SVC-9]
#[test]
fn a_cyrus_replicates_into_a_service_of_its_own_master() -> Outcome {
    let Some(served) = Served::start("service_replicates")? else {
        return Ok(());
    };
    let mut admin = served.cyrus.imap(ADMIN)?;
    admin.create(&format!("user/{USER}"))?;
    let mut imap = served.cyrus.imap(USER)?;
    for uid in 1..=3 {
        assert_eq!(
            imap.append("INBOX", "()", "01-Jan-2026 00:00:00 +0000", MESSAGE)?,
            uid
        );
        served
            .cyrus
            .sync_client(&served.port.address(), &["-u", USER])?
            .success("sync_client")?;
        assert_eq!(served.last_uid()?, Some(u64::from(uid)));
    }
    // One process serves all, also while others are connected: it never counted as busy.
    let first = served.processes();
    assert_eq!(first.len(), 1, "{}", served.log());
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(served.connect()?);
    }
    assert_eq!(served.processes(), first);
    // The master's own services are as they were.
    assert_eq!(
        imap.append("INBOX", "()", "01-Jan-2026 00:00:00 +0000", MESSAGE)?,
        4
    );
    assert!(served.cyrus.csync()?.ask(b"GET USER anna")?.is_ok());
    for mut csync in held {
        assert!(csync.ask(b"GET USER anna")?.is_ok());
    }
    Ok(())
}

/// Whether some process has locked the file.
fn is_locked(path: &Path) -> bool {
    let Ok(of) = path.metadata() else { return false };
    let inode = format!(":{} ", of.ino());
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    locks
        .lines()
        .any(|line| line.contains(&inode) && line.contains(" WRITE ") && !line.contains("->"))
}

/// What a stock `sync_server` tells its master, and that its children take turns to accept; read in master's place.
/// [CS-SVC-4] [CS-SVC-5] [CS-SVC-6] [CS-SVC-7] [CS-SVC-9] [CS-SVC-10]
#[test]
fn a_stock_child_tells_of_its_connection() -> Outcome {
    if !cyrus::usable("service_stock_child") {
        return Ok(());
    }
    let cyrus = Cyrus::start(Setup::new("mail", &[USER]))?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    let (mut pipe, to_master) = std::io::pipe()?;
    let script = cyrus.directory().join("child");
    std::fs::write(
        &script,
        "#!/bin/sh\nexec 4<&2 3>&1 >/dev/null 2>&1\nCYRUS_SERVICE=csync CYRUS_ID=7 exec /usr/lib/cyrus/bin/sync_server \"$@\"\n",
    )?;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
    let mut command = cyrus.command(&script.display().to_string());
    command
        .stderr(OwnedFd::from(listener))
        .stdout(OwnedFd::from(to_master));
    let mut child = process::Daemon::start(&mut command)?;
    drop(command);
    // The pipe ends when nobody holds its other end, so this waits for the child and for nothing else.
    let mut told = || -> std::io::Result<i32> {
        let mut message = [0; 8];
        pipe.read_exact(&mut message)?;
        let [a, b, c, d, ..] = message;
        Ok(i32::from_ne_bytes([a, b, c, d]))
    };
    let lock = cyrus.directory().join("conf/socket/csync-7.lock");
    wait_for("the lock for accepting", || {
        is_locked(&lock) || child.ended().is_some()
    });
    assert_eq!(child.ended(), None);
    let mut csync = Csync::tcp(&address)?;
    assert_eq!((told()?, told()?), (2, 3), "unavailable, connection");
    wait_for("the lock to be given up", || !is_locked(&lock));
    csync.login(ADMIN, PASSWORD)?;
    assert!(csync.ask(b"GET USER nobody")?.is_ok());
    drop(csync);
    assert_eq!(told()?, 1, "available");
    wait_for("the lock for the next one", || is_locked(&lock));
    Ok(())
}

/// [CS-SVC-12] [CS-SVC-25]
#[test]
fn hangup_drains_it_and_a_new_one_comes() -> Outcome {
    let Some(served) = Served::start("service_hangup")? else {
        return Ok(());
    };
    let mut held = served.connect()?;
    let old = served.processes();
    let &[old] = old.as_slice() else {
        panic!("one process: {old:?}");
    };
    process::signal("HUP", served.cyrus.master_pid());
    // A new connection comes to another process, once the old one has taken notice.
    wait_for("a new process", || {
        served.connect().is_ok() && served.processes().iter().any(|&id| id != old)
    });
    assert!(runs(old), "it serves whom it has");
    assert!(held.ask(b"GET USER nobody")?.is_ok());
    assert!(held.ask(b"EXIT").is_ok());
    wait_for("the old process to end", || !served.processes().contains(&old));
    let now = served.processes();
    let &[new] = now.as_slice() else {
        panic!("one process: {now:?}");
    };
    assert!(served.connect()?.ask(b"GET USER nobody")?.is_ok());
    process::signal("HUP", served.cyrus.master_pid());
    wait_for("the idle process to end", || !served.processes().contains(&new));
    assert!(served.connect()?.ask(b"GET USER nobody")?.is_ok());
    Ok(())
}

/// [CS-SVC-11]
#[test]
fn killed_it_is_started_again() -> Outcome {
    let Some(served) = Served::start("service_killed")? else {
        return Ok(());
    };
    for _ in 0..3 {
        assert!(served.connect()?.ask(b"GET USER nobody")?.is_ok());
        let processes = served.processes();
        assert_eq!(processes.len(), 1, "{}", served.log());
        process::signal("KILL", processes[0]);
        wait_for("its end", || !served.processes().contains(&processes[0]));
    }
    assert!(served.connect()?.ask(b"GET USER nobody")?.is_ok());
    Ok(())
}

/// [CS-SVC-12] [CS-SVC-21]
#[test]
fn it_ends_with_its_master_however_that_ends() -> Outcome {
    let Some(mut served) = Served::start("service_master")? else {
        return Ok(());
    };
    let held = served.connect()?;
    let processes = served.processes();
    served.cyrus.stop()?;
    wait_for("the end of the service", || !runs(processes[0]));
    drop(held);
    served.cyrus.restart()?;
    assert!(served.connect()?.ask(b"GET USER nobody")?.is_ok());

    // Killed, master tells nobody; a service that went on would keep the next master from its port.
    let processes = served.processes();
    process::signal("KILL", served.cyrus.master_pid());
    wait_for("the end of the service", || !runs(processes[0]));
    served.cyrus.kill()?;
    served.cyrus.restart()?;
    assert!(served.connect()?.ask(b"GET USER nobody")?.is_ok());
    Ok(())
}

/// A stock client with `sync_try_imap` on saves its ten-second wait. [CS-CONN-50] [CS-EXC-11]
#[test]
fn the_imap_probe_is_answered() -> Outcome {
    if !cyrus::usable("service_probe") || !programs::usable("service_probe") {
        return Ok(());
    }
    let master = Cyrus::start(Setup::new("mail", &[USER]).with("sync_try_imap", "yes"))?;
    master.imap(ADMIN)?.create(&format!("user/{USER}"))?;
    let mut twin = Twin::tcp("twin", &[])?;
    twin.start()?;
    let run = |target: &str| -> Result<_, Box<dyn std::error::Error>> {
        let proxy = Proxy::start(target)?;
        let began = Instant::now();
        master
            .sync_client(proxy.address(), &["-u", USER])?
            .success("sync_client")?;
        Ok((began.elapsed(), proxy.take()))
    };
    let (with_ours, recorded) = run(&twin.address())?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let probe = recorded.first().ok_or("no connection")?;
    assert!(
        said(&probe.sent).starts_with("C01 CAPABILITY\r\n"),
        "{}",
        said(&probe.sent)
    );
    let answers = said(&probe.received);
    assert!(answers.contains("\r\nC01 BAD "), "{answers}");
    let replicated = recorded
        .iter()
        .any(|one| said(&one.sent).contains("APPLY MAILBOX"));
    assert!(replicated, "{} connections", recorded.len());

    // Cyrus's own server answers without the tag, and its client waits.
    let other = Cyrus::start(Setup::new("other", &[USER]))?;
    let (with_cyrus, recorded) = run(&other.csync_address())?;
    let answers = said(&recorded.first().ok_or("no connection")?.received);
    assert!(!answers.contains("\r\nC01 "), "{answers}");
    assert!(
        with_ours < with_cyrus,
        "{with_ours:?} with ours, {with_cyrus:?} with Cyrus's"
    );
    Ok(())
}

/// The blocks of the page about a server that root starts, run as they are written but for places and for the user, who is
/// `nobody` here. [CS-SVC-18] [CS-SVC-23]
#[test]
fn alone_and_started_by_root() -> Outcome {
    let root = std::fs::metadata("/proc/self")?.uid() == 0;
    if !root || !programs::usable("service_alone") {
        return Ok(());
    }
    let place = tempfile::tempdir()?;
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755))?;
    let folder = place.path().display().to_string();
    for name in ["etc", "var"] {
        std::fs::create_dir(place.path().join(name))?;
    }
    std::fs::write(place.path().join("etc/password"), format!("{PASSWORD}\n"))?;
    let programs = Programs::find()?;
    let port = Port::reserve()?;
    let here = |text: &str| {
        let replaced = [
            ("/etc/mailtwin", format!("{folder}/etc")),
            ("/var/lib/mailtwin", format!("{folder}/var")),
            ("/run/mailtwin.pid", format!("{folder}/pid")),
            ("192.0.2.10:2005", port.address()),
            ("-o mailtwin", "-o nobody".to_owned()),
            ("mailtwin_user: mailtwin", "mailtwin_user: nobody".to_owned()),
            ("runuser -u mailtwin", "runuser -u nobody".to_owned()),
        ];
        let replace = |text: String, (from, to): &(&str, String)| text.replace(from, to);
        replaced.iter().fold(text.to_owned(), replace)
    };
    let blocks: Vec<String> = PAGE
        .split("```sh alone\n")
        .skip(1)
        .filter_map(|rest| Some(here(rest.split_once("```")?.0)))
        .collect();
    let [start, stop] = blocks.as_slice() else {
        return Err("the page has two blocks about it".into());
    };
    // With a key besides that only root can read.
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    std::fs::write(place.path().join("cert.pem"), key.cert.pem())?;
    let private = place.path().join("private");
    std::fs::create_dir(&private)?;
    std::fs::set_permissions(&private, std::fs::Permissions::from_mode(0o700))?;
    std::fs::write(private.join("key.pem"), key.signing_key.serialize_pem())?;
    let keys = format!("tls_server_cert: {folder}/cert.pem\ntls_server_key: {folder}/private/key.pem\nEOF\n");
    let (before, line) = start.rsplit_once("sync_server ").ok_or("a line that starts it")?;
    let path = format!("{}:{}", programs.folder.display(), std::env::var("PATH")?);
    let bash = |script: &str| {
        let mut command = Command::new("bash");
        command
            .args(["-euc", script])
            .env("PATH", &path)
            .current_dir(place.path());
        command
    };
    let script = before.replacen("\nEOF\n", &format!("\n{keys}"), 1);
    process::run(&mut bash(&script), PATIENCE)?.success(&script)?;
    let arguments = line.trim().strip_suffix(" &").ok_or("in the background")?;
    let mut server =
        process::Daemon::start(bash(&format!("exec sync_server {arguments}")).stdout(Stdio::null()))?;
    let mut csync = None;
    wait_for("the server", || {
        csync = Csync::tcp(&port.address()).ok();
        csync.is_some() || server.ended().is_some()
    });
    let mut csync = csync.ok_or("the server has ended")?;
    assert!(
        csync.banner.iter().any(|line| line == "* STARTTLS"),
        "{:?}",
        csync.banner
    );
    csync.login(ADMIN, PASSWORD)?;
    assert!(csync.ask(b"GET USER nobody")?.is_ok());
    let nobody = std::fs::metadata(place.path().join("var/alone"))?.uid();
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id()))?;
    let all = format!("Uid:\t{nobody}\t{nobody}\t{nobody}\t{nobody}\n");
    assert!(status.contains(&all), "{status}");
    assert_ne!(nobody, 0);
    process::run(&mut bash(stop), PATIENCE)?.success(stop)?;
    wait_for("its end", || server.ended().is_some());
    assert_eq!(server.ended().and_then(|status| status.code()), Some(0));
    Ok(())
}
