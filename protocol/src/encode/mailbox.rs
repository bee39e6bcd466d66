//! `MAILBOX` lines and their records.

use super::{Encoder, Keyed, Open, value};
use crate::{Annotation, Flags, MailboxLine, Record, SystemFlags};

impl Encoder {
    /// The pairs of a `MAILBOX` line behind its `%(`, and its `RECORD` list opened if it has one. `[CS-MBOX-2]`
    pub(super) fn begin_mailbox(&mut self, line: &MailboxLine) {
        let empty = self.put_mailbox_keys(line);
        if line.has_records {
            self.put(if empty { b"RECORD (" } else { b" RECORD (" });
            self.open = Open::Records { first: true };
        } else {
            self.open = Open::Keys;
        }
    }

    /// The pairs without `RECORD`, in Cyrus's order; returns whether there were none.
    pub(super) fn put_mailbox_keys(&mut self, line: &MailboxLine) -> bool {
        let mut keyed = Keyed::inside(self);
        keyed.text("JMAPID", line.jmapid.as_deref());
        keyed.text("UNIQUEID", line.uniqueid.as_deref());
        keyed.text("MBOXNAME", line.mboxname.as_deref());
        keyed.text("MBOXTYPE", line.mboxtype.as_deref());
        keyed.number("SYNC_CRC", line.sync_crc);
        keyed.number("SYNC_CRC_ANNOT", line.sync_crc_annot);
        keyed.number("LAST_UID", line.last_uid);
        keyed.number("HIGHESTMODSEQ", line.highestmodseq);
        keyed.number("RECENTUID", line.recentuid);
        keyed.date("RECENTTIME", line.recenttime);
        keyed.date("LAST_APPENDDATE", line.last_appenddate);
        keyed.date("POP3_LAST_LOGIN", line.pop3_last_login);
        keyed.date("POP3_SHOW_AFTER", line.pop3_show_after);
        keyed.number("XCONVMODSEQ", line.xconvmodseq);
        keyed.number("COMPACT_EMAILIDS", line.compact_emailids);
        keyed.number("RACLMODSEQ", line.raclmodseq);
        keyed.text("USERGROUPS", line.usergroups.as_deref());
        keyed.number("VERSION", line.version);
        keyed.number("UIDVALIDITY", line.uidvalidity);
        if let Some(partition) = &line.partition {
            keyed.key("PARTITION").put_nstring(partition.as_deref());
        }
        if let Some(acl) = &line.acl {
            keyed.key("ACL").put_nstring(acl.as_deref());
        }
        keyed.text(
            "OPTIONS",
            line.options.map(|options| options.to_text()).as_deref(),
        );
        keyed.text("QUOTAROOT", line.quotaroot.as_deref());
        keyed.number("CREATEDMODSEQ", line.createdmodseq);
        keyed.number("FOLDERMODSEQ", line.foldermodseq);
        keyed.number("DELETEDMODSEQ", line.deletedmodseq);
        if let Some(annotations) = &line.annotations {
            keyed.key("ANNOTATIONS").put_annotations(annotations);
        }
        keyed.strings("USERFLAGS", line.userflags.as_deref());
        keyed.number("SINCE_MODSEQ", line.since_modseq);
        keyed.number("SINCE_CRC", line.since_crc);
        keyed.number("SINCE_CRC_ANNOT", line.since_crc_annot);
        keyed.first
    }

    /// An element of `RECORD`.
    pub(super) fn put_record(&mut self, record: &Record) {
        self.out.reserve(256);
        self.put(b"%(UID ");
        value::unsigned(&mut self.out, u64::from(record.uid));
        self.put(b" MODSEQ ");
        value::unsigned(&mut self.out, record.modseq);
        self.put(b" LAST_UPDATED ");
        value::signed(&mut self.out, record.last_updated);
        self.put(b" FLAGS (");
        self.put_flags(&record.flags);
        self.put(b") INTERNALDATE ");
        value::signed(&mut self.out, record.internaldate);
        self.put(b" SIZE ");
        value::unsigned(&mut self.out, record.size);
        self.put(b" GUID ");
        self.put_guid(&record.guid);
        if !record.annotations.is_empty() {
            self.put(b" ANNOTATIONS ");
            self.put_annotations(&record.annotations);
        }
        self.put(b")");
    }

    /// System flags in Cyrus's order, then keywords. Keywords are printed as strings, which a reader cannot tell
    /// from Cyrus's raw form except for one named `NIL`, which the raw form would lose. `[CS-EXC-9]`
    fn put_flags(&mut self, flags: &Flags) {
        let mut first = true;
        for (flag, name) in SystemFlags::ALL {
            if flags.system.contains(flag) {
                if !first {
                    self.put(b" ");
                }
                first = false;
                self.put(name.as_bytes());
            }
        }
        for keyword in &flags.keywords {
            if !first {
                self.put(b" ");
            }
            first = false;
            self.put_string(keyword);
        }
    }

    fn put_annotations(&mut self, annotations: &[Annotation]) {
        self.put(b"(");
        for (i, annotation) in annotations.iter().enumerate() {
            self.put(if i > 0 { b" %(ENTRY " } else { b"%(ENTRY " });
            self.put_string(&annotation.entry);
            self.put(b" USERID ");
            self.put_string(&annotation.userid);
            self.put(b" MODSEQ ");
            value::unsigned(&mut self.out, annotation.modseq);
            self.put(b" VALUE ");
            self.put_string(&annotation.value);
            self.put(b")");
        }
        self.put(b")");
    }
}
