//! Courses of events that a mixture of single steps seldom makes, at the end of some plans.

use super::{Deed, Plan, Profile, Step, What};
use crate::seeded::Seeded;

/// One plan in so many gets one of them.
const ONE_IN: usize = 12;
/// Between the plan's last step and the first of these, milliseconds.
const PAUSE_MS: u64 = 60_000;
/// How long storage fails without a pause: longer than it takes until entries are put in quarantine.
const TROUBLE_MS: u64 = 3 * 3_600_000;
/// When within it the process dies whose quarantine has to last.
const DEATH_MS: u64 = 40 * 60_000;

/// Adds a course to a plan, if its seed says so. Chance is of a source of its own, so that the rest of the plan is what it
/// would be without.
pub(super) fn add(plan: &mut Plan) {
    let mut seeded = Seeded::new(plan.seed ^ 0x5241_5245);
    if !seeded.one_in(ONE_IN) {
        return;
    }
    let at_ms = plan.steps.last().map_or(0, |step| step.at_ms) + PAUSE_MS;
    let rolls = plan.links.first().is_some_and(|link| link.rolling);
    if rolls && seeded.one_in(2) {
        trouble(plan, at_ms);
    } else if plan.profile == Profile::Split && seeded.one_in(2) {
        revival(plan, at_ms);
    } else {
        circle(plan, at_ms);
    }
}

fn client(at_ms: u64, deed: Deed) -> Step {
    Step {
        at_ms,
        host: 0,
        what: What::Client(deed),
    }
}

fn append(at_ms: u64, folder: usize, body: u32) -> Step {
    let bodies = vec![body];
    client(
        at_ms,
        Deed::Append {
            user: 0,
            folder,
            bodies,
            flags: 0,
        },
    )
}

fn run(at_ms: u64) -> Step {
    Step {
        at_ms,
        host: 0,
        what: What::Run { link: 0, user: None },
    }
}

/// Mail comes to a mailbox on both sides, under the same UIDs, and the master's is deleted before the next run.
fn revival(plan: &mut Plan, at_ms: u64) {
    plan.steps
        .push(client(at_ms, Deed::Create { user: 0, folder: 3 }));
    plan.steps.push(run(at_ms + 1));
    let at_ms = at_ms + PAUSE_MS;
    plan.steps.push(append(at_ms, 3, 2_001));
    plan.steps.push(Step {
        host: 1,
        ..append(at_ms, 3, 2_002)
    });
    plan.steps
        .push(client(at_ms + 1, Deed::Delete { user: 0, folder: 3 }));
    plan.steps.push(run(at_ms + 2));
}

/// Two mailboxes exchange their names between two runs.
fn circle(plan: &mut Plan, at_ms: u64) {
    for folder in [1, 2] {
        plan.steps.push(client(at_ms, Deed::Create { user: 0, folder }));
        plan.steps.push(append(at_ms, folder, 2_000 + folder as u32));
    }
    plan.steps.push(run(at_ms + 1));
    let at_ms = at_ms + PAUSE_MS;
    for (from, to) in [(1, 4), (2, 1), (4, 2)] {
        plan.steps.push(client(at_ms, Deed::Rename { user: 0, from, to }));
    }
    plan.steps.push(run(at_ms + 1));
}

/// A replica's storage fails for so long that entries are put in quarantine, and the master's process dies meanwhile.
fn trouble(plan: &mut Plan, at_ms: u64) {
    let to = plan.links.first().map_or(0, |link| link.to);
    plan.steps.push(Step {
        at_ms,
        host: to,
        what: What::IoErrors {
            for_ms: TROUBLE_MS,
            one_in: 1,
        },
    });
    plan.steps.push(append(at_ms + 1, 0, 2_000));
    plan.steps.push(Step {
        at_ms: at_ms + DEATH_MS,
        host: 0,
        what: What::Crash {
            down_ms: 1,
            silent: false,
        },
    });
}
