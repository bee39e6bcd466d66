//! What the deeds of clients are as requests.

use engine::flow::Now;
use engine::local::{self, Incoming, LocalError, MailboxEdit, Moment, NewMailbox};
use engine::model::{Mailbox, QuotaLimits, SeenState, ServerAnnotation};
use engine::name::{self, Scope};
use engine::ticket::{Change, Reply, Request, Session, StagePart, StoreError};
use protocol::{Flags, Guid, Record, SystemFlags, Text};
use sha1::{Digest, Sha1};
use sim_vfs::chance::Chance;

use crate::show::{mailboxes, records};
use crate::workload::Deed;

/// A scope by number. One user's id is too long to be a file name as it is.
pub fn owner(owner: usize) -> Scope {
    match owner {
        0 => Scope::User(Text::from("jane")),
        1 => Scope::User(Text::from("../joe@example.org")),
        2 => Scope::User(Text::from("x".repeat(250))),
        _ => Scope::Shared,
    }
}

/// The name of a mailbox.
pub fn folder_name(scope: &Scope, folder: usize) -> Text {
    let root = match scope {
        Scope::User(user) => name::inbox_of(user),
        Scope::Shared => Text::from("info"),
    };
    let part: &[u8] = [&b""[..], b".sent", b".old"][folder % 3];
    Text::from([root.as_bytes(), part].concat())
}

/// Bytes of a message, which differ from those of others from the first on.
pub fn message(number: u64, size: usize) -> Vec<u8> {
    let mut chance = Chance::new(number);
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        bytes.extend_from_slice(&chance.next_u64().to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// SHA-1 of the bytes.
pub fn guid_of(bytes: &[u8]) -> Guid {
    Guid::from_bytes(Sha1::digest(bytes).into())
}

/// A message as it is uploaded, in pieces.
pub fn upload(bytes: Vec<u8>) -> Request {
    let mut parts = vec![StagePart::Open {
        partition: Text::from("default"),
        guid: guid_of(&bytes),
        size: bytes.len() as u64,
    }];
    let pieces = bytes.chunks(3_000);
    parts.extend(pieces.map(|piece| StagePart::Data(piece.to_vec().into())));
    parts.push(StagePart::Close);
    Request::Stage(parts)
}

/// Whether a change is of what belongs to a user, which cannot be nobody's.
fn is_a_users(change: &Change) -> bool {
    matches!(
        change,
        Change::PutSeen(_)
            | Change::Subscribe { .. }
            | Change::Unsubscribe { .. }
            | Change::PutScript(_)
            | Change::RemoveUser { .. }
    )
}

/// Requests before the transaction, and its changes.
pub type Planned = (Vec<Request>, Vec<Change>);

/// Plans deeds from what a session shows.
pub struct Planner<'a> {
    /// Whose.
    pub scope: Scope,
    /// The time of the change.
    pub now: Now,
    /// A number that no other change of the run has.
    pub number: u64,
    /// What shows.
    pub session: &'a mut dyn Session,
}

/// Why there is no plan.
#[derive(Debug)]
pub enum NoPlan {
    /// The store.
    Store(StoreError),
    /// It cannot be done.
    Impossible,
}

impl From<StoreError> for NoPlan {
    fn from(error: StoreError) -> Self {
        NoPlan::Store(error)
    }
}

impl From<LocalError> for NoPlan {
    fn from(_: LocalError) -> Self {
        NoPlan::Impossible
    }
}

impl Planner<'_> {
    /// Requests and changes of a deed.
    ///
    /// # Errors
    /// [`NoPlan`].
    pub fn plan(&mut self, deed: &Deed) -> Result<Planned, NoPlan> {
        let all = mailboxes(self.session, &self.scope)?;
        let request = Request::Tombstones {
            scope: self.scope.clone(),
        };
        let Reply::Tombstones(tombstones) = self.session.execute(request)? else {
            return Err(NoPlan::Impossible);
        };
        let moment = Moment::behind(self.now, &all, &tombstones);
        let name = |folder: usize| folder_name(&self.scope, folder);
        let find = |folder: usize| {
            let found = all.iter().find(|mailbox| mailbox.name == name(folder));
            found.cloned().ok_or(NoPlan::Impossible)
        };
        let changes = match deed {
            Deed::Append(folder, sizes) => return self.append(moment, find(*folder)?, sizes),
            Deed::Create(folder) => {
                let new = NewMailbox {
                    name: name(*folder),
                    uniqueid: Text::from(format!("id{:06}", self.number)),
                    partition: Text::from("default"),
                    acl: None,
                };
                vec![Change::PutMailbox(Box::new(local::create(moment, &all, new)?))]
            }
            Deed::Flag(folder, nth, bits) => self.edit(moment, find(*folder)?, *nth, |edit, record| {
                let flags = Flags {
                    system: SystemFlags::from_bits(bits & 63).without(SystemFlags::EXPUNGED),
                    keywords: vec![Text::from(format!("word{}", bits % 5))],
                };
                edit.set_flags(record, flags).map(drop)
            })?,
            Deed::Expunge(folder, nth) => {
                self.edit(moment, find(*folder)?, *nth, |edit, record| edit.expunge(record))?
            }
            Deed::Annotate(folder, nth) => {
                let value = Some(Text::from(format!("note {}", self.number)));
                self.edit(moment, find(*folder)?, *nth, |edit, record| {
                    let (entry, userid) = (Text::from("/comment"), Text::EMPTY);
                    edit.annotate(record, &entry, &userid, value).map(drop)
                })?
            }
            Deed::Note(folder) => {
                let value = Some(Text::from(format!("note {}", self.number)));
                local::annotate(
                    moment,
                    &find(*folder)?,
                    &Text::from("/comment"),
                    &Text::EMPTY,
                    value,
                )?
            }
            Deed::Rename(from, to) => local::rename(moment, &all, &name(*from), &name(*to))?,
            Deed::Delete(folder) => local::delete(moment, &find(*folder)?)?,
            Deed::RemoveUser => local::remove_user(self.now),
            Deed::Subscribe(folder, on) => local::subscribe(name(*folder), *on),
            Deed::Seen(folder) => vec![Change::PutSeen(SeenState {
                uniqueid: find(*folder)?.uniqueid,
                lastread: self.now.0,
                lastuid: 3,
                lastchange: self.now.0,
                seenuids: Text::from("1:3"),
            })],
            Deed::Quota(limit) => self.quota(*limit)?,
            Deed::Script(which) => self.script(*which),
        };
        if self.scope == Scope::Shared && changes.iter().any(is_a_users) {
            return Err(NoPlan::Impossible);
        }
        Ok((Vec::new(), changes))
    }

    fn quota(&mut self, limit: u32) -> Result<Vec<Change>, NoPlan> {
        let root = folder_name(&self.scope, 0);
        let request = Request::Quotas {
            scope: self.scope.clone(),
        };
        let Reply::Quotas(existing) = self.session.execute(request)? else {
            return Err(NoPlan::Impossible);
        };
        if limit == 0 {
            return Ok(local::remove_quota(root));
        }
        let limits = QuotaLimits {
            root,
            storage: Some(limit),
            message: None,
            annotation_storage: None,
            num_folders: None,
            modseq: 0,
        };
        Ok(local::put_quota(&existing, limits))
    }

    /// A user's script, or nobody's annotation of the server.
    fn script(&self, which: usize) -> Vec<Change> {
        if self.scope == Scope::Shared {
            return vec![Change::PutServerAnnotation(ServerAnnotation {
                entry: Text::from(format!("/entry{which}")),
                userid: Text::EMPTY,
                value: Text::from(format!("value {}", self.number)),
            })];
        }
        let name = Text::from(format!("script{which}"));
        let content = Text::from(format!("keep; # {}\r\n", self.number));
        let guid = guid_of(&content[..]);
        let mut changes = local::put_script(self.now, name.clone(), content, guid);
        changes.extend(local::activate_script(Some(name)));
        changes
    }

    fn edit(
        &mut self,
        moment: Moment,
        mailbox: Mailbox,
        nth: usize,
        change: impl FnOnce(&mut MailboxEdit, &Record) -> Result<(), LocalError>,
    ) -> Result<Vec<Change>, NoPlan> {
        let all = records(self.session, &mailbox)?;
        let live: Vec<Record> = all.into_iter().filter(|record| !record.is_expunged()).collect();
        let record = live.get(nth % live.len().max(1)).ok_or(NoPlan::Impossible)?;
        let mut edit = MailboxEdit::begin(moment, mailbox)?;
        change(&mut edit, record)?;
        Ok(edit.finish())
    }

    fn append(&mut self, moment: Moment, mailbox: Mailbox, sizes: &[usize]) -> Result<Planned, NoPlan> {
        let bodies: Vec<Vec<u8>> = (self.number * 16..)
            .zip(sizes)
            // Now and then one that was there before.
            .map(|(number, size)| message(if number % 7 == 0 { 7 } else { number }, *size))
            .collect();
        let messages = bodies.iter().map(|bytes| (guid_of(bytes), bytes.len() as u64));
        let changes = self.deliver(moment, mailbox, messages.collect())?;
        Ok((bodies.into_iter().map(upload).collect(), changes))
    }

    /// Changes that put messages into a mailbox, by GUID and size.
    ///
    /// # Errors
    /// [`NoPlan::Impossible`].
    pub fn deliver(
        &self,
        moment: Moment,
        mailbox: Mailbox,
        messages: Vec<(Guid, u64)>,
    ) -> Result<Vec<Change>, NoPlan> {
        let mut edit = MailboxEdit::begin(moment, mailbox)?;
        for (guid, size) in messages {
            edit.append(Incoming {
                guid,
                size,
                internaldate: self.now.0,
                flags: Flags::default(),
                thread: None,
            })?;
        }
        Ok(edit.finish())
    }
}
