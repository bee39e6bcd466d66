//! The histories.

use std::collections::BTreeSet;
use std::sync::Arc;

use protocol::{Guid, Record, SystemFlags, Text};

use super::Canary;
use super::made::{Row, adds, commits, guid, mail, mailbox, named, noted, owner, record, removed, scope};
use crate::judge::{Arrived, End, Judge, Kept, Ledger, Note, ScopeView, Views};

const LOST: &str = "nothing is lost";
const UID: &str = "a UID names one message";
const EXPUNGED: &str = "what was expunged stays so";
const MODSEQ: &str = "modseqs never go back";
const CRC: &str = "the CRCs are those of the records";
const CRASH: &str = "a crash changes nothing that was committed";
const READER: &str = "readers see whole transactions";
const PROMISE: &str = "what was said to be done is there";
const EQUAL: &str = "in the end all are equal";
const BYTES: &str = "messages are what their GUIDs say";
const RETURNS: &str = "no expunged message returns";
const LATER: &str = "a change is not undone by what it replaced";
const TWICE: &str = "no message is there twice";

const fn canary(rule: &'static str, how: &'static str, sing: fn() -> Option<&'static str>) -> Canary {
    Canary { rule, how, sing }
}

pub(super) const ALL: [Canary; 28] = [
    canary(LOST, "a message is expunged and no client did it", || {
        after_two_messages(mail(vec![record(1, 4, true), record(2, 3, false)]))
    }),
    canary(LOST, "a mailbox goes away with its mail", || {
        after_two_messages(ScopeView::default())
    }),
    canary(
        LOST,
        "a message that a client added is nowhere in the end",
        || {
            let mut ledger = Ledger::default();
            ledger.added.insert((owner(), guid(7)));
            end([ScopeView::default(), ScopeView::default()], &[], &ledger)
        },
    ),
    canary(UID, "a UID is given to a second message", || {
        let mut other = record(1, 3, false);
        other.guid = guid(9);
        commits(
            &[
                ScopeView::default(),
                mail(vec![record(1, 2, false)]),
                mail(vec![other]),
            ],
            removed(&[1]),
        )
    }),
    canary(UID, "a UID is above the mailbox's last", || {
        let mut high = mailbox(vec![record(5, 2, false)]);
        high.last_uid = 4;
        commits(&[ScopeView::default(), scope(high)], Ledger::default())
    }),
    canary(EXPUNGED, "an expunged message is live again", || {
        commits(
            &[
                ScopeView::default(),
                mail(vec![record(1, 2, true)]),
                mail(vec![record(1, 3, false)]),
            ],
            Ledger::default(),
        )
    }),
    canary(MODSEQ, "a record's modseq falls", || {
        after_two_flags(mail(vec![record(1, 4, false), record(2, 6, false)]))
    }),
    canary(MODSEQ, "a mailbox's modseq falls", || {
        after_two_flags(mail(vec![record(1, 5, false), record(2, 5, false)]))
    }),
    canary(MODSEQ, "a record's modseq is above its mailbox's", || {
        let mut low = mailbox(vec![record(1, 5, false)]);
        low.highestmodseq = 4;
        commits(&[ScopeView::default(), scope(low)], Ledger::default())
    }),
    canary(CRC, "the basic CRC is off", || wrong_crc(1, 0)),
    canary(CRC, "the annotation CRC is off", || wrong_crc(0, 1)),
    canary(CRC, "a note changes and the annotation CRC stays", || {
        let before = mailbox(vec![noted(record(1, 2, false), "one")]);
        let mut after = mailbox(vec![noted(record(1, 2, false), "two")]);
        after.crc = before.crc;
        commits(&[scope(before), scope(after)], Ledger::default())
    }),
    canary(CRASH, "mail is gone after a crash", || {
        restarted(&ScopeView::default())
    }),
    canary(CRASH, "an expunge is gone after a crash", || {
        let expunged = mail(vec![record(1, 3, true)]);
        let live = mail(vec![record(1, 2, false)]);
        named(Judge::default().ask(|checker| checker.restarted(&expunged, &live)))
    }),
    canary(CRASH, "what was not committed is there after a crash", || {
        restarted(&mail(vec![record(1, 2, false), record(2, 3, false)]))
    }),
    canary(READER, "a reader sees the first half of a transaction", || {
        let committed = mail(vec![record(1, 2, false)]);
        let half = mail(vec![record(1, 2, false), record(2, 3, false)]);
        named(Judge::default().ask(|checker| checker.read(&committed, &half)))
    }),
    canary(READER, "a reader sees a modseq that nothing has yet", || {
        let committed = mail(vec![record(1, 2, false)]);
        let mut half = mailbox(vec![record(1, 2, false)]);
        half.highestmodseq = 9;
        named(Judge::default().ask(|checker| checker.read(&committed, &scope(half.clone()))))
    }),
    canary(PROMISE, "OK was said and the message is not there", || {
        kept(&mail(Vec::new()))
    }),
    canary(BYTES, "a message's last byte is wrong", || arrives(Some(guid(9)))),
    canary(BYTES, "a message has no bytes", || arrives(None)),
    canary(RETURNS, "an expunged message is back under another UID", || {
        let mut row = Row::default();
        let expunge = Note {
            removed: vec![guid(1)],
            expunged: vec![guid(1)],
            ..Note::default()
        };
        let mut back = record(2, 4, false);
        back.guid = guid(1);
        row.next(0, &mail(vec![record(1, 2, false)]), Some(&adds(1)))
            .or_else(|| row.next(0, &mail(vec![record(1, 3, true)]), Some(&expunge)))
            .or_else(|| row.next(0, &mail(vec![record(1, 3, true), back]), None))
    }),
    canary(LATER, "a flag is gone that a client set", || {
        flagged_then(mail(vec![record(1, 4, false)]))
    }),
    canary(LATER, "a note comes up that no client wrote", || {
        flagged_then(mail(vec![noted(flagged(1, 4), "one")]))
    }),
    canary(TWICE, "a retry has copied a message again", || {
        let mut again = record(2, 3, false);
        again.guid = guid(1);
        let twice = mail(vec![record(1, 2, false), again]);
        let mut ledger = Ledger::default();
        ledger.take(&owner(), &adds(1));
        end([twice.clone(), twice], &[(0, 1, false)], &ledger)
    }),
    canary(TWICE, "a message is there that no client added", || {
        let one = mail(vec![record(1, 2, false)]);
        end([one.clone(), one], &[], &Ledger::default())
    }),
    canary(EQUAL, "flags differ in the end", || {
        differ(mail(vec![flagged(1, 2)]))
    }),
    canary(EQUAL, "a mailbox is on one server alone in the end", || {
        differ(ScopeView::default())
    }),
    canary(EQUAL, "a subscription is on one server alone in the end", || {
        let mut subscribed = mail(vec![record(1, 2, false)]);
        subscribed.subscriptions = vec![Text::from("user.hot")];
        differ(subscribed)
    }),
];

/// Honest histories, asked in every way.
pub(super) fn honest() -> Option<&'static str> {
    let states = [
        ScopeView::default(),
        mail(vec![record(1, 2, false)]),
        mail(vec![record(1, 2, false), record(2, 3, false)]),
        mail(vec![record(1, 4, true), record(2, 3, false)]),
        mail(vec![record(1, 4, true), noted(record(2, 5, false), "one")]),
    ];
    let last = states[4].clone();
    let one = mail(vec![record(1, 2, false)]);
    let same = flagged_then(mail(vec![flagged(1, 3)]));
    commits(&states, removed(&[1]))
        .or_else(|| named(Judge::default().ask(|checker| checker.restarted(&last, &last))))
        .or_else(|| named(Judge::default().ask(|checker| checker.read(&last, &last))))
        .or_else(|| kept(&one))
        .or_else(|| differ(one))
        .or_else(|| arrives(Some(guid(1))))
        .or(same)
}

fn flagged(uid: u32, modseq: u64) -> Record {
    let mut record = record(uid, modseq, false);
    record.flags.system = SystemFlags::FLAGGED;
    record
}

/// A message arrives whose bytes hash to this.
fn arrives(actual: Option<Guid>) -> Option<&'static str> {
    let arrived = Arrived {
        guid: guid(1),
        actual,
    };
    Row::default().commit(0, &mail(vec![record(1, 2, false)]), Some(&adds(1)), &[arrived])
}

/// A client flags a message that another server has as well; then replication makes this of it.
fn flagged_then(next: ScopeView) -> Option<&'static str> {
    let mut row = Row::default();
    let plain = mail(vec![record(1, 2, false)]);
    let flagged = mail(vec![flagged(1, 3)]);
    row.next(0, &plain, Some(&adds(1)))
        .or_else(|| row.next(1, &plain, None))
        .or_else(|| row.next(0, &flagged, Some(&Note::default())))
        .or_else(|| row.next(0, &next, None))
}

fn after_two_messages(next: ScopeView) -> Option<&'static str> {
    let both = mail(vec![record(1, 2, false), record(2, 3, false)]);
    commits(&[both, next], Ledger::default())
}

fn after_two_flags(next: ScopeView) -> Option<&'static str> {
    let both = mail(vec![record(1, 5, false), record(2, 6, false)]);
    commits(&[both, next], Ledger::default())
}

fn wrong_crc(basic: u32, annot: u32) -> Option<&'static str> {
    let mut bad = mailbox(vec![record(1, 2, false)]);
    bad.crc = (bad.crc.0 ^ basic, bad.crc.1 ^ annot);
    commits(&[ScopeView::default(), scope(bad)], Ledger::default())
}

fn restarted(after: &ScopeView) -> Option<&'static str> {
    let before = mail(vec![record(1, 2, false)]);
    named(Judge::default().ask(|checker| checker.restarted(&before, after)))
}

/// A master with one message was told that all is done.
fn kept(replica: &ScopeView) -> Option<&'static str> {
    let master = mail(vec![record(1, 2, false)]);
    let kept = Kept {
        to: 1,
        owner: &owner(),
        names: None,
        began: &master,
        master: &master,
        replica,
        ledger: &Ledger::default(),
    };
    named(Judge::default().ask(|checker| checker.kept(&kept)))
}

/// Two servers in the end, the first with one message.
fn differ(other: ScopeView) -> Option<&'static str> {
    let one = mail(vec![record(1, 2, false)]);
    let mut ledger = removed(&[1]);
    ledger.copies.insert((owner(), guid(1)), 1);
    end([one, other], &[(0, 1, false)], &ledger)
}

fn end(states: [ScopeView; 2], equal: &[(usize, usize, bool)], ledger: &Ledger) -> Option<&'static str> {
    let views = states.into_iter().enumerate();
    let views: Views = views
        .map(|(host, state)| ((host, owner()), Arc::new(state)))
        .collect();
    let end = End {
        views: &views,
        equal,
        hosts: 2,
        restored: &BTreeSet::new(),
        ledger,
    };
    named(Judge::default().ask(|checker| checker.settled(&end)))
}
