//! `MAILBOX` lines, records, annotations. `[CS-MBOX-2]`

use super::fields::{Fields, annotation_entry};
use crate::fault::Fault;
use crate::grammar::{Pair, Value};
use crate::{Annotation, Flags, MailboxLine, MailboxOptions, Record, SystemFlags, Text};

/// A line from its pairs.
///
/// # Errors
/// An annotation without one of its keys.
pub(crate) fn mailbox(fields: Fields<'_, '_>) -> Result<MailboxLine, Fault> {
    Ok(MailboxLine {
        jmapid: fields.text("JMAPID"),
        uniqueid: fields.text("UNIQUEID"),
        mboxname: fields.text("MBOXNAME"),
        mboxtype: fields.text("MBOXTYPE"),
        sync_crc: fields.u32("SYNC_CRC"),
        sync_crc_annot: fields.u32("SYNC_CRC_ANNOT"),
        last_uid: fields.u32("LAST_UID"),
        highestmodseq: fields.u64("HIGHESTMODSEQ"),
        recentuid: fields.u32("RECENTUID"),
        recenttime: fields.date("RECENTTIME"),
        last_appenddate: fields.date("LAST_APPENDDATE"),
        pop3_last_login: fields.date("POP3_LAST_LOGIN"),
        pop3_show_after: fields.date("POP3_SHOW_AFTER"),
        xconvmodseq: fields.u64("XCONVMODSEQ"),
        compact_emailids: fields.u32("COMPACT_EMAILIDS"),
        raclmodseq: fields.u64("RACLMODSEQ"),
        usergroups: fields.text("USERGROUPS"),
        version: fields.u32("VERSION"),
        uidvalidity: fields.u32("UIDVALIDITY"),
        partition: fields.nullable_text("PARTITION"),
        acl: fields.nullable_text("ACL"),
        options: fields
            .text("OPTIONS")
            .map(|letters| MailboxOptions::parse(&letters)),
        quotaroot: fields.text("QUOTAROOT"),
        createdmodseq: fields.u64("CREATEDMODSEQ"),
        foldermodseq: fields.u64("FOLDERMODSEQ"),
        deletedmodseq: fields.u64("DELETEDMODSEQ"),
        annotations: fields
            .items("ANNOTATIONS")
            .map(|items| annotations(&items))
            .transpose()?,
        userflags: fields
            .items("USERFLAGS")
            .map(|items| items.into_iter().filter_map(flag).collect()),
        since_modseq: fields.u64("SINCE_MODSEQ"),
        since_crc: fields.u32("SINCE_CRC"),
        since_crc_annot: fields.u32("SINCE_CRC_ANNOT"),
        has_records: fields.get("RECORD").is_some(),
    })
}

/// A line of which `RECORD` streams: the pairs before or behind it.
///
/// # Errors
/// As for [`mailbox`].
pub(crate) fn streaming_mailbox(pairs: &[Pair<'_>], has_records: bool) -> Result<Box<MailboxLine>, Fault> {
    let mut line = mailbox(Fields::of_pairs(pairs))?;
    line.has_records = has_records;
    Ok(Box::new(line))
}

/// An element of `RECORD`.
///
/// # Errors
/// The key that is missing or not of its type.
pub(crate) fn record(element: &Value<'_>) -> Result<Record, Fault> {
    if !matches!(element, Value::KvList(_)) {
        return Err(Fault::ElementNotKeyed("RECORD"));
    }
    let fields = Fields::of(element);
    let uid = fields.u32("UID").ok_or(Fault::MissingKey("UID"))?;
    if uid == 0 {
        return Err(Fault::ZeroUid);
    }
    Ok(Record {
        uid,
        modseq: fields.u64("MODSEQ").ok_or(Fault::MissingKey("MODSEQ"))?,
        last_updated: fields
            .date("LAST_UPDATED")
            .ok_or(Fault::MissingKey("LAST_UPDATED"))?,
        flags: flags(&fields.items("FLAGS").ok_or(Fault::MissingKey("FLAGS"))?),
        internaldate: fields
            .date("INTERNALDATE")
            .ok_or(Fault::MissingKey("INTERNALDATE"))?,
        size: fields.u64("SIZE").ok_or(Fault::MissingKey("SIZE"))?,
        guid: fields.guid("GUID").ok_or(Fault::MissingKey("GUID"))?,
        annotations: fields
            .items("ANNOTATIONS")
            .map(|items| annotations(&items))
            .transpose()?
            .unwrap_or_default(),
    })
}

/// System flags in either case, keywords as sent; unknown system flags are dropped.
fn flags(items: &[&Value<'_>]) -> Flags {
    let mut flags = Flags::default();
    for name in items.iter().copied().filter_map(flag) {
        if name.first() != Some(&b'\\') {
            flags.keywords.push(name);
        } else if let Some((flag, _)) = SystemFlags::ALL
            .iter()
            .find(|(_, known)| known.as_bytes().eq_ignore_ascii_case(&name))
        {
            flags.system = flags.system.with(*flag);
        }
    }
    flags
}

/// A flag's name. Cyrus prints a keyword named `NIL` bare, so a NIL among flags is that keyword; an empty name is none.
/// `[CS-DLIST-19]`
fn flag(item: &Value<'_>) -> Option<Text> {
    match item {
        Value::Nil => Some(Text::from_static(b"NIL")),
        Value::Text(name) if !name.is_empty() => Some(Text::copy_from(name)),
        _ => None,
    }
}

fn annotations(items: &[&Value<'_>]) -> Result<Vec<Annotation>, Fault> {
    items.iter().copied().map(annotation).collect()
}

/// All four keys are required.
fn annotation(element: &Value<'_>) -> Result<Annotation, Fault> {
    if !matches!(element, Value::KvList(_)) {
        return Err(Fault::ElementNotKeyed("ANNOTATIONS"));
    }
    let fields = Fields::of(element);
    let entry = match fields.get("ENTRY") {
        Some(Value::Text(name)) => annotation_entry(name),
        _ => return Err(Fault::MissingKey("ENTRY")),
    };
    Ok(Annotation {
        entry,
        userid: fields.text("USERID").ok_or(Fault::MissingKey("USERID"))?,
        modseq: fields.u64("MODSEQ").ok_or(Fault::MissingKey("MODSEQ"))?,
        value: fields.text("VALUE").ok_or(Fault::MissingKey("VALUE"))?,
    })
}
