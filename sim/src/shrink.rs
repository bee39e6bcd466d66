//! Makes a plan smaller by meaning: fewer faults, changes, users, mailboxes, servers, less noise, while it breaks the same rule.

use crate::plan::{Deed, FOLDERS, Plan, SHARED, What};
use crate::report::{Finding, Report};
use crate::run::execute;

/// A smaller plan.
pub struct Small {
    /// The plan.
    pub plan: Plan,
    /// What it breaks.
    pub finding: Finding,
    /// Runs it took.
    pub runs: u64,
}

/// Most runs of one shrinking.
const RUNS_MAX: u64 = 20_000;

struct Shrinker {
    rule: String,
    runs: u64,
    best: Plan,
    finding: Finding,
}

/// Shrinks a plan; `None` when it breaks nothing.
pub fn shrink(plan: &Plan) -> Option<Small> {
    let Report { finding, .. } = execute(plan, false).0;
    let finding = finding?;
    let mut shrinker = Shrinker {
        rule: finding.rule.clone(),
        runs: 1,
        best: plan.clone(),
        finding,
    };
    loop {
        let before = shrinker.best.clone();
        shrinker.cut_the_end();
        shrinker.calm_down();
        shrinker.drop_users();
        shrinker.drop_folders();
        shrinker.drop_steps(|what| what.is_fault());
        shrinker.drop_steps(|_| true);
        shrinker.simplify_steps();
        shrinker.drop_links();
        if shrinker.best == before || shrinker.runs >= RUNS_MAX {
            break;
        }
    }
    Some(Small {
        plan: shrinker.best,
        finding: shrinker.finding,
        runs: shrinker.runs,
    })
}

impl Shrinker {
    /// Takes a plan that still breaks the same rule.
    fn try_plan(&mut self, plan: Plan) -> bool {
        if self.runs >= RUNS_MAX || plan == self.best {
            return false;
        }
        self.runs += 1;
        match execute(&plan, false).0.finding {
            Some(finding) if finding.rule == self.rule => {
                self.best = plan;
                self.finding = finding;
                true
            }
            _ => false,
        }
    }

    /// What happens after the rule was broken plays no part.
    fn cut_the_end(&mut self) {
        let mut plan = self.best.clone();
        let at_ms = self.finding.at_ms;
        plan.steps.retain(|step| step.at_ms <= at_ms);
        self.try_plan(plan);
    }

    fn calm_down(&mut self) {
        let mut plan = self.best.clone();
        plan.noise.pieces = false;
        self.try_plan(plan);
        let mut plan = self.best.clone();
        plan.noise.latency_ms_max = 0;
        self.try_plan(plan);
        let mut plan = self.best.clone();
        plan.noise.store_ms_max = 0;
        self.try_plan(plan);
    }

    /// A user goes with all changes and with runs for nobody else.
    fn drop_users(&mut self) {
        for gone in 0..=SHARED {
            let mut plan = self.best.clone();
            plan.steps.retain(|step| match &step.what {
                What::Client(deed) => deed.user() != gone,
                What::Run { user, .. } => *user != Some(gone),
                _ => true,
            });
            self.try_plan(plan);
        }
    }

    /// A mailbox goes with all changes that name it, of one user or of all.
    fn drop_folders(&mut self) {
        for gone in 1..FOLDERS.len() {
            let without = |plan: &mut Plan, of: &dyn Fn(&Deed) -> bool| {
                plan.steps
                    .retain(|step| !matches!(&step.what, What::Client(deed) if deed.names(gone) && of(deed)));
            };
            let mut plan = self.best.clone();
            without(&mut plan, &|_| true);
            if self.try_plan(plan) {
                continue;
            }
            for user in 0..=SHARED {
                let mut plan = self.best.clone();
                without(&mut plan, &|deed| deed.user() == user);
                self.try_plan(plan);
            }
        }
    }

    /// Halves, quarters, and at last single steps.
    fn drop_steps(&mut self, of: impl Fn(&What) -> bool) {
        let mut size = self.best.steps.len().div_ceil(2);
        while size > 0 {
            let mut at = 0;
            while at < self.best.steps.len() {
                let mut plan = self.best.clone();
                let end = (at + size).min(plan.steps.len());
                let kept = |nth: usize, what: &What| nth < at || nth >= end || !of(what);
                let mut nth = 0;
                plan.steps.retain(|step| {
                    nth += 1;
                    kept(nth - 1, &step.what)
                });
                if !self.try_plan(plan) {
                    at += size;
                }
            }
            if size == 1 {
                break;
            }
            size = size.div_ceil(2);
        }
    }

    fn simplify_steps(&mut self) {
        for at in 0..self.best.steps.len() {
            for simpler in simpler(&self.best.steps[at].what) {
                let mut plan = self.best.clone();
                plan.steps[at].what = simpler;
                self.try_plan(plan);
            }
        }
    }

    /// The last server goes with its links, when nothing happens there.
    fn drop_links(&mut self) {
        let mut plan = self.best.clone();
        let Some(last) = plan.hosts.checked_sub(1).filter(|last| *last >= 2) else {
            return;
        };
        plan.hosts = last;
        plan.links.retain(|link| link.from != last && link.to != last);
        plan.steps.retain(|step| step.host != last);
        self.try_plan(plan);
    }
}

/// Simpler things than this one.
fn simpler(what: &What) -> Vec<What> {
    let What::Client(deed) = what else {
        return match what {
            What::Run { link, user: Some(_) } => vec![What::Run {
                link: *link,
                user: None,
            }],
            _ => Vec::new(),
        };
    };
    let Deed::Append {
        user, folder, bodies, ..
    } = deed
    else {
        return Vec::new();
    };
    let append = |bodies: Vec<u32>| {
        What::Client(Deed::Append {
            user: *user,
            folder: *folder,
            bodies,
            flags: 0,
        })
    };
    vec![
        append(bodies.iter().take(1).copied().collect()),
        append(bodies.clone()),
    ]
}
