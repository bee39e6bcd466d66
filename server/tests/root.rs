//! As which user it runs, what it notes and how many files it may open. Most of it needs root, and is not done otherwise.

mod starting;

use std::os::unix::fs::{MetadataExt, chown};

use starting::Starting;

/// User and group of `nobody` on every Linux.
const NOBODY: u32 = 65534;

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED server root, because becoming another user needs root");
    }
    root
}

/// The test's folder is root's alone at first.
fn open_to_all(starting: &Starting) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(starting.folder(), std::fs::Permissions::from_mode(0o755)).expect("set");
}

/// [CS-SVC-18] [CS-SVC-23]
#[test]
fn root_becomes_the_configured_user_for_good() {
    if !is_root() {
        return;
    }
    let mut starting = Starting::new("mailtwin_listen: unix:DIR/socket\nmailtwin_user: nobody\n");
    open_to_all(&starting);
    let pidfile = starting.path("pid");
    starting.arguments(&format!("--pidfile {pidfile}"));
    let server = starting.start();
    let all = format!("{NOBODY} {NOBODY} {NOBODY} {NOBODY}");
    assert_eq!((server.status("Uid"), server.status("Gid")), (all.clone(), all));
    assert_eq!(server.status("Groups"), NOBODY.to_string());
    for capabilities in ["CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(
            server.status(capabilities).trim_start_matches('0'),
            "",
            "{capabilities}"
        );
    }
    let owner = |name: &str| {
        let metadata = std::fs::symlink_metadata(starting.folder().join(name)).expect(name);
        (metadata.uid(), metadata.mode() & 0o777)
    };
    assert_eq!(owner("socket"), (NOBODY, 0o600));
    assert_eq!(owner("mailtwin"), (NOBODY, 0o700));
    let files = std::fs::read_dir(starting.folder().join("mailtwin")).expect("the store");
    for file in files.flatten() {
        assert_eq!(file.metadata().expect("there").uid(), NOBODY, "{:?}", file.path());
    }
    let noted = std::fs::read_to_string(&pidfile).expect("there");
    assert_eq!(noted, format!("{}\n", server.id()));

    let mut second = Starting::new("mailtwin_listen: 127.0.0.1:0\n");
    second.arguments(&format!("--pidfile {pidfile}"));
    let (code, stderr) = second.fails();
    assert_eq!(code, Some(73), "{stderr}");
    assert!(
        stderr.contains(&format!("is held by another process ({})", noted.trim())),
        "{stderr}"
    );

    let (code, stderr) = server.end("TERM");
    assert_eq!(code, Some(0), "{stderr}");
    // The folder is root's, so the file could only be emptied.
    assert_eq!(std::fs::read_to_string(&pidfile).expect("there"), "");
}

/// [CS-SVC-18] [CS-EXC-39]
#[test]
fn root_follows_the_owner_of_the_store() {
    if !is_root() {
        return;
    }
    let starting = Starting::new("mailtwin_listen: 127.0.0.1:0\n");
    open_to_all(&starting);
    let store = starting.folder().join("mailtwin");
    std::fs::create_dir(&store).expect("made");
    chown(&store, Some(4242), Some(4243)).expect("root may");
    let server = starting.start();
    assert_eq!(server.status("Uid"), "4242 4242 4242 4242");
    assert_eq!(
        (server.status("Gid"), server.status("Groups")),
        ("4243 4243 4243 4243".to_owned(), "4243".to_owned())
    );
    let (code, stderr) = server.end("TERM");
    assert_eq!(code, Some(0), "{stderr}");
    assert!(!stderr.contains("runs as root"), "{stderr}");
}

/// Root may serve, or change, the store of another: what it makes there is that user's. [CS-SVC-18]
#[test]
fn what_root_makes_in_a_store_is_its_owners() {
    if !is_root() {
        return;
    }
    let starting = Starting::new("mailtwin_listen: unix:DIR/socket\nmailtwin_user: root\n");
    let store = starting.folder().join("mailtwin");
    std::fs::create_dir(&store).expect("made");
    chown(&store, Some(4242), Some(4243)).expect("root may");
    let server = starting.start();
    assert_eq!(server.status("Uid"), "0 0 0 0");
    let mut made = vec![store.clone()];
    let mut seen = 0;
    while let Some(path) = made.pop() {
        let metadata = std::fs::metadata(&path).expect("there");
        assert_eq!(
            (metadata.uid(), metadata.gid()),
            (4242, 4243),
            "{}",
            path.display()
        );
        seen += 1;
        if metadata.is_dir() {
            made.extend(
                std::fs::read_dir(&path)
                    .expect("read")
                    .flatten()
                    .map(|entry| entry.path()),
            );
        }
    }
    assert!(seen >= 3, "the folder of users, and the locator");
    assert_eq!(server.end("TERM").0, Some(0));
}

/// [CS-SVC-18]
#[test]
fn root_stays_root_where_all_is_roots_and_says_so() {
    if !is_root() {
        return;
    }
    for (conf, warned) in [("", true), ("mailtwin_user: root\n", false)] {
        let starting = Starting::new(&format!("mailtwin_listen: 127.0.0.1:0\n{conf}"));
        let server = starting.start();
        assert_eq!(server.status("Uid"), "0 0 0 0");
        let (code, stderr) = server.end("TERM");
        assert_eq!(code, Some(0), "{stderr}");
        assert_eq!(stderr.contains("runs as root, because"), warned, "{stderr}");
    }
}

/// [CS-SVC-18]
#[test]
fn a_new_store_is_made_for_cyruss_user() {
    if !is_root() {
        return;
    }
    let mut starting = Starting::new("mailtwin_listen: 127.0.0.1:0\ncyrus_user: daemon\n");
    open_to_all(&starting);
    starting.set("CYRUS_USER", "nobody");
    let server = starting.start();
    assert_eq!(
        server.status("Uid"),
        format!("{NOBODY} {NOBODY} {NOBODY} {NOBODY}")
    );
    assert_eq!(server.end("TERM").0, Some(0));
}

/// [CS-SVC-18]
#[test]
fn a_user_who_cannot_work_is_refused() {
    let starting = Starting::new("mailtwin_listen: 127.0.0.1:0\nmailtwin_user: no such user\n");
    let (code, stderr) = starting.fails();
    assert_eq!(code, Some(77), "{stderr}");
    assert!(
        stderr.contains("there is no user `no such user` on this machine"),
        "{stderr}"
    );
    if !is_root() {
        return;
    }
    let starting = Starting::new("mailtwin_listen: 127.0.0.1:0\nmailtwin_user: nobody\n");
    open_to_all(&starting);
    let store = starting.folder().join("mailtwin");
    std::fs::create_dir(&store).expect("made");
    let (code, stderr) = starting.fails();
    assert_eq!(code, Some(77), "{stderr}");
    assert!(
        stderr.contains("user nobody may not write in DIR/mailtwin: ")
            && stderr.contains("give it to that user: chown -R nobody DIR/mailtwin"),
        "{stderr}"
    );
    assert_eq!(
        std::fs::read_dir(&store).expect("there").count(),
        0,
        "nothing was written"
    );
}

/// [CS-SVC-18] [CS-SVC-20]
#[test]
fn who_is_not_root_takes_what_the_system_allows() {
    if !is_root() {
        return;
    }
    let started_by_nobody = |conf: &str, limit: &str| {
        let mut starting = Starting::new(&format!("mailtwin_listen: 127.0.0.1:0\n{conf}"));
        chown(starting.folder(), Some(NOBODY), Some(NOBODY)).expect("root may");
        chown(starting.folder().join("imapd.conf"), Some(NOBODY), Some(NOBODY)).expect("root may");
        starting
            .before("setpriv --reuid=65534 --regid=65534 --clear-groups")
            .first(limit);
        starting
    };
    let few = "mailtwin_connections: 500\nmailtwin_busy_connections: 10\n";
    let server = started_by_nobody(few, "ulimit -Sn 300; ulimit -Hn 4000").start();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.id())).expect("it runs");
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .expect("there");
    let words: Vec<&str> = files.split_whitespace().collect();
    assert_eq!(words[3..5], ["684", "4000"], "{files}");
    let (code, stderr) = server.end("TERM");
    assert_eq!(code, Some(0), "{stderr}");
    assert!(!stderr.contains("connections at a time"), "{stderr}");

    let server = started_by_nobody(few, "ulimit -n 300").start();
    let (code, stderr) = server.end("TERM");
    assert_eq!(code, Some(0), "{stderr}");
    assert!(
        stderr.contains("serves 116 connections at a time and not the 500 of `mailtwin_connections`"),
        "{stderr}"
    );

    let (code, stderr) = started_by_nobody(few, "ulimit -n 150").fails();
    assert_eq!(code, Some(71), "{stderr}");
    assert!(stderr.contains("`mailtwin_busy_connections` is 10"), "{stderr}");

    let (code, stderr) = started_by_nobody("mailtwin_user: root\n", "true").fails();
    assert_eq!(code, Some(77), "{stderr}");
    assert!(
        stderr.contains("cannot run as user root: the program was started by nobody"),
        "{stderr}"
    );
}
