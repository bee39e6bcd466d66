//! Rolling replication under faults: mail keeps arriving while servers are stopped and killed, clients are killed, and
//! the links between them fail.
//!
//! What must hold, without any hand on it: everything catches up, nothing is lost, all servers are equal at the end.

mod crash;
mod lag;
mod node;
mod operator;
mod poison;
mod report;
mod settle;
mod stage;
mod traffic;

pub use crash::{Plan as CrashPlan, Report as CrashReport, run as crash};
pub use lag::{Lags, Ledger, Phase, Watch};
pub use node::{Node, Roller, Side, kill_stock_client, twin_channels};
pub use operator::{Operator, Promised};
pub use poison::{Plan as PoisonPlan, Report as PoisonReport, run as poison};
pub use report::{Report, Row};
pub use settle::{equal, sketch, wait};
pub use traffic::{Plan as TrafficPlan, Traffic, mailboxes, prepare};

use crate::rng::Rng;
use crate::{Error, Result};
use stage::Stage;
use std::time::Duration;

/// The users of a rolling run.
pub const USERS: [&str; 5] = ["ada", "ben", "cleo", "dan.dots", "eve"];

/// Which servers there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Cyrus rolls on two channels to a server of ours each.
    Two,
    /// Cyrus rolls to a server of ours, from whose store our client rolls to another of ours and to a real Cyrus.
    Chain,
    /// Two servers of ours roll to each other, and one of them to a third; a Cyrus feeds the first, and operators change
    /// both stores, some of it the same user's.
    Mesh,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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

    /// What happened, for people.
    pub fn name(self) -> &'static str {
        match self {
            Fault::Stop => "server stopped",
            Fault::Kill => "server killed",
            Fault::Cut => "link cut",
            Fault::Stall => "link stalled",
            Fault::HalfClose => "link half-closed",
            Fault::KillClient => "client killed",
        }
    }
}

/// A run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The servers.
    pub shape: Shape,
    /// How long mail arrives; every fault of `faults` happens at least once at each hop, however short this is.
    pub time: Duration,
    /// How long a fault lasts, and how long the calm after it.
    pub fault: Duration,
    /// The faults to choose from; none of them is a calm run.
    pub faults: Vec<Fault>,
    /// Operations a second of each of the two sides of the traffic.
    pub rate: u32,
    /// Decides the mail and the order of the faults.
    pub seed: u64,
}

/// Carries out a plan. The error begins with the seed.
pub fn run(plan: &Plan) -> Result<Report> {
    let tell = |error: Error| Error::Process(format!("rolling run with seed {}: {error}", plan.seed));
    carry_out(plan).map_err(tell)
}

fn carry_out(plan: &Plan) -> Result<Report> {
    let mut rng = Rng::new(plan.seed);
    let mut stage = Stage::build(plan.shape)?;
    let ledger = stage.prepare()?;
    let watches = stage.watch(&ledger);
    let traffic = stage.begin_traffic(&ledger, plan.rate, &mut rng)?;
    let faults = stage.suffer(plan, &ledger, &mut rng)?;
    let changes = traffic.end()?;
    let facts = stage.settle(&ledger)?;
    drop(watches);
    let report = Report {
        rows: stage.rows(&ledger),
        deliveries: ledger.count(),
        changes,
        faults,
        facts,
        kept: stage.kept(),
        seed: plan.seed,
    };
    stage.end()?;
    Ok(report)
}
