//! Planning of changes to mailboxes themselves.

use protocol::{Annotation, MailboxOptions, Text};

use super::{LocalError, Moment};
use crate::crc::SyncCrc;
use crate::model::{Mailbox, Tombstone};
use crate::name::{Scope, inbox_of, is_acceptable, is_deleted, is_inbox, owner};
use crate::ticket::Change;

/// What a new mailbox is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewMailbox {
    /// Internal name.
    pub name: Text,
    /// Its identity: 24 lower-case letters and digits or a UUID, never used before. [CS-NAME-6]
    pub uniqueid: Text,
    /// Partition label.
    pub partition: Text,
    /// `id TAB rights TAB ...`; `None` is [`default_acl`].
    pub acl: Option<Text>,
}

/// All rights for the owner of the mailbox of this name; empty for one of nobody.
pub fn default_acl(name: &[u8]) -> Text {
    owner(name).map_or(Text::EMPTY, |user| {
        let mut acl = user.into_bytes();
        acl.extend_from_slice(b"\tlrswipkxtecdan\t");
        Text::from(acl)
    })
}

/// Plans a new, empty mailbox among `existing`, the mailboxes of its scope. Its UIDVALIDITY is the time, so that a
/// name that comes back has a higher one. Parents are not made, as no Cyrus from 3.12 on makes them.
///
/// # Errors
/// [`LocalError::BadName`], [`LocalError::NameTaken`] (a placeholder of the name gives way), [`LocalError::NoInbox`],
/// [`LocalError::ModseqsUsedUp`].
pub fn create(moment: Moment, existing: &[Mailbox], new: NewMailbox) -> Result<Mailbox, LocalError> {
    let shown = || new.name.to_string();
    if !is_acceptable(&new.name) {
        return Err(LocalError::BadName { name: shown() });
    }
    if existing.iter().any(|m| m.name == new.name && !m.is_placeholder()) {
        return Err(LocalError::NameTaken { name: shown() });
    }
    if let Some(user) = owner(&new.name)
        && !is_deleted(&new.name)
        && !is_inbox(&new.name)
        && !existing.iter().any(|m| m.name == inbox_of(&user))
    {
        return Err(LocalError::NoInbox { name: shown() });
    }
    let modseq = moment.modseq_above(0)?;
    let time = moment.now.0.clamp(1, i64::from(u32::MAX));
    Ok(Mailbox {
        acl: new.acl.unwrap_or_else(|| default_acl(&new.name)),
        name: new.name,
        uniqueid: new.uniqueid,
        jmapid: None,
        mbtype: Text::EMPTY,
        partition: new.partition,
        options: MailboxOptions::POP3_NEW_UIDL,
        quotaroot: None,
        uidvalidity: u32::try_from(time).unwrap_or(u32::MAX),
        last_uid: 0,
        highestmodseq: modseq,
        recentuid: 0,
        recenttime: 0,
        last_appenddate: 0,
        pop3_last_login: 0,
        pop3_show_after: 0,
        xconvmodseq: None,
        raclmodseq: 0,
        createdmodseq: modseq,
        foldermodseq: modseq,
        deletedmodseq: 0,
        usergroups: None,
        compact_emailids: None,
        version: None,
        annotations: Vec::new(),
        userflags: Vec::new(),
        crc: SyncCrc::EMPTY,
    })
}

/// Plans the rename of a mailbox and of everything below it within one scope. Identity, UIDs, UIDVALIDITY and records
/// stay; the folder modseq rises. An empty plan means that there was nothing of the old name.
///
/// # Errors
/// [`LocalError::BadName`], [`LocalError::IsInbox`], [`LocalError::NameTaken`] by any of the new names,
/// [`LocalError::BadRename`] into another scope or below itself, [`LocalError::ModseqsUsedUp`].
pub fn rename(
    moment: Moment,
    existing: &[Mailbox],
    from: &Text,
    to: &Text,
) -> Result<Vec<Change>, LocalError> {
    let bad = |reason| LocalError::BadRename {
        from: from.to_string(),
        to: to.to_string(),
        reason,
    };
    if is_inbox(from) || is_inbox(to) {
        return Err(LocalError::IsInbox {
            name: if is_inbox(from) { from } else { to }.to_string(),
        });
    }
    if Scope::of(from) != Scope::of(to) {
        return Err(bad("the new name belongs to someone else"));
    }
    if below(to, from).is_some() {
        return Err(bad("the new name is the old one or lies below it"));
    }
    let mut changes = Vec::new();
    let mut moment = moment;
    for mailbox in existing {
        let Some(rest) = below(&mailbox.name, from) else {
            continue;
        };
        let name = Text::from([to.as_bytes(), rest].concat());
        if !is_acceptable(&name) {
            return Err(LocalError::BadName {
                name: name.to_string(),
            });
        }
        if existing.iter().any(|m| m.name == name && !m.is_placeholder()) {
            return Err(LocalError::NameTaken {
                name: name.to_string(),
            });
        }
        let mut renamed = mailbox.clone();
        renamed.name = name;
        touch(&mut renamed, &mut moment)?;
        changes.push(Change::PutMailbox(Box::new(renamed)));
    }
    Ok(changes)
}

/// Plans the deletion of a mailbox, which leaves a tombstone. What lies below it stays.
///
/// # Errors
/// [`LocalError::IsInbox`], [`LocalError::ModseqsUsedUp`].
pub fn delete(moment: Moment, mailbox: &Mailbox) -> Result<Vec<Change>, LocalError> {
    if is_inbox(&mailbox.name) {
        return Err(LocalError::IsInbox {
            name: mailbox.name.to_string(),
        });
    }
    let tombstone = Tombstone {
        uniqueid: mailbox.uniqueid.clone(),
        name: mailbox.name.clone(),
        highestmodseq: moment.modseq_above(mailbox.highestmodseq)?,
        uidvalidity: mailbox.uidvalidity,
        deleted_at: moment.now.0,
        gave_way: false,
    };
    Ok(vec![Change::RemoveMailbox {
        uniqueid: mailbox.uniqueid.clone(),
        tombstone: Some(tombstone),
    }])
}

/// Plans an annotation of the mailbox itself: set, or with `None` removed. Nothing to do gives no change.
///
/// # Errors
/// [`LocalError::ModseqsUsedUp`].
pub fn annotate(
    moment: Moment,
    mailbox: &Mailbox,
    entry: &Text,
    userid: &Text,
    value: Option<Text>,
) -> Result<Vec<Change>, LocalError> {
    let mut changed = mailbox.clone();
    let mut moment = moment;
    touch(&mut changed, &mut moment)?;
    if !put_annotation(
        &mut changed.annotations,
        entry,
        userid,
        changed.highestmodseq,
        value,
    ) {
        return Ok(Vec::new());
    }
    Ok(vec![Change::PutMailbox(Box::new(changed))])
}

/// Plans another ACL, `id TAB rights TAB ...`. Nothing to do gives no change.
///
/// # Errors
/// [`LocalError::ModseqsUsedUp`].
pub fn set_acl(moment: Moment, mailbox: &Mailbox, acl: Text) -> Result<Vec<Change>, LocalError> {
    if mailbox.acl == acl {
        return Ok(Vec::new());
    }
    let mut changed = Mailbox {
        acl,
        ..mailbox.clone()
    };
    let mut moment = moment;
    touch(&mut changed, &mut moment)?;
    Ok(vec![Change::PutMailbox(Box::new(changed))])
}

/// Sets or removes one annotation; says whether that changed anything.
pub(super) fn put_annotation(
    annotations: &mut Vec<Annotation>,
    entry: &Text,
    userid: &Text,
    modseq: u64,
    value: Option<Text>,
) -> bool {
    let at = annotations
        .iter()
        .position(|a| a.entry == *entry && a.userid == *userid);
    match (at, value) {
        (None, None) => false,
        (Some(at), None) => {
            annotations.remove(at);
            true
        }
        (Some(at), Some(value)) => {
            let changed = annotations[at].value != value;
            if changed {
                annotations[at].value = value;
                annotations[at].modseq = modseq;
            }
            changed
        }
        (None, Some(value)) => {
            annotations.push(Annotation {
                entry: entry.clone(),
                userid: userid.clone(),
                modseq,
                value,
            });
            true
        }
    }
}

/// Gives a mailbox the next modseq as its own and as its folder's.
fn touch(mailbox: &mut Mailbox, moment: &mut Moment) -> Result<(), LocalError> {
    let modseq = moment.modseq_above(mailbox.highestmodseq)?;
    mailbox.highestmodseq = modseq;
    mailbox.foldermodseq = modseq;
    moment.modseq_after = modseq;
    Ok(())
}

/// What follows `root` in a name that is it (nothing) or lies below it (from the separator on).
fn below<'a>(name: &'a [u8], root: &[u8]) -> Option<&'a [u8]> {
    name.strip_prefix(root)
        .filter(|rest| rest.is_empty() || rest[0] == b'.')
}
