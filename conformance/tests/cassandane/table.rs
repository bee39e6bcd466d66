//! docs/CASSANDANE.md answers each case once, by tests that exist. Needs no Cyrus.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The cases that the folder names.
const CASES: [&str; 53] = [
    "alternate_globalannots",
    "append",
    "appendmulti_diskfull",
    "appendone_diskfull",
    "clean_remote_shutdown_while_rolling",
    "connect_once",
    "delete_longname",
    "full_rename",
    "intermediate_rename",
    "intermediate_upgrade",
    "mailbox_parent_missing_refused",
    "mboxgroups",
    "rename_create_resync",
    "rename_move_resync",
    "rename_old_synccache",
    "rename_user_subscriptions",
    "replication_mailbox_new_enough",
    "replication_mailbox_too_old",
    "replication_repair_zero_msgs",
    "replication_with_modified_seen_flag",
    "reset_on_master",
    "rolling_retry_wait_limit",
    "shared_folder",
    "sieve_replication",
    "sieve_replication_delete_unactivate",
    "sieve_replication_delete_unactivate_unixhs",
    "sieve_replication_different",
    "sieve_replication_different_unixhs",
    "sieve_replication_exists",
    "sieve_replication_exists_unixhs",
    "sieve_replication_stale",
    "sieve_replication_stale_unixhs",
    "sieve_replication_unixhs",
    "splitbrain",
    "splitbrain_bothexpunge",
    "splitbrain_different_uniqueid_nonempty",
    "splitbrain_different_uniqueid_unused",
    "splitbrain_different_uniqueid_used",
    "splitbrain_mailbox",
    "splitbrain_masterexpunge",
    "splitbrain_replicaexpunge",
    "stale_synccache_replica_user_gone",
    "subscriptions",
    "subscriptions_unixhs",
    "sync_empty_file",
    "sync_log_mailbox_with_spaces",
    "syncall_failinguser",
    "synccache_rolling_only",
    "synccache_skipped_for_user",
    "toarchive",
    "toarchive_noarchive",
    "userflags",
    "userprefix",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The file and the function that a quoted word names, if it names a test.
fn test_of(word: &str) -> Option<(String, &str)> {
    if let Some((file, name)) = word.split_once(".rs: ") {
        return Some((format!("{file}.rs"), name));
    }
    let (module, name) = word.split_once("::")?;
    Some((format!("conformance/tests/cassandane/{module}.rs"), name))
}

/// Whether the text defines a test of this name: an attribute `test` stands before it, or it is inside of `proptest!`.
fn defines(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().collect();
    let head = format!("fn {name}(");
    let Some(at) = lines.iter().position(|line| line.trim_start().starts_with(&head)) else {
        return false;
    };
    let attributes = lines[..at]
        .iter()
        .rev()
        .take_while(|line| line.trim_start().starts_with(['#', '/']));
    attributes.into_iter().any(|line| line.trim() == "#[test]")
}

/// The rows of all tables, as the first cell's word and the other cells.
fn rows(page: &str) -> Vec<(String, Vec<String>)> {
    let cells = |line: &str| -> Vec<String> {
        let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
        inner.split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    page.lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let mut cells = cells(line);
            let name = cells.remove(0).trim_matches('`').to_owned();
            (name, cells)
        })
        .collect()
}

/// What is wrong with a page; `read` gives a file of the tree.
fn faults(page: &str, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (name, cells) in rows(page) {
        *seen.entry(name.clone()).or_default() += 1;
        let [about, tests, here] = cells.as_slice() else {
            faults.push(format!("{name}: {} cells", cells.len()));
            continue;
        };
        if about.len() < 15 || here.is_empty() {
            faults.push(format!("{name}: says too little"));
        }
        if !quoted(tests).any(|word| test_of(word).is_some()) {
            faults.push(format!("{name}: names no test"));
        }
    }
    let known: BTreeSet<&str> = CASES.into();
    faults.extend(
        known
            .iter()
            .filter(|name| !seen.contains_key(**name))
            .map(|name| format!("{name} is not answered")),
    );
    faults.extend(
        seen.iter()
            .filter(|(name, _)| !known.contains(name.as_str()))
            .map(|(name, _)| format!("{name} is no case")),
    );
    faults.extend(
        seen.iter()
            .filter(|(_, times)| **times > 1)
            .map(|(name, _)| format!("{name} is answered twice")),
    );
    for (file, test) in quoted(page).filter_map(test_of) {
        let text = read(&file);
        if !text.is_some_and(|text| defines(&text, test)) {
            faults.push(format!("{file} has no test {test}"));
        }
    }
    faults
}

#[test]
fn every_case_is_answered_once() {
    let page = std::fs::read_to_string(root().join("docs/CASSANDANE.md")).expect("the page");
    let read = |file: &str| std::fs::read_to_string(root().join(file)).ok();
    assert_eq!(faults(&page, read), Vec::<String>::new());
    assert_eq!(rows(&page).len(), CASES.len());
}

#[test]
fn what_is_wrong_with_a_page_is_noticed() {
    let page = std::fs::read_to_string(root().join("docs/CASSANDANE.md")).expect("the page");
    let read = |file: &str| std::fs::read_to_string(root().join(file)).ok();
    let noticed = |page: &str, what: &str| {
        let found = faults(page, read);
        assert!(
            found.iter().any(|fault| fault.contains(what)),
            "{what}: {found:?}"
        );
    };
    noticed(
        &page.replace("| `userprefix` ", "| `userprefixes` "),
        "userprefix is not answered",
    );
    noticed(
        &page.replace("| `userprefix` ", "| `userprefixes` "),
        "userprefixes is no case",
    );
    noticed(
        &page.replace("| `userprefix` ", "| `append` "),
        "append is answered twice",
    );
    noticed(
        &page.replace("names::the_longest", "names::the_shortest"),
        "no test the_shortest",
    );
    noticed(
        &page.replace("names::the_longest", "nothing::the_longest"),
        "nothing.rs has no test",
    );
    noticed(
        &page.replace("`names::users_whose_names_begin_alike`", "none"),
        "userprefix: names no test",
    );
}
