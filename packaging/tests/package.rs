//! What the Debian package is made of: units, example configurations, maintainer scripts, the list of its files.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use net::config::{Config, Service, Settings};

const UNITS: [&str; 4] = [
    "mailtwin-sync-server.service",
    "mailtwin-sync-server.socket",
    "mailtwin-sync-client.service",
    "mailtwin-sync-client@.service",
];

/// Where the package puts programs that have the names of Cyrus's.
const PROGRAMS: &str = "/usr/lib/mailtwin/bin/";

/// The most that `systemd-analyze security` may say of a service, in tenths: 0 is shut in, 100 is open.
const EXPOSURE_MAX: &str = "15";

fn here() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(here().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn there(program: &str) -> bool {
    let found = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !found {
        eprintln!("{program} is not installed; what it would check is not checked");
    }
    found
}

/// The values of a setting in a unit, in order.
fn values<'a>(unit: &'a str, setting: &str) -> Vec<&'a str> {
    let line = |line: &'a str| line.strip_prefix(setting)?.strip_prefix('=');
    unit.lines().filter_map(line).collect()
}

#[test]
fn services_are_shut_in_and_watched() {
    for name in UNITS.iter().filter(|name| name.ends_with(".service")) {
        let unit = read(&format!("systemd/{name}"));
        for (setting, expected) in [
            ("Type", "notify"),
            ("User", "mailtwin"),
            ("UMask", "0077"),
            ("StateDirectory", "mailtwin"),
            ("NoNewPrivileges", "yes"),
            ("ProtectSystem", "strict"),
            ("CapabilityBoundingSet", ""),
            ("AmbientCapabilities", ""),
            ("MemoryDenyWriteExecute", "yes"),
            ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX"),
        ] {
            assert_eq!(values(&unit, setting), [expected], "{name}: {setting}");
        }
        assert_eq!(
            values(&unit, "SystemCallFilter"),
            ["@system-service", "~@privileged @resources"],
            "{name}"
        );
        assert_eq!(values(&unit, "WatchdogSec").len(), 1, "{name}");
    }
}

#[test]
fn units_start_the_programs_with_arguments_that_these_take() {
    for name in UNITS.iter().filter(|name| name.ends_with(".service")) {
        let unit = read(&format!("systemd/{name}"));
        let [line] = values(&unit, "ExecStart")[..] else {
            panic!("{name}: one ExecStart");
        };
        let line = line.strip_prefix(PROGRAMS).expect(name).replace("%i", "offsite");
        let words: Vec<&str> = line.split(' ').collect();
        let mut programs = packaging::programs().into_iter();
        let program = programs
            .find(|program| program.get_name() == words[0])
            .expect(name);
        let matches = program
            .try_get_matches_from(&words)
            .unwrap_or_else(|error| panic!("{line}: {error}"));
        let conf: &PathBuf = matches.get_one("config").expect("-C");
        assert_eq!(conf, Path::new("/etc/mailtwin/mailtwin.conf"), "{name}");
    }
}

/// The socket holds the address that the example configuration and the programs have.
#[test]
fn socket_and_configuration_listen_on_the_same_address() {
    let socket = read("systemd/mailtwin-sync-server.socket");
    assert_eq!(values(&socket, "ListenStream"), ["127.0.0.1:2005"]);
    let settings =
        Settings::load(&here().join("examples/mailtwin.conf"), Service::SyncServer).expect("it loads");
    let shown: Vec<String> = settings.listen.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["127.0.0.1:2005"]);
}

#[test]
fn systemd_finds_no_fault() {
    if !there("systemd-analyze") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    // Programs that are there, for units that would name some that are not installed here.
    for program in ["sync_server", "sync_client"] {
        std::os::unix::fs::symlink("/bin/true", folder.path().join(program)).expect("a link");
    }
    let programs = format!("{}/", folder.path().display());
    let mut paths = Vec::new();
    for name in UNITS {
        let path = folder.path().join(name);
        let text = read(&format!("systemd/{name}")).replace(PROGRAMS, &programs);
        std::fs::write(&path, text).expect("a unit");
        paths.push(path);
    }
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .args(&paths)
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&output.stderr);
    let about_ours: Vec<&str> = said.lines().filter(|line| line.contains("mailtwin")).collect();
    assert_eq!(about_ours, Vec::<&str>::new());
    for path in paths
        .iter()
        .filter(|path| path.extension().is_some_and(|ending| ending == "service"))
    {
        let output = Command::new("systemd-analyze")
            .args([
                "security",
                "--offline=yes",
                "--no-pager",
                "--threshold",
                EXPOSURE_MAX,
            ])
            .arg(path)
            .output()
            .expect("runs");
        let said = String::from_utf8_lossy(&output.stdout);
        if output.status.success() || said.contains("Overall exposure level") {
            assert!(output.status.success(), "{said}");
        } else {
            eprintln!("this systemd-analyze cannot judge units offline");
        }
    }
}

#[test]
fn example_configurations_are_understood() {
    for (name, service) in [
        ("mailtwin.conf", Service::SyncServer),
        ("channels.conf", Service::SyncClient),
    ] {
        let path = here().join("examples").join(name);
        // What is commented out has to be right too: an operator takes the `#` away.
        let text = read(&format!("examples/{name}"));
        let whole: String = text
            .lines()
            .map(|line| {
                line.strip_prefix('#')
                    .filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
            })
            .zip(text.lines())
            .map(|(uncommented, line)| format!("{}\n", uncommented.unwrap_or(line)))
            .collect();
        let folder = tempfile::tempdir().expect("a folder");
        let uncommented = folder.path().join(name);
        std::fs::write(&uncommented, only_last(&whole)).expect("a file");
        for path in [path, uncommented] {
            let config = Config::load(&path, service).unwrap_or_else(|error| panic!("{error}"));
            for channel in config
                .channels()
                .expect("names")
                .iter()
                .map(Option::as_deref)
                .chain([None])
            {
                let settings =
                    Settings::for_channel(&config, channel).unwrap_or_else(|error| panic!("{error}"));
                assert_eq!(settings.warnings, [], "{name}");
                assert!(
                    channel.is_none() || settings.sync_host.is_some(),
                    "{name}: {channel:?}"
                );
            }
        }
    }
    let fragment = here().join("examples/cyrus-master.conf");
    let config = Config::load(&fragment, Service::SyncClient).expect("it loads");
    assert_eq!(config.warnings(), []);
}

/// Of lines that set the same key the last one.
fn only_last(text: &str) -> String {
    let key = |line: &str| line.split(':').next().unwrap_or_default().to_owned();
    let lines: Vec<&str> = text.lines().collect();
    let later = |at: usize| lines[at + 1..].iter().any(|line| key(line) == key(lines[at]));
    let kept = (0..lines.len()).filter(|&at| lines[at].starts_with('#') || !later(at));
    kept.map(|at| format!("{}\n", lines[at])).collect()
}

#[test]
fn maintainer_scripts_are_sound_shell() {
    for name in ["postinst", "prerm", "postrm"] {
        let text = read(&format!("debian/{name}"));
        assert!(text.starts_with("#!/bin/sh\nset -e\n"), "{name}");
        let output = Command::new("sh")
            .arg("-n")
            .arg(here().join("debian").join(name))
            .output()
            .expect("runs");
        assert!(
            output.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    assert!(!read("debian/postrm").contains("rm -rf"), "mail is never removed");
}

#[test]
fn the_changelog_has_this_version() {
    let first = read("debian/changelog")
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned();
    assert!(
        first.starts_with(&format!("mailtwin ({}-", env!("CARGO_PKG_VERSION"))),
        "{first}"
    );
}

/// Files of the package that are not made by `cargo xtask deb` are in the tree.
#[test]
fn files_of_the_package_are_there() {
    let manifest = read("Cargo.toml");
    let sources: Vec<&str> = manifest
        .lines()
        .filter_map(|line| line.trim().strip_prefix("[\"")?.split('"').next())
        .collect();
    assert!(sources.len() > 20, "{sources:?}");
    for source in sources
        .iter()
        .filter(|source| !source.starts_with("target/") && !source.starts_with("made/"))
    {
        let found = match source.split_once('*') {
            None => here().join(source).is_file(),
            Some((folder, ending)) => here().join(folder).read_dir().is_ok_and(|mut entries| {
                entries.any(|entry| {
                    entry.is_ok_and(|entry| entry.file_name().to_string_lossy().ends_with(ending))
                })
            }),
        };
        assert!(found, "{source} is not there");
    }
    for unit in UNITS {
        assert!(here().join("systemd").join(unit).is_file());
    }
}
