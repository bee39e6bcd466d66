//! House rules that a tool can check: sizes, unfinished code, the bans on clock, randomness and hash order.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines at which a file has outgrown its idea.
const FILE_LINES_MAX: usize = 900;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn tracked(pattern: &str) -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", pattern])
        .current_dir(root())
        .output()
        .expect("git lists the files");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines()
        .map(|line| root().join(line))
        .filter(|path| path.exists())
        .collect()
}

#[test]
fn no_file_outgrows_its_idea() {
    let files = tracked("*.rs");
    assert!(files.len() > 20, "the check sees the sources");
    let long: Vec<String> = files
        .iter()
        .filter_map(|path| {
            let lines = std::fs::read_to_string(path).ok()?.lines().count();
            (lines > FILE_LINES_MAX).then(|| format!("{} has {lines} lines", path.display()))
        })
        .collect();
    assert_eq!(long, Vec::<String>::new());
}

#[test]
fn nothing_is_left_unfinished() {
    let words = [
        ["to", "do!("].concat(),
        ["unimpl", "emented!("].concat(),
        ["FIX", "ME"].concat(),
    ];
    let mut found = Vec::new();
    for path in tracked("*.rs") {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        found.extend(
            words
                .iter()
                .filter(|word| text.contains(*word))
                .map(|word| format!("{}: {word}", path.display())),
        );
    }
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn the_pure_crates_ban_clock_and_hash_order() {
    let bans =
        |package: &str| std::fs::read_to_string(root().join(package).join("clippy.toml")).unwrap_or_default();
    let protocol = bans("protocol");
    for ban in [
        "Instant::now",
        "SystemTime::now",
        "HashMap::iter",
        "HashSet::iter",
    ] {
        assert!(protocol.contains(ban), "{ban}");
    }
    assert_eq!(bans("engine"), protocol);
    assert_eq!(bans("sim"), protocol);
}

#[test]
fn unsafe_code_is_forbidden_everywhere() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("the workspace manifest");
    assert!(manifest.contains("unsafe_code = \"forbid\""));
    for path in tracked("*/Cargo.toml").iter().filter(|path| {
        let path = path.to_string_lossy();
        !path.contains("/fuzz/") && !UNSAFE.iter().any(|(manifest, _)| path.ends_with(manifest))
    }) {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            text.contains("[lints]\nworkspace = true"),
            "{} does not take the workspace's lints",
            path.display()
        );
    }
}

/// The crates that may hold unsafe blocks, and the one file of each that does: a number has to become a descriptor
/// somewhere, and SQLite calls the simulator's disk from C.
const UNSAFE: [(&str, &str); 2] = [
    ("inherit/Cargo.toml", "inherit/src/lib.rs"),
    ("sim/vfs/Cargo.toml", "sim/vfs/src/shim.rs"),
];

#[test]
fn unsafe_blocks_are_in_two_files_and_each_says_why_it_is_sound() {
    for (manifest, _) in UNSAFE {
        let text = std::fs::read_to_string(root().join(manifest)).expect("a manifest");
        assert!(text.contains("unsafe_code = \"deny\""), "{manifest}");
    }
    let allowance = ["allow(unsafe", "_code)"].concat();
    let block = ["unsafe", " {"].concat();
    let mut files = Vec::new();
    for path in tracked("*.rs") {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if text.contains(&allowance) || text.contains(&block) {
            files.push(path.clone());
            assert_eq!(text.matches(&allowance).count(), 1, "{}", path.display());
            // Clippy looks at each block of the larger file; here only that none came without words.
            let reasons = text.matches("SAFETY: ").count();
            assert!(
                reasons >= text.matches(&block).count(),
                "{}: a block without a reason",
                path.display()
            );
        }
    }
    let own: Vec<PathBuf> = UNSAFE.iter().map(|(_, file)| root().join(file)).collect();
    assert_eq!(files, own);
}
