//! The values of a `MAILBOX` line apart from its records: which are needed, which are refused, what becomes of them.

use std::collections::BTreeSet;

use protocol::{MailboxLine, Record, Text};

use super::super::fail::Fail;
use super::super::mbtype;
use super::super::session::Conn;
use crate::crc::SyncCrc;
use crate::model::Mailbox;
use crate::name::{inbox_of, is_acceptable, is_deleted, is_inbox, owner};
use crate::ticket::{Select, StoreError};

/// Names in a mailbox's keyword table, at most, as in Cyrus; records keep further keywords, the table does not.
const KEYWORDS_MAX: usize = 128;

/// The first key that any `MAILBOX` line needs and this one lacks. [CS-MBOX-10]
pub(super) fn missing_identity(line: &MailboxLine) -> Option<&'static str> {
    [
        ("UNIQUEID", line.uniqueid.as_ref().is_none_or(|id| id.is_empty())),
        (
            "MBOXNAME",
            line.mboxname.as_ref().is_none_or(|name| name.is_empty()),
        ),
        ("HIGHESTMODSEQ", line.highestmodseq.is_none()),
    ]
    .into_iter()
    .find_map(|(key, is_missing)| is_missing.then_some(key))
}

/// The first key that the line of a mailbox with records needs and this one lacks. [CS-MBOX-14]
pub(super) fn missing_value(line: &MailboxLine) -> Option<&'static str> {
    [
        ("PARTITION", !matches!(&line.partition, Some(Some(_)))),
        ("LAST_UID", line.last_uid.is_none()),
        ("RECENTUID", line.recentuid.is_none()),
        ("RECENTTIME", line.recenttime.is_none()),
        ("LAST_APPENDDATE", line.last_appenddate.is_none()),
        ("POP3_LAST_LOGIN", line.pop3_last_login.is_none()),
        ("UIDVALIDITY", line.uidvalidity.is_none()),
        ("ACL", line.acl.is_none()),
        ("OPTIONS", line.options.is_none()),
        ("RECORD", !line.has_records),
    ]
    .into_iter()
    .find_map(|(key, is_missing)| is_missing.then_some(key))
}

/// Refuses a type that is unknown, or of a mailbox this peer may not send. [CS-MBOX-11]
/// [CS-MBOX-12]
pub(in super::super) fn check_type(conn: &Conn, mbtype: &[u8]) -> Result<(), Fail> {
    if let Some(letter) = mbtype::unknown_letter(mbtype) {
        return Err(Fail::other(format!(
            "MBOXTYPE has the unknown letter {}",
            letter.escape_ascii()
        )));
    }
    if mbtype::is_sieve(mbtype) && !conn.sieve_mailbox {
        return Err(Fail::bad(
            "a #sieve mailbox is taken only after APPLY CAPABILITIES (SIEVE-MAILBOX)",
        ));
    }
    Ok(())
}

/// Refuses to create a mailbox under this name or on this partition, or with another's identity.
/// [CS-MBOX-36] [CS-MBOX-37]
async fn check_creation(
    conn: &Conn,
    name: &Text,
    uniqueid: &Text,
    partition: &Text,
    found: &[Mailbox],
) -> Result<(), Fail> {
    if !is_acceptable(name) {
        return Err(Fail::other(format!("{name} is no acceptable mailbox name")));
    }
    if let Some(inbox) = needed_inbox(name)
        && !found
            .iter()
            .any(|mailbox| mailbox.name == inbox && !mailbox.is_placeholder())
    {
        return Err(Fail::other(format!(
            "{name} cannot be created: its user has no INBOX"
        )));
    }
    if !conn.knows_partition(partition) {
        return Err(Fail::other(format!("unknown partition {partition}")));
    }
    check_identity_free(conn, name, uniqueid).await
}

/// The mailbox of this name as it is there, or else the permission to create it. [CS-MBOX-17]
pub(in super::super) async fn find_or_check(conn: &Conn, new: &Mailbox) -> Result<Option<Mailbox>, Fail> {
    let mut names = vec![new.name.clone()];
    names.extend(needed_inbox(&new.name));
    let found = conn.mailboxes(Select::Names(names)).await?;
    let there = found
        .iter()
        .find(|mailbox| mailbox.name == new.name && !mailbox.is_placeholder());
    if there.is_none() {
        check_creation(conn, &new.name, &new.uniqueid, &new.partition, &found).await?;
    }
    Ok(there.cloned())
}

/// Refuses an identity that a mailbox of another name has. [CS-MBOX-16]
pub(in super::super) async fn check_identity_free(
    conn: &Conn,
    name: &Text,
    uniqueid: &Text,
) -> Result<(), Fail> {
    let holders = match conn.mailboxes(Select::Uniqueids(vec![uniqueid.clone()])).await {
        Err(StoreError::NotFound { .. }) => Vec::new(),
        holders => holders?,
    };
    match holders.iter().find(|holder| holder.name != *name) {
        Some(holder) => Err(Fail::moved(format!(
            "unique id {uniqueid} belongs to {}",
            holder.name
        ))),
        None => Ok(()),
    }
}

/// The INBOX without which a personal mailbox of this name cannot be created.
fn needed_inbox(name: &Text) -> Option<Text> {
    if is_inbox(name) || is_deleted(name) {
        return None;
    }
    owner(name).map(|user| inbox_of(&user))
}

/// Compares a line with what is stored, by the rules in their order. `FORCE` lifts those that keep values from going
/// back. A mailbox that the command creates compares as one with nothing in it. [CS-MBOX-19]
/// [CS-MBOX-20] [CS-MBOX-21] [CS-MBOX-22] [CS-MBOX-23] [CS-MBOX-24]
pub(super) fn check_values(line: &MailboxLine, stored: &Mailbox, force: bool) -> Result<(), Fail> {
    let since = line.since_modseq.unwrap_or(0);
    if since != 0 {
        let sent = SyncCrc {
            basic: line.since_crc.unwrap_or(0),
            annot: line.since_crc_annot.unwrap_or(0),
        };
        if since != stored.highestmodseq || !stored.crc.agrees_with(sent) {
            let text = format!("HIGHESTMODSEQ is {}, SINCE_MODSEQ {since}", stored.highestmodseq);
            return Err(Fail::Refused(protocol::response::Code::SyncChanged, text));
        }
    }
    let mbtype = line.mboxtype.as_deref().unwrap_or_default();
    if !mbtype::is_same(mbtype, &stored.mbtype) {
        let text = format!(
            "{} has the type {:?}, not {:?}",
            stored.name,
            stored.mbtype,
            Text::copy_from(mbtype)
        );
        return Err(Fail::other(text));
    }
    if force {
        return Ok(());
    }
    let back = |key: &str, sent: u64, here: u64| {
        (sent < here).then(|| Fail::checksum(format!("{key} {sent} is below {here} here")))
    };
    let xconv = line
        .xconvmodseq
        .filter(|&modseq| modseq != 0)
        .zip(stored.xconvmodseq);
    let failed = back(
        "HIGHESTMODSEQ",
        line.highestmodseq.unwrap_or(0),
        stored.highestmodseq,
    )
    .or_else(|| {
        back(
            "UIDVALIDITY",
            line.uidvalidity.unwrap_or(0).into(),
            stored.uidvalidity.into(),
        )
    })
    .or_else(|| {
        back(
            "LAST_UID",
            line.last_uid.unwrap_or(0).into(),
            stored.last_uid.into(),
        )
    })
    .or_else(|| xconv.and_then(|(sent, here)| back("XCONVMODSEQ", sent, here)));
    failed.map_or(Ok(()), Err)
}

/// A mailbox with the identity, name and type of the line, and nothing in it.
pub(in super::super) fn empty_mailbox(line: &MailboxLine) -> Mailbox {
    Mailbox {
        name: line.mboxname.clone().unwrap_or_default(),
        uniqueid: line.uniqueid.clone().unwrap_or_default(),
        jmapid: line.jmapid.clone(),
        mbtype: line.mboxtype.clone().unwrap_or_default(),
        partition: line.partition.clone().flatten().unwrap_or_default(),
        acl: Text::EMPTY,
        options: line.options.unwrap_or_default(),
        quotaroot: None,
        uidvalidity: line.uidvalidity.unwrap_or(0),
        last_uid: 0,
        highestmodseq: 0,
        recentuid: 0,
        recenttime: 0,
        last_appenddate: 0,
        pop3_last_login: 0,
        pop3_show_after: 0,
        xconvmodseq: None,
        raclmodseq: 0,
        createdmodseq: line.createdmodseq.unwrap_or(0),
        foldermodseq: line.foldermodseq.unwrap_or(0),
        deletedmodseq: line.deletedmodseq.unwrap_or(0),
        usergroups: None,
        compact_emailids: None,
        version: line.version,
        annotations: Vec::new(),
        userflags: Vec::new(),
        crc: SyncCrc::EMPTY,
    }
}

/// Overwrites a mailbox's values with the line's. An absent `ANNOTATIONS` removes all, an absent `CREATEDMODSEQ` sets
/// zero, as in Cyrus; what only newer peers send stays when it is absent. [CS-MBOX-26] [CS-MBOX-27]
/// [CS-MBOX-34] [CS-EXC-12] [CS-EXC-18]
pub(in super::super) fn overwrite(mailbox: &mut Mailbox, line: &MailboxLine) {
    mailbox.acl = line.acl.clone().flatten().unwrap_or_default();
    mailbox.options = line.options.unwrap_or_default();
    mailbox.quotaroot = line.quotaroot.clone();
    mailbox.uidvalidity = line.uidvalidity.unwrap_or(mailbox.uidvalidity);
    mailbox.last_uid = line.last_uid.unwrap_or(mailbox.last_uid);
    mailbox.highestmodseq = line.highestmodseq.unwrap_or(mailbox.highestmodseq);
    mailbox.recentuid = line.recentuid.unwrap_or(0);
    mailbox.recenttime = line.recenttime.unwrap_or(0);
    mailbox.last_appenddate = line.last_appenddate.unwrap_or(0);
    mailbox.pop3_last_login = line.pop3_last_login.unwrap_or(0);
    mailbox.pop3_show_after = line.pop3_show_after.unwrap_or(0);
    mailbox.createdmodseq = line.createdmodseq.unwrap_or(0);
    mailbox.foldermodseq = line.foldermodseq.unwrap_or(mailbox.highestmodseq);
    mailbox.raclmodseq = mailbox.raclmodseq.max(line.raclmodseq.unwrap_or(0));
    mailbox.annotations = line.annotations.clone().unwrap_or_default();
    if line.xconvmodseq.is_some() {
        mailbox.xconvmodseq = line.xconvmodseq;
    }
    if line.jmapid.is_some() {
        mailbox.jmapid.clone_from(&line.jmapid);
    }
    if line.usergroups.is_some() {
        mailbox.usergroups.clone_from(&line.usergroups);
    }
    if line.compact_emailids.is_some() {
        mailbox.compact_emailids = line.compact_emailids;
    }
}

/// A mailbox's keyword table as it grows: names are added, never removed, and told apart without case. [CS-MBOX-28]
pub(in super::super) struct Keywords {
    known: BTreeSet<Vec<u8>>,
    names: Vec<Text>,
}

impl Keywords {
    /// The table as stored.
    pub(in super::super) fn new(names: Vec<Text>) -> Self {
        Keywords {
            known: names.iter().map(|name| name.to_ascii_lowercase()).collect(),
            names,
        }
    }

    /// Adds a name that is not in it.
    pub(in super::super) fn add(&mut self, name: &Text) {
        if self.names.len() < KEYWORDS_MAX && self.known.insert(name.to_ascii_lowercase()) {
            self.names.push(name.clone());
        }
    }

    /// Adds the keywords of a record.
    pub(in super::super) fn add_all(&mut self, record: &Record) {
        record.flags.keywords.iter().for_each(|name| self.add(name));
    }

    /// The table as it has become.
    pub(in super::super) fn into_names(self) -> Vec<Text> {
        self.names
    }
}
