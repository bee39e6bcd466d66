//! `protocol` and `engine` stay free of runtimes, clocks, I/O and randomness: their whole dependency trees are listed
//! here, and source that reaches for the standard library's own is refused.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Crates `protocol` may rest on, directly or not.
const PROTOCOL: [&str; 5] = ["bytes", "itoa", "memchr", "nom", "thiserror"];
/// Crates `engine` may rest on besides.
const ENGINE: [&str; 11] = [
    "protocol",
    "cfg-if",
    "cpufeatures",
    "crc32fast",
    "sha1",
    "digest",
    "block-buffer",
    "crypto-common",
    "hybrid-array",
    "typenum",
    "const-oid",
];
/// What runs only inside the compiler.
const COMPILE_TIME: [&str; 5] = ["thiserror-impl", "proc-macro2", "quote", "syn", "unicode-ident"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn tree(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--package",
            package,
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect()
}

fn strangers(package: &str, allowed: &[&str]) -> Vec<String> {
    tree(package)
        .into_iter()
        .filter(|name| {
            name != package && !allowed.contains(&name.as_str()) && !COMPILE_TIME.contains(&name.as_str())
        })
        .collect()
}

#[test]
fn protocol_gains_no_runtime_clock_io_or_randomness() {
    assert_eq!(strangers("protocol", &PROTOCOL), Vec::<String>::new());
}

#[test]
fn engine_gains_no_runtime_clock_io_or_randomness() {
    let allowed: Vec<&str> = PROTOCOL.into_iter().chain(ENGINE).collect();
    assert_eq!(strangers("engine", &allowed), Vec::<String>::new());
}

#[test]
fn the_check_sees_a_stranger() {
    assert!(strangers("store", &PROTOCOL).contains(&"rusqlite".to_owned()));
}

#[test]
fn pure_crates_do_not_reach_for_the_standard_library_s_own() {
    const BANNED: [&str; 7] = [
        "std::fs",
        "std::net",
        "std::io::",
        "std::thread",
        "std::time::Instant",
        "SystemTime",
        "std::env",
    ];
    let mut found = Vec::new();
    for package in ["protocol", "engine"] {
        visit(&root().join(package).join("src"), &mut |path, text| {
            for word in BANNED.iter().filter(|word| text.contains(**word)) {
                found.push(format!("{}: {word}", path.display()));
            }
        });
    }
    assert_eq!(found, Vec::<String>::new());
}

fn visit(folder: &Path, look: &mut impl FnMut(&Path, &str)) {
    for entry in std::fs::read_dir(folder).expect("a source folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            visit(&path, look);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            look(&path, &std::fs::read_to_string(&path).expect("readable source"));
        }
    }
}
