//! What does harm to a channel in one log with what does not: an entry that always fails, a locked user, a huge message.
//! The others' lag is measured with and without them, in one run.

use super::lag::{Lags, Ledger, Watch};
use super::node::{Node, Roller, twin_channels};
use super::settle::{equal, wait};
use super::traffic::inbox;
use crate::link::Link;
use crate::process;
use crate::programs::{self, Twin};
use crate::{Error, Result};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const CHANNEL: &str = "far";
/// Those whose lag is measured.
const OTHERS: [&str; 8] = ["ann", "bea", "cid", "dot", "eli", "fay", "gus", "hal"];
const POISON: &str = "poison";
const LOCKED: &str = "locked";
const HUGE: &str = "huge";
/// Bytes of a line of the huge message, line end included.
const LINE: usize = 1024;
const SETTLE_LIMIT: Duration = Duration::from_secs(300);
const COMMAND_LIMIT: Duration = Duration::from_secs(600);

/// A run.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How long each half takes, at least; the second takes as long as the huge message.
    pub time: Duration,
    /// Bytes of the huge message, about.
    pub huge: u64,
    /// Messages a second to the others, together.
    pub rate: u32,
    /// `mailtwin_workers` of the channel.
    pub workers: u32,
    /// The others' 95 % lag with the harm may be at most so many times that without...
    pub factor: u32,
    /// ... and so much more.
    pub slack: Duration,
}

/// What a run found.
#[derive(Debug)]
pub struct Report {
    /// The others' lags without harm.
    pub without: Lags,
    /// The others' lags with all three.
    pub with: Lags,
    /// Of those, the ones delivered while the huge message was under way.
    pub during_huge: Lags,
    /// From the log's line to the replica, of the huge message.
    pub huge_took: Duration,
    /// Messages of the others that had arrived when the locked user was still locked.
    pub arrived_while_locked: usize,
    /// From the unlocking until the locked user's mail was there.
    pub unlocked_lag: Duration,
    /// Failed tries of the poison entry until it came into quarantine or the run ended.
    pub poison_tries: usize,
    /// Whether it is in quarantine.
    pub quarantined: bool,
    /// The highest 95 % lag allowed.
    pub bound: Duration,
    /// Facts equal at the end.
    pub facts: usize,
}

impl Report {
    /// Whether the others' 95 % lag stayed within the bound.
    pub fn within(&self) -> bool {
        self.with.percentile(95) <= self.bound && self.during_huge.percentile(95) <= self.bound
    }

    /// For people.
    pub fn table(&self) -> String {
        format!(
            "{:<50}{}\n{:<50}{}\n{:<50}{}\n{:<50}{}\nbound on the 95 % lag: {:.3} s, {}\nthe huge message took {:.1} s; \
             {} messages of others had arrived while the user was still locked, whose mail came {:.3} s after unlocking; \
             the poison failed {} times, and {} in quarantine; {} facts equal at the end",
            "lag of the others' messages",
            Lags::heading(),
            "without",
            self.without.columns(),
            "with poison, a locked user and a huge message",
            self.with.columns(),
            "of those, while the huge message was under way",
            self.during_huge.columns(),
            self.bound.as_secs_f64(),
            if self.within() { "kept" } else { "EXCEEDED" },
            self.huge_took.as_secs_f64(),
            self.arrived_while_locked,
            self.unlocked_lag.as_secs_f64(),
            self.poison_tries,
            if self.quarantined { "is" } else { "is not yet" },
            self.facts
        )
    }

    /// For programs.
    pub fn json(&self) -> Value {
        json!({
            "without": self.without.json(),
            "with": self.with.json(),
            "during_huge": self.during_huge.json(),
            "bound_p95_s": self.bound.as_secs_f64(),
            "within": self.within(),
            "huge_s": self.huge_took.as_secs_f64(),
            "arrived_while_locked": self.arrived_while_locked,
            "unlocked_lag_s": self.unlocked_lag.as_secs_f64(),
            "poison_tries": self.poison_tries,
            "quarantined": self.quarantined,
            "facts_equal": self.facts,
        })
    }
}

struct Stage {
    master: Twin,
    far: Node,
    roller: Roller,
    _link: Link,
}

/// Carries out a plan.
pub fn run(plan: Plan) -> Result<Report> {
    let mut stage = build(plan)?;
    let all: Vec<String> = OTHERS.iter().chain(&[HUGE]).map(|user| inbox(user)).collect();
    let ledger = Ledger::new(all, 1);
    let watch = Watch::start(&ledger, 0, &stage.far.address());
    let others = Senders::start(&stage.master, &ledger, plan.rate);

    let others_lags = |since, until| ledger.lags_between(0, since, until, |mailbox| mailbox != inbox(HUGE));

    let begun = Instant::now();
    thread::sleep(plan.time);
    // What is delivered in between belongs to neither half.
    let calm_until = Instant::now();
    let lock = lock(&stage.far_store())?;
    let huge = stage.huge_message(plan.huge)?;
    stage.harm(&huge)?;
    let harm_since = Instant::now();
    ledger.delivered(&inbox(HUGE), 1, None);
    let huge_until = stage.while_harmed(plan, &ledger, harm_since)?;
    let harm_until = Instant::now();
    let arrived_while_locked = others_lags(harm_since, harm_until).count();
    drop(lock);
    let unlocked = Instant::now();
    others.end()?;
    let master = super::Side::Twin(&stage.master);
    let tell = |error: Error| Error::Process(format!("{error}\n{}", stage.roller.log()));
    wait("the locked user", master, &stage.far, &[LOCKED], SETTLE_LIMIT).map_err(tell)?;
    let unlocked_lag = unlocked.elapsed();
    wait("the others", master, &stage.far, &OTHERS, SETTLE_LIMIT).map_err(tell)?;
    let end = Instant::now() + Duration::from_secs(20);
    while ledger.missing(0) > 0 && Instant::now() < end {
        thread::sleep(Duration::from_millis(20));
    }
    drop(watch);
    let healthy: Vec<&str> = OTHERS.into_iter().chain([LOCKED, HUGE]).collect();
    let facts = equal("the far server", master, stage.far.side(), &healthy)?;
    let without = others_lags(begun, calm_until);
    let report = Report {
        bound: without.percentile(95) * plan.factor + plan.slack,
        without,
        with: others_lags(harm_since, harm_until),
        during_huge: others_lags(harm_since, huge_until),
        huge_took: huge_until.duration_since(harm_since),
        arrived_while_locked,
        unlocked_lag,
        poison_tries: stage.roller.log().matches("not replicated").count(),
        quarantined: stage.in_quarantine()?,
        facts,
    };
    stage.end()?;
    Ok(report)
}

fn build(plan: Plan) -> Result<Stage> {
    let mut far = Twin::tcp("far", &[])?;
    far.start()?;
    let link = Link::start(&far.address())?;
    let mut lines = twin_channels(&[(CHANNEL, link.address())], false);
    lines.extend([
        // The far server has no such partition: it refuses what is to lie there.
        "partition-elsewhere: /nowhere".to_owned(),
        format!("mailtwin_workers: {}", plan.workers),
        "mailtwin_retry_wait: 1".to_owned(),
        "mailtwin_retry_maxwait: 2".to_owned(),
        "mailtwin_quarantine_after: 4".to_owned(),
        "mailtwin_quarantine_wait: 0".to_owned(),
    ]);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let mut master = Twin::tcp("master", &lines)?;
    // Its server serves nobody here but those who compare.
    master.start()?;
    let create = |arguments: &[&str]| master.mailtwin(arguments)?.success("mailtwin create").map(drop);
    for user in OTHERS.iter().chain(&[LOCKED, HUGE]) {
        create(&["create", &format!("user/{user}")])?;
    }
    let roller = Roller::start(&master, CHANNEL, &[])?;
    let far = Node::Twin(Box::new(far));
    let users: Vec<&str> = OTHERS.into_iter().chain([LOCKED, HUGE]).collect();
    wait(
        "the far server",
        super::Side::Twin(&master),
        &far,
        &users,
        SETTLE_LIMIT,
    )?;
    Ok(Stage {
        master,
        far,
        roller,
        _link: link,
    })
}

/// Holds the locked user's database, as a program that writes to it for a long time.
fn lock(store: &Path) -> Result<Connection> {
    let path = store.join("users").join(format!("{LOCKED}.db"));
    let tell = |error: rusqlite::Error| Error::Process(format!("locking {}: {error}", path.display()));
    let connection = Connection::open(&path).map_err(tell)?;
    connection
        .busy_timeout(Duration::from_secs(20))
        .and_then(|()| connection.execute_batch("BEGIN IMMEDIATE"))
        .map_err(tell)?;
    Ok(connection)
}

impl Stage {
    fn far_store(&self) -> PathBuf {
        match &self.far {
            Node::Twin(twin) => twin.directory().join("conf/mailtwin"),
            Node::Cyrus(cyrus) => cyrus.directory().to_path_buf(),
        }
    }

    fn mailtwin(&self, arguments: &[&str]) -> Result<process::Output> {
        let mut command = self.master.command("mailtwin")?;
        process::run(command.args(arguments), COMMAND_LIMIT)
    }

    fn append(&self, user: &str, file: &Path) -> Result<()> {
        let (mailbox, path) = (format!("user/{user}"), file.display().to_string());
        let done = self.mailtwin(&["append", &mailbox, &path])?;
        done.success("mailtwin append").map(drop)
    }

    fn huge_message(&self, bytes: u64) -> Result<PathBuf> {
        let path = self.master.directory().join("huge.eml");
        let file = std::fs::File::create(&path).map_err(Error::io("creating the huge message"))?;
        let mut file = BufWriter::new(file);
        let write = |file: &mut BufWriter<std::fs::File>| {
            file.write_all(b"Subject: huge\r\n\r\n")?;
            let mut line = vec![b'x'; LINE - 2];
            line.extend_from_slice(b"\r\n");
            for number in 0..bytes / LINE as u64 {
                // Nothing that compresses to nothing.
                for (at, byte) in line[..8].iter_mut().enumerate() {
                    *byte = b'a' + ((number >> (4 * at)) & 15) as u8;
                }
                file.write_all(&line)?;
            }
            file.flush()
        };
        write(&mut file).map_err(Error::io("writing the huge message"))?;
        Ok(path)
    }

    /// Puts all three into the log; the huge message comes last.
    fn harm(&self, huge: &Path) -> Result<()> {
        let small = self.master.directory().join("small.eml");
        std::fs::write(&small, "Subject: small\r\n\r\nx\r\n").map_err(Error::io("writing a message"))?;
        let made = self.mailtwin(&["create", &format!("user/{POISON}"), "--partition", "elsewhere"])?;
        made.success("mailtwin create")?;
        self.append(LOCKED, &small)?;
        self.append(HUGE, huge)
    }

    /// Goes on until the time is over and the huge message is there; the poison and the locked user are logged again and
    /// again. Answers when the huge message showed.
    fn while_harmed(&self, plan: Plan, ledger: &Ledger, since: Instant) -> Result<Instant> {
        let small = self.master.directory().join("small.eml");
        let mut huge_until = None;
        loop {
            let now = Instant::now();
            if huge_until.is_none() && ledger.missing_of(0, |mailbox| mailbox == inbox(HUGE)) == 0 {
                huge_until = Some(now);
            }
            match huge_until {
                Some(until) if now >= since + plan.time => return Ok(until),
                None if now >= since + SETTLE_LIMIT + plan.time => {
                    let text = format!("the huge message does not arrive\n{}", self.roller.log());
                    return Err(Error::Process(text));
                }
                _ => {}
            }
            self.append(POISON, &small)?;
            self.append(LOCKED, &small)?;
            thread::sleep(Duration::from_millis(300));
        }
    }

    fn in_quarantine(&self) -> Result<bool> {
        let listed = self.mailtwin(&["quarantine", "list"])?;
        Ok(String::from_utf8_lossy(&listed.stdout).contains(POISON))
    }

    fn end(&mut self) -> Result<()> {
        self.roller.stop()?;
        self.master.stop()?;
        self.far.stop()?;
        self.far.verify()
    }
}

/// Threads that append messages for the others.
struct Senders {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<()>>>,
}

impl Senders {
    fn start(master: &Twin, ledger: &Ledger, rate: u32) -> Senders {
        let stop = Arc::new(AtomicBool::new(false));
        let pause = Duration::from_secs(2) / rate.max(1);
        let halves = OTHERS.chunks(OTHERS.len() / 2);
        let threads = halves.enumerate().map(|(number, users)| {
            let (stop, ledger) = (Arc::clone(&stop), ledger.clone());
            let conf = master.configuration();
            let file = master.directory().join(format!("sender-{number}.eml"));
            thread::spawn(move || send(&stop, &ledger, users, &conf, &file, pause))
        });
        Senders {
            threads: threads.collect(),
            stop,
        }
    }

    fn end(self) -> Result<()> {
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads {
            let joined = thread.join();
            joined.map_err(|_| Error::Process("a sender's thread panicked".into()))??;
        }
        Ok(())
    }
}

fn send(
    stop: &AtomicBool,
    ledger: &Ledger,
    users: &[&str],
    conf: &Path,
    file: &Path,
    pause: Duration,
) -> Result<()> {
    for number in 0u64.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let user = users[number as usize % users.len()];
        let text = format!("Subject: {number}\r\n\r\n{}\r\n", "text ".repeat(300));
        std::fs::write(file, text).map_err(Error::io("writing a message"))?;
        let mut command = Command::new(programs::folder()?.join("mailtwin"));
        command.arg("-C").arg(conf).env_remove("RUST_LOG");
        command.args(["append", &format!("user/{user}")]).arg(file);
        let output = process::run(&mut command, COMMAND_LIMIT)?.success("mailtwin append")?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let uid = said.trim().parse();
        let uid = uid.map_err(|_| Error::Unreadable(format!("mailtwin append said {said:?}")))?;
        ledger.delivered(&inbox(user), uid, None);
        thread::sleep(pause);
    }
    Ok(())
}
