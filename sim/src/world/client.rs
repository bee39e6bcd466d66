//! What clients do to the mail of a server.

use engine::flow::Now;
use engine::local::{self, Incoming, LocalError, MailboxEdit, Moment, NewMailbox};
use engine::model::Mailbox;
use engine::name;
use engine::ticket::{Change, Reply, Request, Session, StagePart, StoreError};
use protocol::{Flags, Guid, Record, SystemFlags, Text};
use sha1::{Digest, Sha1};
use store::memory::MemorySession;

use super::World;
use super::read::{mailboxes, records, scope_of};
use super::storage::{Stored, Transaction};
use crate::judge::Note;
use crate::plan::{Deed, FOLDERS, KEYWORDS, USERS};
use crate::trace::Kind;

/// Internal name of a folder of a user.
pub(crate) fn folder_name(user: &Text, folder: usize) -> Text {
    let inbox = if user.is_empty() {
        Text::from("shared")
    } else {
        name::inbox_of(user)
    };
    match FOLDERS[folder % FOLDERS.len()] {
        "" => inbox,
        folder => Text::from([inbox.as_bytes(), b".", folder.as_bytes()].concat()),
    }
}

/// The id of a user.
pub(crate) fn user_of(user: usize) -> Text {
    Text::from(USERS[user % USERS.len()])
}

/// The bytes of a message.
fn message(body: u32) -> Vec<u8> {
    // Some are larger than a piece of the wire.
    let filler = "x".repeat((body as usize % 7) * 500);
    format!("Subject: {body}\r\n\r\n{filler}\r\n").into_bytes()
}

/// A deed with what it needs.
pub(super) struct Doing<'a> {
    pub(super) session: &'a mut MemorySession,
    pub(super) moment: Moment,
    pub(super) all: Vec<Mailbox>,
    pub(super) user: Text,
    pub(super) note: Note,
    uniqueid: u64,
}

impl World {
    /// Does a deed; false when somebody holds the mail, and it has to be tried again.
    pub(super) fn client(&mut self, host: usize, deed: &Deed) -> bool {
        let user = deed.owner();
        let scope = scope_of(&user);
        let mut session = self.hosts[host].store.session();
        let Some((changes, note)) = self.plan_deed(host, &mut session, deed, &user) else {
            return true;
        };
        if changes.is_empty() {
            return true;
        }
        self.tell(host, None, Kind::Client, || deed.to_string());
        let mut transaction: Option<Transaction> = None;
        for request in [Request::Begin { scope }, Request::Write(changes), Request::Commit] {
            if let (Request::Commit, Some(open)) = (&request, &mut transaction) {
                open.note = Some(note.clone());
            }
            let is_last = matches!(request, Request::Commit);
            match self.store(host, &mut session, &mut transaction, request) {
                Stored::Answer(Ok(_)) if is_last => {
                    self.report.changes += 1;
                }
                Stored::Answer(Ok(_)) => {}
                Stored::Answer(Err(StoreError::Locked { .. })) => return false,
                // The client is told, and does not count on it.
                Stored::Answer(Err(_)) => return true,
                Stored::Died(down_ms) => {
                    drop(session);
                    self.crash(host, down_ms, false);
                    return true;
                }
            }
        }
        true
    }

    fn plan_deed(
        &mut self,
        host: usize,
        session: &mut MemorySession,
        deed: &Deed,
        user: &Text,
    ) -> Option<(Vec<Change>, Note)> {
        let uniqueid = self.ids.next_u64();
        changes_of(session, deed, user, self.clock(host), uniqueid)
    }
}

/// What a deed changes in the mail of a server, and what it is to the ledger; `None` when the store cannot be read.
/// `uniqueid` is the identity of a mailbox that it may make.
pub(crate) fn changes_of(
    session: &mut MemorySession,
    deed: &Deed,
    user: &Text,
    now: Now,
    uniqueid: u64,
) -> Option<(Vec<Change>, Note)> {
    let all = mailboxes(session, user).ok()?;
    let request = Request::Tombstones {
        scope: scope_of(user),
    };
    let Ok(Reply::Tombstones(tombstones)) = session.execute(request) else {
        return None;
    };
    let mut doing = Doing {
        moment: Moment::behind(now, &all, &tombstones),
        session,
        all,
        user: user.clone(),
        note: Note::default(),
        uniqueid,
    };
    let changes = doing.changes(deed).unwrap_or_default();
    Some((changes, doing.note))
}

impl Doing<'_> {
    fn changes(&mut self, deed: &Deed) -> Result<Vec<Change>, LocalError> {
        match deed {
            Deed::Wide { what, .. } => self.wide(what),
            Deed::Create { folder, .. } => {
                let mailbox = self.made(*folder)?;
                Ok(vec![Change::PutMailbox(Box::new(mailbox))])
            }
            Deed::Rename { from, to, .. } => {
                let (from, to) = (folder_name(&self.user, *from), folder_name(&self.user, *to));
                local::rename(self.moment, &self.all, &from, &to)
            }
            Deed::Delete { folder, .. } => self.delete(*folder),
            // A run over all users knows those who have an INBOX.
            Deed::Subscribe { .. } if self.mailbox(0).is_none() => Ok(Vec::new()),
            Deed::Subscribe { folder, on, .. } => Ok(local::subscribe(folder_name(&self.user, *folder), *on)),
            Deed::Append {
                folder,
                bodies,
                flags,
                ..
            } => self.append(*folder, bodies, *flags),
            Deed::Flag {
                folder, nth, flags, ..
            } => self.edit(*folder, *nth, |edit, record| {
                edit.set_flags(record, flags_of(*flags)).map(drop)
            }),
            Deed::Annotate {
                folder, nth, value, ..
            } => self.edit(*folder, *nth, |edit, record| {
                let (entry, userid) = (Text::from("/comment"), Text::EMPTY);
                let value = (*value > 0).then(|| Text::from(format!("note {value}")));
                edit.annotate(record, &entry, &userid, value).map(drop)
            }),
            Deed::Expunge { folder, nth, .. } => {
                let removed = self.nth(*folder, *nth).map(|(_, record)| record.guid);
                let changes = self.edit(*folder, *nth, |edit, record| edit.expunge(record))?;
                self.note.removed.extend(removed);
                self.note.expunged.extend(removed);
                Ok(changes)
            }
        }
    }

    /// A new mailbox.
    pub(super) fn made(&self, folder: usize) -> Result<Mailbox, LocalError> {
        let new = NewMailbox {
            name: folder_name(&self.user, folder),
            uniqueid: Text::from(format!("{:016x}", self.uniqueid)),
            partition: Text::from("default"),
            acl: None,
        };
        local::create(self.moment, &self.all, new)
    }

    pub(super) fn mailbox(&self, folder: usize) -> Option<Mailbox> {
        let name = folder_name(&self.user, folder);
        self.all.iter().find(|mailbox| mailbox.name == name).cloned()
    }

    pub(super) fn live(&mut self, mailbox: &Mailbox) -> Vec<Record> {
        let all = records(self.session, mailbox).unwrap_or_default();
        all.into_iter().filter(|record| !record.is_expunged()).collect()
    }

    pub(super) fn nth(&mut self, folder: usize, nth: usize) -> Option<(Mailbox, Record)> {
        let mailbox = self.mailbox(folder)?;
        let live = self.live(&mailbox);
        let record = live.get(nth % live.len().max(1))?.clone();
        Some((mailbox, record))
    }

    fn delete(&mut self, folder: usize) -> Result<Vec<Change>, LocalError> {
        let Some(mailbox) = self.mailbox(folder) else {
            return Ok(Vec::new());
        };
        let changes = local::delete(self.moment, &mailbox)?;
        let live = self.live(&mailbox);
        self.note.removed.extend(live.iter().map(|record| record.guid));
        Ok(changes)
    }

    fn edit(
        &mut self,
        folder: usize,
        nth: usize,
        change: impl FnOnce(&mut MailboxEdit, &Record) -> Result<(), LocalError>,
    ) -> Result<Vec<Change>, LocalError> {
        let Some((mailbox, record)) = self.nth(folder, nth) else {
            return Ok(Vec::new());
        };
        let mut edit = MailboxEdit::begin(self.moment, mailbox)?;
        change(&mut edit, &record)?;
        Ok(edit.finish())
    }

    fn append(&mut self, folder: usize, bodies: &[u32], flags: u8) -> Result<Vec<Change>, LocalError> {
        let Some(mailbox) = self.mailbox(folder) else {
            return Ok(Vec::new());
        };
        let mut edit = MailboxEdit::begin(self.moment, mailbox.clone())?;
        for body in bodies {
            let bytes = message(*body);
            let guid = Guid::from_bytes(Sha1::digest(&bytes).into());
            let size = bytes.len() as u64;
            let partition = mailbox.partition.clone();
            let parts = vec![
                StagePart::Open {
                    partition,
                    guid,
                    size,
                },
                StagePart::Data(bytes.into()),
                StagePart::Close,
            ];
            if self.session.execute(Request::Stage(parts)).is_err() {
                return Ok(Vec::new());
            }
            edit.append(Incoming {
                guid,
                size,
                internaldate: self.moment.now.0,
                flags: flags_of(u16::from(flags)),
                thread: None,
            })?;
            self.note.added.push(guid);
        }
        Ok(edit.finish())
    }
}

fn flags_of(bits: u16) -> Flags {
    let system = SystemFlags::from_bits((bits & 63) as u8).without(SystemFlags::EXPUNGED);
    let keywords = KEYWORDS.iter().enumerate();
    let keywords = keywords.filter(|(nth, _)| bits >> (6 + nth) & 1 == 1);
    Flags {
        system,
        keywords: keywords.map(|(_, word)| Text::from(*word)).collect(),
    }
}
