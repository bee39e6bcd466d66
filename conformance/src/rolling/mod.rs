//! Rolling replication under faults: mail keeps arriving at a real Cyrus while the servers behind it are stopped and
//! killed, their clients are killed, and the links between them fail.
//!
//! What must hold, without any hand on it: everything catches up, nothing is lost, all servers are equal at the end.

mod lag;
mod node;
mod settle;
mod traffic;

pub use lag::{Lags, Ledger, Watch};
pub use node::{Node, Roller, kill_stock_client, twin_channels};
pub use settle::{equal, sketch, wait};
pub use traffic::{Plan as TrafficPlan, Traffic, mailboxes, prepare};

use crate::cyrus::{Cyrus, Setup};
use crate::link::Link;
use crate::programs::Twin;
use crate::rng::Rng;
use crate::{Error, Result};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// The users of a rolling run.
pub const USERS: [&str; 5] = ["ada", "ben", "cleo", "dan.dots", "eve"];
/// How long everything may take to catch up when the faults are over. Not a promise, only the end of patience.
const SETTLE_LIMIT: Duration = Duration::from_secs(90);

/// Which servers there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Cyrus rolls on two channels to a server of ours each.
    Two,
    /// Cyrus rolls to a server of ours, from whose store our client rolls to another of ours and to a real Cyrus.
    Chain,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SIGTERM to the server; it is started again later.
    Stop,
    /// SIGKILL to the server; it is started again later.
    Kill,
    /// The link is cut: connections are closed, new ones as well.
    Cut,
    /// The link carries nothing and closes nothing.
    Stall,
    /// The way to the server ends, the way back does not.
    HalfClose,
    /// SIGKILL to the client; it is started again.
    KillClient,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 6] = [
        Fault::Stop,
        Fault::Kill,
        Fault::Cut,
        Fault::Stall,
        Fault::HalfClose,
        Fault::KillClient,
    ];

    fn name(self) -> &'static str {
        match self {
            Fault::Stop => "stopped",
            Fault::Kill => "killed",
            Fault::Cut => "cut",
            Fault::Stall => "stalled",
            Fault::HalfClose => "half-closed",
            Fault::KillClient => "client killed",
        }
    }
}

/// A run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The servers.
    pub shape: Shape,
    /// How long mail arrives; every fault of `faults` happens at least once at each server, however short this is.
    pub time: Duration,
    /// How long a fault lasts, and how long the calm after it.
    pub fault: Duration,
    /// The faults to choose from.
    pub faults: Vec<Fault>,
    /// Operations a second of each of the two sides of the traffic.
    pub rate: u32,
    /// Decides the mail and the order of the faults.
    pub seed: u64,
}

/// What a run found.
#[derive(Debug)]
pub struct Report {
    /// Lags per server and kind of fault, as a table.
    pub table: String,
    /// Messages whose arrival was watched.
    pub deliveries: usize,
    /// Operations on the master, deliveries among them.
    pub changes: u64,
    /// Faults that happened.
    pub faults: u32,
    /// Facts that are equal at the end, over all servers.
    pub facts: usize,
}

/// A server with the way that leads to it.
struct Hop {
    name: &'static str,
    channel: &'static str,
    link: Link,
    node: Node,
    /// `None`: the stock client of the master, which cyrmaster looks after.
    roller: Option<Roller>,
    /// The server before it; `None`: the master.
    behind: Option<usize>,
}

struct Stage {
    master: Cyrus,
    hops: Vec<Hop>,
}

/// Carries out a plan. The error begins with the seed.
pub fn run(plan: &Plan) -> Result<Report> {
    let tell = |error: Error| Error::Process(format!("rolling run with seed {}: {error}", plan.seed));
    carry_out(plan).map_err(tell)
}

fn carry_out(plan: &Plan) -> Result<Report> {
    let mut rng = Rng::new(plan.seed);
    let mut stage = match plan.shape {
        Shape::Two => two()?,
        Shape::Chain => chain()?,
    };
    prepare(&stage.master, &USERS)?;
    let ledger = Ledger::new(mailboxes(&USERS), stage.hops.len());
    let watches: Vec<Watch> = (0..stage.hops.len())
        .map(|index| Watch::start(&ledger, index, &stage.hops[index].node.address()))
        .collect();
    let traffic = Traffic::start(
        &stage.master,
        &USERS,
        &ledger,
        TrafficPlan {
            rate: plan.rate,
            seed: rng.next_u64(),
        },
    );
    let faults = stage.suffer(plan, &ledger, &mut rng)?;
    let changes = traffic.end()?;
    let facts = stage.settle(&ledger)?;
    drop(watches);
    let report = Report {
        table: stage.table(&ledger),
        deliveries: ledger.count(),
        changes,
        faults,
        facts,
    };
    stage.end()?;
    Ok(report)
}

fn setup(name: &str) -> Setup {
    let mut setup = Setup::new(name, &USERS);
    setup.in_memory = true;
    setup
}

fn master(channels: &[(&str, &str)]) -> Result<Cyrus> {
    let mut setup = setup("master").rolling(channels);
    setup.lmtp = true;
    Cyrus::start(setup)
}

fn two() -> Result<Stage> {
    let mut hops = Vec::new();
    for (name, channel) in [("first mailtwin", "first"), ("second mailtwin", "second")] {
        let mut twin = Twin::tcp(channel, &[])?;
        twin.start()?;
        hops.push(Hop {
            name,
            channel,
            link: Link::start(&twin.address())?,
            node: Node::Twin(Box::new(twin)),
            roller: None,
            behind: None,
        });
    }
    let channels: Vec<(&str, &str)> = hops.iter().map(|hop| (hop.channel, hop.link.address())).collect();
    let master = master(&channels)?;
    Ok(Stage { master, hops })
}

fn chain() -> Result<Stage> {
    let mut last = Twin::tcp("last", &[])?;
    last.start()?;
    let cyrus = Cyrus::start(setup("replica"))?;
    let to_last = Link::start(&last.address())?;
    let to_cyrus = Link::start(&cyrus.csync_address())?;
    let onward = [("twin", to_last.address()), ("cyrus", to_cyrus.address())];
    let lines = twin_channels(&onward, true);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let mut middle = Twin::tcp("middle", &lines)?;
    middle.start()?;
    let to_middle = Link::start(&middle.address())?;
    let master = master(&[("middle", to_middle.address())])?;
    let rollers = [
        Roller::start(&middle, "twin", &[])?,
        Roller::start(&middle, "cyrus", &[])?,
    ];
    let [to_twin, onto_cyrus] = rollers;
    let hop = |name, channel, link, node, roller, behind| Hop {
        name,
        channel,
        link,
        node,
        roller,
        behind,
    };
    let hops = vec![
        hop(
            "mailtwin in the middle",
            "middle",
            to_middle,
            Node::Twin(Box::new(middle)),
            None,
            None,
        ),
        hop(
            "mailtwin at the end",
            "twin",
            to_last,
            Node::Twin(Box::new(last)),
            Some(to_twin),
            Some(0),
        ),
        hop(
            "Cyrus at the end",
            "cyrus",
            to_cyrus,
            Node::Cyrus(Box::new(cyrus)),
            Some(onto_cyrus),
            Some(0),
        ),
    ];
    Ok(Stage { master, hops })
}

impl Stage {
    /// Faults and calm in turn until the time is over and each fault has happened at each server.
    fn suffer(&mut self, plan: &Plan, ledger: &Ledger, rng: &mut Rng) -> Result<u32> {
        let end = Instant::now() + plan.time;
        let mut count = 0;
        std::thread::sleep(plan.fault);
        loop {
            let mut left: Vec<(usize, Fault)> = (0..self.hops.len())
                .flat_map(|hop| plan.faults.iter().map(move |&fault| (hop, fault)))
                .collect();
            let first_round = count == 0;
            while !left.is_empty() && (first_round || Instant::now() < end) {
                let (hop, fault) = left.swap_remove(rng.below(left.len()));
                ledger.phase(&format!("{} {}", self.hops[hop].name, fault.name()));
                self.inflict(hop, fault, plan.fault)?;
                // What was delivered now may still wait for the way to come back.
                ledger.phase("calm after a fault");
                std::thread::sleep(plan.fault);
                ledger.phase("calm");
                self.check_rollers()?;
                count += 1;
            }
            if Instant::now() >= end {
                return Ok(count);
            }
        }
    }

    fn inflict(&mut self, at: usize, fault: Fault, time: Duration) -> Result<()> {
        let hop = &mut self.hops[at];
        match fault {
            Fault::Stop => hop.node.stop()?,
            Fault::Kill => hop.node.kill()?,
            Fault::Cut => hop.link.cut(),
            Fault::Stall => hop.link.stall(),
            Fault::HalfClose => hop.link.half_close(),
            Fault::KillClient => match &mut hop.roller {
                Some(roller) => roller.kill()?,
                None => drop(kill_stock_client(&self.master, hop.channel)),
            },
        }
        std::thread::sleep(time);
        let hop = &mut self.hops[at];
        match fault {
            Fault::Stop | Fault::Kill => hop.node.start(),
            Fault::Cut | Fault::Stall => {
                hop.link.restore();
                Ok(())
            }
            Fault::HalfClose => Ok(()),
            Fault::KillClient => self.start_roller(at),
        }
    }

    fn start_roller(&mut self, at: usize) -> Result<()> {
        let Some(mut roller) = self.hops[at].roller.take() else {
            return Ok(());
        };
        let behind = self.hops[at].behind.map(|behind| &self.hops[behind].node);
        if let Some(Node::Twin(twin)) = behind {
            roller.again(twin, &[])?;
        }
        self.hops[at].roller = Some(roller);
        Ok(())
    }

    /// Our rolling client never ends by itself, whatever happens to its peer.
    fn check_rollers(&mut self) -> Result<()> {
        for hop in &mut self.hops {
            let Some(roller) = &mut hop.roller else { continue };
            if let Some(status) = roller.ended() {
                let text = format!("sync_client -R to {} ended: {status}\n{}", hop.name, roller.log());
                return Err(Error::Process(text));
            }
        }
        Ok(())
    }

    fn settle(&mut self, ledger: &Ledger) -> Result<usize> {
        let mut facts = 0;
        for hop in &self.hops {
            let said = || hop.roller.as_ref().map(Roller::log).unwrap_or_default();
            let told = |error: Error| Error::Process(format!("{error}\nits client said:\n{}", said()));
            wait(hop.name, &self.master, &hop.node, &USERS, SETTLE_LIMIT).map_err(told)?;
        }
        self.check_rollers()?;
        // The watches have a last look before they end.
        let end = Instant::now() + Duration::from_secs(20);
        for (index, hop) in self.hops.iter().enumerate() {
            while ledger.missing(index) > 0 {
                if Instant::now() > end {
                    let text = format!("{} messages never showed on {}", ledger.missing(index), hop.name);
                    return Err(Error::Process(text));
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            facts += equal(hop.name, &self.master, &hop.node, &USERS)?;
        }
        Ok(facts)
    }

    fn table(&self, ledger: &Ledger) -> String {
        let mut text = format!("{:<58}{}\n", "lag", Lags::heading());
        for (index, hop) in self.hops.iter().enumerate() {
            let _ = writeln!(text, "{}", hop.name);
            for (phase, lags) in ledger.lags(index, None) {
                let _ = writeln!(text, "  {phase:<56}{}", lags.columns());
            }
            if let Some(behind) = hop.behind {
                let _ = writeln!(text, "{} since {}", hop.name, self.hops[behind].name);
                for (phase, lags) in ledger.lags(index, Some(behind)) {
                    let _ = writeln!(text, "  {phase:<56}{}", lags.columns());
                }
            }
        }
        text
    }

    /// An orderly end of everything, and a last look at the stores.
    fn end(mut self) -> Result<()> {
        self.master.stop()?;
        for hop in &mut self.hops {
            if let Some(roller) = &mut hop.roller {
                roller.stop()?;
            }
        }
        for hop in &mut self.hops {
            hop.node.stop()?;
            hop.node.verify()?;
        }
        Ok(())
    }
}
