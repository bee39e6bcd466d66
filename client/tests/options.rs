//! Options of `sync_client` by what they do, one after the other: `docs/OPTIONS.md` names these tests. [CS-LOG-28]

#[allow(dead_code, reason = "shared with tests that need more of it")]
mod twin;

use std::fs;
use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use engine::name::Scope;
use engine::ticket::{Change, Reply, Request, Select, Session};
use protocol::Text;
use rustix::process::{Pid, Signal};
use store::sqlite::SqliteStore;
use twin::{Master, PASSWORD, Replica, process_of, show, wait};

/// Partition of a user's first mailbox.
fn partition(store: &SqliteStore, user: &str) -> String {
    let request = Request::Mailboxes(Select::User(Text::from(user)));
    match store.session().execute(request) {
        Ok(Reply::Mailboxes(mailboxes)) => mailboxes[0].partition.to_string(),
        other => panic!("mailboxes: {other:?}"),
    }
}

fn succeeds(master: &Master, arguments: &[&str]) -> (String, String) {
    let (code, out, said) = master.run(arguments);
    assert_eq!(code, Some(0), "{arguments:?}: {said}");
    (out, said)
}

#[test]
fn the_server_that_is_named_comes_before_the_configurations() {
    let replica = Replica::start();
    let login = format!("sync_authname: repl\nsync_password: {PASSWORD}\n");
    let mut master = Master::new(&format!("sync_host: /nowhere/socket\nsync_port: 1\n{login}"));
    let socket = replica.socket().display().to_string();
    for server in [&socket, &replica.tcp] {
        master.deliver("jane", &format!("to {server}"));
        succeeds(&master, &["-S", server, "-u", "jane"]);
        master.wait_equal(&replica, &["jane"]);
    }
    let port = replica.tcp.rsplit_once(':').expect("a port").1;
    master.configure(&format!("sync_host: /nowhere/socket\nsync_port: {port}\n{login}"));
    master.deliver("jane", "to a host whose port the configuration has");
    succeeds(&master, &["jane", "-u", "--server", "127.0.0.1"]);
    master.wait_equal(&replica, &["jane"]);
    assert_eq!(master.run(&["-u", "jane"]).0, Some(75));
}

#[test]
fn what_is_asked_for_is_replicated_and_no_more() {
    let replica = Replica::start();
    let mut master = Master::of(&replica);
    for user in ["jane", "janet", "bob"] {
        master.deliver(user, "one");
    }
    let there = |user: &str| !show(&replica.store(), user).is_empty();
    succeeds(&master, &["-u", "jane"]);
    assert_eq!(
        [there("jane"), there("janet"), there("bob")],
        [true, false, false]
    );
    succeeds(&master, &["-A", "jan"]);
    assert_eq!([there("janet"), there("bob")], [true, false]);
    succeeds(&master, &["bob", "--sieve-mode"]);
    assert!(!there("bob"), "no mailbox goes with -s");
    succeeds(&master, &["--mailboxes", "user/bob"]);
    assert!(there("bob"));
    master.deliver("jane", "two");
    master.deliver("janet", "two");
    succeeds(&master, &["--all-users"]);
    master.wait_equal(&replica, &["jane", "janet", "bob"]);
}

#[test]
fn names_come_from_a_file_or_from_standard_input() {
    let replica = Replica::start();
    let mut master = Master::of(&replica);
    for user in ["jane", "omar", "bob"] {
        master.deliver(user, "one");
    }
    fs::write(master.path("names"), "# who\njane\n\nomar\r\n").expect("a file");
    let file = master.path("names").display().to_string();
    succeeds(&master, &["-u", "-f", &file]);
    master.wait_equal(&replica, &["jane", "omar"]);
    assert_eq!(show(&replica.store(), "bob"), "");
    let mut command = master.command(&["-m", "--input-file", "-"]);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("starts");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(b"user.bob\n").expect("written");
    drop(stdin);
    assert_eq!(child.wait().expect("ends").code(), Some(0));
    master.wait_equal(&replica, &["bob"]);
}

#[test]
fn mailboxes_go_to_the_partition_that_is_named() {
    let replica =
        Replica::with("partition-default: /nowhere\npartition-slow: /nowhere\ndefaultpartition: default\n");
    let mut master = Master::of(&replica);
    master.deliver("jane", "one");
    master.deliver("bob", "one");
    succeeds(&master, &["-p", "slow", "-u", "jane"]);
    succeeds(&master, &["-u", "bob"]);
    let store = replica.store();
    assert_eq!(
        (partition(&store, "jane"), partition(&store, "bob")),
        ("slow".to_owned(), "default".to_owned())
    );
    assert_eq!(partition(&master.store, "jane"), "default");
    succeeds(&master, &["--dest-partition", "slow", "-A"]);
    assert_eq!(
        partition(&replica.store(), "bob"),
        "slow",
        "what is there already moves"
    );
    let (code, _, said) = master.run(&["-p", "nowhere", "-A"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("unknown partition nowhere"), "{said}");
    assert_eq!(partition(&replica.store(), "jane"), "slow");
}

#[test]
fn compression_that_is_required_is_had_or_there_is_no_run() {
    let plain = Replica::with("mailtwin_compress: no\n");
    let mut master = Master::of(&plain);
    master.deliver("jane", "one");
    let (code, _, said) = master.run(&["-z", "-u", "jane"]);
    assert_eq!(code, Some(69), "{said}");
    assert!(said.contains("no compression"), "{said}");
    assert_eq!(show(&plain.store(), "jane"), "");
    succeeds(&master, &["-u", "jane"]);

    let deflating = Replica::start();
    let mut master = Master::of(&deflating);
    master.deliver("jane", "one");
    let (_, said) = succeeds(&master, &["-v", "-v", "--require-compression", "-u", "jane"]);
    assert!(said.contains("COMPRESS DEFLATE"), "{said}");
    master.wait_equal(&deflating, &["jane"]);
}

#[test]
fn the_protocol_is_shown_without_passwords_and_only_when_asked_for_twice() {
    let replica = Replica::start();
    let mut master = Master::new(&format!(
        "sync_host: {}\nsync_authname: repl\nsync_password: {PASSWORD}\nforce_sasl_client_mech: PLAIN\n",
        replica.tcp
    ));
    master.deliver("jane", "a body that is nobody's business");
    let (_, once) = succeeds(&master, &["-v", "-u", "jane"]);
    assert!(!once.is_empty() && !once.contains("APPLY MAILBOX"), "{once}");
    master.deliver("jane", "another body that is nobody's business");
    let (_, twice) = succeeds(&master, &["-vv", "-u", "jane"]);
    for line in [
        "AUTHENTICATE PLAIN",
        "APPLY MESSAGE",
        "APPLY MAILBOX",
        "OK success",
    ] {
        assert!(twice.contains(line), "{line} is not in {twice}");
    }
    assert!(
        twice.lines().any(|line| line.starts_with('>')) && twice.lines().any(|line| line.starts_with('<')),
        "{twice}"
    );
    // What PLAIN sends for repl and pencil, and what the password is.
    for secret in [PASSWORD, "AHJlcGwAcGVuY2ls", "nobody's business"] {
        assert!(!twice.contains(secret), "{twice}");
    }
}

#[test]
fn local_commands_are_sent_when_asked_for() {
    let replica = Replica::start();
    let mut master = Master::of(&replica);
    master.deliver("jane", "one");
    let (_, said) = succeeds(&master, &["-vv", "-L", "-u", "jane"]);
    assert!(
        said.contains("APPLY LOCAL_MAILBOX") && !said.contains("APPLY MAILBOX"),
        "{said}"
    );
    master.wait_equal(&replica, &["jane"]);
}

#[test]
fn the_archive_is_asked_for_where_the_replica_has_one() {
    let replica = Replica::start();
    let mut master = Master::of(&replica);
    master.deliver("jane", "one");
    let (_, said) = succeeds(&master, &["-a", "-u", "jane"]);
    assert!(said.contains("archive"), "it is told that there is none: {said}");
    master.wait_equal(&replica, &["jane"]);
    let (_, said) = succeeds(&master, &["-u", "jane"]);
    assert!(!said.contains("archive"), "{said}");
}

/// Two masters of one mailbox: the second has not what the first one sent.
fn two_masters(replica: &Replica) -> Master {
    let mut first = Master::of(replica);
    first.deliver("jane", "only the first one has this");
    succeeds(&first, &["-u", "jane"]);
    let mut second = Master::of(replica);
    second.deliver("jane", "only the second one has this");
    second
}

#[test]
fn nothing_comes_back_when_that_is_forbidden() {
    let replica = Replica::start();
    let master = two_masters(&replica);
    let before = show(&master.store, "jane");
    let _ = master.run(&["-O", "-u", "jane"]);
    assert_eq!(show(&master.store, "jane"), before);
    let _ = master.run(&["--no-copyback", "-A"]);
    assert_eq!(show(&master.store, "jane"), before);

    let replica = Replica::start();
    let master = two_masters(&replica);
    let before = show(&master.store, "jane");
    succeeds(&master, &["-u", "jane"]);
    assert_ne!(
        show(&master.store, "jane"),
        before,
        "without -O the mail of both is united"
    );
    master.wait_equal(&replica, &["jane"]);
}

#[test]
fn locked_users_are_not_waited_for_when_that_is_said() {
    let replica = Replica::start();
    let mut master = two_masters(&replica);
    master.deliver("bob", "one");
    let mut writer = master.store.session();
    let scope = Scope::User(Text::from("jane"));
    writer.execute(Request::Begin { scope }).expect("begin");
    writer
        .execute(Request::Write(Vec::<Change>::new()))
        .expect("the lock is held");
    let (code, _, said) = master.run(&["-N", "-u", "jane", "bob"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("jane"), "{said}");
    assert_ne!(
        show(&replica.store(), "bob"),
        "",
        "who is not locked is replicated"
    );
    writer.execute(Request::Rollback).expect("the lock is given up");
    succeeds(&master, &["--skip-locked", "-u", "jane"]);
    master.wait_equal(&replica, &["jane"]);
}

/// [CS-MBOX-15] [CS-EXC-35]
#[test]
fn of_all_users_a_locked_one_is_told_of_and_the_others_are_done() {
    let replica = Replica::start();
    let mut master = Master::of(&replica);
    let users = ["ann", "jane", "zoe"];
    users.iter().for_each(|user| master.deliver(user, "one"));
    let there = replica.store();
    let mut writer = there.session();
    let scope = Scope::User(Text::from("jane"));
    writer.execute(Request::Begin { scope }).expect("begin");
    // The replica waits for the lock as long as it waits for any, and then goes on with the others.
    let (code, out, said) = master.run(&["-A"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("sync_client: jane: ")
            && said.contains("IMAP_MAILBOX_LOCKED")
            && said.contains("try again later"),
        "{said}"
    );
    assert!(!said.contains("ann") && !said.contains("zoe"), "{said}");
    assert!(out.starts_with("users 3, mailboxes 3 (3 sent)"), "{out}");
    master.wait_equal(&replica, &["ann", "zoe"]);
    writer.execute(Request::Rollback).expect("the lock is given up");
    succeeds(&master, &["-A"]);
    master.wait_equal(&replica, &users);
}

#[test]
fn a_dry_run_shows_what_would_be_done_and_programs_can_read_it() {
    let replica = Replica::start();
    let mut master = Master::of(&replica);
    master.deliver("jane", "one");
    let (out, said) = succeeds(&master, &["--dry-run", "-u", "jane"]);
    assert!(out.contains("user.jane"), "{out}{said}");
    assert_eq!(show(&replica.store(), "jane"), "");
    let (out, _) = succeeds(&master, &["--dry-run", "--json", "-A"]);
    let parsed: Vec<serde_json::Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    assert!(parsed.len() >= 2, "a step and a summary: {out}");
    assert_eq!(show(&replica.store(), "jane"), "");
    let (out, _) = succeeds(&master, &["--json", "-u", "jane"]);
    let last: serde_json::Value = serde_json::from_str(out.lines().last().expect("a summary")).expect(&out);
    assert!(last.is_object(), "{out}");
    master.wait_equal(&replica, &["jane"]);
}

#[test]
fn it_waits_before_it_begins() {
    let replica = Replica::start();
    let mut master = Master::of(&replica);
    master.deliver("jane", "one");
    let started = Instant::now();
    succeeds(&master, &["-w", "1", "-u", "jane"]);
    assert!(started.elapsed() >= Duration::from_secs(1));
    let started = Instant::now();
    succeeds(&master, &["--delayed-startup", "1s", "-R", "-1"]);
    assert!(started.elapsed() >= Duration::from_secs(1));
}

#[test]
fn between_two_looks_at_the_log_is_the_delay() {
    let replica = Replica::start();
    let mut master = Master::of(&replica);
    let daemon = master.daemon(&["-d", "1h"]);
    wait("the first look", || {
        master.path("sync/mailtwin-status.json").exists()
    });
    master.deliver("jane", "one");
    master.log(&["jane"]);
    // Without -d the log is looked at within milliseconds.
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(master.read("sync/log"), "MAILBOX user.jane\n");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().0, Some(0));
    assert_eq!(show(&replica.store(), "jane"), "");
    assert_eq!(master.run(&["-R", "-1", "--delay", "1"]).0, Some(0));
    master.wait_equal(&replica, &["jane"]);
}

#[test]
fn the_process_is_noted_where_it_is_said() {
    let replica = Replica::start();
    let master = Master::of(&replica);
    let file = master.path("pid");
    let mut child = master
        .command(&["-R", "--pidfile", &file.display().to_string()])
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    wait("the file", || process_of(&file) == Some(Pid::from_child(&child)));
    // From here on signals are listened to.
    wait("the first look", || {
        master.path("sync/mailtwin-status.json").exists()
    });
    rustix::process::kill_process(Pid::from_child(&child), Signal::TERM).expect("it runs");
    assert_eq!(child.wait().expect("ends").code(), Some(0));
    assert!(!file.exists());
}
