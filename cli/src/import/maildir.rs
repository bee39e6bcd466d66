//! Maildir and its Maildir++ folders.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use engine::name::inbox_of;
use protocol::{Flags, SystemFlags, Text};

use super::{Body, Sink, Sorted, eml};
use crate::failure::{Exit, Failure, Result};
use crate::names;

/// The Maildir flags, with what they mean in IMAP; `P` is a keyword.
pub const FLAGS: [(char, SystemFlags); 5] = [
    ('D', SystemFlags::DRAFT),
    ('F', SystemFlags::FLAGGED),
    ('R', SystemFlags::ANSWERED),
    ('S', SystemFlags::SEEN),
    ('T', SystemFlags::DELETED),
];

/// The keyword that the Maildir flag `P` (passed) stands for.
pub const PASSED: &str = "$Forwarded";

/// One folder, and where it goes.
pub struct Folder {
    mailbox: Text,
    path: PathBuf,
    /// Files relative to the folder, in the order of their UIDs.
    pub messages: Vec<PathBuf>,
}

/// The Maildir itself and its Maildir++ folders, by name.
pub fn folders(root: &Path, mailbox: &Text) -> Result<Vec<Folder>> {
    if !is_maildir(root) {
        let text = format!("{} is no Maildir: it has no folder cur", root.display());
        return Err(Failure::new(Exit::NoInput, text));
    }
    let mut found = vec![(mailbox.clone(), root.to_owned())];
    for name in entries(root)? {
        let path = root.join(&name);
        if !is_maildir(&path) {
            continue;
        }
        let Some(parts) = names::from_folder(&name) else {
            continue;
        };
        let below = names::below(mailbox, parts).ok_or_else(|| {
            let text = format!(
                "{}: a mailbox cannot have this name; rename the folder",
                path.display()
            );
            Failure::new(Exit::Data, text)
        })?;
        found.push((below, path));
    }
    found
        .into_iter()
        .map(|(mailbox, path)| {
            Ok(Folder {
                mailbox,
                messages: messages(&path)?,
                path,
            })
        })
        .collect()
}

/// Appends the messages of one folder.
pub fn import(folder: &Folder, sink: &mut Sink<'_, '_>) -> Result<()> {
    let keywords = Keywords::load(&folder.path)?;
    sink.mailbox(&folder.mailbox)?;
    for relative in &folder.messages {
        let path = folder.path.join(relative);
        let Some((path, file)) = open(&path) else {
            sink.skip(&format!("{}: it went away; import it again", path.display()));
            continue;
        };
        let internaldate = eml::modified(&file);
        match Body::read(file) {
            Ok(body) => sink.message(Sorted {
                body,
                internaldate,
                flags: keywords.flags(&path),
            })?,
            Err(error) => sink.skip(&format!("{}: {error}", path.display())),
        }
    }
    Ok(())
}

/// The mailboxes that the Maildir's `subscriptions` file names, one a line with `.` or `/` between the parts.
pub fn subscriptions(root: &Path, user: &Text, mailbox: &Text) -> Vec<Text> {
    let text = fs::read_to_string(root.join("subscriptions")).unwrap_or_default();
    let names = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("V\t"))
        .filter_map(|line| {
            if line == "INBOX" {
                return Some(inbox_of(user));
            }
            // The newer form of the file has TABs between the parts.
            names::from_folder(&format!(".{}", line.replace('\t', ".")))
                .and_then(|parts| names::below(mailbox, parts))
        });
    names.collect()
}

fn is_maildir(path: &Path) -> bool {
    path.join("cur").is_dir()
}

/// The names in a folder, sorted; those that are no UTF-8 are no Maildir's.
fn entries(path: &Path) -> Result<Vec<String>> {
    let failed = |error: std::io::Error| Failure::file(path, &error);
    let mut names = Vec::new();
    for entry in path.read_dir().map_err(failed)? {
        names.extend(entry.map_err(failed)?.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}

/// The message files of a folder: in the order of `dovecot-uidlist` where that knows them, then by delivery time.
fn messages(path: &Path) -> Result<Vec<PathBuf>> {
    let places = uidlist(path);
    let mut found = Vec::new();
    for sub in ["cur", "new"] {
        let dir = path.join(sub);
        // A Maildir without `new` is odd, and no reason to fail.
        if !dir.is_dir() {
            continue;
        }
        for name in entries(&dir)?.into_iter().filter(|name| !name.starts_with('.')) {
            let place = places.get(base(&name)).copied().unwrap_or(usize::MAX);
            let delivered: u64 = name
                .split('.')
                .next()
                .and_then(|time| time.parse().ok())
                .unwrap_or(u64::MAX);
            found.push((place, delivered, Path::new(sub).join(name)));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, _, file)| file).collect())
}

/// The place of each file, without its flags, in `dovecot-uidlist`.
fn uidlist(path: &Path) -> BTreeMap<String, usize> {
    let text = fs::read(path.join("dovecot-uidlist")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines = text.lines().skip(1).filter_map(|line| line.split_once(" :"));
    lines
        .enumerate()
        .map(|(place, (_, file))| (base(file).to_owned(), place))
        .collect()
}

/// A message file, perhaps under the name that another program just gave it.
fn open(path: &Path) -> Option<(PathBuf, File)> {
    match File::open(path) {
        Ok(file) if file.metadata().is_ok_and(|m| m.is_file()) => Some((path.to_owned(), file)),
        Err(error) if error.kind() == ErrorKind::NotFound => renamed(path),
        _ => None,
    }
}

/// Flags are part of the name, and a message that was read moves from `new` to `cur`.
fn renamed(path: &Path) -> Option<(PathBuf, File)> {
    let cur = path.parent()?.parent()?.join("cur");
    let wanted = path.file_name()?.to_str()?;
    let name = entries(&cur)
        .ok()?
        .into_iter()
        .find(|name| base(name) == base(wanted))?;
    let path = cur.join(name);
    File::open(&path).ok().map(|file| (path, file))
}

/// A file name without its flags.
fn base(name: &str) -> &str {
    name.rsplit_once(":2,").map_or(name, |(base, _)| base)
}

/// The keywords of a folder: `dovecot-keywords` names those of the letters a to z; `mailtwin-keywords`, written by
/// `mailtwin export`, has those beyond, a line `file TAB keyword ...` a message.
struct Keywords {
    letters: BTreeMap<char, Text>,
    more: BTreeMap<String, Vec<Text>>,
}

impl Keywords {
    fn load(path: &Path) -> Result<Self> {
        let read = |name: &str| match fs::read(path.join(name)) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(Failure::file(&path.join(name), &error)),
        };
        let letters = read("dovecot-keywords")?
            .lines()
            .filter_map(|line| line.split_once(' '))
            .filter_map(|(number, keyword)| Some((number.parse::<u8>().ok()?, keyword)))
            .filter(|(number, _)| *number < 26)
            .map(|(number, keyword)| (char::from(b'a' + number), Text::from(keyword)))
            .collect();
        let more = read("mailtwin-keywords")?
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .map(|(file, keywords)| (file.to_owned(), keywords.split(' ').map(Text::from).collect()))
            .collect();
        Ok(Keywords { letters, more })
    }

    fn flags(&self, path: &Path) -> Flags {
        let name = path.file_name().map(|n| n.to_string_lossy()).unwrap_or_default();
        let mut flags = Flags::default();
        for letter in name.rsplit_once(":2,").map_or("", |(_, letters)| letters).chars() {
            if let Some((_, flag)) = FLAGS.iter().find(|(l, _)| *l == letter) {
                flags.system = flags.system.with(*flag);
            } else if letter == 'P' {
                flags.keywords.push(Text::from(PASSED));
            } else {
                flags.keywords.extend(self.letters.get(&letter).cloned());
            }
        }
        flags
            .keywords
            .extend(self.more.get(base(&name)).into_iter().flatten().cloned());
        flags
    }
}
