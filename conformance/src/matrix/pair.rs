//! One pair, stage by stage, each with a user of its own.

use super::node::{Node, Subject};
use super::{Outcome, Stage, mail};
use crate::compare::{self, Facts, Scope};
use crate::cyrus::{ADMIN, Version};
use crate::{Error, Result};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How long a rolling client may take until the other side has everything. A Cyrus looks at its log every three seconds.
const ROLLING_LIMIT: Duration = Duration::from_secs(60);
/// Differences that are shown.
const SHOWN: usize = 6;
/// Rounds, there and back, that a split may take: what one round finds out the next one may mend.
const ROUNDS_MAX: usize = 2;

/// Tries all stages.
///
/// # Errors
/// When a server does not start, or its mail cannot be changed.
pub fn run(master: Subject, replica: Subject) -> Result<Vec<(Stage, Outcome)>> {
    let hand = |other: Subject| match other {
        Subject::Cyrus(version) => version,
        Subject::Mailtwin => Version::V3_6,
    };
    let users: Vec<&str> = Stage::ALL.map(Stage::user).to_vec();
    // Equally long names: Cyrus writes them into what it makes.
    let pair = Pair {
        master: Node::start(master, "mmmmmm", hand(replica), &users)?,
        replica: Node::start(replica, "rrrrrr", hand(master), &users)?,
    };
    let mut outcomes = Vec::new();
    for stage in Stage::ALL {
        // Every one begins with the same past, which is the first stage.
        let begun = mail::fill(&pair.master, stage.user()).and_then(|()| pair.carry(stage.user()));
        let outcome = match (begun, stage) {
            (Ok(()), Stage::Initial) => pair.equal(stage.user(), &mail::FILLED),
            (Ok(()), Stage::Incremental) => pair.incremental(),
            (Ok(()), Stage::Rolling) => pair.rolling(),
            (Ok(()), Stage::Split) => pair.split(),
            (Ok(()), Stage::Back) => pair.back(),
            (Err(error), _) => Err(error),
        };
        outcomes.push((
            stage,
            outcome.unwrap_or_else(|error| Outcome::Failed(error.to_string())),
        ));
    }
    Ok(outcomes)
}

struct Pair {
    master: Node,
    replica: Node,
}

impl Pair {
    fn carry(&self, user: &str) -> Result<()> {
        let run = self.master.replicate(&self.replica, user)?;
        run.success("sync_client").map(drop)
    }

    fn incremental(&self) -> Result<Outcome> {
        let user = Stage::Incremental.user();
        mail::literals(&self.master, user)?;
        mail::change(&self.master, user, 31)?;
        mail::change_script(&self.master, user)?;
        self.carry(user)?;
        let first = self.equal(user, &mail::changed(31))?;
        if !matches!(first, Outcome::Equal(_)) {
            return Ok(first);
        }
        self.carry(user)?;
        self.equal(user, &mail::changed(31))
    }

    fn rolling(&self) -> Result<Outcome> {
        let user = Stage::Rolling.user();
        let mut client = self.master.roll(&self.replica)?;
        mail::change(&self.master, user, 41)?;
        let end = Instant::now() + ROLLING_LIMIT;
        loop {
            // A mailbox that goes while it is looked at is a refusal, which says nothing yet.
            let outcome = self
                .equal(user, &mail::changed(41))
                .unwrap_or_else(|error| Outcome::Failed(error.to_string()));
            if matches!(outcome, Outcome::Equal(_)) {
                client.terminate(Duration::from_secs(15));
                return Ok(outcome);
            }
            if let Some(status) = client.ended() {
                let log = self.master.rolling_log();
                return Ok(Outcome::Failed(format!(
                    "the rolling client ended: {status}\n{log}"
                )));
            }
            if Instant::now() >= end {
                client.terminate(Duration::from_secs(15));
                return Ok(outcome);
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    fn split(&self) -> Result<Outcome> {
        let user = Stage::Split.user();
        self.replica.learn(&self.master, user)?;
        mail::split_master(&self.master, user)?;
        mail::split_replica(&self.replica, user)?;
        let mut outcome = Outcome::Failed("not tried".to_owned());
        for _ in 0..ROUNDS_MAX {
            self.carry(user)?;
            let run = self.replica.replicate(&self.master, user)?;
            run.success("sync_client on the way back")?;
            outcome = self.equal(user, &mail::split_left())?;
            if matches!(outcome, Outcome::Equal(_)) {
                break;
            }
        }
        Ok(outcome)
    }

    fn back(&self) -> Result<Outcome> {
        let user = Stage::Back.user();
        self.replica.learn(&self.master, user)?;
        mail::change(&self.replica, user, 51)?;
        mail::change_script(&self.replica, user)?;
        let run = self.replica.replicate(&self.master, user)?;
        run.success("the way back")?;
        self.equal(user, &mail::changed(51))
    }

    fn facts(node: &Node, user: &str) -> Result<Facts> {
        let mut facts = Facts::new();
        let scope = Scope {
            users: vec![user.to_owned()],
            // Not every version keeps scripts in a mailbox.
            sieve_mailbox: false,
            shared: false,
        };
        compare::collect_csync(&mut node.csync()?, &scope, &[], &mut facts)?;
        // The compiled form of a script is each server's own; 3.2 lists it, later versions do not.
        facts.retain(|place, _| !(place.field.starts_with("script ") && place.field.contains(".bc ")));
        Ok(facts)
    }

    /// Whether both sides hold the same, and at least the messages `expected`.
    fn equal(&self, user: &str, expected: &[usize]) -> Result<Outcome> {
        let (left, right) = (
            Self::facts(&self.master, user)?,
            Self::facts(&self.replica, user)?,
        );
        let mut found = compare::differences(&left, &right);
        // Where both sides had put a message under one UID, each keeps its own expunged record of it. [CS-MASTER-34]
        found.retain(|difference| {
            let [here, there] = [&left, &right].map(|facts| is_expunged(facts, &difference.place));
            !(here && there)
        });
        if !found.is_empty() {
            let mut lines: Vec<String> = found.iter().take(SHOWN).map(ToString::to_string).collect();
            if found.len() > SHOWN {
                lines.push(format!("and {} more", found.len() - SHOWN));
            }
            return Ok(Outcome::Differ(lines));
        }
        if left.is_empty() {
            return Err(Error::Process(format!("{ADMIN} sees nothing of {user}")));
        }
        let there: BTreeSet<String> = left
            .iter()
            .filter(|(place, _)| place.field == "message")
            .filter_map(|(place, _)| {
                let mut guid = place.clone();
                guid.field = "GUID".to_owned();
                let value = left.get(&guid)?;
                Some(String::from_utf8_lossy(value).trim_matches('"').to_owned())
            })
            .collect();
        let lost: Vec<String> = expected
            .iter()
            .filter(|number| !there.contains(&mail::guid(**number)))
            .map(|number| format!("message {number} is on neither side"))
            .collect();
        Ok(if lost.is_empty() {
            Outcome::Equal(left.len())
        } else {
            Outcome::Lost(lost)
        })
    }
}

/// Whether a fact is about a message that is expunged there.
fn is_expunged(facts: &Facts, place: &compare::Place) -> bool {
    let mut flags = place.clone();
    flags.field = "FLAGS".to_owned();
    let value = facts.get(&flags).filter(|_| place.uid.is_some());
    value.is_some_and(|value| String::from_utf8_lossy(value).contains("\\Expunged"))
}
