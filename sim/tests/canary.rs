//! Every rule of the judge can be broken: a planted violation of each is found by the rule it breaks, and by no other.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::{Flags, Guid, Record, SystemFlags, Text};
use sim::judge::{Broken, Commit, End, Judge, Kept, Ledger, MailboxView, ScopeView, Views};

fn record(uid: u32, modseq: u64, expunged: bool) -> Record {
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
        guid: Guid::from_bytes([uid as u8; 20]),
        annotations: Vec::new(),
    }
}

/// A mailbox whose CRCs are right.
fn mailbox(records: Vec<Record>) -> MailboxView {
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

fn scope(mailbox: MailboxView) -> ScopeView {
    ScopeView {
        mailboxes: BTreeMap::from([(Text::from("id"), mailbox)]),
        subscriptions: Vec::new(),
    }
}

fn commits(states: &[ScopeView], ledger: &Ledger) -> Result<(), Broken> {
    let mut judge = Judge::default();
    let owner = Text::from("hot");
    let views = Views::new();
    for pair in states.windows(2) {
        let commit = Commit {
            host: 0,
            owner: &owner,
            before: &pair[0],
            after: &pair[1],
            views: &views,
            ledger,
        };
        judge.ask(|checker| checker.committed(&commit))?;
    }
    Ok(())
}

fn rule_of(states: &[ScopeView]) -> Option<&'static str> {
    commits(states, &Ledger::default())
        .err()
        .map(|broken| broken.rule)
}

#[test]
fn an_honest_history_breaks_nothing() {
    let mut ledger = Ledger::default();
    ledger
        .removed
        .insert((Text::from("hot"), Guid::from_bytes([1; 20])));
    let states = [
        ScopeView::default(),
        scope(mailbox(vec![record(1, 2, false)])),
        scope(mailbox(vec![record(1, 2, false), record(2, 3, false)])),
        scope(mailbox(vec![record(1, 4, true), record(2, 3, false)])),
    ];
    assert_eq!(commits(&states, &ledger), Ok(()));
}

#[test]
fn a_lost_message_is_seen() {
    let full = scope(mailbox(vec![record(1, 2, false), record(2, 3, false)]));
    let expunged = scope(mailbox(vec![record(1, 4, true), record(2, 3, false)]));
    assert_eq!(rule_of(&[full.clone(), expunged]), Some("nothing is lost"));
    assert_eq!(rule_of(&[full, ScopeView::default()]), Some("nothing is lost"));
}

#[test]
fn a_uid_with_two_messages_is_seen() {
    let mut other = record(1, 3, false);
    other.guid = Guid::from_bytes([9; 20]);
    let mut ledger = Ledger::default();
    ledger
        .removed
        .insert((Text::from("hot"), Guid::from_bytes([1; 20])));
    let states = [
        ScopeView::default(),
        scope(mailbox(vec![record(1, 2, false)])),
        scope(mailbox(vec![other])),
    ];
    let broken = commits(&states, &ledger).expect_err("one UID, two messages");
    assert_eq!(broken.rule, "a UID names one message");
    let mut high = mailbox(vec![record(5, 2, false)]);
    high.last_uid = 4;
    assert_eq!(
        rule_of(&[ScopeView::default(), scope(high)]),
        Some("a UID names one message")
    );
}

#[test]
fn a_message_that_comes_back_is_seen() {
    let states = [
        ScopeView::default(),
        scope(mailbox(vec![record(1, 2, true)])),
        scope(mailbox(vec![record(1, 3, false)])),
    ];
    assert_eq!(rule_of(&states), Some("what was expunged stays so"));
}

#[test]
fn a_modseq_that_goes_back_is_seen() {
    let before = scope(mailbox(vec![record(1, 5, false), record(2, 6, false)]));
    let record_back = scope(mailbox(vec![record(1, 4, false), record(2, 6, false)]));
    let mailbox_back = scope(mailbox(vec![record(1, 5, false), record(2, 5, false)]));
    assert_eq!(
        rule_of(&[before.clone(), record_back]),
        Some("modseqs never go back")
    );
    assert_eq!(rule_of(&[before, mailbox_back]), Some("modseqs never go back"));
}

#[test]
fn a_wrong_crc_is_seen() {
    for wrong in [(1, 0), (0, 1)] {
        let mut bad = mailbox(vec![record(1, 2, false)]);
        bad.crc = (bad.crc.0 ^ wrong.0, bad.crc.1 ^ wrong.1);
        let states = [ScopeView::default(), scope(bad)];
        assert_eq!(rule_of(&states), Some("the CRCs are those of the records"));
    }
}

#[test]
fn a_crash_that_changes_something_is_seen() {
    let before = scope(mailbox(vec![record(1, 2, false)]));
    let after = ScopeView::default();
    let broken = Judge::default().ask(|checker| checker.restarted(&before, &after));
    let rule = broken.expect_err("mail went away").rule;
    assert_eq!(rule, "a crash changes nothing that was committed");
}

#[test]
fn a_reader_who_sees_half_is_seen() {
    let committed = scope(mailbox(vec![record(1, 2, false)]));
    let half = scope(mailbox(vec![record(1, 2, false), record(2, 3, false)]));
    let broken = Judge::default().ask(|checker| checker.read(&committed, &half));
    assert_eq!(broken.expect_err("staged").rule, "readers see whole transactions");
}

#[test]
fn an_ok_without_its_message_is_seen() {
    let master = scope(mailbox(vec![record(1, 2, false)]));
    let replica = scope(mailbox(Vec::new()));
    let owner = Text::from("hot");
    let kept = Kept {
        to: 1,
        owner: &owner,
        names: None,
        began: &master,
        master: &master,
        replica: &replica,
        ledger: &Ledger::default(),
    };
    let broken = Judge::default().ask(|checker| checker.kept(&kept));
    assert_eq!(
        broken.expect_err("not there").rule,
        "what was said to be done is there"
    );
}

#[test]
fn servers_that_differ_in_the_end_are_seen() {
    let owner = Text::from("hot");
    let mut flagged = record(1, 2, false);
    flagged.flags.system = SystemFlags::FLAGGED;
    let views = Views::from([
        (
            (0, owner.clone()),
            Arc::new(scope(mailbox(vec![record(1, 2, false)]))),
        ),
        ((1, owner.clone()), Arc::new(scope(mailbox(vec![flagged])))),
    ]);
    let mut ledger = Ledger::default();
    let broken = |ledger: &Ledger, equal: &[(usize, usize, bool)]| {
        let end = End {
            views: &views,
            equal,
            hosts: 2,
            restored: &std::collections::BTreeSet::new(),
            ledger,
        };
        Judge::default()
            .ask(|checker| checker.settled(&end))
            .err()
            .map(|broken| broken.rule)
    };
    assert_eq!(
        broken(&ledger, &[(0, 1, false)]),
        Some("in the end all are equal")
    );
    assert_eq!(broken(&ledger, &[]), None);
    ledger.added.insert((owner, Guid::from_bytes([7; 20])));
    assert_eq!(broken(&ledger, &[]), Some("nothing is lost"));
}

#[test]
fn every_rule_is_broken_by_a_canary() {
    let source = include_str!("canary.rs");
    for rule in Judge::default().rules() {
        assert!(
            source.contains(&format!("\"{rule}\"")),
            "no canary breaks `{rule}`"
        );
    }
}
