//! Maildir in, Maildir out: the same bytes, flags, keywords and times, and nothing outside the folder.

mod common;

use std::collections::BTreeSet;
use std::fs::{self, File, FileTimes};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cli::access::Access;
use cli::args::{ExportArgs, Format, ImportArgs};
use cli::failure::Exit;
use cli::{export, import, open};
use common::Place;
use engine::local::{self, Moment, NewMailbox};
use engine::name::Scope;
use engine::ticket::Change;
use proptest::prelude::*;
use protocol::Text;
use store::sqlite::{Options, SqliteStore};

/// A message as a Maildir has it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Mail {
    bytes: Vec<u8>,
    flags: BTreeSet<char>,
    keywords: BTreeSet<String>,
    mtime: u64,
}

/// A folder, `""` or `.Name`, with its mail in order.
type Folders = Vec<(String, Vec<Mail>)>;

const KEYWORDS: usize = 30;

fn put(root: &Path, folders: &Folders) {
    for (folder, mails) in folders {
        let dir = if folder.is_empty() {
            root.to_owned()
        } else {
            root.join(folder)
        };
        for sub in ["cur", "new", "tmp"] {
            fs::create_dir_all(dir.join(sub)).expect("made");
        }
        let mut more = String::new();
        for (at, mail) in mails.iter().enumerate() {
            let base = format!("{}.{at}.host", 1_000_000 + at);
            let mut letters: Vec<char> = mail.flags.iter().copied().collect();
            let mut beyond = Vec::new();
            for keyword in &mail.keywords {
                let number: u8 = keyword[1..].parse().expect("a number");
                if number < 26 {
                    letters.push(char::from(b'a' + number))
                } else {
                    beyond.push(keyword.clone())
                }
            }
            if !beyond.is_empty() {
                more.push_str(&format!("{base}\t{}\n", beyond.join(" ")));
            }
            // What was never looked at lies in `new` and has no flags.
            let name = if letters.is_empty() && at % 2 == 1 {
                format!("new/{base}")
            } else {
                format!("cur/{base}:2,{}", letters.iter().collect::<String>())
            };
            let path = dir.join(name);
            fs::write(&path, &mail.bytes).expect("written");
            let time = UNIX_EPOCH + Duration::from_secs(mail.mtime);
            File::open(&path)
                .and_then(|f| f.set_times(FileTimes::new().set_modified(time)))
                .expect("set");
        }
        let letters: String = (0..26).map(|n| format!("{n} k{n}\n")).collect();
        fs::write(dir.join("dovecot-keywords"), letters).expect("written");
        fs::write(dir.join("mailtwin-keywords"), more).expect("written");
    }
}

/// Reads what an export wrote, in the order of its `dovecot-uidlist`.
fn get(root: &Path) -> Folders {
    let mut names: Vec<String> = vec![String::new()];
    for entry in fs::read_dir(root).expect("read") {
        let entry = entry.expect("read");
        if entry.path().join("cur").is_dir() {
            names.push(entry.file_name().into_string().expect("text"));
        }
    }
    names.sort();
    names
        .into_iter()
        .map(|name| (name.clone(), folder(&root.join(&name))))
        .collect()
}

fn folder(dir: &Path) -> Vec<Mail> {
    let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap_or_default();
    let (letters, more) = (read("dovecot-keywords"), read("mailtwin-keywords"));
    let uidlist = read("dovecot-uidlist");
    let mails: Vec<Mail> = uidlist
        .lines()
        .skip(1)
        .map(|line| {
            let name = line.split_once(" :").expect("a file").1;
            let path = dir.join("cur").join(name);
            let (base, flags) = name.split_once(":2,").expect("flags");
            let keyword = |letter: char| {
                let number = (letter as u8 - b'a').to_string();
                let line = letters
                    .lines()
                    .find(|line| line.split(' ').next() == Some(&number));
                line.and_then(|line| line.split_once(' '))
                    .expect("a keyword")
                    .1
                    .to_owned()
            };
            let beyond = more
                .lines()
                .filter_map(|line| line.split_once('\t'))
                .filter(|(file, _)| *file == base);
            let beyond =
                beyond.flat_map(|(_, words)| words.split(' ').map(str::to_owned).collect::<Vec<_>>());
            let small = flags.chars().filter(char::is_ascii_lowercase).map(keyword);
            let modified = path.metadata().and_then(|m| m.modified()).expect("a time");
            Mail {
                bytes: fs::read(&path).expect("read"),
                flags: flags.chars().filter(char::is_ascii_uppercase).collect(),
                keywords: small.chain(beyond).collect(),
                mtime: modified
                    .duration_since(SystemTime::UNIX_EPOCH)
                    .expect("after 1970")
                    .as_secs(),
            }
        })
        .collect();
    assert_eq!(
        fs::read_dir(dir.join("cur")).expect("read").count(),
        mails.len(),
        "every file is in the list"
    );
    mails
}

fn mail() -> impl Strategy<Value = Mail> {
    let flags = proptest::sample::subsequence(vec!['D', 'F', 'P', 'R', 'S', 'T'], 0..=6);
    let keywords = proptest::sample::subsequence((0..KEYWORDS).collect::<Vec<_>>(), 0..6);
    ("[a-c :\n\t\u{e4}]{0,60}", flags, keywords, 0u64..4_000_000_000).prop_map(
        |(text, flags, keywords, mtime)| Mail {
            bytes: text.into_bytes(),
            flags: flags.into_iter().collect(),
            keywords: keywords.into_iter().map(|k| format!("k{k}")).collect(),
            mtime,
        },
    )
}

fn folders() -> impl Strategy<Value = Folders> {
    let name = prop_oneof![
        Just(String::new()),
        Just(".Sent".to_owned()),
        Just(".Sent.2024".to_owned()),
        Just(".Entw&APw-rfe".to_owned()),
        Just(".R&-D ^ &AC8-".to_owned()),
    ];
    proptest::collection::btree_map(name, proptest::collection::vec(mail(), 0..6), 1..5).prop_map(|map| {
        let mut map = map;
        map.entry(String::new()).or_default();
        map.into_iter().collect()
    })
}

fn round_trip(from: &Path, to: &Path, store: &Path, lf: bool) {
    let store = SqliteStore::open(store, Options::default()).expect("opened");
    let mut access = Access::new(store.session());
    let args = ImportArgs {
        user: "jane".to_owned(),
        mailbox: "INBOX".to_owned(),
        format: Format::Maildir,
        path: from.to_owned(),
    };
    import::run(&mut access, &args, &Text::from("default"), open::now).expect("imported");
    let args = ExportArgs {
        user: "jane".to_owned(),
        dir: to.to_owned(),
        lf,
    };
    export::run(&mut access, &args).expect("exported");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_goes_in_comes_out(folders in folders(), crlf in any::<bool>()) {
        let mut folders = folders;
        if crlf {
            for mail in folders.iter_mut().flat_map(|(_, mails)| mails) {
                mail.bytes = String::from_utf8_lossy(&mail.bytes).replace('\n', "\r\n").into_bytes();
            }
        }
        let place = tempfile::TempDir::new().expect("a folder");
        let (from, to) = (place.path().join("from"), place.path().join("to"));
        put(&from, &folders);
        round_trip(&from, &to, &place.path().join("store"), !crlf);
        prop_assert_eq!(get(&to), folders);

        // And once more, from what the export wrote.
        let again = place.path().join("again");
        round_trip(&to, &again, &place.path().join("store2"), !crlf);
        prop_assert_eq!(get(&again), get(&to));
    }
}

#[test]
fn subscriptions_and_uids_travel_along() {
    let place = Place::new();
    put(
        &place.path("from"),
        &vec![(String::new(), Vec::new()), (".A.B".to_owned(), Vec::new())],
    );
    place.write("from/subscriptions", "INBOX\nA.B\n");
    let _ = place.run(&["import", "jane", "INBOX", "maildir", "from"]).fine();
    place.append("jane", "A/B", "Subject: x\n\n");
    let _ = place.run(&["export", "jane", "out"]).fine();
    assert_eq!(
        fs::read_to_string(place.path("out/subscriptions")).expect("read"),
        "INBOX\nA.B\n"
    );
    let uidlist = fs::read_to_string(place.path("out/.A.B/dovecot-uidlist")).expect("read");
    assert!(
        uidlist.starts_with("3 V") && uidlist.contains(" N2\n1 :"),
        "{uidlist}"
    );
}

#[test]
fn a_folder_below_another_mailbox() {
    let place = Place::new();
    put(
        &place.path("from"),
        &vec![(String::new(), Vec::new()), (".A.B".to_owned(), Vec::new())],
    );
    let _ = place
        .run(&["import", "jane", "Old/Mail", "maildir", "from"])
        .fine();
    let listed = place.run(&["list", "jane"]).fine().text();
    let names: Vec<&str> = listed
        .lines()
        .skip(1)
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(names, ["INBOX", "Old/Mail", "Old/Mail/A/B"]);
}

/// Everything below a folder.
fn all_below(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("read") {
        let path = entry.expect("read").path();
        if path.is_dir() {
            all_below(&path, found);
        }
        found.push(path);
    }
}

#[test]
fn nothing_leaves_the_folder() {
    let names: [&[u8]; 9] = [
        b"user.jane./../../evil",
        b"user.jane.a/../../../evil",
        b"user.jane...evil",
        b"user.jane./etc/evil",
        b"user.jane.\nevil",
        b"user.jane.\x00evil",
        b"user.jane.\xffevil",
        b"user.jane.cur",
        b"user.jane.tmp/../evil",
    ];
    let mut tried = 0;
    for name in names {
        let place = tempfile::TempDir::new().expect("a folder");
        let store = SqliteStore::open(place.path().join("store"), Options::default()).expect("opened");
        let mut access = Access::new(store.session());
        let scope = Scope::User(Text::from("jane"));
        let inbox = NewMailbox {
            name: Text::from("user.jane"),
            uniqueid: Text::from("id1"),
            partition: Text::from("default"),
            acl: None,
        };
        let moment = Moment::behind(open::now(), &[], &[]);
        let inbox = local::create(moment, &[], inbox).expect("planned");
        // A store takes names that the planning would refuse, as it might have them from anywhere.
        let mut odd = inbox.clone();
        odd.name = Text::from(name);
        odd.uniqueid = Text::from("id2");
        let changes = [inbox, odd].map(|mailbox| Change::PutMailbox(Box::new(mailbox)));
        if access.transaction(scope, |_| Ok((changes.to_vec(), ()))).is_err() {
            continue;
        }
        tried += 1;
        drop(access);
        let mut before = Vec::new();
        all_below(place.path(), &mut before);
        let before: BTreeSet<PathBuf> = before.into_iter().collect();

        let out = place.path().join("deep/out");
        fs::create_dir_all(place.path().join("deep")).expect("made");
        let mut access = Access::new(store.session());
        let exported = export::run(
            &mut access,
            &ExportArgs {
                user: "jane".to_owned(),
                dir: out.clone(),
                lf: false,
            },
        );
        if let Err(failure) = exported {
            assert_eq!(
                failure.exit,
                Exit::CannotCreate,
                "{}: {failure}",
                name.escape_ascii()
            );
        }
        let mut after = Vec::new();
        all_below(place.path(), &mut after);
        for path in after {
            let known = before.contains(&path) || path.starts_with(place.path().join("store"));
            let inside = path.starts_with(&out) || path == place.path().join("deep");
            assert!(known || inside, "{} made {}", name.escape_ascii(), path.display());
        }
    }
    assert_eq!(
        tried,
        names.len(),
        "the store took all names, so that the export had to cope"
    );
}

#[test]
fn a_folder_in_use_is_left_alone() {
    let place = Place::new();
    place.append("jane", "INBOX", "Subject: x\n\n");
    place.write("out/file", "mine");
    let said = place.run(&["export", "jane", "out"]);
    assert_eq!(said.code, 73);
    assert!(said.err.contains("not empty"), "{}", said.err);
    assert_eq!(fs::read_dir(place.path("out")).expect("read").count(), 1);
    fs::create_dir(place.path("empty")).expect("made");
    let _ = place.run(&["export", "jane", "empty"]).fine();
}
