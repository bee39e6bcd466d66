//! `mailtwin export`: a user's mail as Maildir++.

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use engine::model::Mailbox;
use engine::name::{Scope, is_deleted};
use protocol::{Record, Text};

use crate::access::Access;
use crate::args::ExportArgs;
use crate::failure::{Exit, Failure, Result};
use crate::hash::Hasher;
use crate::import::{FLAGS, PASSED};
use crate::{names, output, table};

/// Keywords that have a letter in a file name.
const LETTERS: usize = 26;

/// Exports what the arguments say.
pub fn run(access: &mut Access, args: &ExportArgs) -> Result<()> {
    let user = names::user(&args.user)?;
    let mailboxes = access.mailboxes_of(&user)?;
    claim(&args.dir)?;
    let mut export = Export {
        root: &args.dir,
        lf: args.lf,
        messages: 0,
        bytes: 0,
        damaged: 0,
        folders: BTreeMap::new(),
    };
    let bar = output::progress(0, "messages");
    access.snapshot(Scope::User(user.clone()), |access| {
        for mailbox in mailboxes.iter().filter(|m| !m.is_placeholder()) {
            if is_deleted(&mailbox.name) {
                bar.suspend(|| output::note(&format!("left out {}, which is deleted", mailbox.name)))?;
                continue;
            }
            export.mailbox(access, &user, mailbox, &bar)?;
        }
        let subscriptions = access.user_meta(&user)?.subscriptions;
        export.subscriptions(&user, &subscriptions)
    })?;
    bar.finish_and_clear();
    output::note(&format!(
        "exported {} ({}) in {} of {user} to {}",
        table::count(export.messages, "message"),
        table::bytes(export.bytes),
        table::count(export.folders.len() as u64, "mailbox"),
        args.dir.display(),
    ))?;
    if export.damaged > 0 {
        let text = format!(
            "left out {}; see above",
            table::count(export.damaged, "damaged message")
        );
        return Err(Failure::new(Exit::Unequal, text));
    }
    Ok(())
}

/// Makes the folder, or takes an empty one.
fn claim(dir: &Path) -> Result<()> {
    match fs::create_dir(dir) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let mut entries = fs::read_dir(dir).map_err(|e| Failure::file(dir, &e))?;
            if entries.next().is_none() {
                return Ok(());
            }
            let text = format!("{} is not empty; name a new or an empty folder", dir.display());
            Err(Failure::new(Exit::CannotCreate, text))
        }
        Err(error) => Err(Failure::file(dir, &error)),
    }
}

struct Export<'a> {
    root: &'a Path,
    lf: bool,
    messages: u64,
    bytes: u64,
    /// Messages left out.
    damaged: u64,
    /// Folder names that are taken, and by which mailbox.
    folders: BTreeMap<String, Text>,
}

impl Export<'_> {
    fn mailbox(
        &mut self,
        access: &mut Access,
        user: &Text,
        mailbox: &Mailbox,
        bar: &indicatif::ProgressBar,
    ) -> Result<()> {
        let path = self.folder(user, mailbox)?;
        for sub in ["cur", "new", "tmp"] {
            let dir = path.join(sub);
            fs::create_dir_all(&dir).map_err(|e| Failure::file(&dir, &e))?;
        }
        if path != self.root {
            write(&path.join("maildirfolder"), b"")?;
        }
        let mut folder = Folder {
            path,
            lf: self.lf,
            letters: Vec::new(),
            more: String::new(),
            uidlist: format!(
                "3 V{} N{}\n",
                mailbox.uidvalidity,
                u64::from(mailbox.last_uid) + 1
            ),
        };
        let key = mailbox.key();
        access.for_each_record(&key, |access, record| {
            if !record.is_expunged() {
                match folder.message(access, &key.scope, &record)? {
                    Written::Whole(size) => {
                        self.bytes += size;
                        self.messages += 1;
                        bar.inc(1);
                    }
                    Written::Damaged(why) => {
                        self.damaged += 1;
                        let text = format!("left out message {} of {}: {why}", record.uid, mailbox.name);
                        bar.suspend(|| output::note(&text))?;
                    }
                }
            }
            Ok(())
        })?;
        folder.finish()
    }

    /// The folder of a mailbox; two mailboxes never share one. A name that gives no folder, or one that is taken, becomes a
    /// hash, so that it keeps nothing else from being exported.
    fn folder(&mut self, user: &Text, mailbox: &Mailbox) -> Result<PathBuf> {
        let own = names::to_folder(user, &mailbox.name).filter(|folder| !self.folders.contains_key(folder));
        let mut folder = own.unwrap_or_else(|| format!(".~{}", crate::hash::guid_of(&mailbox.name)));
        while self.folders.contains_key(&folder) {
            folder.push('~');
        }
        if folder.is_empty() {
            self.folders.insert(folder, mailbox.name.clone());
            return Ok(self.root.to_owned());
        }
        let path = self.root.join(&folder);
        // Where capitals are not told apart, two names may be one folder.
        fs::create_dir(&path).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => {
                let text = format!(
                    "{} is there already: this file system takes the names of two mailboxes for one; export to another",
                    path.display()
                );
                Failure::new(Exit::CannotCreate, text)
            }
            _ => Failure::file(&path, &error),
        })?;
        self.folders.insert(folder, mailbox.name.clone());
        Ok(path)
    }

    /// One name a line, as Maildir++ programs write it.
    fn subscriptions(&self, user: &Text, subscriptions: &[Text]) -> Result<()> {
        let folders = subscriptions
            .iter()
            .filter_map(|name| names::to_folder(user, name));
        let lines: String = folders
            .map(|folder| {
                if folder.is_empty() {
                    "INBOX\n".to_owned()
                } else {
                    format!("{}\n", &folder[1..])
                }
            })
            .collect();
        if lines.is_empty() {
            Ok(())
        } else {
            write(&self.root.join("subscriptions"), lines.as_bytes())
        }
    }
}

/// What became of a message.
enum Written {
    /// It is in its folder; bytes.
    Whole(u64),
    /// It cannot be had; why.
    Damaged(String),
}

/// One folder being written.
struct Folder {
    path: PathBuf,
    lf: bool,
    /// Keywords by letter.
    letters: Vec<Text>,
    /// Lines of `mailtwin-keywords`: what had no letter left.
    more: String,
    /// Lines of `dovecot-uidlist`.
    uidlist: String,
}

impl Folder {
    /// Writes a message into `tmp`, gives it its time, and moves it to its name in `cur`. What is damaged stays out, and
    /// does not keep the rest in.
    fn message(&mut self, access: &mut Access, scope: &Scope, record: &Record) -> Result<Written> {
        let base = format!("{}.M{:010}P0.mailtwin", record.internaldate.max(0), record.uid);
        let suffix = self.suffix(record, &base);
        let tmp = self.path.join("tmp").join(&base);
        let failed = |error: std::io::Error| Failure::file(&tmp, &error);
        let file = File::create_new(&tmp).map_err(failed)?;
        let mut out = Ends {
            out: BufWriter::with_capacity(1 << 16, file),
            lf: self.lf,
            after_cr: false,
        };
        let mut hasher = Hasher::default();
        let mut unwritten = None;
        let read = access.read_message(scope, record.guid, |data| {
            hasher.update(data);
            out.write(data).map_err(|error| {
                unwritten = Some(failed(error));
                Failure::new(Exit::Io, "not written")
            })
        });
        if let Some(failure) = unwritten {
            return Err(failure);
        }
        let size = match read {
            Ok(size) if hasher.finish() == record.guid => size,
            other => {
                fs::remove_file(&tmp).map_err(failed)?;
                let what = format!("its bytes are not those of {}", record.guid);
                return Ok(Written::Damaged(other.err().map_or(what, |failure| failure.text)));
            }
        };
        let file = out.finish().map_err(failed)?;
        file.set_times(FileTimes::new().set_modified(time(record.internaldate)))
            .map_err(failed)?;
        let name = format!("{base}:2,{suffix}");
        let cur = self.path.join("cur").join(&name);
        fs::rename(&tmp, &cur).map_err(|e| Failure::file(&cur, &e))?;
        self.uidlist.push_str(&format!("{} :{name}\n", record.uid));
        Ok(Written::Whole(size))
    }

    /// Flag letters in ASCII order, keyword letters behind them.
    fn suffix(&mut self, record: &Record, base: &str) -> String {
        let mut letters: Vec<char> = FLAGS
            .iter()
            .filter(|(_, flag)| record.flags.system.contains(*flag))
            .map(|(letter, _)| *letter)
            .collect();
        let mut beyond: Vec<String> = Vec::new();
        for keyword in &record.flags.keywords {
            if keyword.eq_ignore_ascii_case(PASSED.as_bytes()) {
                letters.push('P');
                continue;
            }
            let known = self.letters.iter().position(|k| k == keyword);
            let at = known.or_else(|| {
                (self.letters.len() < LETTERS).then(|| {
                    self.letters.push(keyword.clone());
                    self.letters.len() - 1
                })
            });
            match at {
                Some(at) => letters.push(char::from(b'a' + at as u8)),
                None => beyond.push(keyword.to_string()),
            }
        }
        if !beyond.is_empty() {
            self.more.push_str(&format!("{base}\t{}\n", beyond.join(" ")));
        }
        letters.sort_unstable();
        letters.into_iter().collect()
    }

    fn finish(self) -> Result<()> {
        let letters = self
            .letters
            .iter()
            .enumerate()
            .map(|(at, keyword)| format!("{at} {keyword}\n"));
        let letters: String = letters.collect();
        for (name, text) in [
            ("dovecot-keywords", letters),
            ("mailtwin-keywords", self.more),
            ("dovecot-uidlist", self.uidlist),
        ] {
            if !text.is_empty() {
                write(&self.path.join(name), text.as_bytes())?;
            }
        }
        Ok(())
    }
}

/// Takes the CR out of CRLF when asked to.
struct Ends {
    out: BufWriter<File>,
    lf: bool,
    after_cr: bool,
}

impl Ends {
    fn write(&mut self, data: &[u8]) -> std::io::Result<()> {
        if !self.lf {
            return self.out.write_all(data);
        }
        for part in data.split_inclusive(|&b| b == b'\r') {
            // A CR waits until it is known what follows.
            if self.after_cr && !part.starts_with(b"\n") {
                self.out.write_all(b"\r")?;
            }
            self.after_cr = part.ends_with(b"\r");
            self.out
                .write_all(&part[..part.len() - usize::from(self.after_cr)])?;
        }
        Ok(())
    }

    fn finish(mut self) -> std::io::Result<File> {
        if self.after_cr {
            self.out.write_all(b"\r")?;
        }
        self.out.into_inner().map_err(|error| error.into_error())
    }
}

fn time(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    };
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    File::create_new(path)
        .and_then(|mut file| file.write_all(bytes))
        .map_err(|e| Failure::file(path, &e))
}
