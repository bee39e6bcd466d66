//! What the master's tests share.
#![allow(dead_code, reason = "every test program uses another part")]

pub mod mail;
pub mod pair;
pub mod script;

use engine::master::{Ending, Job};
use engine::name::Scope;
use protocol::Text;

use mail::Mail;
use pair::Outcome;

/// jane's scope.
pub fn jane() -> Scope {
    Scope::User(Text::from("jane"))
}

/// Runs jane, expects full success, equality, and that a second run only asks.
pub fn sync_and_check(master: &Mail, replica: &Mail) -> Outcome {
    let outcome = pair::sync(pair::user("jane"), &master.store, &replica.store);
    check(&outcome, master, replica);
    outcome
}

/// Expects success, equality, and that a further run only asks.
pub fn check(outcome: &Outcome, master: &Mail, replica: &Mail) {
    assert_eq!(
        outcome.progress.ended,
        Some(Ending::Done),
        "{:?}",
        outcome.progress
    );
    similar(&master.dump(&jane()), &replica.dump(&jane()));
    quiet(pair::user("jane"), master, replica);
}

/// Expects that a run only asks.
pub fn quiet(job: Job, master: &Mail, replica: &Mail) {
    let again = pair::sync(job, &master.store, &replica.store);
    assert_eq!(again.progress.ended, Some(Ending::Done), "{:?}", again.progress);
    assert_eq!(again.changing(), Vec::<String>::new());
}

/// Equality of two dumps, told by their first difference.
pub fn similar(ours: &str, theirs: &str) {
    if ours != theirs {
        let at = ours
            .lines()
            .zip(theirs.lines())
            .position(|(a, b)| a != b)
            .unwrap_or(0);
        let show = |text: &str| {
            text.lines()
                .skip(at.saturating_sub(8))
                .take(14)
                .collect::<Vec<_>>()
                .join("\n")
        };
        panic!(
            "line {at} differs\n--- master\n{}\n--- replica\n{}",
            show(ours),
            show(theirs)
        );
    }
}
