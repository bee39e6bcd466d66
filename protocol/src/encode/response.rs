//! Data lines and final lines.

use super::Encoder;
use crate::response::{Code, Data, Final, Sieve};
use crate::{Guid, Text};

impl Encoder {
    pub(super) fn put_data(&mut self, data: &Data) {
        match data {
            Data::Capability { name, arguments } => {
                self.put_words(name);
                for argument in arguments {
                    self.put(b" ");
                    self.put_words(argument);
                }
            }
            Data::Banner(text) => {
                self.put(b"OK ");
                self.put_words(text);
            }
            Data::Enabled(names) => {
                self.put(b"ENABLED ");
                self.put_strings(names);
            }
            Data::Mailbox(line) => {
                self.put(b"MAILBOX %(");
                let empty = self.put_mailbox_keys(line);
                if line.has_records {
                    self.put(if empty { b"RECORD ()" } else { b" RECORD ()" });
                }
                self.put(b")");
            }
            Data::Quota(quota) => {
                self.put(b"QUOTA ");
                self.put_quota(quota);
            }
            Data::Seen(seen) => {
                self.put(b"SEEN ");
                self.put_seen(seen);
            }
            Data::Lsub(names) => {
                self.put(b"LSUB ");
                self.put_strings(names);
            }
            Data::Sieve(sieve) => self.put_sieve(sieve),
            Data::Annotation {
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
            Data::Missing(guids) => {
                self.put(b"MISSING ");
                self.put_guids(guids);
            }
            Data::MessageNil => self.put(b"MESSAGE NIL"),
            Data::Unknown(name) => {
                self.put_words(name);
                self.put(b" ()");
            }
        }
    }

    fn put_sieve(&mut self, sieve: &Sieve) {
        self.put(b"SIEVE ");
        let mut keyed = self.keyed();
        keyed.text("USERID", sieve.userid.as_deref());
        keyed.text("FILENAME", sieve.filename.as_deref());
        keyed.date("LAST_UPDATE", sieve.last_update);
        keyed.guid("GUID", sieve.guid.as_ref());
        if sieve.isactive || sieve.content.is_none() {
            keyed.number("ISACTIVE", Some(u32::from(sieve.isactive)));
        }
        keyed.text("CONTENT", sieve.content.as_deref());
        keyed.close();
    }

    pub(super) fn put_guids(&mut self, guids: &[Guid]) {
        self.put(b"(");
        for (i, guid) in guids.iter().enumerate() {
            if i > 0 {
                self.put(b" ");
            }
            self.put_guid(guid);
        }
        self.put(b")");
    }

    pub(super) fn put_final(&mut self, line: &Final) {
        match line {
            Final::Ok(text) => self.put_final_text(b"OK ", text, b"success"),
            Final::Bad(text) => self.put_final_text(b"BAD ", text, b"Protocol error"),
            Final::Bye(text) => self.put_final_text(b"BYE ", text, b"closing"),
            Final::Continue(text) => self.put_final_text(b"+ ", text, b""),
            Final::No(code, text) => self.put_no(code, text),
        }
    }

    fn put_no(&mut self, code: &Code, text: &Text) {
        match Code::WORDS.iter().find(|(known, ..)| known == code) {
            Some((_, word, _)) => {
                self.put(b"NO ");
                self.put(word.as_bytes());
                if !text.is_empty() {
                    self.put(b" ");
                    self.put_words(text);
                }
            }
            None => self.put_final_text(b"NO ", text, b"Unknown error"),
        }
    }

    fn put_final_text(&mut self, word: &[u8], text: &[u8], when_empty: &[u8]) {
        self.put(word);
        self.put_words(if text.is_empty() { when_empty } else { text });
    }

    /// Text up to the line end; a line break in it would forge a line.
    pub(super) fn put_words(&mut self, text: &[u8]) {
        for part in text.split_inclusive(|byte| matches!(byte, b'\r' | b'\n')) {
            match part {
                [kept @ .., b'\r' | b'\n'] => {
                    self.put(kept);
                    self.put(b" ");
                }
                whole => self.put(whole),
            }
        }
    }
}
