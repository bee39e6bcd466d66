//! `sync_server` killed at random moments of a running replication, restarted each time.
//!
//! What must hold: nothing that was answered OK is missing after any restart; left to finish, the
//! replica equals the master; `mailtwin verify` finds nothing.

mod promises;
mod replica;

pub use promises::Promises;

use crate::compare::{self, Facts, Scope};
use crate::cyrus::{ADMIN, Cyrus};
use crate::error::readable;
use crate::population::{self, USERS};
use crate::programs::Twin;
use crate::proxy::Proxy;
use crate::rng::Rng;
use crate::{Error, Result};
use replica::Replica;
use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest that one interrupted run may take before it is ended.
const RUN_LIMIT: Duration = Duration::from_secs(60);
/// How long a client may go on after its server was killed. The stock client would wait 15 s and more
/// before it tries to connect again.
const GRIEF_LIMIT: Duration = Duration::from_millis(1500);
/// About what one round's changes put on the wire, in bytes.
const ROUND_BYTES: u64 = 300_000;
/// About what the whole population puts on the wire, in bytes.
const FILL_BYTES: u64 = 1_800_000;

/// Whose `sync_client` replicates into the server that is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// The one of Cyrus, from a Cyrus.
    Stock,
    /// Ours, from a store that Cyrus filled.
    Own,
}

/// Which server is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// The one of Cyrus: shows that the judge is fair.
    Stock,
    /// Our `sync_server`.
    Own,
}

/// A run of kills.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How many runs are to be interrupted. At most four times as many are started, because some are done before
    /// their moment comes.
    pub kills: u32,
    /// Decides moments and changes.
    pub seed: u64,
    /// Who replicates.
    pub client: Client,
    /// Who is killed.
    pub server: Server,
}

/// What happened.
#[derive(Debug, Default, Clone)]
pub struct Report {
    /// Kills while a client was connected and busy.
    pub kills: u32,
    /// Runs that were over before the chosen moment.
    pub finished_early: u32,
    /// Commands that were answered OK.
    pub acknowledged: u64,
    /// Checks of acknowledged records after restarts.
    pub checked: u64,
    /// Facts that were equal at the end.
    pub facts: usize,
}

/// Everything that takes part.
struct Stage {
    cyrus: Cyrus,
    /// The master of our own client.
    middle: Option<Twin>,
    replica: Replica,
    proxy: Proxy,
    promises: Promises,
    report: Report,
}

/// Carries out a plan. An error says which promise was broken, or what else went wrong; it begins with
/// the seed.
pub fn run(plan: Plan) -> Result<Report> {
    let tell = |error: Error| Error::Process(format!("kill run with seed {}: {error}", plan.seed));
    carry_out(plan).map_err(tell)
}

fn carry_out(plan: Plan) -> Result<Report> {
    let mut rng = Rng::new(plan.seed);
    let cyrus = Cyrus::start(population::setup("master"))?;
    population::fill(&cyrus)?;
    let middle = match plan.client {
        Client::Stock => None,
        Client::Own => Some(Twin::tcp("middle", &[])?),
    };
    let replica = Replica::start(plan.server)?;
    let proxy = Proxy::start(&replica.address())?;
    let (promises, report) = (Promises::default(), Report::default());
    let mut stage = Stage {
        cyrus,
        middle,
        replica,
        proxy,
        promises,
        report,
    };
    let mut left = FILL_BYTES;
    let mut round = 0;
    while stage.report.kills < plan.kills && round < plan.kills.saturating_mul(4) {
        if round > 0 {
            change(&stage.cyrus, round, &mut rng)?;
        }
        stage.feed_middle()?;
        let moment = rng.below(usize::try_from(left).unwrap_or(usize::MAX)) as u64;
        // Our client sends far ahead of the answers, so the bytes that passed say little about where the
        // server is; the longer pauses reach its later work. The stock client waits for each answer.
        let longest = if plan.client == Client::Own { 250_000 } else { 3000 };
        let pause = [3000, longest][rng.below(2)];
        let extra = Duration::from_micros(rng.below(pause) as u64);
        let before = stage.proxy.passed();
        let killed = stage.interrupted_run(moment, extra)?;
        let passed = stage.proxy.passed() - before;
        left = if killed {
            left.saturating_sub(passed).max(20_000)
        } else {
            0
        } + ROUND_BYTES;
        stage.restart(round % 10 == 9)?;
        round += 1;
    }
    stage.finish()
}

impl Stage {
    fn feed_middle(&mut self) -> Result<()> {
        let Some(middle) = &mut self.middle else {
            return Ok(());
        };
        middle.start()?;
        self.cyrus
            .sync_client(&middle.address(), &["-A"])?
            .success("Cyrus into the middle store")?;
        middle.stop()
    }

    fn client(&self) -> Result<Command> {
        match &self.middle {
            None => Ok(self.cyrus.sync_client_command(self.proxy.address(), &["-A"])),
            Some(middle) => middle.sync_client_command(self.proxy.address(), &["-A"]),
        }
    }

    /// Starts the client and kills the server once `moment` bytes have passed and `extra` time after that;
    /// whether it came to that before the client was done.
    fn interrupted_run(&mut self, moment: u64, extra: Duration) -> Result<bool> {
        self.proxy.set_alarm(moment.max(1));
        let mut command = self.client()?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut client = command.spawn().map_err(Error::io("starting the client"))?;
        let end = Instant::now() + RUN_LIMIT;
        let mut kill_at: Option<Instant> = None;
        let killed = loop {
            match kill_at {
                None if self.proxy.wait_alarm(Duration::from_millis(2)) => {
                    kill_at = Some(Instant::now() + extra)
                }
                None => {}
                Some(moment) if Instant::now() >= moment => {
                    self.replica.kill()?;
                    break true;
                }
                Some(_) => std::thread::sleep(Duration::from_micros(200)),
            }
            if client
                .try_wait()
                .map_err(Error::io("waiting for the client"))?
                .is_some()
            {
                break false;
            }
            if Instant::now() > end {
                end_client(&mut client, Duration::ZERO);
                return Err(Error::Process("the client neither finishes nor fails".into()));
            }
        };
        end_client(&mut client, GRIEF_LIMIT);
        if killed {
            self.report.kills += 1;
        } else {
            self.report.finished_early += 1;
        }
        self.note_answers();
        Ok(killed)
    }

    fn note_answers(&mut self) {
        for recording in self.proxy.take() {
            for exchange in recording.exchanges() {
                if exchange
                    .answer
                    .as_deref()
                    .is_some_and(|answer| answer.starts_with("OK"))
                {
                    self.report.acknowledged += 1;
                }
                self.promises.note(&exchange);
            }
        }
    }

    /// Starts the server again when it was killed, and checks that it kept all promises.
    fn restart(&mut self, verify: bool) -> Result<()> {
        if verify {
            self.replica.kill()?;
            self.replica.verify()?;
        }
        self.replica.restart()?;
        self.report.checked += self.promises.check(&mut self.replica.csync()?)?;
        Ok(())
    }

    fn finish(mut self) -> Result<Report> {
        let mut command = self.client()?;
        let last = crate::process::run(&mut command, RUN_LIMIT * 2)?.success("the last run");
        last.map_err(|error| Error::Process(format!("{error}\n{}", self.replica.log())))?;
        self.note_answers();
        self.report.checked += self.promises.check(&mut self.replica.csync()?)?;
        let scope = Scope::all(&USERS);
        let shared = ["shared", "shared.board", "shared.team", "shared.team.Old stuff"].map(str::to_owned);
        let (mut master, mut replica) = (Facts::new(), Facts::new());
        compare::collect_csync(&mut self.cyrus.csync()?, &scope, &shared, &mut master)?;
        compare::collect_csync(&mut self.replica.csync()?, &scope, &shared, &mut replica)?;
        if self.replica.is_stock() {
            forget_absent_expunged(&mut master, &replica);
        }
        let found = compare::differences(&master, &replica);
        if !found.is_empty() {
            let list: Vec<String> = found.iter().take(40).map(ToString::to_string).collect();
            return Err(Error::Process(format!(
                "{} differences at the end\n{}",
                found.len(),
                list.join("\n")
            )));
        }
        self.report.facts = master.len();
        self.replica.stop_and_verify()?;
        Ok(self.report)
    }
}

/// Drops what is said about expunged records that the replica does not have.
///
/// A Cyrus killed while it appends may be left with a LAST_UID beyond its records. Its master then moves
/// these messages to new UIDs and keeps the old ones as expunged, and a replica ignores expunged records
/// at or below its LAST_UID. Nothing is lost, so the pair counts as equal. Our own server is not excused.
fn forget_absent_expunged(master: &mut Facts, replica: &Facts) {
    let is_expunged = |(place, flags): (&compare::Place, &Vec<u8>)| {
        let hit = place.field == "FLAGS" && flags.windows(9).any(|window| window == b"\\Expunged");
        (hit && !replica.contains_key(place)).then(|| (place.object.clone(), place.uid))
    };
    let absent: BTreeSet<_> = master.iter().filter_map(is_expunged).collect();
    master.retain(|place, _| !absent.contains(&(place.object.clone(), place.uid)));
}

/// Waits for the client a little, then kills it: its server is gone.
fn end_client(client: &mut Child, limit: Duration) {
    let end = Instant::now() + limit;
    while Instant::now() < end {
        if matches!(client.try_wait(), Ok(Some(_))) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = client.kill();
    let _ = client.wait();
}

/// One round of changes: new messages, flags, expunges, now and then a mailbox made, renamed or deleted.
fn change(cyrus: &Cyrus, round: u32, rng: &mut Rng) -> Result<()> {
    let user = ["alice", "bob"][rng.below(2)];
    let mut imap = cyrus.imap(user)?;
    let name = format!("INBOX/round {round}");
    imap.create(&name)?;
    for target in [name.as_str(), "INBOX"] {
        for number in 0..8 {
            let size = 1000 + rng.below(30_000);
            let body = rng.bytes(size, b"abcdefgh ijklmnop\t");
            let message = format!(
                "Subject: round {round} number {number}\r\n\r\n{}\r\n",
                readable(&body, size)
            );
            let flags = ["()", "(\\Seen)", "(\\Flagged round)"][rng.below(3)];
            imap.append(target, flags, population::DATE, message.as_bytes())?;
        }
    }
    imap.select("INBOX")?;
    imap.store(
        "1:4",
        ["+FLAGS.SILENT", "-FLAGS.SILENT"][rng.below(2)],
        "(\\Answered again)",
    )?;
    imap.expunge(&format!("{}", 10 + rng.below(40)))?;
    imap.annotate(
        "1",
        "/comment",
        "value.shared",
        Some(format!("round {round}").as_bytes()),
    )?;
    let earlier = format!("INBOX/round {}", round.saturating_sub(1 + rng.below(4) as u32));
    match rng.below(4) {
        // The earlier mailbox may belong to the other user or be gone; then nothing happens.
        0 => tolerate(imap.rename(&earlier, &format!("{earlier} renamed")))?,
        1 => tolerate(imap.delete(&earlier))?,
        2 => imap.subscribe(&name)?,
        _ => cyrus
            .imap(ADMIN)?
            .set_quota(&format!("user/{user}"), &format!("(STORAGE {})", 900_000 + round))?,
    }
    Ok(())
}

fn tolerate(result: Result<()>) -> Result<()> {
    match result {
        Err(Error::Refused { .. }) => Ok(()),
        other => other,
    }
}
