//! Renames that cross: two masters of each other that each send the other its names, and so exchange them, again and again.
//! [CS-SPLIT-47]

use std::collections::BTreeMap;
use std::sync::PoisonError;

use protocol::Text;

use super::Job;
use super::folders::{Batch, is_placeholder, same_name};
use super::run::{Run, Tried, Trouble};

/// After so many seconds a name that was told is forgotten.
const FORGOTTEN_AFTER_S: i64 = 240;

/// Seconds that a name waits at most.
const PAUSE_MAX_S: i64 = 120;

/// Mailboxes from which on old ones are looked for.
const PRUNE_FROM: usize = 64;

/// A mailbox that has another name there than here.
pub(super) struct Renaming {
    uniqueid: Text,
    from: Text,
    to: Text,
}

/// The names that were told lately, by unique id and name. All of them, not the last alone: two masters that tell in step
/// have exchanged their names by the next time, and tell one and the other in turns.
#[derive(Default)]
pub(super) struct Crossings {
    told: BTreeMap<(Text, Text), Told>,
}

struct Told {
    times: u32,
    /// Seconds since the epoch of the last time.
    at: i64,
    /// Since when it waits to be told again.
    since: Option<i64>,
}

impl Renaming {
    fn key(&self) -> (Text, Text) {
        (self.uniqueid.clone(), self.to.clone())
    }
}

impl Told {
    fn is_over(&self, now: i64) -> bool {
        now.abs_diff(self.at) > FORGOTTEN_AFTER_S.unsigned_abs()
    }

    fn pause(&self) -> i64 {
        let doubled = 1i64.checked_shl(self.times.saturating_sub(1)).unwrap_or(i64::MAX);
        doubled.clamp(1, PAUSE_MAX_S)
    }
}

impl Crossings {
    /// Whether these renames have to wait. Of two masters that exchange names one waits: both see the same mailboxes, and go
    /// by the one with the lowest unique id, which the one gives the later of its names and the other the earlier.
    fn must_wait(&mut self, renamings: &[Renaming], now: i64) -> bool {
        let is_again = |renaming: &&Renaming| {
            let told = self.told.get(&renaming.key());
            told.is_some_and(|told| !told.is_over(now))
        };
        let lowest = renamings
            .iter()
            .filter(is_again)
            .min_by_key(|renaming| &renaming.uniqueid);
        let Some(lowest) = lowest.filter(|renaming| renaming.from < renaming.to) else {
            return false;
        };
        let Some(told) = self.told.get_mut(&lowest.key()) else {
            return false;
        };
        let since = *told.since.get_or_insert(now);
        (since..since.saturating_add(told.pause())).contains(&now)
    }

    /// A mailbox has this name there now, because it was told.
    fn note(&mut self, renaming: &Renaming, now: i64) {
        if self.told.len() >= PRUNE_FROM {
            self.told.retain(|_, told| !told.is_over(now));
        }
        let key = renaming.key();
        let before = self.told.get(&key).filter(|told| !told.is_over(now));
        let told = Told {
            times: before.map_or(0, |told| told.times).saturating_add(1),
            at: now,
            since: None,
        };
        self.told.insert(key, told);
    }
}

impl Run {
    /// What has another name there than here, unless it has to wait: what this master told it lately, another one has
    /// undone.
    pub(super) fn renamings(&self, batch: &Batch) -> Tried<Vec<Renaming>> {
        if self.config.dry_run || !matches!(self.config.job, Job::Tasks) {
            return Ok(Vec::new());
        }
        let locals = batch.locals.iter().filter(|mailbox| !mailbox.is_placeholder());
        let renamings: Vec<Renaming> = locals
            .filter_map(|mailbox| {
                let line = batch.remotes.get(&mailbox.uniqueid)?;
                let from = line.mboxname.as_ref().filter(|_| !is_placeholder(line))?;
                (!same_name(from, &mailbox.name)).then(|| Renaming {
                    uniqueid: mailbox.uniqueid.clone(),
                    from: from.clone(),
                    to: mailbox.name.clone(),
                })
            })
            .collect();
        let now = self.port.now().0;
        let mut crossings = self.crossings.lock().unwrap_or_else(PoisonError::into_inner);
        if !crossings.must_wait(&renamings, now) {
            return Ok(renamings);
        }
        self.blame.note_waiting();
        let name = renamings.first().map(|renaming| renaming.to.to_string());
        Err(Trouble::Item(format!(
            "{}: another server has undone this rename; if that is a master that renames as well, its names are waited for",
            name.unwrap_or_default()
        )))
    }

    /// Takes note of what has our name there now.
    pub(super) fn note_renamed(&self, batch: &Batch, renamings: &[Renaming]) {
        let now = self.port.now().0;
        let mut crossings = self.crossings.lock().unwrap_or_else(PoisonError::into_inner);
        for renaming in renamings {
            let line = batch.remotes.get(&renaming.uniqueid);
            let name = line.and_then(|line| line.mboxname.as_ref());
            if name.is_some_and(|name| same_name(name, &renaming.to)) {
                crossings.note(renaming, now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mailboxes `1` and `2` exchange their names.
    fn exchange(first: (&str, &str)) -> [Renaming; 2] {
        let renaming = |id: &str, from: &str, to: &str| Renaming {
            uniqueid: Text::from(id),
            from: Text::from(from),
            to: Text::from(to),
        };
        [renaming("2", first.1, first.0), renaming("1", first.0, first.1)]
    }

    fn tell(crossings: &mut Crossings, renamings: &[Renaming], now: i64) {
        for renaming in renamings {
            crossings.note(renaming, now);
        }
    }

    #[test]
    fn of_two_that_exchange_two_names_one_waits_longer_each_time() {
        let (ours, theirs) = (exchange(("a", "b")), exchange(("b", "a")));
        let (mut up, mut down) = (Crossings::default(), Crossings::default());
        assert!(!up.must_wait(&ours, 100), "people rename once");
        let mut now = 100;
        for pause in [1, 2, 4, 8] {
            tell(&mut up, &ours, now);
            tell(&mut down, &theirs, now);
            assert!(up.must_wait(&ours, now), "told already");
            assert!(up.must_wait(&ours, now + pause - 1));
            assert!(!up.must_wait(&ours, now + pause));
            assert!(!down.must_wait(&theirs, now));
            now += pause;
        }
        assert!(!up.must_wait(&theirs, now), "another name is no exchange");
    }

    #[test]
    fn of_two_that_tell_in_step_one_waits() {
        let (there, back) = (exchange(("a", "b")), exchange(("b", "a")));
        let (mut up, mut down) = (Crossings::default(), Crossings::default());
        // Both have swapped the other's names each time, and have the other's themselves by the next.
        for (ours, theirs) in [(&there, &back), (&back, &there)] {
            assert!(!up.must_wait(ours, 100) && !down.must_wait(theirs, 100));
            tell(&mut up, ours, 100);
            tell(&mut down, theirs, 100);
        }
        assert!(up.must_wait(&there, 100), "it gives the lowest the later name");
        assert!(!down.must_wait(&back, 100));
    }

    #[test]
    fn what_was_told_long_ago_and_a_clock_that_jumps_hold_nothing_up() {
        let ours = exchange(("a", "b"));
        let mut crossings = Crossings::default();
        tell(&mut crossings, &ours, 100);
        assert!(!crossings.must_wait(&ours, 100 + FORGOTTEN_AFTER_S + 1));
        assert!(crossings.must_wait(&ours, 100));
        assert!(!crossings.must_wait(&ours, 99), "the clock went back");
        for _ in 0..100 {
            tell(&mut crossings, &ours, 100);
        }
        assert!(crossings.must_wait(&ours, 100));
        assert!(!crossings.must_wait(&ours, 100 + PAUSE_MAX_S));
    }

    #[test]
    fn old_names_are_forgotten() {
        let mut crossings = Crossings::default();
        for number in 0..1000 {
            let id = Text::from(format!("{number}").as_str());
            let renaming = Renaming {
                uniqueid: id,
                from: Text::from("user.x.b"),
                to: Text::from("user.x.a"),
            };
            crossings.note(&renaming, i64::from(number) * 100);
        }
        assert!(crossings.told.len() <= PRUNE_FROM + 1);
    }
}
