//! Names that mean harm: to paths, terminals, logs and shells; and what a folder looks like afterwards.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

/// Parts of such names, each of which has done harm somewhere.
pub const PARTS: [&str; 44] = [
    "..",
    ".",
    "/",
    "../",
    "../../../../../../tmp/x",
    "/etc/passwd",
    "//",
    "\\",
    "..\\",
    "C:\\x",
    "NUL",
    "CON.txt",
    "a:b",
    "\0",
    "a\0b",
    "\n",
    "\r\n",
    "a\nb",
    "\t",
    "\u{7f}",
    "\u{1b}[31m",
    "\u{1b}]0;title\u{7}",
    "\u{9b}31m",
    "\u{202e}",
    "%2e%2e%2f",
    "%",
    "~",
    "~root",
    "$(touch x)",
    "`touch x`",
    "-rf",
    "--help",
    ".hidden",
    ".db",
    "shared.db",
    "locator.db",
    "jane.db-wal",
    "tmp",
    "log",
    "mailtwin-status.json",
    "*",
    "?",
    "Jane",
    "é",
];

/// A name of such parts, or of any bytes; not empty, now and then longer than a file's name can be.
pub fn name() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        4 => prop::sample::select(&PARTS[..]).prop_map(|part| part.as_bytes().to_vec()),
        2 => "[a-zA-Z]{1,4}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 1..6),
    ];
    let parts = prop::collection::vec(part, 1..5).prop_map(|parts| parts.concat());
    prop_oneof![
        8 => parts.clone(),
        1 => (parts, 300_usize..3000).prop_map(|(name, length)| name.iter().copied().cycle().take(length).collect()),
    ]
}

/// The same, and printable ASCII without an empty part between dots: what a mailbox of a replica can be called.
pub fn acceptable() -> impl Strategy<Value = String> {
    name().prop_map(|name| {
        let kept = name
            .into_iter()
            .filter(|byte| (0x20..0x7f).contains(byte) && *byte != b'!');
        let text: String = kept.map(char::from).take(900).collect();
        let parts: Vec<&str> = text.split('.').filter(|part| !part.is_empty()).collect();
        if parts.is_empty() {
            "x".to_owned()
        } else {
            parts.join(".")
        }
    })
}

/// All that lies below a folder, files and folders.
pub fn below(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let entry = entry.expect("an entry");
            let kind = entry.file_type().expect("a kind");
            assert!(!kind.is_symlink(), "{} is a link", entry.path().display());
            if kind.is_dir() {
                open.push(entry.path());
            }
            found.insert(entry.path());
        }
    }
    found
}

/// Whether a file name can harm neither a terminal nor a shell's loop.
pub fn is_tame(path: &Path) -> bool {
    let name = path
        .file_name()
        .map(std::ffi::OsStr::as_encoded_bytes)
        .unwrap_or_default();
    let tame = |byte: &u8| byte.is_ascii_alphanumeric() || b"@_-+=.%~".contains(byte);
    !name.is_empty() && name.len() <= 255 && !name.starts_with(b".") && name.iter().all(tame)
}

/// Whether text can be shown on a terminal: no control character but line ends, and no change of direction.
pub fn is_showable(text: &str) -> bool {
    text.chars().all(|c| {
        c == '\n' || !(c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
    })
}
