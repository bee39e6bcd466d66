//! What the storage tickets promise, shown on both stores by the same tests.

#[path = "../common/mod.rs"]
mod common;
mod mailboxes;
mod messages;
mod meta;
mod records;
mod transactions;

use std::time::Duration;

use common::{Client, Weary};
use store::memory::MemoryStore;
use store::sqlite::{Options, SqliteStore};

/// A store under test, and what keeps it alive.
struct Bench {
    open: Box<dyn Fn() -> Client>,
    _dir: Option<tempfile::TempDir>,
}

impl Bench {
    fn client(&self) -> Client {
        (self.open)()
    }
}

fn memory() -> Bench {
    let store = MemoryStore::new();
    Bench {
        open: Box::new(move || Client(Box::new(store.session()))),
        _dir: None,
    }
}

fn sqlite() -> Bench {
    sqlite_with(|store| Client(Box::new(store.session())))
}

fn weary_sqlite() -> Bench {
    sqlite_with(|store| Client(Box::new(Weary(Box::new(store.session())))))
}

fn sqlite_with(open: fn(&SqliteStore) -> Client) -> Bench {
    let dir = tempfile::tempdir().expect("temporary directory");
    let options = Options {
        busy_timeout: Duration::from_millis(20),
        staging_bytes: 100_000,
        connections: 2,
        ..Options::default()
    };
    let store = SqliteStore::open(dir.path(), options).expect("opens");
    Bench {
        open: Box::new(move || open(&store)),
        _dir: Some(dir),
    }
}

/// Each test runs on a fresh store of either kind, and on one whose sessions rest between requests.
macro_rules! on_each {
    ($($part:ident: $($name:ident)*;)*) => {
        mod on_memory { $($(#[test] fn $name() { super::$part::$name(&super::memory()); })*)* }
        mod on_sqlite { $($(#[test] fn $name() { super::$part::$name(&super::sqlite()); })*)* }
        mod on_weary_sqlite { $($(#[test] fn $name() { super::$part::$name(&super::weary_sqlite()); })*)* }
    };
}

const INBOX: &str = "user.jane";

on_each! {
    mailboxes:
        an_empty_store_answers
        mailboxes_come_back_whole
        users_mailboxes_come_in_order
        names_and_identities_find_mailboxes
        users_are_those_with_an_inbox
        placeholders_give_way_and_mailboxes_do_not
        renaming_frees_the_name
        a_removed_mailbox_leaves_its_tombstone
        expiry_takes_what_is_old_and_deleted_only
        moving_a_mailbox_between_scopes
        moves_that_cannot_be
        a_move_can_be_repeated;
    records:
        records_come_back_whole
        changed_uids_follow_the_modseq
        selections_of_records
        a_live_record_needs_its_message
        an_expunged_record_takes_a_message_when_there_is_one
        messages_go_with_their_last_record
        replacing_a_record_changes_its_message
        equal_messages_are_one;
    messages:
        large_messages_are_read_in_parts
        batches_of_messages_stop_at_the_limit
        staged_messages_can_be_read_and_forgotten
        refused_messages_are_reported
        reserve_finds_messages_of_other_scopes
        reserved_messages_may_vanish;
    transactions:
        nobody_sees_an_open_transaction
        savepoints_go_back_only_so_far
        keywords_of_an_undone_change_are_forgotten
        a_failed_write_takes_no_commit
        one_writer_a_scope
        a_held_read_does_not_move
        changes_stay_in_their_scope
        requests_out_of_order
        a_dropped_session_lets_go;
    meta:
        what_belongs_to_a_user_comes_back
        scripts_and_their_activation
        removing_a_user_keeps_the_deleted_mailboxes
        server_annotations_live_in_the_shared_scope;
}
