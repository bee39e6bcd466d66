//! MAILBOX lines: ours as they are sent, the replica's as they are compared. [CS-MASTER-20]

use protocol::{Annotation, MailboxLine, Text};

use super::folders::{Batch, is_placeholder, same_name};
use super::run::{Run, Tried, Trouble};
use super::steps::Step;
use crate::crc::SyncCrc;
use crate::model::Mailbox;

impl Run {
    /// The full line of a mailbox as it is here.
    pub(super) fn mailbox_line(&self, mailbox: &Mailbox) -> MailboxLine {
        let some = |text: &Text| (!text.is_empty()).then(|| text.clone());
        MailboxLine {
            jmapid: mailbox.jmapid.clone(),
            uniqueid: Some(mailbox.uniqueid.clone()),
            mboxname: Some(mailbox.name.clone()),
            mboxtype: some(&mailbox.mbtype),
            sync_crc: Some(mailbox.crc.basic),
            sync_crc_annot: Some(mailbox.crc.annot),
            last_uid: Some(mailbox.last_uid),
            highestmodseq: Some(mailbox.highestmodseq),
            recentuid: Some(mailbox.recentuid),
            recenttime: Some(mailbox.recenttime),
            last_appenddate: Some(mailbox.last_appenddate),
            pop3_last_login: Some(mailbox.pop3_last_login),
            pop3_show_after: Some(mailbox.pop3_show_after),
            xconvmodseq: mailbox.xconvmodseq,
            compact_emailids: mailbox.compact_emailids,
            raclmodseq: (mailbox.raclmodseq > 0).then_some(mailbox.raclmodseq),
            usergroups: mailbox.usergroups.clone(),
            version: mailbox.version,
            uidvalidity: Some(mailbox.uidvalidity),
            partition: Some(Some(self.partition_of(mailbox))),
            acl: Some(Some(mailbox.acl.clone())),
            options: Some(mailbox.options),
            quotaroot: mailbox.quotaroot.clone(),
            createdmodseq: Some(mailbox.createdmodseq),
            foldermodseq: Some(mailbox.foldermodseq),
            deletedmodseq: (mailbox.deletedmodseq > 0).then_some(mailbox.deletedmodseq),
            annotations: (!mailbox.annotations.is_empty()).then(|| mailbox.annotations.clone()),
            userflags: (!mailbox.userflags.is_empty()).then(|| mailbox.userflags.clone()),
            has_records: true,
            ..MailboxLine::default()
        }
    }

    /// An intermediate's line; not where the replica has a real mailbox of that name or identity. [CS-MASTER-17]
    pub(super) fn placeholder_line(&self, batch: &Batch, mailbox: &Mailbox) -> Tried<MailboxLine> {
        let in_the_way = batch.remotes.values().any(|line| {
            !is_placeholder(line)
                && (line.uniqueid.as_ref() == Some(&mailbox.uniqueid)
                    || line.mboxname.as_ref() == Some(&mailbox.name))
        });
        if in_the_way {
            return Err(Trouble::Item(format!(
                "{} has no messages of its own here, but is a mailbox on the replica; delete it there",
                mailbox.name
            )));
        }
        Ok(MailboxLine {
            uniqueid: Some(mailbox.uniqueid.clone()),
            mboxname: Some(mailbox.name.clone()),
            mboxtype: Some(mailbox.mbtype.clone()),
            highestmodseq: Some(mailbox.highestmodseq.max(mailbox.foldermodseq)),
            createdmodseq: Some(mailbox.createdmodseq),
            foldermodseq: Some(mailbox.foldermodseq),
            ..MailboxLine::default()
        })
    }
}

/// Turns a full line into that of a step before the last. [CS-MASTER-57]
pub(super) fn lower_line(line: &mut MailboxLine, step: &Step, remote: Option<&MailboxLine>) {
    line.sync_crc = Some(0);
    line.sync_crc_annot = None;
    line.last_uid = Some(step.last_uid);
    line.highestmodseq = Some(step.highestmodseq);
    line.last_appenddate = Some(0);
    line.recentuid = Some(remote.and_then(|r| r.recentuid).unwrap_or(0));
    line.recenttime = Some(remote.and_then(|r| r.recenttime).unwrap_or(0));
    line.pop3_last_login = Some(remote.and_then(|r| r.pop3_last_login).unwrap_or(0));
    line.pop3_show_after = Some(remote.and_then(|r| r.pop3_show_after).unwrap_or(0));
    line.xconvmodseq = None;
    line.raclmodseq = None;
}

/// Whether the replica's intermediate is ours.
pub(super) fn placeholder_equal(mailbox: &Mailbox, line: Option<&MailboxLine>) -> bool {
    line.is_some_and(|line| {
        is_placeholder(line)
            && line.mboxname.as_ref() == Some(&mailbox.name)
            && line
                .foldermodseq
                .is_none_or(|modseq| modseq == mailbox.foldermodseq)
    })
}

/// The replica's CRCs; an absent one is 0, which switches its check off.
pub(super) fn crc_of(line: &MailboxLine) -> SyncCrc {
    SyncCrc {
        basic: line.sync_crc.unwrap_or(0),
        annot: line.sync_crc_annot.unwrap_or(0),
    }
}

/// Whether the CRCs say the same. The pair of an empty mailbox means that it is empty, though its 0 would switch the
/// check off between any two pairs. [CS-SPLIT-35]
fn crcs_agree(mailbox: &Mailbox, line: &MailboxLine) -> bool {
    let (ours, theirs) = (mailbox.crc, crc_of(line));
    let one_is_empty = theirs == SyncCrc::EMPTY || (ours == SyncCrc::EMPTY && theirs.basic != 0);
    if one_is_empty {
        ours == theirs
    } else {
        ours.agrees_with(theirs)
    }
}

/// Whether nothing need be sent. [CS-MASTER-20]
pub(super) fn is_equal(mailbox: &Mailbox, line: &MailboxLine, partition: &Text) -> bool {
    let letters = |text: Option<&Text>| -> Vec<u8> {
        let mut letters: Vec<u8> = text.map(|t| t.to_vec()).unwrap_or_default();
        letters.retain(|letter| *letter != b'e' && *letter != b'l');
        letters.sort_unstable();
        letters
    };
    let acl = line.acl.clone().flatten().unwrap_or_default();
    let both = |ours: u64, theirs: Option<u64>| ours == 0 || theirs.unwrap_or(0) == 0 || Some(ours) == theirs;
    line.mboxname
        .as_ref()
        .is_some_and(|name| same_name(name, &mailbox.name))
        && line.partition.clone().flatten().is_none_or(|p| p == *partition)
        && letters(line.mboxtype.as_ref()) == letters(Some(&mailbox.mbtype))
        && line.last_uid == Some(mailbox.last_uid)
        && line.highestmodseq == Some(mailbox.highestmodseq)
        && line.uidvalidity == Some(mailbox.uidvalidity)
        && line.recentuid == Some(mailbox.recentuid)
        && line.recenttime == Some(mailbox.recenttime)
        && line.pop3_last_login == Some(mailbox.pop3_last_login)
        && line.pop3_show_after.unwrap_or(0) == mailbox.pop3_show_after
        && line.options.unwrap_or_default() == mailbox.options
        && line
            .foldermodseq
            .is_none_or(|modseq| modseq == 0 || modseq == mailbox.foldermodseq)
        && acl == mailbox.acl
        && both(mailbox.raclmodseq, line.raclmodseq)
        && mailbox
            .xconvmodseq
            .is_none_or(|ours| line.xconvmodseq.is_none_or(|theirs| theirs >= ours))
        && same_annotations(
            &mailbox.annotations,
            line.annotations.as_deref().unwrap_or_default(),
        )
        && crcs_agree(mailbox, line)
}

/// Whether two annotation lists say the same, in whatever order and with whatever modseqs.
pub(super) fn same_annotations(ours: &[Annotation], theirs: &[Annotation]) -> bool {
    let sorted = |list: &[Annotation]| {
        let mut keys: Vec<(Text, Text, Text)> = list
            .iter()
            .map(|a| (a.entry.clone(), a.userid.clone(), a.value.clone()))
            .collect();
        keys.sort();
        keys
    };
    ours.len() == theirs.len() && sorted(ours) == sorted(theirs)
}

/// Whether the replica has what no delta of ours can bring in line. [CS-MASTER-24]
pub(super) fn needs_merge(mailbox: &Mailbox, line: &MailboxLine) -> bool {
    let theirs = line.highestmodseq.unwrap_or(0);
    theirs > mailbox.highestmodseq
        || line.last_uid.unwrap_or(0) > mailbox.last_uid
        || mailbox.deletedmodseq > theirs
        || (theirs == mailbox.highestmodseq
            && line.last_uid == Some(mailbox.last_uid)
            && !crcs_agree(mailbox, line))
}
