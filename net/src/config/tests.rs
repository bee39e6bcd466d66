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
fn all_wrong_lines_are_found_at_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("imapd.conf");
    std::fs::write(
        &path,
        "nonsense\nsync_timeout: long\nsync_log: yes\n@include: missing\nadmins:\nconfigdirectory: /c\n",
    )
    .expect("a file");
    let (config, errors) = Config::load_all(&path, Service::Mailtwin);
    assert_eq!(config.get("sync_log"), Some("yes"));
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    let Err(ConfigError::Line { place, .. }) = Settings::from_config(&config).map(drop) else {
        panic!("sync_timeout is wrong");
    };
    assert_eq!(place.line, 2);
    assert!(config.without(&place).get("sync_timeout").is_none());
    let (config, errors) = Config::load_all(&folder.path().join("none"), Service::Mailtwin);
    assert_eq!((config.get("sync_log"), errors.len()), (None, 1));
}

/// [CS-SVC-26]
#[test]
fn a_service_of_another_name_has_its_own_keys() {
    let text = "configdirectory: /c\nadmins: all\nsyncserver_admins: usual\nCSync_admins: other\n";
    for (name, admin) in [
        ("syncserver", "usual"),
        ("csync", "other"),
        ("CSYNC", "other"),
        ("far", "all"),
    ] {
        let settings = load(text, Service::named(name)).expect("loads");
        assert_eq!(settings.admins, [admin], "{name}");
    }
    assert_eq!(Service::named("syncserver"), Service::SyncServer);
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
        "sync_host: far:2005/ssl",
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

fn channel(text: &str, channel: Option<&str>) -> Result<Settings, String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("imapd.conf");
    let prefix = format!("{}/", folder.path().display());
    std::fs::write(&path, format!("mailtwin_store: /x\n{text}")).expect("a file");
    let config = Config::load(&path, Service::SyncClient).map_err(|error| error.to_string())?;
    Settings::for_channel(&config, channel).map_err(|error| error.to_string().replace(&prefix, ""))
}

/// [CS-LOG-27]
#[test]
fn a_channel_has_its_own_form_of_some_keys() {
    let text = "sync_host: near\nsync_port: 1000\nsync_authname: all\nsync_password: secret\nsync_repeat_interval: 5\n\
                sync_shutdown_file: /down\nmailtwin_workers: 2\nsync_timeout: 1m\ntls_server_ca_file: /ca\n\
                Far_sync_host: far\nfar_sync_port: 2000\nfar_sync_authname: one\nfar_sync_realm: r\nfar_sync_password: other\n\
                far_sync_repeat_interval: 1m30s\nfar_sync_shutdown_file: /far-down\nfar_sync_cache_db_path: /cache\n\
                far_mailtwin_workers: 8\nfar_sync_timeout: 9m\nfar_tls_server_ca_file: /far-ca\nfar_sync_compress: no\n";
    let default = channel(text, None).expect("loads");
    assert_eq!(
        default.sync_host.map(|peer| peer.to_string()).as_deref(),
        Some("near:1000")
    );
    assert_eq!(default.sync_authname.as_deref(), Some("all"));
    assert_eq!(default.rolling.repeat_interval.as_secs(), 5);
    assert_eq!(default.rolling.workers, 2);
    assert_eq!(default.channel, None);
    assert!(default.warnings.is_empty(), "{:?}", default.warnings);

    let far = channel(text, Some("Far")).expect("loads");
    assert_eq!(
        far.sync_host.as_ref().map(ToString::to_string).as_deref(),
        Some("far:2000")
    );
    assert_eq!(far.sync_authname.as_deref(), Some("one"));
    assert_eq!(far.sync_realm.as_deref(), Some("r"));
    assert_eq!(far.sync_password.as_ref().expect("set").reveal(), "other");
    assert_eq!(far.rolling.repeat_interval.as_secs(), 90);
    assert_eq!(far.rolling.shutdown_file.as_deref(), Some(Path::new("/far-down")));
    assert_eq!(far.sync_cache_db_path.as_deref(), Some(Path::new("/cache")));
    assert_eq!(far.rolling.workers, 8);
    assert_eq!(far.tls.server_ca_file.as_deref(), Some(Path::new("/far-ca")));
    assert_eq!(far.sync_compress, CompressWish::No);
    assert_eq!(
        far.channel_dir(),
        Path::new("/x/sync/Far"),
        "folders keep the spelling"
    );
    assert_eq!(far.sync_timeout.as_secs(), 60, "Cyrus has no such form");
    let warned: Vec<&str> = far.warnings.iter().map(|w| w.text.as_str()).collect();
    assert_eq!(
        warned,
        ["`sync_timeout` has no form of its own for a channel; `far_sync_timeout` is ignored (by Cyrus too)"]
    );

    let other = channel(text, Some("other")).expect("loads");
    assert_eq!(
        other.sync_host.map(|peer| peer.to_string()).as_deref(),
        Some("near:1000")
    );
}

#[test]
fn a_wrong_value_names_the_form_that_is_set() {
    for (text, error) in [
        (
            "far_sync_repeat_interval: soon",
            "imapd.conf:2: `far_sync_repeat_interval: soon`: write a duration such as `90`, `30m` or `1h30m` (units d, h, m, s)",
        ),
        (
            "far_sync_port: nosuchname",
            "imapd.conf:2: `far_sync_port: nosuchname`: write a port number from 1 to 65535, or a name such as `csync` that \
             /etc/services knows",
        ),
        (
            "mailtwin_workers: 65",
            "imapd.conf:2: `mailtwin_workers: 65`: write a number from 1 to 64",
        ),
        (
            "sync_log_channels: a ../b",
            "imapd.conf:2: `sync_log_channels: a ../b`: a channel's name is one word without `/` and `\"` that does not begin \
             with a dot",
        ),
        (
            "tls_versions: ssl3",
            "imapd.conf:2: `tls_versions: ssl3`: mailtwin speaks TLS 1.2 and 1.3; name `tls1_2`, `tls1_3` or both",
        ),
        (
            "tls_client_certs: maybe",
            "imapd.conf:2: `tls_client_certs: maybe`: write `off`, `optional` or `require`",
        ),
    ] {
        let found = channel(&format!("{text}\n"), Some("far")).expect_err(text);
        assert_eq!(found, error);
    }
}

/// Cyrus reads the channel's form of this one switch as a number.
#[test]
fn a_channels_try_imap_is_a_number() {
    for (text, expected, warnings) in [
        ("", true, 0),
        ("sync_try_imap: no\n", false, 0),
        ("far_sync_try_imap: 0\n", false, 0),
        ("sync_try_imap: no\nfar_sync_try_imap: 1\n", true, 0),
        ("far_sync_try_imap: yes\n", false, 1),
        ("far_sync_try_imap: no\n", false, 0),
        ("sync_try_imap: no\nfar_sync_try_imap: -1\n", false, 1),
    ] {
        let settings = channel(text, Some("far")).expect("loads");
        assert_eq!(settings.sync_try_imap, expected, "{text}");
        assert_eq!(
            settings.warnings.len(),
            warnings,
            "{text}: {:?}",
            settings.warnings
        );
    }
}

#[test]
fn what_is_logged_where() {
    let some = |name: &str| Some(name.to_owned());
    let log = channel("", None).expect("loads").log;
    assert!(!log.enabled && !log.chain);
    assert_eq!(log.channels, [None]);
    assert_eq!(log.unsuppressable, [some("squatter")]);
    assert_eq!(log.rightnow, None);
    assert!(log.written_by(true).is_empty(), "the switch is off");

    let text = "sync_log: yes\nsync_log_channels: far \"\" squatter far\nsync_rightnow_channel: \"\"\n";
    let log = channel(text, Some("far")).expect("loads").log;
    assert_eq!(log.channels, [some("far"), None, some("squatter")]);
    assert_eq!(log.rightnow, Some(None));
    assert_eq!(log.written_by(true), log.channels, "right now is one of them");
    assert_eq!(log.written_by(false), [some("squatter")]);

    let text = "sync_log: yes\nsync_log_channels: far\nsync_rightnow_channel: now\n";
    let log = channel(text, Some("now")).expect("loads").log;
    assert_eq!(log.written_by(true), [some("far"), some("now")]);
    assert!(log.written_by(false).is_empty());
}

#[test]
fn channels_that_a_configuration_names() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("imapd.conf");
    let channels = |text: &str| {
        std::fs::write(&path, text).expect("a file");
        let config = Config::load(&path, Service::Mailtwin).expect("loads");
        config.channels().expect("names")
    };
    let some = |name: &str| Some(name.to_owned());
    assert_eq!(channels("sync_log: no\n"), []);
    assert_eq!(channels("sync_log: yes\n"), [None]);
    assert_eq!(
        channels(
            "sync_log: yes\nsync_log_channels: Far near\nfar_sync_host: a\noff_sync_host: b\nsync_rightnow_channel: now\n"
        ),
        [some("Far"), some("near"), some("now"), some("off")]
    );
    assert_eq!(channels("sync_host: a\n"), [None]);
}

#[test]
fn keys_of_the_daemon() {
    let keys = channel("", None).expect("loads").rolling;
    assert_eq!(keys.repeat_interval.as_secs(), 1);
    assert_eq!(keys.reconnect_maxwait.map(|wait| wait.as_secs()), Some(1200));
    assert_eq!((keys.workers, keys.quarantine_after), (4, 6));
    assert!(keys.metrics_listen.is_empty() && keys.wake);
    for (text, seconds) in [("30", Some(30)), ("0", None), ("-1", None), ("2h", Some(7200))] {
        let keys = channel(&format!("sync_reconnect_maxwait: {text}\n"), None).expect("loads");
        assert_eq!(
            keys.rolling.reconnect_maxwait.map(|wait| wait.as_secs()),
            seconds,
            "{text}"
        );
    }
    let text = "mailtwin_retry_wait: 1m\nmailtwin_retry_maxwait: 5s\n";
    let keys = channel(text, None).expect("loads").rolling;
    assert_eq!(keys.retry_maxwait.as_secs(), 60, "raised to the first wait");
}

#[test]
fn keys_about_tls() {
    let keys = channel("", None).expect("loads").tls;
    assert!(keys.server_cert.is_empty() && keys.verify && !keys.required);
    assert_eq!(keys.versions, [tls::TlsVersion::Tls12, tls::TlsVersion::Tls13]);
    assert_eq!(keys.wish, tls::TlsWish::Auto);
    assert_eq!(keys.session_timeout.as_secs(), 86_400);
    assert_eq!(keys.client_identity("far.example.org"), tls::Identity::default());

    let text = "tls_cert_file: /old\ntls_server_cert: /rsa,/ec\ntls_server_key: /k1,/k2\ntls_ca_path: /dir\n\
                tls_client_certs: require\ntls_versions: tls1_0 tls1_3\ntls_ciphers: DEFAULT\ntls_session_timeout: 30\n\
                tls_client_cert: /c\ntls_client_key: disabled\nfar_client_cert: /far-c\nfar_client_key: /far-k\n\
                ch_tls_client_key: /ch-k\nmailtwin_tls: required\nch_mailtwin_tls_name: mx\nallowstarttls: no\n";
    let keys = channel(text, None).expect("loads").tls;
    assert_eq!(keys.server_cert, [Path::new("/rsa"), Path::new("/ec")]);
    assert_eq!(keys.server_key, [Path::new("/k1"), Path::new("/k2")]);
    assert_eq!(keys.client_ca_dir.as_deref(), Some(Path::new("/dir")));
    assert_eq!(keys.client_certs, tls::ClientCerts::Require);
    assert_eq!(keys.versions, [tls::TlsVersion::Tls13]);
    assert_eq!(keys.ciphers, None);
    assert_eq!(keys.session_timeout.as_secs(), 1800);
    assert_eq!(keys.allow_starttls, Some(false));
    assert_eq!(keys.wish, tls::TlsWish::Required);
    let path = |text: &str| Some(std::path::PathBuf::from(text));
    let far = keys.client_identity("FAR.example.org");
    assert_eq!((far.cert, far.key), (path("/far-c"), path("/far-k")));
    let near = keys.client_identity("near");
    assert_eq!((near.cert, near.key), (path("/c"), None));
    let keys = channel(text, Some("ch")).expect("loads").tls;
    assert_eq!(keys.client.key, path("/ch-k"));
    assert_eq!(keys.name.as_deref(), Some("mx"));
}

/// An operator who names ciphers counts on them.
#[test]
fn what_has_no_effect_is_warned_of() {
    let text = "tls_ciphers: HIGH\nfar_tls_ciphers: DEFAULT\ntls_cipher_list: DEFAULT\ntls_eccurve: auto\n";
    let warned = |name| {
        let settings = channel(text, name).expect("loads");
        let texts: Vec<String> = settings
            .warnings
            .into_iter()
            .map(|warning| warning.text)
            .collect();
        texts
    };
    let curve = "`tls_eccurve: auto` has no effect: X25519, P-256 and P-384 are offered; `tls_versions` can be narrowed";
    assert_eq!(
        warned(None),
        [
            "`tls_ciphers: HIGH` has no effect: no suite that is offered is weak; `tls_versions` can be narrowed",
            curve
        ]
    );
    assert_eq!(warned(Some("far")), [curve]);
}
