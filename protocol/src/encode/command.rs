//! Command lines, one method a family.

use super::{Encoder, value};
use crate::Text;
use crate::command::{Apply, Command, Fetch, Get, Quota, Reserve, Seen};

impl Encoder {
    pub(super) fn put_command(&mut self, command: &Command) {
        match command {
            Command::Noop => self.put(b"NOOP"),
            Command::Exit => self.put(b"EXIT"),
            Command::Restart => self.put(b"RESTART"),
            Command::StartTls => self.put(b"STARTTLS"),
            Command::Authenticate { mechanism, initial } => {
                self.put(b"AUTHENTICATE ");
                self.put_words(mechanism);
                if let Some(initial) = initial {
                    self.put(b" ");
                    self.put_words(initial);
                }
            }
            Command::Compress { algorithm } => {
                self.put(b"COMPRESS ");
                self.put_words(algorithm);
            }
            Command::Get(get) => {
                self.put(b"GET ");
                self.put_get(get);
            }
            Command::Apply(apply) => {
                self.put(b"APPLY ");
                self.put_apply(apply);
            }
            Command::RestoreUnknown(keyword) => {
                self.put(b"RESTORE ");
                self.put_unknown(keyword);
            }
            Command::TaggedProbe { tag } => {
                self.put_words(tag);
                self.put(b" CAPABILITY");
            }
        }
    }

    fn put_get(&mut self, get: &Get) {
        match get {
            Get::User(userid) => self.put_named(b"USER ", userid.as_ref()),
            Get::Meta(userid) => self.put_named(b"META ", userid.as_ref()),
            Get::Mailboxes(names) => self.put_name_list(b"MAILBOXES ", names.as_deref()),
            Get::Uniqueids(ids) => self.put_name_list(b"UNIQUEIDS ", ids.as_deref()),
            Get::FullMailbox(name) => self.put_named(b"FULLMAILBOX ", name.as_ref()),
            Get::Quota(root) => self.put_named(b"QUOTA ", root.as_ref()),
            Get::Annotation(name) => self.put_named(b"ANNOTATION ", name.as_ref()),
            Get::Fetch(fetch) => self.put_fetch(fetch),
            Get::FetchSieve { userid, filename } => {
                self.put(b"FETCH_SIEVE ");
                self.put_texts(&[("USERID", userid.as_ref()), ("FILENAME", filename.as_ref())]);
            }
            Get::Unknown(keyword) => self.put_unknown(keyword),
        }
    }

    fn put_apply(&mut self, apply: &Apply) {
        match apply {
            Apply::Reserve(reserve) => self.put_reserve(reserve),
            Apply::Expunge {
                mboxname,
                uniqueid,
                uids,
            } => {
                self.put_expunge(mboxname.as_ref(), uniqueid.as_ref(), uids.as_deref());
            }
            Apply::Rename {
                oldmboxname,
                newmboxname,
                partition,
                uidvalidity,
                local,
            } => {
                self.put(if *local { b"LOCAL_RENAME " } else { b"RENAME " });
                let mut keyed = self.keyed();
                keyed.text("OLDMBOXNAME", oldmboxname.as_deref());
                keyed.text("NEWMBOXNAME", newmboxname.as_deref());
                keyed.text("PARTITION", partition.as_deref());
                keyed.number("UIDVALIDITY", *uidvalidity);
                keyed.close();
            }
            Apply::Unmailbox { mboxname, local } => {
                self.put_named(
                    if *local {
                        b"LOCAL_UNMAILBOX "
                    } else {
                        b"UNMAILBOX "
                    },
                    mboxname.as_ref(),
                );
            }
            Apply::Unuser { userid, local } => {
                self.put_named(
                    if *local { b"LOCAL_UNUSER " } else { b"UNUSER " },
                    userid.as_ref(),
                );
            }
            Apply::Sub { mboxname, userid } => {
                self.put_subscription(b"SUB ", mboxname.as_ref(), userid.as_ref())
            }
            Apply::Unsub { mboxname, userid } => {
                self.put_subscription(b"UNSUB ", mboxname.as_ref(), userid.as_ref());
            }
            Apply::Seen(seen) => {
                self.put(b"SEEN ");
                self.put_seen(seen);
            }
            Apply::Quota(quota) => {
                self.put(b"QUOTA ");
                self.put_quota(quota);
            }
            Apply::Unquota { root } => self.put_named(b"UNQUOTA ", root.as_ref()),
            Apply::Annotation { .. } | Apply::Unannotation { .. } => self.put_annotation_command(apply),
            Apply::Force => self.put(b"FORCE %()"),
            Apply::Capabilities(names) => self.put_name_list(b"CAPABILITIES ", names.as_deref()),
            Apply::Unknown(keyword) => self.put_unknown(keyword),
            Apply::Sieve { .. }
            | Apply::Unsieve { .. }
            | Apply::ActivateSieve { .. }
            | Apply::UnactivateSieve { .. } => self.put_sieve_command(apply),
        }
    }

    fn put_sieve_command(&mut self, apply: &Apply) {
        match apply {
            Apply::Sieve {
                userid,
                filename,
                last_update,
                content,
            } => {
                self.put(b"SIEVE ");
                let mut keyed = self.keyed();
                keyed.text("USERID", userid.as_deref());
                keyed.text("FILENAME", filename.as_deref());
                keyed.date("LAST_UPDATE", *last_update);
                keyed.text("CONTENT", content.as_deref());
                keyed.close();
            }
            Apply::Unsieve { userid, filename } => {
                self.put(b"UNSIEVE ");
                self.put_texts(&[("USERID", userid.as_ref()), ("FILENAME", filename.as_ref())]);
            }
            Apply::ActivateSieve { userid, filename } => {
                self.put(b"ACTIVATE_SIEVE ");
                self.put_texts(&[("USERID", userid.as_ref()), ("FILENAME", filename.as_ref())]);
            }
            Apply::UnactivateSieve { userid } => {
                self.put(b"UNACTIVATE_SIEVE ");
                self.put_texts(&[("USERID", userid.as_ref())]);
            }
            _ => {}
        }
    }

    fn put_annotation_command(&mut self, apply: &Apply) {
        match apply {
            Apply::Annotation {
                mboxname,
                entry,
                userid,
                value,
            } => {
                self.put(b"ANNOTATION ");
                self.put_texts(&[
                    ("MBOXNAME", mboxname.as_ref()),
                    ("ENTRY", entry.as_ref()),
                    ("USERID", userid.as_ref()),
                    ("VALUE", value.as_ref()),
                ]);
            }
            Apply::Unannotation {
                mboxname,
                entry,
                userid,
            } => {
                self.put(b"UNANNOTATION ");
                self.put_texts(&[
                    ("MBOXNAME", mboxname.as_ref()),
                    ("ENTRY", entry.as_ref()),
                    ("USERID", userid.as_ref()),
                ]);
            }
            _ => {}
        }
    }

    fn put_reserve(&mut self, reserve: &Reserve) {
        self.put(b"RESERVE ");
        let mut keyed = self.keyed();
        keyed.text("PARTITION", reserve.partition.as_deref());
        keyed.strings("MBOXNAME", reserve.mboxnames.as_deref());
        if let Some(guids) = &reserve.guids {
            keyed.key("GUID").put_guids(guids);
        }
        keyed.close();
    }

    fn put_expunge(&mut self, mboxname: Option<&Text>, uniqueid: Option<&Text>, uids: Option<&[u32]>) {
        self.put(b"EXPUNGE ");
        let mut keyed = self.keyed();
        keyed.text("MBOXNAME", mboxname.map(Text::as_bytes));
        keyed.text("UNIQUEID", uniqueid.map(Text::as_bytes));
        if let Some(uids) = uids {
            let encoder = keyed.key("UID");
            encoder.put(b"(");
            for (i, uid) in uids.iter().enumerate() {
                if i > 0 {
                    encoder.put(b" ");
                }
                value::unsigned(&mut encoder.out, u64::from(*uid));
            }
            encoder.put(b")");
        }
        keyed.close();
    }

    fn put_fetch(&mut self, fetch: &Fetch) {
        self.put(b"FETCH ");
        let mut keyed = self.keyed();
        keyed.text("MBOXNAME", fetch.mboxname.as_deref());
        keyed.text("PARTITION", fetch.partition.as_deref());
        keyed.text("UNIQUEID", fetch.uniqueid.as_deref());
        keyed.guid("GUID", fetch.guid.as_ref());
        keyed.number("UID", fetch.uid);
        keyed.close();
    }

    fn put_subscription(&mut self, keyword: &[u8], mboxname: Option<&Text>, userid: Option<&Text>) {
        self.put(keyword);
        self.put_texts(&[("USERID", userid), ("MBOXNAME", mboxname)]);
    }

    /// The keyed list of a `SEEN` command or data line.
    pub(super) fn put_seen(&mut self, seen: &Seen) {
        let mut keyed = self.keyed();
        keyed.text("USERID", seen.userid.as_deref());
        keyed.text("UNIQUEID", seen.uniqueid.as_deref());
        keyed.date("LASTREAD", seen.lastread);
        keyed.number("LASTUID", seen.lastuid);
        keyed.date("LASTCHANGE", seen.lastchange);
        keyed.text("SEENUIDS", seen.seenuids.as_deref());
        keyed.close();
    }

    /// The keyed list of a `QUOTA` command or data line. Resources with two spellings are printed in both, the one
    /// that every Cyrus knows first.
    pub(super) fn put_quota(&mut self, quota: &Quota) {
        let mut keyed = self.keyed();
        keyed.text("ROOT", quota.root.as_deref());
        keyed.number("LIMIT", quota.limit);
        keyed.number("STORAGE", quota.storage);
        keyed.number("MESSAGE", quota.message);
        keyed.number("X-ANNOTATION-STORAGE", quota.annotation_storage);
        keyed.number("X-NUM-FOLDERS", quota.num_folders);
        keyed.number("ANNOTATION-STORAGE", quota.annotation_storage);
        keyed.number("MAILBOX", quota.num_folders);
        keyed.number("MODSEQ", quota.modseq);
        keyed.close();
    }

    /// Keyword and one string, `NIL` for none.
    fn put_named(&mut self, keyword: &[u8], name: Option<&Text>) {
        self.put(keyword);
        self.put_nstring(name.map(Text::as_bytes));
    }

    /// Keyword and a list of strings, `NIL` for no list.
    fn put_name_list(&mut self, keyword: &[u8], names: Option<&[Text]>) {
        self.put(keyword);
        match names {
            Some(names) => self.put_strings(names),
            None => self.put(b"NIL"),
        }
    }

    fn put_unknown(&mut self, keyword: &Text) {
        self.put_string(keyword);
        self.put(b" NIL");
    }

    /// `%(KEY value ...)`, leaving out what is none.
    pub(super) fn put_texts(&mut self, pairs: &[(&str, Option<&Text>)]) {
        let mut keyed = self.keyed();
        for (key, value) in pairs {
            keyed.text(key, value.map(Text::as_bytes));
        }
        keyed.close();
    }
}
