//! Appends messages to a user's mailboxes, in batches of bounded size.

use std::collections::BTreeSet;
use std::io;

use engine::flow::Now;
use engine::local::{self, Incoming, MailboxEdit, Moment, NewMailbox};
use engine::model::Mailbox;
use engine::name::{Scope, inbox_of};
use engine::ticket::{Change, Select, StagePart};
use protocol::{Flags, Text};

use super::Body;
use crate::access::Access;
use crate::failure::{Exit, Failure, Result};

/// Messages a transaction.
const BATCH_MESSAGES_MAX: usize = 1024;

/// Bytes a transaction, reached or passed by its last message.
const BATCH_BYTES_MAX: u64 = 64 << 20;

/// A message with what is known about it.
#[derive(Debug)]
pub struct Sorted {
    /// Its bytes.
    pub body: Body,
    /// Seconds since the epoch.
    pub internaldate: i64,
    /// Flags; keywords as found.
    pub flags: Flags,
}

/// What was done.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Done {
    /// Messages appended.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Mailboxes opened.
    pub mailboxes: u64,
}

/// Appends to one mailbox after the other; makes those that are missing.
pub struct Writer<'a> {
    access: &'a mut Access,
    user: Text,
    partition: Text,
    now: fn() -> Now,
    mailbox: Option<Text>,
    /// Partition of the mailbox opened last: staged messages are found by it.
    staged_on: Text,
    opened: BTreeSet<Text>,
    batch: Vec<Incoming>,
    batch_bytes: u64,
    done: Done,
}

impl<'a> Writer<'a> {
    /// For this user; `partition` is where new mailboxes belong.
    pub fn new(access: &'a mut Access, user: Text, partition: Text, now: fn() -> Now) -> Self {
        Writer {
            access,
            user,
            staged_on: partition.clone(),
            partition,
            now,
            mailbox: None,
            opened: BTreeSet::new(),
            batch: Vec::new(),
            batch_bytes: 0,
            done: Done::default(),
        }
    }

    /// Makes the mailbox the one that takes the messages that follow.
    pub fn open(&mut self, name: &Text) -> Result<()> {
        self.flush()?;
        self.mailbox = Some(name.clone());
        if self.opened.insert(name.clone()) {
            self.done.mailboxes += 1;
        }
        // An empty batch makes the mailbox even when no mail follows.
        self.commit()
    }

    /// Appends a message to the mailbox opened last.
    pub fn message(&mut self, message: Sorted) -> Result<()> {
        let Sorted {
            body,
            internaldate,
            flags,
        } = message;
        let (guid, size) = (body.guid, body.size);
        self.access.stage(vec![StagePart::Open {
            partition: self.staged_on.clone(),
            guid,
            size,
        }])?;
        body.pieces(|piece| self.access.stage(vec![StagePart::Data(piece)]))?;
        self.access.stage(vec![StagePart::Close])?;
        self.batch.push(Incoming {
            guid,
            size,
            internaldate,
            flags: usable(flags),
            thread: None,
        });
        self.batch_bytes += size;
        if self.batch.len() >= BATCH_MESSAGES_MAX || self.batch_bytes >= BATCH_BYTES_MAX {
            self.flush()?;
        }
        Ok(())
    }

    /// Subscribes the user to these mailboxes.
    pub fn subscribe(&mut self, mailboxes: Vec<Text>) -> Result<()> {
        self.flush()?;
        if mailboxes.is_empty() {
            return Ok(());
        }
        let changes = mailboxes
            .into_iter()
            .flat_map(|name| local::subscribe(name, true))
            .collect();
        self.access
            .transaction(Scope::User(self.user.clone()), |_| Ok((changes, ())))
    }

    /// Writes what is left.
    pub fn finish(mut self) -> Result<Done> {
        self.flush()?;
        Ok(self.done)
    }

    fn flush(&mut self) -> Result<()> {
        if self.batch.is_empty() {
            Ok(())
        } else {
            self.commit()
        }
    }

    /// One transaction: the mailbox as it is now (others may have changed it since the last batch), and the batch.
    fn commit(&mut self) -> Result<()> {
        let Some(name) = self.mailbox.clone() else {
            return Err(Failure::new(
                Exit::Io,
                "a message without a mailbox; this is a bug",
            ));
        };
        let batch = std::mem::take(&mut self.batch);
        let (messages, bytes) = (batch.len() as u64, self.batch_bytes);
        self.batch_bytes = 0;
        let (now, partition) = ((self.now)(), self.partition.clone());
        let scope = Scope::of(&name);
        let user = self.user.clone();
        self.staged_on = self.access.transaction(scope.clone(), |access| {
            let mut existing = access.mailboxes(Select::User(user.clone()))?;
            let tombstones = access.tombstones(scope)?;
            let mut changes = Vec::new();
            for name in [inbox_of(&user), name.clone()] {
                if !existing.iter().any(|m| m.name == name && !m.is_placeholder()) {
                    let moment = Moment::behind(now, &existing, &tombstones);
                    let new = NewMailbox {
                        name,
                        uniqueid: new_uniqueid()?,
                        partition: partition.clone(),
                        acl: None,
                    };
                    let mailbox = local::create(moment, &existing, new)?;
                    changes.push(Change::PutMailbox(Box::new(mailbox.clone())));
                    existing.retain(|m| m.name != mailbox.name);
                    existing.push(mailbox);
                }
            }
            let moment = Moment::behind(now, &existing, &tombstones);
            let mailbox = existing.into_iter().find(|m| m.name == name);
            let staged_on = mailbox.as_ref().map_or(partition, |m| m.partition.clone());
            changes.extend(appended(moment, mailbox, batch)?);
            Ok((changes, staged_on))
        })?;
        self.access.forget_staged()?;
        self.done.messages += messages;
        self.done.bytes += bytes;
        Ok(())
    }
}

/// The changes that append a batch.
fn appended(moment: Moment, mailbox: Option<Mailbox>, batch: Vec<Incoming>) -> Result<Vec<Change>> {
    let Some(mailbox) = mailbox else {
        return Ok(Vec::new());
    };
    let mut edit = MailboxEdit::begin(moment, mailbox)?;
    for message in batch {
        edit.append(message)?;
    }
    Ok(edit.finish())
}

/// Flags with keywords that IMAP can have; what is left of a name with odd letters is better than none.
fn usable(flags: Flags) -> Flags {
    let keywords = flags
        .keywords
        .iter()
        .filter_map(|k| local::canonical_keyword(k))
        .collect();
    Flags {
        system: flags.system,
        keywords,
    }
}

/// A new identity: 24 random lower-case letters and digits, the form every Cyrus takes. [CS-NAME-6]
pub fn new_uniqueid() -> Result<Text> {
    const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut id = Vec::with_capacity(24);
    while id.len() < 24 {
        let mut random = [0u8; 32];
        getrandom::fill(&mut random).map_err(|error| {
            Failure::new(Exit::Io, format!("the system gives no random numbers: {error}"))
        })?;
        // 252 is the largest multiple of 36: bytes above it would favour some letters.
        let letters = random
            .iter()
            .filter(|&&b| b < 252)
            .map(|&b| LETTERS[usize::from(b % 36)]);
        id.extend(letters.take(24 - id.len()));
    }
    Ok(Text::from(id))
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::new(Exit::Io, format!("temporary file: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_differ_and_have_the_form() {
        let ids: BTreeSet<Text> = (0..100).map(|_| new_uniqueid().unwrap()).collect();
        assert_eq!(ids.len(), 100);
        assert!(ids.iter().all(|id| id.len() == 24));
        assert!(
            ids.iter()
                .flat_map(|id| id.iter())
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        );
    }
}
