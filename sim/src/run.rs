//! One seed: changes and broken connections, then calm, then equality.

use anyhow::{Context, Result, bail, ensure};
use engine::flow::Now;
use engine::master::{Job, MasterConfig, Progress};
use engine::replica::ReplicaConfig;
use protocol::Text;
use protocol::limits::Limits;
use store::memory::MemoryStore;

use crate::equal::view;
use crate::pair::{CALM, Faults, connect, is_done};
use crate::seeded::Seeded;
use crate::workload;

/// Runs after which the replica has to be equal once faults are off.
const CALM_RUNS_MAX: usize = 3;

/// What a seed did.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Report {
    /// Changes on the master.
    pub changes: u64,
    /// Connections, cut ones included.
    pub connections: u64,
    /// Connections that were cut.
    pub cut: u64,
    /// Mailboxes compared compared in full and repaired.
    pub repaired: u64,
}

/// Runs one seed.
///
/// # Errors
/// A broken rule, told with what was seen.
pub fn run(seed: u64) -> Result<Report> {
    let mut seeded = Seeded::new(seed);
    let (master, replica) = (MemoryStore::new(), MemoryStore::new());
    let user = Text::from("hot");
    let mut now = Now(1_790_000_000);
    let mut report = Report::default();
    // Somebody also changes messages on the replica, which only a full compare can bring together again.
    let split_brain = seeded.one_in(4);
    for _ in 0..1 + seeded.below(6) {
        for _ in 0..1 + seeded.below(12) {
            now.0 += seeded.below(100) as i64;
            workload::change(&mut master.session(), &user, now, &mut seeded)?;
            report.changes += 1;
            if split_brain && seeded.one_in(2) {
                workload::edit(&mut replica.session(), &user, now, &mut seeded)?;
                report.changes += 1;
            }
        }
        let cut_after = seeded.one_in(2).then(|| seeded.below(400));
        let faults = Faults {
            cut_after,
            cut_bytes: seeded.one_in(2),
        };
        let progress = connect(
            (config(&user), Box::new(master.session())),
            (replica_config(), Box::new(replica.session())),
            now,
            faults,
            &mut seeded,
        )?;
        report.repaired += repaired(&progress);
        report.connections += 1;
        report.cut += u64::from(cut_after.is_some());
    }
    converge(
        &master,
        &replica,
        &user,
        now,
        split_brain,
        &mut seeded,
        &mut report,
    )?;
    Ok(report)
}

fn converge(
    master: &MemoryStore,
    replica: &MemoryStore,
    user: &Text,
    now: Now,
    split_brain: bool,
    seeded: &mut Seeded,
    report: &mut Report,
) -> Result<()> {
    let mut once = |seeded: &mut Seeded| {
        report.connections += 1;
        let sides = (Box::new(master.session()), Box::new(replica.session()));
        connect(
            (config(user), sides.0),
            (replica_config(), sides.1),
            now,
            CALM,
            seeded,
        )
    };
    let mut last = once(seeded)?;
    for _ in 1..CALM_RUNS_MAX {
        if is_done(&last) {
            break;
        }
        last = once(seeded)?;
    }
    ensure!(
        is_done(&last),
        "liveness: not equal after {CALM_RUNS_MAX} calm runs: {last:?}"
    );
    let (mut left, mut right) = (
        view(&mut master.session(), user)?,
        view(&mut replica.session(), user)?,
    );
    if split_brain {
        (left, right) = (left.live(), right.live());
    }
    if let Some(difference) = left.difference(&right) {
        bail!("safety: the run said equal, but {difference}");
    }
    let again = once(seeded).context("the run that has nothing to do")?;
    ensure!(
        is_done(&again) && again.records_sent == 0 && again.messages_sent == 0,
        "a further run was not quiet: {again:?}"
    );
    Ok(())
}

/// Full compares that a run tells of.
fn repaired(progress: &Progress) -> u64 {
    progress
        .notices
        .iter()
        .filter(|notice| notice.contains("compared in full"))
        .count() as u64
}

fn config(user: &Text) -> MasterConfig {
    MasterConfig {
        authenticate: false,
        pipeline_bytes_max: 1 << 20,
        ..MasterConfig::new(Job::Users(vec![user.clone()]))
    }
}

fn replica_config() -> ReplicaConfig {
    ReplicaConfig {
        servername: "sim".into(),
        version: "mailtwin sim".into(),
        mechanisms: Vec::new(),
        compress: false,
        tls: None,
        partitions: Vec::new(),
        trusted: true,
        limits: Limits::default(),
        unauthenticated_bytes_max: 1 << 20,
    }
}
