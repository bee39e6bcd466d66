//! One case after the other, by hand.

use super::*;

const LOCKED: FailureKind = FailureKind::Locked;
const REFUSED: FailureKind = FailureKind::Refused;

#[test]
fn equal_lines_count_once_and_mailboxes_of_a_user_go_together() {
    let mut queue = queue_of(&[
        "MAILBOX user.a",
        "APPEND user.a",
        "QUOTA user.a",
        "MAILBOX user.a.x",
        "DOUBLEMAILBOX user.a.y user.a",
        "RENAME user.a.r user.a.s",
        "MAILBOX user.a.s",
        "MAILBOX user.b",
    ]);
    assert_eq!(queue.state().queued, 7);
    assert_eq!(
        work_in_turn(&mut queue, 0),
        [
            mailboxes(&["user.a", "user.a.x", "user.a.y", "user.a.r", "user.a.s"]),
            mailboxes(&["user.b"]),
            Work::Quota(Text::from("user.a")),
        ]
    );
    assert_eq!(queue.state(), Default::default());
    assert_eq!(queue.pending_len(), 0);
}

/// [CS-LOG-19]
#[test]
fn what_lies_within_another_entry_goes_into_it() {
    let mut queue = queue_of(&[
        "SEEN a u1",
        "SUB a user.b.x",
        "META a",
        "SEEN a u2",
        "SEEN b u1",
        "USER a",
        "META a",
        "SUB a x",
        "SEEN c u1",
        "USER c",
        "UNUSER c",
        "SEEN c u2",
    ]);
    let mut pending: Vec<Action> = queue.pending().cloned().collect();
    pending.sort();
    let expected = ["SEEN b u1", "SEEN c u2", "USER a", "UNUSER c"].map(action);
    assert_eq!(pending, expected);
    assert_eq!(work_in_turn(&mut queue, 0).len(), 4);
}

#[test]
fn the_oldest_time_of_what_became_one_counts() {
    let mut queue = Queue::new(QueueConfig::default());
    queue.add(9, [entry("SEEN a u", 5), entry("MAILBOX user.b", 7)]);
    queue.add(9, [entry("USER a", 9), entry("MAILBOX user.b", 6)]);
    assert_eq!(queue.state().oldest_logged_at_ms, Some(5));
    let first = queue.next(9).unwrap();
    assert_eq!(queue.state().oldest_logged_at_ms, Some(5));
    let second = queue.next(9).unwrap();
    queue.done(9, first.id, Ok(()));
    queue.done(9, second.id, Ok(()));
    assert_eq!(queue.state().oldest_logged_at_ms, None);
}

#[test]
fn a_user_with_a_thousand_entries_starves_nobody() {
    let mut queue = Queue::new(QueueConfig::default());
    let many = (0..1000).map(|n| entry(&format!("QUOTA user.big.{n}"), 0));
    queue.add(0, many);
    queue.add(0, [entry("MAILBOX user.small", 0), entry("MAILBOX user.tiny", 0)]);
    let works = work_in_turn(&mut queue, 0);
    assert_eq!(works.len(), 1002);
    assert_eq!(works[1], mailboxes(&["user.small"]));
    assert_eq!(works[2], mailboxes(&["user.tiny"]));
}

#[test]
fn groups_are_bounded() {
    let mut queue = Queue::new(QueueConfig::default());
    queue.add(0, (0..600).map(|n| entry(&format!("MAILBOX user.a.{n}"), 0)));
    let sizes: Vec<usize> = work_in_turn(&mut queue, 0)
        .iter()
        .map(|work| match work {
            Work::Mailboxes(names) => names.len(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(sizes, [256, 256, 88]);
}

#[test]
fn many_seen_states_become_one_meta() {
    let mut queue = Queue::new(QueueConfig::default());
    queue.add(0, (0..8).map(|n| entry(&format!("SEEN a u{n}"), 0)));
    assert_eq!(work_in_turn(&mut queue, 0), [Work::Meta(Text::from("a"))]);
    queue.add(0, (0..7).map(|n| entry(&format!("SEEN a u{n}"), 0)));
    assert_eq!(work_in_turn(&mut queue, 0).len(), 7);
}

#[test]
fn what_comes_while_its_scope_is_under_way_is_done_again() {
    let mut queue = queue_of(&["MAILBOX user.a"]);
    let first = queue.next(0).unwrap();
    queue.add(1, [entry("MAILBOX user.a", 1)]);
    assert_eq!(queue.next(1), None);
    queue.done(2, first.id, Ok(()));
    let again = queue.next(2).unwrap();
    assert_eq!(again.work, first.work);
    assert_ne!(again.id, first.id);
    assert_eq!(queue.state().oldest_logged_at_ms, Some(1));
}

#[test]
fn a_move_between_users_holds_both() {
    let mut queue = queue_of(&[
        "QUOTA user.a",
        "RENAME user.a.x user.b.x",
        "MAILBOX user.b.x",
        "MAILBOX user.a.x",
        "MAILBOX user.c",
    ]);
    let begun = tasks(&mut queue, 0);
    let works: Vec<&Work> = begun.iter().map(|task| &task.work).collect();
    assert_eq!(
        works,
        [&Work::Quota(Text::from("user.a")), &mailboxes(&["user.c"])]
    );
    queue.done(0, begun[0].id, Ok(()));
    let rename = tasks(&mut queue, 0);
    assert_eq!(rename.len(), 1);
    assert_eq!(rename[0].work, mailboxes(&["user.a.x", "user.b.x"]));
    queue.add(0, [entry("MAILBOX user.b.y", 0)]);
    assert_eq!(queue.next(0), None);
    queue.done(0, rename[0].id, Ok(()));
    let behind: Vec<Work> = tasks(&mut queue, 0).into_iter().map(|task| task.work).collect();
    assert_eq!(
        behind,
        [mailboxes(&["user.a.x"]), mailboxes(&["user.b.x", "user.b.y"])]
    );
}

#[test]
fn moves_there_and_back_do_not_block_each_other() {
    let mut queue = queue_of(&[
        "RENAME user.a.x user.b.x",
        "RENAME user.b.x user.c.x",
        "RENAME user.c.x user.a.x",
        "RENAME user.b.x user.a.x",
        "RENAME user.a.x user.b.x",
    ]);
    assert_eq!(work_in_turn(&mut queue, 0).len(), 5);
}

/// [CS-LOG-21]
#[test]
fn a_mailbox_that_fails_is_tried_as_its_user_and_proved() {
    let mut queue = queue_of(&["MAILBOX user.a"]);
    let task = queue.next(0).unwrap();
    queue.done(0, task.id, failed(REFUSED));
    let task = queue.next(0).unwrap();
    assert_eq!(task.work, Work::User(Text::from("a")));
    assert_eq!(
        queue.pending().cloned().collect::<Vec<_>>(),
        [action("MAILBOX user.a")]
    );
    queue.done(0, task.id, Ok(()));
    let task = queue.next(0).unwrap();
    assert_eq!(task.work, mailboxes(&["user.a"]));
    queue.done(0, task.id, Ok(()));
    assert_eq!(queue.state(), Default::default());
}

#[test]
fn a_seen_state_becomes_meta_then_user() {
    let mut queue = queue_of(&["SEEN a u"]);
    let mut works = Vec::new();
    while let Some(task) = queue.next(0) {
        queue.done(0, task.id, failed(REFUSED));
        works.push(task.work);
    }
    let user = Text::from("a");
    assert_eq!(works[1..], [Work::Meta(user.clone()), Work::User(user)]);
    assert_eq!(queue.state().deferred, 1);
    assert_eq!(queue.wake_at(), Some(5_000));
}

#[test]
fn seen_states_that_fail_together_are_tried_one_by_one() {
    let mut queue = Queue::new(QueueConfig::default());
    queue.add(0, (0..8).map(|n| entry(&format!("SEEN a u{n}"), 0)));
    let task = queue.next(0).unwrap();
    assert_eq!(task.work, Work::Meta(Text::from("a")));
    queue.done(0, task.id, failed(REFUSED));
    let works = work_in_turn(&mut queue, 0);
    assert_eq!(works.len(), 8);
    assert!(
        works.iter().all(|work| matches!(work, Work::Seen { .. })),
        "{works:?}"
    );
}

#[test]
fn one_bad_mailbox_among_hundreds_is_found_and_the_others_are_done() {
    let mut queue = Queue::new(QueueConfig::default());
    queue.add(0, (0..200).map(|n| entry(&format!("MAILBOX user.a.{n}"), 0)));
    let bad = Text::from("user.a.77");
    let mut users = 0;
    while let Some(task) = queue.next(0) {
        let good = match &task.work {
            Work::Mailboxes(names) => !names.contains(&bad),
            _ => {
                users += 1;
                false
            }
        };
        let outcome = if good { Ok(()) } else { failed(REFUSED) };
        queue.done(0, task.id, outcome);
    }
    assert_eq!(users, 1);
    assert_eq!(
        queue.pending().cloned().collect::<Vec<_>>(),
        [action("MAILBOX user.a.77")]
    );
}

#[test]
fn a_hopeless_entry_is_quarantined_listed_and_tried_seldom() {
    let mut queue = queue_of(&["UNMAILBOX shared.x"]);
    let mut now = 0;
    while queue.state().quarantined == 0 {
        let task = queue.next(now).expect("it is due");
        queue.done(now, task.id, failed(REFUSED));
        now = queue.wake_at().unwrap();
    }
    let found = queue.quarantined().next().unwrap().clone();
    assert_eq!((found.attempts, found.reason.as_str()), (7, "no"));
    assert_eq!(queue.pending().count(), 0);
    assert_eq!(queue.state().oldest_logged_at_ms, None);
    // The same again does not go around the quarantine.
    queue.add(found.since_ms, [entry("UNMAILBOX shared.x", found.since_ms)]);
    assert_eq!(queue.next(found.since_ms), None);
    assert_eq!(queue.wake_at(), Some(found.since_ms + 15 * 60_000));
    // A try that fails leaves it there, and one that succeeds lets it out.
    now = queue.wake_at().unwrap();
    let task = queue.next(now).unwrap();
    queue.done(now, task.id, failed(REFUSED));
    assert_eq!(queue.quarantined().next().unwrap().attempts, 8);
    assert_eq!(queue.wake_at(), Some(now + 60 * 60_000));
    // Something else of the scope succeeds.
    queue.add(now, [entry("QUOTA shared", now)]);
    let other = queue.next(now).unwrap();
    queue.done(now, other.id, Ok(()));
    now = queue.wake_at().unwrap();
    let task = queue.next(now).unwrap();
    queue.add(now, [entry("UNMAILBOX shared.x", now)]);
    queue.done(now, task.id, Ok(()));
    assert_eq!(queue.state().quarantined, 0);
    assert_eq!(
        queue.state().queued,
        1,
        "logged while the try was under way: once more"
    );
}

/// [CS-LOG-31]
#[test]
fn a_try_that_has_to_be_proved_is_waiting_when_its_connection_is_lost() {
    let mut queue = queue_of(&["MAILBOX user.a"]);
    let mut now = 0;
    while queue.state().quarantined == 0 {
        let task = queue.next(now).expect("it is due");
        queue.done(now, task.id, failed(REFUSED));
        if queue.state().queued == 0 {
            now = queue.wake_at().unwrap();
        }
    }
    now = queue.wake_at().unwrap();
    let task = queue.next(now).unwrap();
    queue.done(now, task.id, failed(REFUSED));
    let user = queue.next(now).unwrap();
    assert_eq!(user.work, Work::User(Text::from("a")));
    queue.done(now, user.id, Ok(()));
    let state = queue.state();
    assert_eq!(
        (state.queued, state.probes, state.quarantined),
        (0, 1, 1),
        "somebody has to connect for it"
    );
    assert_eq!(work_in_turn(&mut queue, now), [mailboxes(&["user.a"])]);
    let state = queue.state();
    assert_eq!((state.probes, state.quarantined), (0, 0));
}

#[test]
fn released_entries_are_as_new_and_restored_ones_wait() {
    let mut queue = queue_of(&["UNUSER a"]);
    queue.config.quarantine_after_ms = 0;
    queue.config.attempts_max = 1;
    let task = queue.next(0).unwrap();
    queue.done(0, task.id, failed(FailureKind::Local));
    let kept: Vec<_> = queue.quarantined().cloned().collect();
    let mut other = Queue::new(QueueConfig::default());
    other.restore(kept.clone());
    other.add(0, [entry("UNUSER a", 0)]);
    assert_eq!(other.next(0), None);
    assert_eq!(other.release(0, Some(&action("UNUSER b"))), 0);
    assert_eq!(other.release(0, Some(&action("UNUSER a"))), 1);
    assert_eq!(other.next(0).unwrap().work, Work::Unuser(Text::from("a")));
    assert_eq!(queue.release(0, None), 1);
    assert_eq!(queue.state().quarantined, 0);
}

/// [CS-LOG-23]
#[test]
fn a_lock_holds_one_scope_and_is_no_failure() {
    let mut queue = queue_of(&["MAILBOX user.a", "QUOTA user.a", "MAILBOX user.b"]);
    let mut now = 0;
    for round in 0..50 {
        let task = queue.next(now).unwrap();
        assert_eq!(task.work, mailboxes(&["user.a"]), "round {round}");
        queue.done(now, task.id, failed(LOCKED));
        if round == 0 {
            assert_eq!(queue.state().deferred, 2);
            assert_eq!(queue.next(now).unwrap().work, mailboxes(&["user.b"]));
        }
        assert_eq!(queue.next(now), None);
        let wake = queue.wake_at().unwrap();
        assert!(wake - now <= 15_000);
        now = wake;
    }
    assert_eq!(queue.state().quarantined, 0);
}

#[test]
fn a_lost_connection_is_nobodys_fault() {
    let mut queue = queue_of(&["MAILBOX user.a", "SEEN b u"]);
    for _ in 0..100 {
        let begun = tasks(&mut queue, 0);
        assert_eq!(begun.len(), 2);
        for task in begun {
            queue.lost(0, task.id);
        }
    }
    assert_eq!((queue.state().queued, queue.wake_at()), (2, None));
    queue.lost(0, crate::master::TaskId(9999));
    queue.done(0, crate::master::TaskId(9999), Ok(()));
    assert_eq!(work_in_turn(&mut queue, 0).len(), 2);
}

#[test]
fn what_has_failed_takes_nothing_with_it() {
    let mut queue = queue_of(&["USER a"]);
    let task = queue.next(0).unwrap();
    queue.done(0, task.id, failed(REFUSED));
    queue.add(1, [entry("SEEN a u", 1)]);
    assert_eq!(queue.state().queued, 1);
    assert!(matches!(queue.next(1).unwrap().work, Work::Seen { .. }));
}

/// [CS-LOG-41]
#[test]
fn a_mailbox_that_comes_and_goes_waits_longer_each_time_and_its_deletion_never() {
    let mut queue = Queue::new(QueueConfig::default());
    let mut waited = Vec::new();
    let mut now = 0;
    for _ in 0..5 {
        queue.add(now, [entry("UNMAILBOX user.a.x", now)]);
        assert_eq!(
            work_in_turn(&mut queue, now),
            [Work::Unmailbox(Text::from("user.a.x"))]
        );
        // Others of the user do not wait for it.
        queue.add(
            now,
            [entry("MAILBOX user.a.x", now), entry("MAILBOX user.a.y", now)],
        );
        let began = now;
        let mut works = work_in_turn(&mut queue, now);
        while let Some(wake) = queue.wake_at() {
            now = wake;
            works.extend(work_in_turn(&mut queue, now));
        }
        let all: Vec<&Work> = works.iter().collect();
        assert!(all.len() <= 2, "{all:?}");
        waited.push(now - began);
    }
    assert_eq!(waited, [0, 1_000, 2_000, 4_000, 8_000]);
    // After a while of rest it is a mailbox as any other.
    now += 5 * 60_000;
    queue.add(
        now,
        [entry("UNMAILBOX user.a.x", now), entry("MAILBOX user.a.x", now)],
    );
    assert_eq!(work_in_turn(&mut queue, now).len(), 2);
}

/// [CS-LOG-41]
#[test]
fn a_making_that_waits_for_its_turn_is_held_back_too() {
    let mut queue = queue_of(&["UNMAILBOX user.a.x", "MAILBOX user.a.x"]);
    queue.add(0, [entry("UNMAILBOX user.a.x", 0), entry("MAILBOX user.a.x", 0)]);
    assert_eq!(
        work_in_turn(&mut queue, 0),
        [Work::Unmailbox(Text::from("user.a.x"))]
    );
    assert_eq!(queue.state().deferred, 1);
    assert_eq!(work_in_turn(&mut queue, 1_000), [mailboxes(&["user.a.x"])]);
    assert_eq!(queue.state(), Default::default());
}

/// [CS-LOG-41]
#[test]
fn of_renames_to_and_fro_the_one_to_the_later_name_waits() {
    let mut queue = Queue::new(QueueConfig::default());
    let (to, fro) = ("RENAME user.a.x user.a.y", "RENAME user.a.y user.a.x");
    let names = |queue: &mut Queue, line: &str, now: u64| {
        let lines = [line, "MAILBOX user.a.x", "MAILBOX user.a.y"];
        queue.add(now, lines.map(|line| entry(line, now)));
        work_in_turn(queue, now).len()
    };
    // People rename to and fro as well.
    assert_eq!(names(&mut queue, to, 0), 1);
    assert_eq!(names(&mut queue, fro, 10), 1);
    assert_eq!(names(&mut queue, to, 20), 0, "it waits");
    assert_eq!(queue.wake_at(), Some(2_020));
    assert_eq!(names(&mut queue, fro, 30), 1, "this one does not");
    let later = work_in_turn(&mut queue, 2_020);
    assert_eq!(later, [mailboxes(&["user.a.x", "user.a.y"])]);
    assert_eq!(queue.state(), Default::default());
}
