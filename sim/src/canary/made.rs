//! Mailboxes made by hand, and histories of them before the judge.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::{Annotation, Flags, Guid, Record, SystemFlags, Text};

use crate::judge::{Arrived, Broken, Commit, Judge, Ledger, MailboxView, Note, ScopeView, Views};

/// The user of all histories.
pub fn owner() -> Text {
    Text::from("hot")
}

/// The GUID of a message by its number.
pub fn guid(number: u8) -> Guid {
    Guid::from_bytes([number; 20])
}

/// A record of the message that has its UID's number.
pub fn record(uid: u32, modseq: u64, expunged: bool) -> Record {
    let mut flags = Flags::default();
    if expunged {
        flags.system = SystemFlags::EXPUNGED;
    }
    Record {
        uid,
        modseq,
        last_updated: 1_790_000_000,
        flags,
        internaldate: 1_790_000_000,
        size: 10,
        guid: guid(uid as u8),
        annotations: Vec::new(),
    }
}

/// The same with a note.
pub fn noted(mut record: Record, value: &str) -> Record {
    record.annotations = vec![Annotation {
        entry: Text::from("/comment"),
        userid: Text::EMPTY,
        modseq: record.modseq,
        value: Text::from(value),
    }];
    record
}

/// A mailbox whose CRCs are right.
pub fn mailbox(records: Vec<Record>) -> MailboxView {
    let mut crc = engine::crc::SyncCrc::EMPTY;
    records.iter().for_each(|record| crc.toggle(record));
    MailboxView {
        name: Text::from("user.hot"),
        acl: Text::EMPTY,
        uidvalidity: 1,
        last_uid: records.iter().map(|record| record.uid).max().unwrap_or(0),
        highestmodseq: records.iter().map(|record| record.modseq).max().unwrap_or(1),
        crc: (crc.basic, crc.annot),
        records: records.into_iter().map(|record| (record.uid, record)).collect(),
    }
}

/// A user with this mailbox.
pub fn scope(mailbox: MailboxView) -> ScopeView {
    ScopeView {
        mailboxes: BTreeMap::from([(Text::from("id"), mailbox)]),
        ..ScopeView::default()
    }
}

/// A user with a mailbox of these records.
pub fn mail(records: Vec<Record>) -> ScopeView {
    scope(mailbox(records))
}

/// What clients did, who removed these messages.
pub fn removed(numbers: &[u8]) -> Ledger {
    let mut ledger = Ledger::default();
    for number in numbers {
        ledger.removed.insert((owner(), guid(*number)));
    }
    ledger
}

/// A row of commits before the judge, on any server, by replication or by a client.
#[derive(Default)]
pub struct Row {
    judge: Judge,
    /// What clients did so far.
    pub ledger: Ledger,
    views: Views,
}

impl Row {
    /// The next commit of a server, with what a client did in it; answers with the rule that it breaks.
    pub fn next(&mut self, host: usize, after: &ScopeView, client: Option<&Note>) -> Option<&'static str> {
        self.commit(host, after, client, &[])
    }

    /// The same, with messages that become visible.
    pub fn commit(
        &mut self,
        host: usize,
        after: &ScopeView,
        client: Option<&Note>,
        arrived: &[Arrived],
    ) -> Option<&'static str> {
        if let Some(note) = client {
            self.ledger.take(&owner(), note);
        }
        let key = (host, owner());
        let before = self.views.get(&key).cloned().unwrap_or_default();
        let commit = Commit {
            host,
            owner: &key.1,
            before: &before,
            after,
            views: &self.views,
            ledger: &self.ledger,
            client,
            arrived,
            is_quiet: true,
        };
        let rule = named(self.judge.ask(|checker| checker.committed(&commit)));
        self.views.insert(key, Arc::new(after.clone()));
        rule
    }
}

/// A client adds a message.
pub fn adds(number: u8) -> Note {
    Note {
        added: vec![guid(number)],
        ..Note::default()
    }
}

/// The rule that a row of commits on one server breaks.
pub fn commits(states: &[ScopeView], ledger: Ledger) -> Option<&'static str> {
    let mut row = Row {
        ledger,
        ..Row::default()
    };
    states.iter().find_map(|state| row.next(0, state, None))
}

/// The rule that a judgement names.
pub fn named(judgement: Result<(), Broken>) -> Option<&'static str> {
    judgement.err().map(|broken| broken.rule)
}
