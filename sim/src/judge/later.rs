//! A change is never undone by what it replaced.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{Annotation, Guid, Record, SystemFlags, Text};

use super::{Checker, Commit, Mail};

/// What a reader can change of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Value {
    system: SystemFlags,
    keywords: Vec<Vec<u8>>,
    notes: Vec<(Text, Text, Text)>,
}

impl Value {
    fn of(record: &Record) -> Value {
        let mut keywords: Vec<Vec<u8>> = record.flags.keywords.iter().map(|word| word.to_vec()).collect();
        keywords.sort();
        // Thread ids, save dates and creation modseqs are the servers' own.
        let notes = record.annotations.iter().filter(|note| !is_virtual(note));
        let mut notes: Vec<_> = notes
            .map(|note| (note.entry.clone(), note.userid.clone(), note.value.clone()))
            .collect();
        notes.sort();
        Value {
            system: record.flags.system,
            keywords,
            notes,
        }
    }
}

/// Whether no other server has the message with a modseq that is not lower, as it may after a merge that was not sent yet:
/// by the rule, that one wins.
fn is_highest(commit: &Commit<'_>, record: &Record) -> bool {
    let others = commit.views.iter();
    let mut others = others.filter(|((host, owner), _)| *host != commit.host && owner == commit.owner);
    others.all(|(_, view)| {
        let mut same = view.live().filter(|(_, other)| other.guid == record.guid);
        same.all(|(_, other)| other.modseq < record.modseq)
    })
}

fn is_virtual(note: &Annotation) -> bool {
    [Annotation::THRID, Annotation::SAVEDATE, Annotation::CREATEDMODSEQ].contains(&note.entry.as_bytes())
}

/// A value that a client gave a message, and those that it had seen replaced.
struct Version {
    value: Value,
    replaced: BTreeSet<usize>,
}

/// What one message has been, over all servers.
#[derive(Default)]
struct Past {
    versions: Vec<Version>,
    /// Which versions a server may show: who gives a message the value that it had before makes two that look alike.
    shown: BTreeMap<usize, BTreeSet<usize>>,
}

/// What replication makes of flags and notes of a message was set so by a client, all of it together, and never was replaced
/// by a client who saw what the server has. [CS-MASTER-38] [CS-MASTER-39]
///
/// Of two changes that did not know of each other either may win; what is changed while a master is at work counts as such,
/// for it may have looked before. The rule compares times, so where a clock jumped an older
/// change may look newer; a store from a backup knows nothing of what came after; and of messages with several copies nobody
/// can tell which one it is.
#[derive(Default)]
pub struct LaterWins {
    pasts: BTreeMap<Mail, Past>,
    is_off: bool,
}

impl Checker for LaterWins {
    fn name(&self) -> &'static str {
        "a change is not undone by what it replaced"
    }

    fn committed(&mut self, commit: &Commit<'_>) -> Result<(), String> {
        if self.is_off || commit.ledger.clock_jumped {
            return Ok(());
        }
        let before: BTreeMap<Guid, &Record> = commit
            .before
            .live()
            .map(|(_, record)| (record.guid, record))
            .collect();
        // What went and comes back is what its sender has.
        let after: BTreeSet<Guid> = commit.after.live().map(|(_, record)| record.guid).collect();
        for guid in before.keys().filter(|guid| !after.contains(*guid)) {
            if let Some(past) = self.pasts.get_mut(&(commit.owner.clone(), *guid)) {
                past.shown.remove(&commit.host);
            }
        }
        for (id, record) in commit.after.live() {
            let value = Value::of(record);
            let was = before.get(&record.guid).map(|record| Value::of(record));
            let mail = (commit.owner.clone(), record.guid);
            if was.as_ref() == Some(&value) || commit.ledger.copies.get(&mail) != Some(&1) {
                continue;
            }
            let past = self.pasts.entry(mail).or_default();
            let told = if commit.client.is_some() {
                past.changed(commit.host, value, commit.is_quiet && is_highest(commit, record));
                Ok(())
            } else {
                past.became(commit.host, &value)
            };
            told.map_err(|what| {
                let name = commit
                    .after
                    .mailboxes
                    .get(id)
                    .map(|mailbox| mailbox.name.to_string());
                format!("UID {} of {} {what}", record.uid, name.unwrap_or_default())
            })?;
        }
        Ok(())
    }

    fn restored(&mut self, _host: usize) {
        self.is_off = true;
    }
}

impl Past {
    /// A client of a server gave the message a value, which replaces what the server showed or just is another.
    fn changed(&mut self, host: usize, value: Value, replaces: bool) {
        let shown = self.shown.get(&host).filter(|_| replaces);
        let with_itself = |at: &usize| {
            let mut replaced = self.versions[*at].replaced.clone();
            replaced.insert(*at);
            replaced
        };
        // Whichever of them it was, these it replaced.
        let by_each = shown.into_iter().flatten().map(with_itself);
        let replaced = by_each.reduce(|one, other| &one & &other).unwrap_or_default();
        self.shown.insert(host, BTreeSet::from([self.versions.len()]));
        self.versions.push(Version { value, replaced });
    }

    /// Replication gave the message a value.
    fn became(&mut self, host: usize, value: &Value) -> Result<(), String> {
        let same = |at: &usize| self.versions[*at].value == *value;
        let known: Vec<usize> = (0..self.versions.len()).filter(same).collect();
        if known.is_empty() {
            return Err(format!("became {value:?}, which no client made it"));
        }
        let shown = self.shown.get(&host);
        let is_new = |at: &usize| {
            shown.is_none_or(|shown| shown.iter().any(|was| !self.versions[*was].replaced.contains(at)))
        };
        let now: BTreeSet<usize> = known.into_iter().filter(is_new).collect();
        if now.is_empty() {
            let was = shown
                .and_then(BTreeSet::first)
                .map(|was| &self.versions[*was].value);
            return Err(format!(
                "was {was:?} and became {value:?} again, which a client had replaced by it"
            ));
        }
        self.shown.insert(host, now);
        Ok(())
    }
}
