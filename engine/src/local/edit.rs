//! Planning of changes to the messages of one mailbox.

use std::collections::BTreeMap;

use protocol::{Annotation, Flags, Guid, Record, SystemFlags, Text};

use super::mailbox::put_annotation;
use super::{KEYWORDS_MAX, LocalError, Moment};
use crate::model::Mailbox;
use crate::ticket::Change;

/// A message to append; its bytes are staged or stored under its GUID.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Incoming {
    /// SHA-1 of its bytes.
    pub guid: Guid,
    /// Bytes.
    pub size: u64,
    /// Seconds since the epoch.
    pub internaldate: i64,
    /// System flags and keywords; `\Expunged` is ignored.
    pub flags: Flags,
    /// Thread it belongs to; `None` begins one of its own.
    pub thread: Option<u64>,
}

/// Changes to the messages of one mailbox, gathered until [`MailboxEdit::finish`].
///
/// Every changed record gets a modseq of its own. CRCs are kept change by change: the old record is taken out, the new
/// one put in. [CS-CRC-10]
#[derive(Clone, PartialEq, Debug)]
pub struct MailboxEdit {
    moment: Moment,
    mailbox: Mailbox,
    changed: BTreeMap<u32, Record>,
}

impl MailboxEdit {
    /// Begins with the mailbox as it is stored.
    ///
    /// # Errors
    /// [`LocalError::Placeholder`].
    pub fn begin(moment: Moment, mailbox: Mailbox) -> Result<Self, LocalError> {
        if mailbox.is_placeholder() {
            return Err(LocalError::Placeholder {
                name: mailbox.name.to_string(),
            });
        }
        Ok(MailboxEdit {
            moment,
            mailbox,
            changed: BTreeMap::new(),
        })
    }

    /// The mailbox with everything planned so far.
    pub fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// Appends a message and answers with its UID. The record carries the virtual annotations that an index of
    /// Cyrus has for a message of that age: thread id, save date, modseq of creation. [CS-MBOX-8]
    ///
    /// # Errors
    /// [`LocalError::BadKeyword`], [`LocalError::TooManyKeywords`], [`LocalError::UidsUsedUp`],
    /// [`LocalError::ModseqsUsedUp`]; the plan is then as before.
    pub fn append(&mut self, message: Incoming) -> Result<u32, LocalError> {
        let flags = self.settle(message.flags)?;
        let uid = self
            .mailbox
            .last_uid
            .checked_add(1)
            .ok_or_else(|| LocalError::UidsUsedUp {
                name: self.mailbox.name.to_string(),
            })?;
        let modseq = self.next_modseq()?;
        let thread = message.thread.unwrap_or_else(|| thread_of(&message.guid));
        let now = self.moment.now.0;
        let record = Record {
            uid,
            modseq,
            last_updated: now,
            flags,
            internaldate: message.internaldate,
            size: message.size,
            guid: message.guid,
            annotations: vec![
                virtual_annotation(Annotation::THRID, format!("{thread:016x}")),
                virtual_annotation(Annotation::SAVEDATE, now.to_string()),
                virtual_annotation(Annotation::CREATEDMODSEQ, modseq.to_string()),
            ],
        };
        self.mailbox.last_uid = uid;
        self.mailbox.last_appenddate = now;
        self.mailbox.highestmodseq = modseq;
        self.mailbox.crc.toggle(&record);
        self.changed.insert(uid, record);
        Ok(uid)
    }

    /// Gives a message these flags instead of its own; `\Expunged` is ignored. Says whether that changed anything.
    /// `stored` is the record as loaded; if the plan holds a newer one, that is taken.
    ///
    /// # Errors
    /// [`LocalError::Expunged`], [`LocalError::BadKeyword`], [`LocalError::TooManyKeywords`],
    /// [`LocalError::ModseqsUsedUp`]; the plan is then as before.
    pub fn set_flags(&mut self, stored: &Record, flags: Flags) -> Result<bool, LocalError> {
        let live = self.live(stored)?;
        let flags = self.settle(flags)?;
        let same = live.flags.system == flags.system
            && live.flags.keywords.len() == flags.keywords.len()
            && live
                .flags
                .keywords
                .iter()
                .all(|k| flags.keywords.iter().any(|f| f.eq_ignore_ascii_case(k)));
        if same {
            return Ok(false);
        }
        self.replace(live, |record| record.flags = flags)?;
        Ok(true)
    }

    /// Makes a message a tombstone: it leaves the CRCs, its record stays for the delta.
    ///
    /// # Errors
    /// [`LocalError::Expunged`] when it is one, [`LocalError::ModseqsUsedUp`].
    pub fn expunge(&mut self, stored: &Record) -> Result<(), LocalError> {
        let live = self.live(stored)?;
        self.replace(live, |record| {
            record.flags.system = record.flags.system.with(SystemFlags::EXPUNGED)
        })
    }

    /// Sets an annotation of a message, or with `None` removes it; says whether that changed anything. An empty
    /// `userid` is the shared value.
    ///
    /// # Errors
    /// [`LocalError::Expunged`], [`LocalError::ModseqsUsedUp`].
    pub fn annotate(
        &mut self,
        stored: &Record,
        entry: &Text,
        userid: &Text,
        value: Option<Text>,
    ) -> Result<bool, LocalError> {
        let live = self.live(stored)?;
        let mut annotations = live.annotations.clone();
        let modseq = self.moment.modseq_above(self.mailbox.highestmodseq)?;
        if !put_annotation(&mut annotations, entry, userid, modseq, value) {
            return Ok(false);
        }
        // Real annotations come first on the wire, the virtual ones behind them.
        annotations.sort_by_key(|a| a.modseq == 0);
        self.replace(live, |record| record.annotations = annotations)?;
        Ok(true)
    }

    /// Whether anything was planned.
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty()
    }

    /// The changes, in the order in which a store takes them; none when nothing was planned.
    pub fn finish(self) -> Vec<Change> {
        if self.changed.is_empty() {
            return Vec::new();
        }
        let uniqueid = self.mailbox.uniqueid.clone();
        let partition = self.mailbox.partition.clone();
        vec![
            Change::PutMailbox(Box::new(self.mailbox)),
            Change::PutRecords {
                uniqueid,
                partition,
                records: self.changed.into_values().collect(),
            },
        ]
    }

    fn next_modseq(&self) -> Result<u64, LocalError> {
        self.moment.modseq_above(self.mailbox.highestmodseq)
    }

    fn live(&self, stored: &Record) -> Result<Record, LocalError> {
        let record = self.changed.get(&stored.uid).unwrap_or(stored);
        if record.is_expunged() {
            return Err(LocalError::Expunged {
                name: self.mailbox.name.to_string(),
                uid: record.uid,
            });
        }
        Ok(record.clone())
    }

    fn replace(&mut self, live: Record, change: impl FnOnce(&mut Record)) -> Result<(), LocalError> {
        let modseq = self.next_modseq()?;
        self.mailbox.crc.toggle(&live);
        let mut record = live;
        change(&mut record);
        record.modseq = modseq;
        record.last_updated = self.moment.now.0;
        self.mailbox.crc.toggle(&record);
        self.mailbox.highestmodseq = modseq;
        self.changed.insert(record.uid, record);
        Ok(())
    }

    /// Flags as the mailbox stores them: keywords in the spelling and order of its keyword table, which grows as
    /// needed. The table is left alone on errors.
    fn settle(&mut self, flags: Flags) -> Result<Flags, LocalError> {
        let mut table = self.mailbox.userflags.clone();
        let mut slots = Vec::with_capacity(flags.keywords.len());
        for keyword in &flags.keywords {
            let known = table.iter().position(|t| t.eq_ignore_ascii_case(keyword));
            let slot = match known {
                Some(slot) => slot,
                None if !is_keyword(keyword) => {
                    return Err(LocalError::BadKeyword {
                        keyword: keyword.to_string(),
                    });
                }
                None if table.len() >= KEYWORDS_MAX => {
                    let (name, keyword) = (self.mailbox.name.to_string(), keyword.to_string());
                    return Err(LocalError::TooManyKeywords { name, keyword });
                }
                None => {
                    table.push(keyword.clone());
                    table.len() - 1
                }
            };
            slots.push(slot);
        }
        slots.sort_unstable();
        slots.dedup();
        let keywords = slots.into_iter().map(|slot| table[slot].clone()).collect();
        self.mailbox.userflags = table;
        Ok(Flags {
            system: flags.system.without(SystemFlags::EXPUNGED),
            keywords,
        })
    }
}

/// The thread that a message alone begins: the first eight bytes of its GUID, as Cyrus has it.
fn thread_of(guid: &Guid) -> u64 {
    guid.as_bytes()
        .iter()
        .take(8)
        .fold(0, |id, &byte| id << 8 | u64::from(byte))
        .max(1)
}

fn virtual_annotation(entry: &'static [u8], value: String) -> Annotation {
    Annotation {
        entry: Text::from_static(entry),
        userid: Text::EMPTY,
        modseq: 0,
        value: Text::from(value),
    }
}

fn is_keyword(name: &[u8]) -> bool {
    !name.is_empty()
        && name
            .iter()
            .all(|&b| (0x21..0x7f).contains(&b) && !b"(){%*\"\\]".contains(&b))
}

/// A keyword made out of any text: what an atom cannot hold becomes `_`. `None` when nothing is left of it.
pub fn canonical_keyword(text: &[u8]) -> Option<Text> {
    let atom: Vec<u8> = text
        .iter()
        .map(|&b| if is_keyword(&[b]) { b } else { b'_' })
        .collect();
    atom.iter().any(|&b| b != b'_').then(|| Text::from(atom))
}
