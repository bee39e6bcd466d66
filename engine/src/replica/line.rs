//! Between a mailbox as stored and a `MAILBOX` line.

use protocol::{MailboxLine, MailboxOptions, Text};

use crate::model::Mailbox;
use crate::name::is_deleted;

/// The line that describes a mailbox; `has_records` announces a `RECORD` list. [CS-GET-23] [CS-GET-24]
pub(super) fn of_mailbox(mailbox: &Mailbox, has_records: bool) -> MailboxLine {
    if mailbox.is_placeholder() {
        return of_placeholder(mailbox);
    }
    MailboxLine {
        jmapid: mailbox.jmapid.clone(),
        uniqueid: Some(mailbox.uniqueid.clone()),
        mboxname: Some(mailbox.name.clone()),
        mboxtype: (!mailbox.mbtype.is_empty()).then(|| mailbox.mbtype.clone()),
        sync_crc: Some(mailbox.crc.basic),
        sync_crc_annot: Some(mailbox.crc.annot),
        last_uid: Some(mailbox.last_uid),
        highestmodseq: Some(mailbox.highestmodseq),
        recentuid: Some(mailbox.recentuid),
        recenttime: Some(mailbox.recenttime),
        last_appenddate: Some(mailbox.last_appenddate),
        pop3_last_login: Some(mailbox.pop3_last_login),
        pop3_show_after: Some(mailbox.pop3_show_after),
        // A mailbox keeps it through a delayed delete, and its master does not. [CS-GET-27]
        xconvmodseq: mailbox.xconvmodseq.filter(|_| !is_deleted(&mailbox.name)),
        compact_emailids: mailbox.compact_emailids,
        raclmodseq: (mailbox.raclmodseq != 0).then_some(mailbox.raclmodseq),
        usergroups: mailbox.usergroups.clone(),
        version: mailbox.version,
        uidvalidity: Some(mailbox.uidvalidity),
        partition: Some(Some(mailbox.partition.clone())),
        acl: Some(Some(mailbox.acl.clone())),
        options: Some(mailbox.options),
        quotaroot: mailbox.quotaroot.clone(),
        createdmodseq: Some(mailbox.createdmodseq),
        foldermodseq: Some(mailbox.foldermodseq),
        deletedmodseq: (mailbox.deletedmodseq != 0).then_some(mailbox.deletedmodseq),
        annotations: (!mailbox.annotations.is_empty()).then(|| mailbox.annotations.clone()),
        userflags: (!mailbox.userflags.is_empty()).then(|| mailbox.userflags.clone()),
        since_modseq: None,
        since_crc: None,
        since_crc_annot: None,
        has_records,
    }
}

/// A placeholder has an identity, a type and two modseqs; the rest is printed empty. [CS-GET-26]
fn of_placeholder(mailbox: &Mailbox) -> MailboxLine {
    MailboxLine {
        uniqueid: Some(mailbox.uniqueid.clone()),
        mboxname: Some(mailbox.name.clone()),
        mboxtype: Some(written_type(&mailbox.mbtype)),
        sync_crc: Some(0),
        last_uid: Some(0),
        highestmodseq: Some(0),
        recentuid: Some(0),
        recenttime: Some(0),
        last_appenddate: Some(0),
        pop3_last_login: Some(0),
        pop3_show_after: Some(0),
        uidvalidity: Some(mailbox.uidvalidity),
        partition: Some(None),
        acl: Some(Some(Text::EMPTY)),
        options: Some(MailboxOptions::default()),
        createdmodseq: Some(mailbox.createdmodseq),
        foldermodseq: Some(mailbox.foldermodseq),
        ..MailboxLine::default()
    }
}

/// The letters of a placeholder with a type letter, which masters of 3.2 leave out. [CS-GET-26] [CS-MBOX-41]
fn written_type(letters: &Text) -> Text {
    if letters.iter().any(|letter| b"ecabspfjn".contains(letter)) {
        return letters.clone();
    }
    Text::copy_from(&[b"e", &letters[..]].concat())
}

/// Adds the keys that came after `RECORD`; a key that came before it wins. [CS-DLIST-13]
pub(super) fn merge(line: &mut MailboxLine, late: MailboxLine) {
    macro_rules! fill {
        ($($field:ident)*) => { $( if line.$field.is_none() { line.$field = late.$field; } )* };
    }
    fill! {
        jmapid uniqueid mboxname mboxtype sync_crc sync_crc_annot last_uid highestmodseq recentuid recenttime
        last_appenddate pop3_last_login pop3_show_after xconvmodseq compact_emailids raclmodseq usergroups version
        uidvalidity partition acl options quotaroot createdmodseq foldermodseq deletedmodseq annotations userflags
        since_modseq since_crc since_crc_annot
    }
    line.has_records |= late.has_records;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intermediate_is_written_with_a_type_letter() {
        assert_eq!(written_type(&Text::copy_from(b"i")), Text::copy_from(b"ei"));
        assert_eq!(written_type(&Text::copy_from(b"ei")), Text::copy_from(b"ei"));
        assert_eq!(written_type(&Text::copy_from(b"ci")), Text::copy_from(b"ci"));
    }
}
