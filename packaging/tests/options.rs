//! `docs/OPTIONS.md` against the programs: no option or key is missing, defaults are true, tests that are named exist.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use net::config::{CHANNEL_KEYS, Config, OWN_CHANNEL_KEYS, Service, Settings, own_keys, sync_keys, tls_keys};

/// What Cyrus's `sync_client` has, in any of its versions.
const OF_CYRUS: &str = "-C -A --all-users -d --delay -f --input-file -F --shutdown-file -l --verbose-logging -L --local-only \
    -m --mailboxes -n --channel -N --skip-locked -o --connect-once -O --no-copyback -p --dest-partition -r --rolling \
    -R --foreground-rolling -1 --rolling-once -s --sieve-mode -S --server -t --timeout -u --userids -v --verbose \
    -w --delayed-startup -z --require-compression -a --stage-to-archive";

/// Keys with a name of the operator's choice in them.
const FAMILIES: [&str; 3] = ["partition-NAME", "SHORTHOST_client_cert", "SHORTHOST_client_key"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A row of a table, by the section that it is in.
struct Row {
    section: String,
    cells: Vec<String>,
}

impl Row {
    /// Words in backticks of a cell.
    fn names(&self, cell: usize) -> Vec<&str> {
        self.cells[cell].split('`').skip(1).step_by(2).collect()
    }
}

fn rows() -> Vec<Row> {
    let text = std::fs::read_to_string(root().join("docs/OPTIONS.md")).expect("the page");
    let mut section = String::new();
    let mut rows = Vec::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            section = title.to_owned();
        }
        let inner = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |"));
        let cells: Vec<String> = inner
            .unwrap_or_default()
            .split(" | ")
            .map(|cell| cell.trim().to_owned())
            .collect();
        if cells.len() > 1 && cells[0].starts_with('`') {
            let section = section.clone();
            rows.push(Row { section, cells });
        }
    }
    assert!(rows.len() > 100, "the tables are read: {} rows", rows.len());
    rows
}

/// Rows of keys, by key.
fn keys(rows: &[Row]) -> BTreeMap<&str, &Row> {
    let about_keys = rows.iter().filter(|row| row.section.starts_with("Keys"));
    let mut found = BTreeMap::new();
    for row in about_keys {
        assert_eq!(row.cells.len(), 6, "{}", row.cells[0]);
        for name in row.names(0) {
            assert!(found.insert(name, row).is_none(), "{name} has two rows");
        }
    }
    found
}

#[test]
fn every_option_has_its_row_and_every_row_its_option() {
    let rows = rows();
    for program in packaging::programs() {
        let name = program.get_name().to_owned();
        let named: BTreeSet<&str> = rows
            .iter()
            .filter(|row| row.section == name)
            .flat_map(|row| row.names(0))
            .collect();
        if name == "mailtwin" {
            continue;
        }
        let short = program.get_arguments().filter_map(|option| option.get_short());
        let long = program.get_arguments().filter_map(|option| option.get_long());
        let real: BTreeSet<String> = short
            .map(|letter| format!("-{letter}"))
            .chain(long.map(|word| format!("--{word}")))
            .collect();
        let real: BTreeSet<&str> = real.iter().map(String::as_str).collect();
        let missing: Vec<&&str> = real.difference(&named).collect();
        assert!(missing.is_empty(), "{name}: no row for {missing:?}");
        let gone: Vec<&&str> = named.difference(&real).collect();
        assert!(gone.is_empty(), "{name}: no option {gone:?}");
        if name == "sync_client" {
            for option in OF_CYRUS.split_whitespace() {
                assert!(real.contains(option), "{option} of Cyrus is missing");
            }
        }
    }
}

/// Quoted words in the sources of `net::config` that are names of keys.
fn keys_in_sources() -> BTreeSet<String> {
    let folder = root().join("net/src/config");
    let known = std::fs::read_to_string(folder.join("cyrus-keys.txt")).expect("the list");
    let known: BTreeSet<&str> = known.lines().collect();
    let mut found = BTreeSet::new();
    for entry in folder.read_dir().expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if !name.ends_with(".rs") || ["tests.rs", "keys.rs"].contains(&name.as_str()) {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a source");
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let words = code.split('"').skip(1).step_by(2);
        found.extend(words.filter(|word| known.contains(word)).map(str::to_owned));
    }
    assert!(
        found.contains("sync_host") && found.contains("admins"),
        "{found:?}"
    );
    found
}

#[test]
fn every_key_has_its_row() {
    let rows = rows();
    let rows = keys(&rows);
    let wanted = own_keys().chain(sync_keys()).chain(tls_keys()).map(str::to_owned);
    let missing: Vec<String> = wanted
        .chain(keys_in_sources())
        .filter(|key| !rows.contains_key(key.as_str()))
        .collect();
    assert!(missing.is_empty(), "no row for {missing:?}");
}

#[test]
fn the_forms_for_channels_are_the_real_ones() {
    let rows = rows();
    for (key, row) in keys(&rows) {
        let expected = match key {
            _ if CHANNEL_KEYS.contains(&key) => "yes",
            _ if OWN_CHANNEL_KEYS.contains(&key) => "ours",
            _ => "no",
        };
        assert_eq!(row.cells[1], expected, "{key}");
    }
}

/// A configuration as two programs and a channel see it.
fn settings(lines: &str) -> (String, Vec<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("imapd.conf");
    std::fs::write(&path, format!("configdirectory: /c\n{lines}\n")).expect("a file");
    let mut shown = String::new();
    let mut warned = Vec::new();
    for service in [Service::SyncServer, Service::SyncClient] {
        let config = Config::load(&path, service).unwrap_or_else(|error| panic!("{lines}: {error}"));
        for channel in [None, Some("far")] {
            let mut settings =
                Settings::for_channel(&config, channel).unwrap_or_else(|error| panic!("{lines}: {error}"));
            warned.extend(settings.warnings.drain(..).map(|warning| warning.text));
            shown.push_str(&format!("{settings:?}\n"));
        }
    }
    (shown, warned)
}

#[test]
fn defaults_are_the_real_ones() {
    let rows = rows();
    let (plain, _) = settings("");
    let mut tried = 0;
    for (key, row) in keys(&rows) {
        let [value] = row.names(2)[..] else { continue };
        if row.cells[2] != format!("`{value}`") {
            continue;
        }
        tried += 1;
        let channel = (row.cells[1] != "no" && key != "sync_try_imap").then(|| format!("far_{key}: {value}"));
        for line in [Some(format!("{key}: {value}")), channel].into_iter().flatten() {
            let (set, warned) = settings(&line);
            assert_eq!(set, plain, "{line} changes something");
            assert_eq!(warned, Vec::<String>::new(), "{line}");
        }
    }
    assert!(tried > 30, "{tried} defaults were tried");
}

#[test]
fn every_key_is_known() {
    let rows = rows();
    for key in keys(&rows).into_keys() {
        let key = match FAMILIES.contains(&key) {
            true => key.to_lowercase(),
            false => key.to_owned(),
        };
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("imapd.conf");
        std::fs::write(&path, format!("{key}: 1\n")).expect("a file");
        let config = Config::load(&path, Service::Mailtwin).expect("it is read");
        assert_eq!(config.warnings(), [], "{key} is warned of as unknown");
    }
}

#[test]
fn tests_that_are_named_exist() {
    let page = std::fs::read_to_string(root().join("docs/OPTIONS.md")).expect("the page");
    for row in rows() {
        let last = row.cells.len() - 1;
        assert!(!row.names(last).is_empty(), "{} names no test", row.cells[0]);
    }
    let mut sources: BTreeMap<String, String> = BTreeMap::new();
    let mut seen = 0;
    for word in page.split('`').skip(1).step_by(2) {
        let Some((file, name)) = word.split_once("::") else {
            continue;
        };
        seen += 1;
        let text = sources
            .entry(file.to_owned())
            .or_insert_with(|| std::fs::read_to_string(root().join(file)).unwrap_or_default());
        let at = text
            .find(&format!("fn {name}("))
            .unwrap_or_else(|| panic!("{word} does not exist"));
        let before: Vec<&str> = text[..at].lines().rev().take(4).collect();
        assert!(
            before
                .iter()
                .any(|line| line.contains("#[test]") || line.contains("#[tokio::test")),
            "{word} is no test"
        );
    }
    assert!(seen > 100, "{seen} tests are named");
}
