//! Our `sync_server` as a service of Cyrus's process master: `syncserver cmd="..." listen="..."` in cyrus.conf.

use conformance::csync::Csync;
use conformance::cyrus::{self, ADMIN, Cyrus, PASSWORD, Setup};
use conformance::ports::Port;
use conformance::process;
use conformance::programs::{self, Twin};
use conformance::proxy::Proxy;
use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Longer than anything here takes, on a machine that does a lot else.
const PATIENCE: Duration = Duration::from_secs(90);
const USER: &str = "anna";
const MESSAGE: &[u8] = b"From: a@example.org\r\nSubject: hello\r\n\r\nHello.\r\n";

/// A Cyrus one of whose services is our server.
struct Served {
    cyrus: Cyrus,
    port: Port,
    program: String,
}

impl Served {
    /// `None` where Cyrus or our programs are not there.
    fn start(test: &str) -> Result<Option<Served>, Box<dyn std::error::Error>> {
        if !cyrus::usable(test) || !programs::usable(test) {
            return Ok(None);
        }
        let program = programs::folder()?.join("sync_server").display().to_string();
        let port = Port::reserve()?;
        let setup = Setup::new("mail", &[USER]).service("syncserver", &program, &port.address());
        let cyrus = Cyrus::start(setup)?;
        let served = Served { cyrus, port, program };
        served.set_password()?;
        Ok(Some(served))
    }

    /// As the administrator does it, under the user cyrus.
    fn set_password(&self) -> Outcome {
        let mailtwin = programs::folder()?.join("mailtwin").display().to_string();
        let mut child = self
            .cyrus
            .command(&mailtwin)
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

/// [CS-SVC-2] [CS-SVC-3] [CS-SVC-8] [CS-SVC-9]
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
