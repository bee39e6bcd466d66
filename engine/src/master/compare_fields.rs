//! Which fields of two things differ, by their names on the wire. [CS-SPLIT-60]

use std::fmt::Display;

use protocol::command::{Quota, Seen};
use protocol::{Annotation, Flags, MailboxLine, Record, SystemFlags, Text};

use super::compare::Compared;
use super::folders::same_name;
use super::lines::{crc_of, same_annotations};
use crate::model::{Mailbox, QuotaLimits, SeenState};

/// A value that is not the same on both sides.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldDiffers {
    /// Name of the value, as on the wire (`FLAGS`, `UIDVALIDITY`).
    pub field: &'static str,
    /// The value here.
    pub here: String,
    /// The value there.
    pub there: String,
}

/// The fields found so far.
struct Fields(Vec<FieldDiffers>);

impl Fields {
    fn put(&mut self, field: &'static str, here: impl Display, there: impl Display, same: bool) {
        if !same {
            let (here, there) = (here.to_string(), there.to_string());
            self.0.push(FieldDiffers { field, here, there });
        }
    }

    fn compare<T: PartialEq + Display>(&mut self, field: &'static str, here: T, there: T) {
        let same = here == there;
        self.put(field, here, there, same);
    }
}

/// Two records of one UID; two expunged ones never differ.
pub(super) fn differing_record(ours: &Record, theirs: &Record) -> Vec<FieldDiffers> {
    let mut fields = Fields(Vec::new());
    if ours.is_expunged() && theirs.is_expunged() {
        return fields.0;
    }
    fields.compare("GUID", ours.guid, theirs.guid);
    fields.compare("SIZE", ours.size, theirs.size);
    fields.compare("MODSEQ", ours.modseq, theirs.modseq);
    fields.compare("LAST_UPDATED", ours.last_updated, theirs.last_updated);
    fields.compare("INTERNALDATE", ours.internaldate, theirs.internaldate);
    let same = crate::crc::flag_crc(&ours.flags) == crate::crc::flag_crc(&theirs.flags)
        && ours.is_expunged() == theirs.is_expunged();
    fields.put(
        "FLAGS",
        shown_flags(&ours.flags),
        shown_flags(&theirs.flags),
        same,
    );
    annotations(&mut fields, &ours.annotations, &theirs.annotations);
    fields.0
}

fn annotations(fields: &mut Fields, ours: &[Annotation], theirs: &[Annotation]) {
    let same = same_annotations(ours, theirs);
    if same {
        return;
    }
    // Only those that are not in both lists are shown.
    let missing = |from: &[Annotation], of: &[Annotation]| {
        let has = |a: &Annotation| {
            from.iter()
                .any(|b| (&a.entry, &a.userid, &a.value) == (&b.entry, &b.userid, &b.value))
        };
        let shown: Vec<String> = of
            .iter()
            .filter(|a| !has(a))
            .map(|a| {
                format!(
                    "{}{}{}={}",
                    a.entry,
                    if a.userid.is_empty() { "" } else { " of " },
                    a.userid,
                    a.value
                )
            })
            .collect();
        shown.join(", ")
    };
    fields.put("ANNOTATIONS", missing(theirs, ours), missing(ours, theirs), false);
}

fn shown_flags(flags: &Flags) -> String {
    const NAMES: [(SystemFlags, &str); 6] = [
        (SystemFlags::DELETED, "\\Deleted"),
        (SystemFlags::ANSWERED, "\\Answered"),
        (SystemFlags::FLAGGED, "\\Flagged"),
        (SystemFlags::DRAFT, "\\Draft"),
        (SystemFlags::EXPUNGED, "\\Expunged"),
        (SystemFlags::SEEN, "\\Seen"),
    ];
    let system = NAMES
        .iter()
        .filter(|(flag, _)| flags.system.contains(*flag))
        .map(|(_, name)| (*name).to_owned());
    let mut keywords: Vec<String> = flags.keywords.iter().map(Text::to_string).collect();
    keywords.sort();
    let all: Vec<String> = system.chain(keywords).collect();
    format!("({})", all.join(" "))
}

/// The values of a mailbox itself; `walked` has the CRCs of the records of both sides. [CS-MASTER-20]
pub(super) fn differing_header(
    mailbox: &Mailbox,
    line: &MailboxLine,
    partition: &Text,
    walked: &Compared,
) -> Vec<FieldDiffers> {
    let mut fields = Fields(Vec::new());
    let name = line.mboxname.clone().unwrap_or_default();
    let same = same_name(&name, &mailbox.name);
    fields.put("MBOXNAME", &mailbox.name, &name, same);
    let there = line
        .partition
        .clone()
        .flatten()
        .unwrap_or_else(|| partition.clone());
    fields.compare("PARTITION", partition.clone(), there);
    let letters = |text: &[u8]| {
        let mut letters: Vec<char> = text.iter().map(|byte| char::from(*byte)).collect();
        letters.retain(|letter| !matches!(letter, 'e' | 'l'));
        letters.sort_unstable();
        String::from_iter(letters)
    };
    let mbtype = line.mboxtype.clone().unwrap_or_default();
    fields.compare("MBOXTYPE", letters(&mailbox.mbtype), letters(&mbtype));
    fields.compare("UIDVALIDITY", mailbox.uidvalidity, line.uidvalidity.unwrap_or(0));
    fields.compare("LAST_UID", mailbox.last_uid, line.last_uid.unwrap_or(0));
    fields.compare(
        "HIGHESTMODSEQ",
        mailbox.highestmodseq,
        line.highestmodseq.unwrap_or(0),
    );
    fields.compare("RECENTUID", mailbox.recentuid, line.recentuid.unwrap_or(0));
    fields.compare("RECENTTIME", mailbox.recenttime, line.recenttime.unwrap_or(0));
    fields.compare(
        "POP3_LAST_LOGIN",
        mailbox.pop3_last_login,
        line.pop3_last_login.unwrap_or(0),
    );
    fields.compare(
        "POP3_SHOW_AFTER",
        mailbox.pop3_show_after,
        line.pop3_show_after.unwrap_or(0),
    );
    let foldermodseq = line.foldermodseq.filter(|modseq| *modseq != 0);
    fields.compare(
        "FOLDERMODSEQ",
        mailbox.foldermodseq,
        foldermodseq.unwrap_or(mailbox.foldermodseq),
    );
    let options = line.options.unwrap_or_default();
    let same = mailbox.options == options;
    fields.put(
        "OPTIONS",
        format!("{:?}", mailbox.options),
        format!("{options:?}"),
        same,
    );
    fields.compare(
        "ACL",
        mailbox.acl.clone(),
        line.acl.clone().flatten().unwrap_or_default(),
    );
    annotations(
        &mut fields,
        &mailbox.annotations,
        line.annotations.as_deref().unwrap_or_default(),
    );
    let shown = |crc: crate::crc::SyncCrc| format!("{} {}", crc.basic, crc.annot);
    // Of records that are equal the CRCs are too; what is told must be that of the records.
    let same = mailbox.crc == walked.crc_here;
    fields.put(
        "SYNC_CRC told and that of the records here",
        shown(mailbox.crc),
        shown(walked.crc_here),
        same,
    );
    let told = crc_of(line);
    let same = told.agrees_with(walked.crc_there);
    fields.put(
        "SYNC_CRC told and that of the records there",
        shown(told),
        shown(walked.crc_there),
        same,
    );
    fields.0
}

/// A reader's state of one mailbox. [CS-MASTER-7]
pub(super) fn differing_seen(ours: &SeenState, theirs: &Seen) -> Vec<FieldDiffers> {
    let mut fields = Fields(Vec::new());
    fields.compare("LASTUID", ours.lastuid, theirs.lastuid.unwrap_or(0));
    fields.compare("LASTREAD", ours.lastread, theirs.lastread.unwrap_or(0));
    fields.compare("LASTCHANGE", ours.lastchange, theirs.lastchange.unwrap_or(0));
    fields.compare(
        "SEENUIDS",
        ours.seenuids.clone(),
        theirs.seenuids.clone().unwrap_or_default(),
    );
    fields.0
}

/// The limits of a quota root. [CS-MASTER-4]
pub(super) fn differing_quota(ours: &QuotaLimits, theirs: &Quota) -> Vec<FieldDiffers> {
    let mut fields = Fields(Vec::new());
    let shown = |limit: Option<u32>| match limit {
        None | Some(u32::MAX) => "unlimited".to_owned(),
        Some(limit) => limit.to_string(),
    };
    fields.compare(
        "STORAGE",
        shown(ours.storage),
        shown(theirs.storage.or(theirs.limit)),
    );
    fields.compare("MESSAGE", shown(ours.message), shown(theirs.message));
    fields.compare(
        "X-ANNOTATION-STORAGE",
        shown(ours.annotation_storage),
        shown(theirs.annotation_storage),
    );
    fields.compare(
        "X-NUM-FOLDERS",
        shown(ours.num_folders),
        shown(theirs.num_folders),
    );
    fields.0
}
