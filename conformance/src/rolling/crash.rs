//! The rolling client killed at random moments, and with it those who write its log: a server that logs what it takes,
//! and operators' commands. A tool of Cyrus writes into the same log.
//!
//! Each change is a mailbox of its own, named by one line of the log and by no other: a line that is lost leaves a
//! mailbox behind, and nothing that comes later hides it.

use super::node::{Node, Roller, Side, twin_channels};
use super::settle::{equal, wait};
use crate::cyrus::{ADMIN, Cyrus, Setup};
use crate::link::Link;
use crate::process::{self, Output};
use crate::programs::{self, Twin};
use crate::rng::Rng;
use crate::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The users: fed by a Cyrus, changed by commands that log, and changed by commands that do not, so that only the line
/// that Cyrus's tool writes tells of it.
const FED: &str = "ada";
const LOGGED: &str = "wanda";
const QUIET: &str = "quinn";
const CHANNEL: &str = "far";
const SETTLE_LIMIT: Duration = Duration::from_secs(120);
const COMMAND_LIMIT: Duration = Duration::from_secs(60);
/// The tool, run as root: the log belongs to whoever runs our programs.
const CYR_SYNCLOG: &str = "/usr/lib/cyrus/bin/cyr_synclog";

/// A run of kills.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How often the rolling client is killed; the server that writes its log is killed a third as often.
    pub kills: u32,
    /// Decides the moments.
    pub seed: u64,
}

/// What happened.
#[derive(Debug, Default, Clone)]
pub struct Report {
    /// Rolling clients killed.
    pub clients: u32,
    /// Of these, those that had taken entries which were not done.
    pub undone: u32,
    /// Logging servers killed.
    pub servers: u32,
    /// Commands killed while they changed the store.
    pub commands: u64,
    /// Changes: by the Cyrus, by commands that log, and by those for which Cyrus's tool wrote the line.
    pub changes: [u64; 3],
    /// Facts that were equal at the end.
    pub facts: usize,
}

/// Carries out a plan. The error begins with the seed.
pub fn run(plan: Plan) -> Result<Report> {
    let tell = |error: Error| Error::Process(format!("crash run with seed {}: {error}", plan.seed));
    carry_out(plan).map_err(tell)
}

/// Everything that takes part.
struct Stage {
    cyrus: Cyrus,
    middle: Twin,
    way: Link,
    far: Node,
    roller: Roller,
}

fn carry_out(plan: Plan) -> Result<Report> {
    let mut rng = Rng::new(plan.seed);
    let mut stage = build()?;
    let quiet = quiet_configuration(&stage.middle)?;
    let writers = [
        Writer::feed(&stage.cyrus, rng.next_u64())?,
        Writer::command(stage.middle.configuration(), None, LOGGED, rng.next_u64()),
        Writer::command(quiet.ours, Some(quiet.theirs), QUIET, rng.next_u64()),
    ];
    let mut report = Report::default();
    for round in 1..=plan.kills {
        // Half of the time nothing is answered, so that there is much that was taken from the log and is not done.
        let stalled = rng.below(2) == 0;
        if stalled {
            stage.way.stall();
        }
        thread::sleep(Duration::from_millis(20 + rng.below(380) as u64));
        if rng.below(3) == 0 {
            stage.middle.kill()?;
            stage.middle.start()?;
            report.servers += 1;
        }
        // Now and then it has had time to work through everything, now and then it has only just begun.
        if round % 8 == 0 && !stalled {
            thread::sleep(Duration::from_secs(2));
        }
        stage.roller.kill()?;
        report.clients += 1;
        report.undone += u32::from(stage.has_undone());
        stage.way.restore();
        stage.roller.again(&stage.middle, &[])?;
    }
    for (writer, changes) in writers.into_iter().zip(&mut report.changes) {
        let (made, killed) = writer.end()?;
        *changes = made;
        report.commands += killed;
    }
    report.facts = stage.settle()?;
    stage.end()?;
    Ok(report)
}

fn build() -> Result<Stage> {
    let mut far = Twin::tcp("far", &[])?;
    far.start()?;
    let way = Link::start(&far.address())?;
    let lines = twin_channels(&[(CHANNEL, way.address())], true);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let mut middle = Twin::tcp("middle", &lines)?;
    middle.start()?;
    let mut setup = Setup::new("master", &[FED]).rolling(&[("middle", &middle.address())]);
    setup.in_memory = true;
    let cyrus = Cyrus::start(setup)?;
    cyrus.imap(ADMIN)?.create(&format!("user/{FED}"))?;
    for user in [LOGGED, QUIET] {
        let made = middle.mailtwin(&["create", &format!("user/{user}")])?;
        made.success("mailtwin create")?;
    }
    let roller = Roller::start(&middle, CHANNEL, &[])?;
    Ok(Stage {
        cyrus,
        middle,
        way,
        far: Node::Twin(Box::new(far)),
        roller,
    })
}

/// Configurations of those who change the store without a word, and of the tool that then writes the line.
struct Quiet {
    ours: PathBuf,
    theirs: PathBuf,
}

fn quiet_configuration(middle: &Twin) -> Result<Quiet> {
    let text = std::fs::read_to_string(middle.configuration()).map_err(Error::io("reading imapd.conf"))?;
    let write = |name: &str, text: String| {
        let path = middle.directory().join(name);
        std::fs::write(&path, text).map_err(Error::io("writing a configuration"))?;
        Ok::<_, Error>(path)
    };
    let other_lines: String = text
        .lines()
        .filter(|line| !line.starts_with("sync_log:"))
        .map(|line| format!("{line}\n"))
        .collect();
    Ok(Quiet {
        ours: write("quiet.conf", other_lines)?,
        theirs: write(
            "stock.conf",
            format!(
                "configdirectory: {}/conf\npartition-default: {}/spool\ndefaultpartition: default\ncyrus_user: root\n\
                 sync_log: yes\nsync_log_channels: {CHANNEL}\n",
                middle.directory().display(),
                middle.directory().display()
            ),
        )?,
    })
}

impl Stage {
    fn working_file(&self) -> PathBuf {
        let sync = self.middle.directory().join("conf/sync");
        sync.join(CHANNEL).join("log-run")
    }

    fn has_undone(&self) -> bool {
        std::fs::metadata(self.working_file()).is_ok_and(|metadata| metadata.len() > 0)
    }

    fn settle(&mut self) -> Result<usize> {
        let said = |error: Error, roller: &Roller| {
            let log = roller.log();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(60)..].join("\n");
            Error::Process(format!("{error}\nthe client said:\n{last}"))
        };
        let middle = Side::Twin(&self.middle);
        let all = [FED, LOGGED, QUIET];
        let fed = [FED];
        // First what comes from the Cyrus has to be in the middle: only then it is clear what is to arrive.
        let end = std::time::Instant::now() + SETTLE_LIMIT;
        while equal("the middle", Side::Cyrus(&self.cyrus), middle, &fed).is_err()
            && std::time::Instant::now() < end
        {
            thread::sleep(Duration::from_millis(300));
        }
        let mut facts = equal("the middle", Side::Cyrus(&self.cyrus), middle, &fed)?;
        wait("the far server", middle, &self.far, &all, SETTLE_LIMIT)
            .map_err(|error| said(error, &self.roller))?;
        facts += equal("the far server", middle, self.far.side(), &all)?;
        if let Some(status) = self.roller.ended() {
            return Err(said(
                Error::Process(format!("the client ended: {status}")),
                &self.roller,
            ));
        }
        Ok(facts)
    }

    fn end(mut self) -> Result<()> {
        self.cyrus.stop()?;
        self.roller.stop()?;
        let left = std::fs::read(self.working_file()).unwrap_or_default();
        if !left.is_empty() {
            let text = String::from_utf8_lossy(&left).into_owned();
            return Err(Error::Process(format!(
                "still in the working file at the end:\n{text}"
            )));
        }
        self.middle.stop()?;
        self.far.stop()?;
        self.far.verify()
    }
}

/// A thread that makes mailboxes, one after another. Its value when it ends: how many, and how many commands it killed.
struct Writer {
    stop: Arc<AtomicBool>,
    made: Arc<AtomicU64>,
    thread: JoinHandle<Result<u64>>,
}

impl Writer {
    fn start(mut once: impl FnMut(u64) -> Result<bool> + Send + 'static) -> Writer {
        let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (told, count) = (Arc::clone(&stop), Arc::clone(&made));
        let thread = thread::spawn(move || {
            let mut killed = 0;
            while !told.load(Ordering::SeqCst) {
                let number = count.fetch_add(1, Ordering::SeqCst) + 1;
                killed += u64::from(once(number)?);
                thread::sleep(Duration::from_millis(20));
            }
            Ok(killed)
        });
        Writer { stop, made, thread }
    }

    /// By IMAP at the Cyrus; its rolling client carries it to the server that logs for ours.
    fn feed(cyrus: &Cyrus, seed: u64) -> Result<Writer> {
        let mut imap = cyrus.imap(FED)?;
        let mut rng = Rng::new(seed);
        Ok(Writer::start(move |number| {
            let name = format!("INBOX/n{number}");
            imap.create(&name)?;
            if rng.below(3) == 0 {
                let date = crate::population::DATE;
                imap.append(
                    &name,
                    "(\\Seen)",
                    date,
                    format!("Subject: {number}\r\n\r\nx\r\n").as_bytes(),
                )?;
            }
            Ok(false)
        }))
    }

    /// By commands, some of which are killed; `stock` is the configuration of the tool that writes the line instead.
    fn command(conf: PathBuf, stock: Option<PathBuf>, user: &'static str, seed: u64) -> Writer {
        let mut rng = Rng::new(seed);
        Writer::start(move |number| {
            let mut create = Command::new(programs::folder()?.join("mailtwin"));
            create
                .arg("-C")
                .arg(&conf)
                .args(["create", &format!("user/{user}/n{number}")])
                .env_remove("RUST_LOG");
            let Some(stock) = &stock else {
                if rng.below(5) == 0 {
                    return kill_midway(&mut create, Duration::from_micros(rng.below(40_000) as u64));
                }
                process::run(&mut create, COMMAND_LIMIT)?.success("mailtwin create")?;
                return Ok(false);
            };
            process::run(&mut create, COMMAND_LIMIT)?.success("mailtwin create")?;
            stock_line(stock, &format!("user.{user}.n{number}"))?.success("Cyrus's cyr_synclog")?;
            Ok(false)
        })
    }

    fn end(self) -> Result<(u64, u64)> {
        self.stop.store(true, Ordering::SeqCst);
        let joined = self.thread.join();
        let killed = joined.map_err(|_| Error::Process("a writer's thread panicked".into()))??;
        Ok((self.made.load(Ordering::SeqCst), killed))
    }
}

/// Starts a command and kills it a little later; whether it was still at work.
fn kill_midway(command: &mut Command, after: Duration) -> Result<bool> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(Error::io("starting a command"))?;
    thread::sleep(after);
    let ended = child.try_wait().map_err(Error::io("waiting for a command"))?;
    if ended.is_none() {
        let _ = child.kill();
        child.wait().map_err(Error::io("waiting for a command"))?;
    }
    Ok(ended.is_none())
}

fn stock_line(conf: &Path, mailbox: &str) -> Result<Output> {
    let mut command = Command::new(CYR_SYNCLOG);
    process::run(command.arg("-C").arg(conf).args(["-m", mailbox]), COMMAND_LIMIT)
}
