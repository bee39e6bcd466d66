//! Rolling replication as an operator runs it, against our own server: what becomes of changes, of lost connections, of
//! entries that cannot be replicated, and of the daemon.

mod twin;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Stdio;

use monitor::status::{ChannelStatus, State, StatusFile};
use rustix::process::{Signal, kill_process, test_kill_process};
use twin::{Master, PASSWORD, Replica, process_of, show, wait};

fn status(master: &Master) -> Option<ChannelStatus> {
    StatusFile::read(&master.path("sync/mailtwin-status.json")).expect("a status")
}

/// [CS-LOG-24]
#[test]
fn changes_are_replicated_as_they_are_logged() {
    let replica = Replica::start();
    let mut master = Master::of(&replica);
    master.deliver("jane", "before it runs");
    master.log(&["jane"]);
    let daemon = master.daemon(&["-t", "1"]);
    master.wait_equal(&replica, &["jane"]);
    for round in 0..3 {
        let users: Vec<String> = (0..8).map(|number| format!("user{number}")).collect();
        let users: Vec<&str> = users.iter().map(String::as_str).collect();
        for user in &users {
            master.deliver(user, &format!("message {round} to {user}"));
        }
        master.log(&users);
        master.wait_equal(&replica, &users);
    }
    wait("the status to tell", || {
        status(&master).is_some_and(|status| status.totals.changes >= 25 && status.queue.waiting() == 0)
    });
    daemon.signal(Signal::TERM);
    let (code, said) = daemon.end();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(master.read("sync/log-run") + &master.read("sync/log"), "");
    let status = status(&master).expect("a status");
    assert_eq!(status.state, State::Stopped { reason: None });
    let totals = &status.totals;
    assert!(totals.messages >= 25, "{totals:?}");
    // Each message is some dozens of bytes, and each command has an answer. [CS-OPS-6]
    assert!(
        totals.bytes_sent > 25 * 40 && totals.bytes_received > 1000,
        "{totals:?}"
    );
    assert!(
        said.contains("action=\"MAILBOX\"") && said.contains("user=\"jane\""),
        "{said}"
    );
}

/// [CS-LOG-25]
#[test]
fn a_replica_that_goes_away_is_waited_for_and_nothing_is_lost() {
    let mut replica = Replica::start();
    let mut master = Master::of(&replica);
    master.deliver("jane", "one");
    master.log(&["jane"]);
    let mut daemon = master.daemon(&[]);
    master.wait_equal(&replica, &["jane"]);
    for round in 0..2 {
        replica.end();
        master.deliver("jane", &format!("while it is away {round}"));
        master.deliver("bob", &format!("while it is away {round}"));
        master.log(&["jane", "bob"]);
        wait("the daemon to notice", || {
            daemon.said().matches("no connection").count() > round
        });
        replica.begin();
        master.wait_equal(&replica, &["jane", "bob"]);
    }
    assert!(daemon.runs());
    let status = status(&master).expect("a status");
    assert!(
        status.totals.errors.contains_key("connect"),
        "{:?}",
        status.totals
    );
    daemon.signal(Signal::INT);
    assert_eq!(daemon.end().0, Some(0));
}

#[test]
fn what_is_not_done_stays_in_the_log_for_the_next_one() {
    let mut replica = Replica::start();
    let mut master = Master::of(&replica);
    replica.end();
    master.deliver("jane", "one");
    master.log(&["jane"]);
    let daemon = master.daemon(&["-F", &master.path("stop").display().to_string()]);
    wait("the log to be taken", || {
        master.read("sync/log-run").contains("user.jane")
    });
    fs::write(master.path("stop"), "").expect("a file");
    let (code, said) = daemon.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(!master.path("stop").exists(), "the shutdown file is removed");
    assert_eq!(master.read("sync/log-run"), "MAILBOX user.jane\n");

    master.deliver("bob", "two");
    master.log(&["bob"]);
    replica.begin();
    let (code, _, said) = master.run(&["-R", "-1"]);
    assert_eq!(code, Some(0), "{said}");
    master.wait_equal(&replica, &["jane", "bob"]);
    assert_eq!(master.read("sync/log-run") + &master.read("sync/log"), "");
}

/// One entry that the replica refuses, and lines that mean nothing, keep no other entry from being done. [CS-LOG-22]
#[test]
fn bad_entries_do_not_stop_the_others() {
    let replica = Replica::with("partition-default: /nowhere\ndefaultpartition: default\n");
    let mut master = Master::of(&replica);
    master.deliver_on("poison", "for a partition that is not there", "elsewhere");
    let daemon = master.daemon(&[]);
    for round in 0..3 {
        master.log(&["poison"]);
        let log = fs::OpenOptions::new().append(true).open(master.path("sync/log"));
        log.and_then(|mut log| log.write_all(b"NONSENSE x\nMAILBOX (\nMAILBOX\n"))
            .unwrap_or_default();
        master.deliver("jane", &format!("message {round}"));
        master.log(&["jane"]);
        master.wait_equal(&replica, &["jane"]);
    }
    wait("the quarantine to be told", || {
        status(&master).is_some_and(|status| status.queue.quarantined == 1)
    });
    let found = status(&master).expect("a status");
    assert!(
        found.quarantine[0].action.contains("poison"),
        "{:?}",
        found.quarantine
    );
    assert_eq!(
        found.totals.errors.get("refused").map(|count| *count >= 2),
        Some(true)
    );
    daemon.signal(Signal::TERM);
    let (code, said) = daemon.end();
    assert_eq!(code, Some(0));
    assert!(said.contains("in quarantine"), "{said}");
    assert_eq!(show(&replica.store(), "poison"), "");
}

#[test]
fn once_says_whether_all_went_through() {
    let replica = Replica::with("partition-default: /nowhere\ndefaultpartition: default\n");
    let mut master = Master::of(&replica);
    master.deliver("jane", "one");
    master.log(&["jane"]);
    assert_eq!(master.run(&["-R1"]).0, Some(0));
    master.wait_equal(&replica, &["jane"]);
    assert_eq!(master.run(&["-1"]).0, Some(0), "nothing to do");

    master.deliver_on("poison", "no", "elsewhere");
    master.deliver("jane", "two");
    master.log(&["poison", "jane"]);
    let (code, _, said) = master.run(&["-R", "-1"]);
    assert_eq!(code, Some(1), "{said}");
    master.wait_equal(&replica, &["jane"]);
    assert!(
        master.read("sync/log-run").contains("poison"),
        "kept for the next run"
    );
}

#[test]
fn a_log_from_a_file_or_from_standard_input_is_done_once() {
    let replica = Replica::start();
    let mut master = Master::of(&replica);
    master.deliver("jane", "one");
    master.deliver("bob", "one");
    fs::write(master.path("my-log"), "USER jane\n").expect("a file");
    let file = master.path("my-log").display().to_string();
    let (code, _, said) = master.run(&["-R", "-f", &file]);
    assert_eq!(code, Some(0), "{said}");
    master.wait_equal(&replica, &["jane"]);
    assert_eq!(master.read("my-log"), "USER jane\n");
    assert_eq!(show(&replica.store(), "bob"), "");

    let mut command = master.command(&["-r", "-f", "-"]);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("starts");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(b"MAILBOX user.bob\n").expect("written");
    drop(stdin);
    let output = child.wait_with_output().expect("ends");
    assert_eq!(
        output.status.code(),
        Some(0),
        "-r with a file stays in the foreground"
    );
    master.wait_equal(&replica, &["bob"]);
    assert!(!master.path("sync/log-run").exists());

    fs::write(master.path("my-log"), "USER jane\nNONSENSE\n").expect("a file");
    assert_eq!(master.run(&["-R", "-f", &file]).0, Some(1), "a line was left out");
    assert_eq!(master.run(&["-R", "-f", "/nowhere/log"]).0, Some(64));
}

/// [CS-LOG-4] [CS-LOG-38]
#[test]
fn a_channel_has_one_daemon() {
    let replica = Replica::start();
    let master = Master::of(&replica);
    let daemon = master.daemon(&[]);
    wait("the daemon to have the channel", || status(&master).is_some());
    let (code, _, said) = master.run(&["-R"]);
    assert_eq!(code, Some(75));
    assert!(said.contains("reads this channel already"), "{said}");
    let (code, _, _) = master.run(&["-R", "-1", "-n", "other"]);
    assert_eq!(code, Some(0), "another channel is free");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().0, Some(0));
}

/// [CS-LOG-27]
#[test]
fn each_channel_has_its_replica_and_its_keys() {
    let (near, far) = (Replica::start(), Replica::start());
    let mut master = Master::of(&near);
    master.configure(&format!(
        "sync_host: {}\nfar_sync_host: 127.0.0.1\nfar_sync_port: {}\nfar_sync_authname: repl\nfar_sync_password: {PASSWORD}\n\
         sync_log: yes\nsync_log_channels: \"\" far\nfar_sync_shutdown_file: DIR/far-stop\nsync_shutdown_file: DIR/stop\n",
        near.socket().display(),
        far.tcp.rsplit_once(':').expect("a port").1,
    ));
    master.deliver("jane", "one");
    master.log(&["jane"]);
    let first = master.daemon(&[]);
    master.wait_equal(&near, &["jane"]);
    assert_eq!(show(&far.store(), "jane"), "", "its log says nothing");
    fs::rename(master.path("stderr"), master.path("stderr-first")).expect("renamed");

    master.log_in("far", &["jane"]);
    let second = master.daemon(&["-n", "far"]);
    master.wait_equal(&far, &["jane"]);
    fs::write(master.path("far-stop"), "").expect("a file");
    let (code, said) = second.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(master.path("sync/far/mailtwin-status.json").exists());
    fs::copy(master.path("stderr-first"), master.path("stderr")).expect("copied");
    fs::write(master.path("stop"), "").expect("a file");
    assert_eq!(first.end().0, Some(0));
}

#[test]
fn in_the_background_the_first_process_ends_when_the_daemon_has_the_channel() {
    let replica = Replica::start();
    let mut master = Master::of(&replica);
    let (code, out, said) = master.run_detached(&["-r"]);
    assert_eq!((code, out.as_str()), (Some(0), ""), "{said}");
    let pid_file = master.path("sync/sync_client.pid");
    let pid = process_of(&pid_file).expect("a process id");
    master.deliver("jane", "one");
    master.log(&["jane"]);
    master.wait_equal(&replica, &["jane"]);
    let (code, _, _) = master.run_detached(&["-r"]);
    assert_eq!(code, Some(75), "the second one's failure is passed on");
    kill_process(pid, Signal::TERM).expect("it runs");
    wait("the daemon to end", || {
        test_kill_process(pid).is_err() || is_zombie(pid)
    });
    wait("the pid file to go", || !pid_file.exists());

    let mut command = master.command(&["-r"]);
    command.env("CYRUS_ISDAEMON", "1").stderr(Stdio::null());
    let mut child = command.spawn().expect("starts");
    wait("the daemon to have the channel", || {
        status(&master).is_some_and(|status| status.pid == child.id())
    });
    assert!(
        child.try_wait().expect("asked").is_none(),
        "under Cyrus's master it stays"
    );
    kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).expect("it runs");
    assert_eq!(child.wait().expect("ends").code(), Some(0));
}

/// Nobody waits for it here, so it may stay in the process table until the test ends.
fn is_zombie(pid: rustix::process::Pid) -> bool {
    fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).is_ok_and(|stat| stat.contains(") Z "))
}

#[test]
fn with_connect_once_it_gives_up_and_says_why() {
    let replica = Replica::start();
    let port = replica.tcp.rsplit_once(':').expect("a port").1;
    let master = Master::new(&format!(
        "sync_host: 127.0.0.1:{port}\nsync_authname: repl\nsync_password: wrong\n"
    ));
    master.log(&["jane"]);
    let (code, _, said) = master.run(&["-R", "-o"]);
    assert_eq!(code, Some(77), "{said}");
    assert!(
        said.contains("login refused") && !said.contains("wrong"),
        "{said}"
    );
    let master = Master::new("sync_host: DIR/nothing\n");
    let (code, _, said) = master.run(&["-R", "-o"]);
    assert_eq!(code, Some(75), "{said}");
    assert!(said.contains("cannot connect"), "{said}");
}

/// A wrong password is no reason to end: the replica's may be changed, or ours; SIGHUP reads it again.
#[test]
fn a_refused_login_is_tried_again_and_a_signal_reads_the_configuration() {
    let replica = Replica::start();
    let port = replica.tcp.rsplit_once(':').expect("a port").1;
    let conf = |password: &str| {
        format!("sync_host: 127.0.0.1:{port}\nsync_authname: repl\nsync_password: {password}\n")
    };
    let mut master = Master::new(&conf("wrong"));
    master.deliver("jane", "one");
    master.log(&["jane"]);
    let daemon = master.daemon(&[]);
    wait("the refusal to be told", || {
        daemon.said().contains("login refused")
    });
    master.configure(&conf(PASSWORD));
    daemon.signal(Signal::HUP);
    master.wait_equal(&replica, &["jane"]);
    master.configure("nonsense\n");
    daemon.signal(Signal::HUP);
    wait("the fault to be told", || {
        daemon.said().contains("cannot be used")
    });
    master.deliver("jane", "two");
    master.log(&["jane"]);
    master.wait_equal(&replica, &["jane"]);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().0, Some(0));
}

/// A user with a `skipuser-` file waits, and nobody else does.
#[test]
fn a_user_who_is_to_be_skipped_holds_up_nobody() {
    let replica = Replica::start();
    let mut master = Master::of(&replica);
    fs::create_dir_all(master.path("sync")).expect("a folder");
    fs::write(master.path("sync/skipuser-jane"), "").expect("a file");
    master.deliver("jane", "one");
    master.deliver("bob", "one");
    let daemon = master.daemon(&["-j", "1"]);
    master.log(&["jane", "bob"]);
    master.wait_equal(&replica, &["bob"]);
    assert_eq!(show(&replica.store(), "jane"), "");
    let (code, _, said) = master.run(&["-u", "jane", "bob"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("jane is locked"), "{said}");
    let (code, _, said) = master.run(&["-A"]);
    assert_eq!(code, Some(0), "with -A such users are left out: {said}");
    assert!(
        said.contains("jane is locked") && said.contains("left out"),
        "{said}"
    );
    fs::remove_file(master.path("sync/skipuser-jane")).expect("removed");
    master.wait_equal(&replica, &["jane"]);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().0, Some(0));
}

/// Passes bytes on to a socket, and hangs up on whoever sends `word`.
fn hang_up_on(word: &'static [u8], target: PathBuf, listen: PathBuf) {
    let listener = UnixListener::bind(listen).expect("binds");
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = UnixStream::connect(&target) else {
                continue;
            };
            let (mut from_server, mut to_client) = (
                server.try_clone().expect("cloned"),
                client.try_clone().expect("cloned"),
            );
            std::thread::spawn(move || std::io::copy(&mut from_server, &mut to_client));
            std::thread::spawn(move || {
                let (mut client, mut server) = (client, server);
                let mut buffer = [0; 65536];
                while let Ok(length @ 1..) = client.read(&mut buffer) {
                    let sent = &buffer[..length];
                    if sent.windows(word.len()).any(|part| part == word) || server.write_all(sent).is_err() {
                        break;
                    }
                }
                let _ = client.shutdown(std::net::Shutdown::Both);
                let _ = server.shutdown(std::net::Shutdown::Both);
            });
        }
    });
}

/// A user at whom the connection breaks each time does not keep the others from being replicated. [CS-LOG-22]
/// [CS-OPS-4]
#[test]
fn what_ends_the_connection_each_time_is_found_and_put_aside() {
    let replica = Replica::start();
    let mut master = Master::of(&replica);
    let proxy = master.path("proxy");
    hang_up_on(b"user.deadly", replica.socket(), proxy.clone());
    master.configure(&format!(
        "sync_host: {}\nsync_reconnect_maxwait: 1\nmailtwin_retry_wait: 1\nmailtwin_retry_maxwait: 1\n\
         mailtwin_quarantine_after: 2\nmailtwin_quarantine_wait: 0\n",
        proxy.display()
    ));
    master.deliver("deadly", "one");
    let users = ["a", "b", "c", "d", "e", "f"];
    let mut logged = vec!["deadly"];
    for user in users {
        master.deliver(user, "one");
        logged.push(user);
    }
    master.log(&logged);
    let mut daemon = master.daemon(&[]);
    master.wait_equal(&replica, &users);
    wait("the quarantine to be told", || {
        status(&master).is_some_and(|status| status.queue.quarantined == 1)
    });
    master.deliver("a", "two");
    master.log(&["a"]);
    master.wait_equal(&replica, &["a"]);
    assert!(daemon.runs());
    let found = status(&master).expect("a status");
    assert!(
        found.quarantine[0].action.contains("deadly"),
        "{:?}",
        found.quarantine
    );
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().0, Some(0));
}

/// [CS-OPS-3]
#[test]
fn users_are_spread_over_connections() {
    let replica = Replica::start();
    let mut master = Master::of(&replica);
    let users: Vec<String> = (0..20).map(|number| format!("user{number:02}")).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    for user in &users {
        master.deliver(user, &format!("to {user}"));
    }
    let (code, out, said) = master.run(&["-A", "-j", "4"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        out.starts_with("users 20, mailboxes 20 (20 sent), messages 20"),
        "{out}"
    );
    master.wait_equal(&replica, &users);
    for arguments in [
        &["-j", "2", "-u", "user00", "user01"][..],
        &["-m", "-j", "2", "user/user00", "user.user01"],
        &["-s", "user00", "-j", "2"],
        &["-s", "user00"],
        &["-A", "user0", "-j", "3", "--dry-run"],
    ] {
        let (code, _, said) = master.run(arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {said}");
    }
    let (code, _, _) = master.run(&["-A", "-j", "4", "-S", "/nowhere/socket"]);
    assert_eq!(code, Some(75));
}
