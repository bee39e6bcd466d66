//! `status`, `quarantine` and `check`, with and without daemons.

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{SystemTime, UNIX_EPOCH};

use common::{Place, filters};
use monitor::status::{ChannelStatus, Quarantined, State, StatusFile};
use serde_json::Value;

const CHANNELS: &str = "configdirectory: .\nsync_log: yes\nsync_log_channels: \"\" far squatter\nsync_host: 127.0.0.1\n\
                        far_sync_host: far.example.org\n";

fn now_ms() -> u64 {
    u64::try_from(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("later")
            .as_millis(),
    )
    .expect("fits")
}

fn configured(text: &str) -> Place {
    let place = Place::new();
    let _ = place.write("mailtwin.conf", text);
    place
}

/// The status of a daemon, which is this test.
fn daemon(place: &Place, channel: Option<&str>, change: impl FnOnce(&mut ChannelStatus)) {
    let mut status = ChannelStatus::starting(channel, "replica:2005", now_ms());
    status.state = State::Connected;
    status.workers.connected = 1;
    status.workers.total = 1;
    change(&mut status);
    StatusFile::write(&StatusFile::path(place.dir(), channel), &status).expect("written");
}

fn json(out: &[u8]) -> Value {
    serde_json::from_slice(out).expect("JSON")
}

#[test]
fn without_daemons_the_files_are_counted() {
    let place = configured(CHANNELS);
    let _ = place.write("sync/far/log", "MAILBOX user.jane\nMAILBOX user.joe\n");
    let _ = place.write("sync/far/log-run", "USER jane\n");
    let said = place.run(&["status", "--json"]);
    assert_eq!(said.code, 1, "{}", said.err);
    let views = json(&said.out);
    assert_eq!(views.as_array().map(Vec::len), Some(2), "squatter is no replica");
    assert_eq!(
        (&views[1]["channel"], &views[1]["waiting"]),
        (&"far".into(), &3.into())
    );
    assert_eq!(
        (&views[1]["level"], &views[1]["running"]),
        (&"trouble".into(), &false.into())
    );
    assert!(views[1]["lag_ms"].is_u64());
    let said = place.run(&["status", "--channel", "far"]);
    let text = said.text();
    assert!(
        text.contains("far: TROUBLE: no sync_client of mailtwin works on this channel; 3 lines in its log"),
        "{text}"
    );
}

#[test]
fn a_daemon_at_work_is_fine_and_thresholds_decide() {
    let place = configured(CHANNELS);
    for channel in [None, Some("far")] {
        daemon(&place, channel, |status| {
            status.queue.queued = 7;
            status.queue.oldest_logged_at_ms = Some(now_ms() - 100_000);
        });
    }
    let said = place.run(&["status"]);
    assert_eq!(said.code, 0, "{}{}", said.text(), said.err);
    assert!(
        said.text().contains("connected") && said.text().contains("1 min 4"),
        "{}",
        said.text()
    );
    for args in [&["--lag-max", "1m"][..], &["--waiting-max", "6"]] {
        let said = place.run(&[&["status"][..], args].concat());
        assert_eq!(said.code, 1, "{args:?}");
    }
    daemon(&place, Some("far"), |status| {
        status.set_quarantine([Quarantined {
            action: "MAILBOX user.jane".to_owned(),
            logged_at_ms: 1,
            since_ms: now_ms(),
            attempts: 10,
            reason: "refused".to_owned(),
        }]);
    });
    assert_eq!(place.run(&["status"]).code, 1);
    assert_eq!(place.run(&["status", "--quarantine-max", "1"]).code, 0);
    assert_eq!(place.run(&["status", "--channel", "\"\""]).code, 0);
    let listed = json(&place.run(&["quarantine", "list", "--json"]).fine().out);
    assert_eq!(
        (&listed[0]["channel"], &listed[0]["action"]),
        (&"far".into(), &"MAILBOX user.jane".into())
    );
    let said = place.run(&["quarantine", "retry", "--channel", "far"]).fine();
    assert!(said.err.contains("1 change will be tried"), "{}", said.err);
    assert_eq!(
        std::fs::read(place.path("sync/far/log")).expect("logged"),
        b"MAILBOX user.jane\n"
    );
    assert_eq!(
        place
            .run(&["quarantine", "retry", "--channel", "far", "USER joe"])
            .code,
        66
    );
    assert_eq!(
        place
            .run(&["quarantine", "retry", "--channel", "far", "NONSENSE"])
            .code,
        66
    );
}

#[test]
fn a_dead_daemon_and_a_damaged_file_are_told() {
    let place = configured(CHANNELS);
    daemon(&place, None, |status| status.pid = i32::MAX as u32);
    let _ = place.write("sync/far/mailtwin-status.json", "{");
    let said = place.run(&["status"]);
    assert_eq!(said.code, 1);
    let text = said.text();
    assert!(
        text.contains("is gone") && text.contains("cannot be understood"),
        "{text}"
    );
    let said = configured("configdirectory: .\n").run(&["status"]);
    assert_eq!(said.code, 78);
    assert!(said.err.contains("no channel is configured"), "{}", said.err);
}

#[test]
fn the_page_of_all_channels_is_served() {
    let place = configured(CHANNELS);
    daemon(&place, Some("far"), |_| {});
    let port = TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("bound")
        .port();
    let address = format!("127.0.0.1:{port}");
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_mailtwin"))
        .args(["-C", "mailtwin.conf", "status", "--listen", &address])
        .current_dir(place.dir())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("started");
    let ask = |what: &str| -> Option<String> {
        let mut stream = TcpStream::connect(&address).ok()?;
        write!(stream, "{what} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let page = loop {
        match ask("GET /") {
            Some(page) => break page,
            None if std::time::Instant::now() > deadline => panic!("no page"),
            None => std::thread::sleep(std::time::Duration::from_millis(50)),
        }
    };
    let metrics = ask("GET /metrics").expect("metrics");
    let status = ask("GET /status.json").expect("status");
    let refused = ask("POST /").expect("an answer");
    let nothing = ask("GET /../etc/passwd").expect("an answer");
    child.kill().expect("killed");
    let _ = child.wait();
    assert!(
        page.starts_with("HTTP/1.1 200 OK") && page.contains("content-security-policy: default-src 'none'"),
        "{page}"
    );
    assert!(
        page.contains(">far</h2>") && page.contains("default channel"),
        "{page}"
    );
    assert!(
        metrics.contains("mailtwin_channel_up{channel=\"far\",replica=\"replica:2005\"} 1"),
        "{metrics}"
    );
    let body = status.split_once("\r\n\r\n").expect("a body").1;
    assert_eq!(json(body.as_bytes()).as_array().map(Vec::len), Some(2));
    assert!(
        refused.starts_with("HTTP/1.1 405") && nothing.starts_with("HTTP/1.1 404"),
        "{refused}{nothing}"
    );
}

#[test]
fn a_check_finds_everything_at_once() {
    let place = configured(
        "configdirectory: .\nnonsense\nsync_timeout: long\nsync_log: yes\nsync_log_channels: far near\n\
         far_sync_host: 127.0.0.1\nfar_sync_port: 1\nfar_sync_authname: repl\nsync_tmeout: 5\n\
         mailtwin_connections: many\nfar_sync_password: secret\n",
    );
    let said = place.run(&["check"]);
    assert_eq!(said.code, 78);
    let mut settings = filters(&place);
    settings.add_filter(r"in \d+ (ms|s)", "in [time]");
    settings.bind(|| insta::assert_snapshot!(said.all()));
    assert!(!said.text().contains("secret"));
    let report = json(&place.run(&["check", "--json", "--offline"]).out);
    assert!(!report.to_string().contains("secret"));
    assert_eq!(report["channels"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_check_of_a_sound_configuration_logs_in() {
    let place = configured("configdirectory: .\nsync_log: yes\nsync_host: 127.0.0.1\n");
    assert_eq!(place.run(&["check", "--offline"]).code, 0);
    assert!(!place.path("mailtwin").exists(), "a check makes nothing");
    assert_eq!(
        std::fs::read_dir(place.dir()).expect("read").count(),
        1,
        "and leaves nothing"
    );
}

#[test]
fn without_a_daemon_the_quarantine_is_put_right_in_the_files() {
    let place = configured(CHANNELS);
    let line = |action: &str| format!("{0}\t{0}\t10\t{0}\trefused there\t{action}\n", now_ms());
    let held = [
        line("MAILBOX user.jane"),
        line("USER omar"),
        line("MAILBOX \"user.a b\""),
    ]
    .concat();
    let _ = place.write("sync/far/mailtwin-quarantine", held);
    let actions = || -> Vec<String> {
        let listed = json(
            &place
                .run(&["quarantine", "list", "--channel", "far", "--json"])
                .fine()
                .out,
        );
        let rows = listed.as_array().expect("a list").iter();
        rows.map(|row| row["action"].as_str().expect("text").to_owned())
            .collect()
    };
    assert_eq!(actions().len(), 3);
    let text = place.run(&["quarantine", "list"]).fine().text();
    assert!(
        text.contains("far: MAILBOX user.jane") && text.contains("tried 10 times: refused there"),
        "{text}"
    );

    let _ = place
        .run(&["quarantine", "drop", "--channel", "far", "USER omar"])
        .fine();
    assert!(!actions().contains(&"USER omar".to_owned()));
    assert_eq!(
        place
            .run(&["quarantine", "drop", "--channel", "far", "USER omar"])
            .code,
        66
    );
    assert_eq!(
        place.run(&["quarantine", "drop", "--channel", "far"]).code,
        2,
        "all has to be said"
    );

    let _ = place
        .run(&["quarantine", "retry", "--channel", "far", "MAILBOX user.jane"])
        .fine();
    assert_eq!(actions(), ["MAILBOX \"user.a b\""]);
    let run = std::fs::read_to_string(place.path("sync/far/log-run")).expect("kept for the next daemon");
    assert!(run.contains("MAILBOX user.jane\n"), "{run}");
    let _ = place
        .run(&["quarantine", "drop", "--channel", "far", "--all"])
        .fine();
    assert!(actions().is_empty());
    let run = std::fs::read_to_string(place.path("sync/far/log-run")).expect("still there");
    assert!(
        run.contains("MAILBOX user.jane\n"),
        "what waits is not dropped: {run}"
    );
}

/// Each mistake that people make is told in words that say what to do.
#[test]
fn a_check_says_what_to_do() {
    let place = Place::new();
    let dir = place.dir().display().to_string();
    // A port that nobody listens on: it was just given back.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let closed = free.local_addr().expect("its address").to_string();
    drop(free);
    let base = format!("configdirectory: {dir}\nsync_authname: repl\nsync_password: pencil\n");
    for (lines, code, words) in [
        (
            "sync_pasword: x\nmailtwin_worker: 3\nsync_host: DIR/none\n".to_owned(),
            78,
            &[
                "did you mean `sync_password`?",
                "did you mean `mailtwin_workers`?",
            ][..],
        ),
        (
            format!("sync_host: {closed}/tls\ntls_server_ca_file: DIR/ca.pem\n"),
            78,
            &["`tls_server_ca_file`: cannot read", "is the path right?"],
        ),
        (
            format!("sync_host: {closed}\n"),
            78,
            &["is the replication server running there?"],
        ),
        (
            "sync_host: DIR/none\n".to_owned(),
            78,
            &["is the path right, and is the server running?"],
        ),
        (
            "sync_host: no.such.host.invalid\n".to_owned(),
            78,
            &["is the name right, and does DNS know it?"],
        ),
        (
            "sync_log: yes\nsync_log_channels: far\n".to_owned(),
            78,
            &["it has no replica: set `far_sync_host`"],
        ),
        ("nonsense\n".to_owned(), 78, &["this is no `name: value` line"]),
        (
            "sync_timeout: soon\nsync_compress: perhaps\n".to_owned(),
            78,
            &["`sync_timeout: soon`", "`sync_compress: perhaps`"],
        ),
    ] {
        place.write("mailtwin.conf", format!("{base}{lines}").replace("DIR", &dir));
        let said = place.run(&["check"]);
        let all = said.text() + &said.err;
        assert_eq!(said.code, code, "{lines}: {all}");
        for word in words {
            assert!(all.contains(word), "{lines}: {word}: {all}");
        }
    }
    place.write(
        "mailtwin.conf",
        format!("{base}sync_log: yes\nsync_log_channels: far\nfar_sync_host: {dir}/none\n"),
    );
    let said = place.run(&["check", "--channel", "near"]);
    assert_eq!(said.code, 2, "{}", said.err);
    assert!(
        said.err.contains("there are far") && said.err.contains("near_sync_host"),
        "{}",
        said.err
    );
    let said = place.run(&["-C", "/nowhere/mailtwin.conf", "check"]);
    assert_eq!(said.code, 78, "{}", said.err);
    assert!(
        said.text().contains("`-C FILE` names the configuration"),
        "{}",
        said.text()
    );
}
