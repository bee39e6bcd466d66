//! Configuration files: any bytes are read or refused with a place, and no password shows.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::OnceLock;

use net::config::{Config, Service, Settings};

/// A folder of this process's own.
pub fn folder() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let memory = PathBuf::from("/dev/shm");
        let above = if memory.is_dir() {
            memory
        } else {
            std::env::temp_dir()
        };
        forget_the_dead(&above);
        let folder = above.join(format!("mailtwin-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for the files under test");
        folder
    })
}

/// libFuzzer's programs end without a word, so the next one tidies up behind those that are no more.
fn forget_the_dead(above: &std::path::Path) {
    for entry in std::fs::read_dir(above).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix("mailtwin-fuzz-");
        if owner.is_some_and(|owner| !std::path::Path::new("/proc").join(owner).exists()) {
            // Another one may be at it too.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// The first byte chooses the program that reads; a byte 0xFF begins a second file, which the first may include by the name
/// `more`.
pub fn imapd_conf(input: &[u8]) {
    let [service, text @ ..] = input else {
        return;
    };
    let service = [Service::SyncServer, Service::SyncClient, Service::Mailtwin][usize::from(service % 3)];
    let (first, more) = match text.iter().position(|byte| *byte == 0xff) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &[][..]),
    };
    // An operator may include a device that never ends; that is no fault of the reader's.
    let reaches_out = |text: &[u8]| {
        text.windows(8).any(|word| word.eq_ignore_ascii_case(b"@include")) && text.contains(&b'/')
    };
    if reaches_out(first) || reaches_out(more) {
        return;
    }
    let path = folder().join("imapd.conf");
    std::fs::write(&path, first).expect("the file is written");
    std::fs::write(folder().join("more"), more).expect("the file is written");

    let (config, errors) = Config::load_all(&path, service);
    let strict = Config::load(&path, service);
    assert_eq!(strict.is_ok(), errors.is_empty(), "{strict:?} {errors:?}");
    let mut shown = String::new();
    for error in &errors {
        let _ = write!(shown, "{error} {error:?} ");
    }
    for warning in config.warnings() {
        let _ = write!(shown, "{warning} ");
    }
    for channel in [None, Some("backup")] {
        match Settings::for_channel(&config, channel) {
            Ok(settings) => {
                let _ = write!(shown, "{settings:?} ");
            }
            Err(error) => {
                assert!(error.to_string().contains("imapd.conf") || error.to_string().contains("more"));
                let _ = write!(shown, "{error} {error:?} ");
            }
        }
    }
    if let Ok(strict) = strict {
        for key in net::config::own_keys().chain(net::config::sync_keys()) {
            assert_eq!(strict.get(key), config.get(key));
            assert_eq!(strict.get(key).is_some(), strict.place(key).is_some());
        }
    }
    for key in ["sync_password", "backup_sync_password"] {
        if let Some(secret) = config.get(key).filter(|secret| is_telling(secret, first, more)) {
            assert!(!shown.contains(secret), "{key} shows in {shown}");
        }
    }
}

/// Whether a password cannot stand in a text by chance: long, and in the files only once.
fn is_telling(secret: &str, first: &[u8], more: &[u8]) -> bool {
    let count = |text: &[u8]| {
        text.windows(secret.len())
            .filter(|part| *part == secret.as_bytes())
            .count()
    };
    secret.len() >= 12 && count(first) + count(more) == 1 && !"mailtwin-fuzz".contains(secret)
}
