//! Whole files: what is taken, what is warned about, what is refused.

use std::path::Path;

use super::*;

fn load(text: &str, service: Service) -> Result<Settings, String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("imapd.conf");
    std::fs::write(&path, text).expect("a file");
    load_in(folder.path(), &path, service)
}

fn load_in(folder: &Path, path: &Path, service: Service) -> Result<Settings, String> {
    let prefix = format!("{}/", folder.display());
    Settings::load(path, service).map_err(|error| error.to_string().replace(&prefix, ""))
}

fn warnings(text: &str) -> String {
    let settings = load(text, Service::SyncServer).expect("loads");
    let file = |w: &Warning| format!("imapd.conf:{}: {}\n", w.place.line, w.text);
    settings.warnings.iter().map(file).collect()
}

#[test]
fn a_cyrus_file_is_read() {
    let text = "# comment\nconfigdirectory: /var/lib/cyrus\npartition-default: /var/spool/cyrus\ndefaultpartition: default\n\
                admins: cyrus backup\nSyncServer_Admins: replicator\nservername: mail.example.org\nsync_timeout: 1\n\
                sync_host: far.example.org\nsync_port: 2010\nsync_authname: repl\nsync_password: s3:cr et#x\n\
                sasl_pwcheck_method: auxprop\nmailtwin_listen: 127.0.0.1:0 unix:/run/mailtwin\nunixhierarchysep: no\r\n";
    let settings = load(text, Service::SyncServer).expect("loads");
    assert_eq!(settings.store, Path::new("/var/lib/cyrus/mailtwin"));
    assert_eq!(settings.admins, ["replicator"]);
    assert_eq!(settings.servername, "mail.example.org");
    assert_eq!(settings.sync_timeout.as_secs(), 3, "raised to the least");
    assert_eq!(settings.client_timeout.as_secs(), 10);
    assert_eq!(
        settings.sync_host.map(|host| host.to_string()).as_deref(),
        Some("far.example.org:2010")
    );
    assert_eq!(settings.sync_password.expect("set").reveal(), "s3:cr et#x");
    assert_eq!(settings.partitions.keys().collect::<Vec<_>>(), ["default"]);
    assert_eq!(settings.listen.len(), 2);
    assert!(!settings.unix_hierarchy_separator);
    assert!(settings.warnings.is_empty());
}

#[test]
fn the_service_form_wins_in_either_order_and_for_its_program_only() {
    for text in [
        "syncserver_admins: a\nadmins: b\n",
        "admins: b\nsyncserver_admins: a\n",
    ] {
        let text = format!("mailtwin_store: /x\n{text}");
        assert_eq!(load(&text, Service::SyncServer).expect("loads").admins, ["a"]);
        assert_eq!(load(&text, Service::SyncClient).expect("loads").admins, ["b"]);
    }
}

#[test]
fn continued_lines_join() {
    let text = "mailtwin_store: /x\nadmins: a \\\n  b\\\nc\n# comment \\\nadmins: ignored\n";
    assert_eq!(
        load(text, Service::SyncServer).expect("loads").admins,
        ["a", "bc"]
    );
}

#[test]
fn included_files_are_read_and_loops_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a file");
    write("main.conf", "mailtwin_store: /x\n@include: part.conf\n");
    write("part.conf", "admins: deep\n");
    let main = folder.path().join("main.conf");
    let settings = load_in(folder.path(), &main, Service::SyncServer).expect("loads");
    assert_eq!(settings.admins, ["deep"]);

    write("part.conf", "@include: main.conf\n");
    let error = load_in(folder.path(), &main, Service::SyncServer).expect_err("a loop");
    assert_eq!(error, "part.conf:1: main.conf is included twice");

    write("part.conf", "@include: gone.conf\n");
    let error = load_in(folder.path(), &main, Service::SyncServer).expect_err("missing");
    assert_eq!(
        error,
        "cannot read configuration file gone.conf: No such file or directory (os error 2) (included at part.conf:1)"
    );
}

#[test]
fn unknown_options_are_warned_about_with_their_line() {
    let text = "mailtwin_store: /x\nsync_timout: 5\nmailtwin_lisen: 127.0.0.1:1\nfoo: bar\nimap_admins: x\nlmtp_downcase_rcpt: yes\n";
    insta::assert_snapshot!(warnings(text), @r"
    imapd.conf:2: neither Cyrus nor mailtwin knows the option `sync_timout`; it is ignored; did you mean `sync_timeout`?
    imapd.conf:3: mailtwin does not know the option `mailtwin_lisen`; it is ignored; did you mean `mailtwin_listen`?
    imapd.conf:4: neither Cyrus nor mailtwin knows the option `foo`; it is ignored
    ");
}

#[test]
fn wrong_lines_say_what_to_do() {
    let bad = [
        "nonsense",
        "na me: x",
        "admins:",
        "@exclude: x",
        "admins: a\nadmins: b",
        "sync_timeout: soon",
        "sync_port: many",
        "sync_host: far:2005/tls",
        "sync_compress: perhaps",
        "mailtwin_listen: 2005",
        "mailtwin_compress: maybe",
        "mailtwin_connections: 0",
        "mailtwin_socket_mode: 999",
        "unixhierarchysep: ?",
    ];
    let errors: String = bad
        .iter()
        .map(|line| {
            let error = load(&format!("mailtwin_store: /x\n{line}\n"), Service::SyncServer).expect_err(line);
            format!("{error}\n")
        })
        .collect();
    insta::assert_snapshot!(errors);
}

#[test]
fn a_store_is_needed() {
    let error = load("admins: x\n", Service::SyncServer).expect_err("no store");
    insta::assert_snapshot!(error, @"imapd.conf: there is no place for the store; add `mailtwin_store: DIRECTORY` (or `configdirectory: DIRECTORY`)");
}

#[test]
fn no_message_shows_a_password() {
    let settings = load(
        "mailtwin_store: /x\nsync_password: hunter2\n",
        Service::SyncClient,
    )
    .expect("loads");
    assert!(!format!("{settings:?}").contains("hunter2"));
    let error = load(
        "mailtwin_store: /x\nsync_password: hunter2\nsync_password: hunter3\n",
        Service::SyncClient,
    );
    assert!(!error.expect_err("twice").contains("hunter"));
}
