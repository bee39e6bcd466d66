//! Typed values made of an input's bytes, so that a mutated byte is another value and not another syntax error.
//!
//! With hot words, values meet each other: few users, mailboxes, identities, messages, UIDs and modseqs. Without, strings are
//! of every form that an encoder treats apart.

use arbitrary::Unstructured;
use protocol::command::{Apply, Command, Fetch, Get, Quota, Reserve, Seen};
use protocol::response::{Code, Data, Final, Sieve};
use protocol::{Annotation, Flags, Guid, MailboxLine, MailboxOptions, Record, SystemFlags, Text};
use sha1::{Digest, Sha1};

/// Users that meet each other.
pub const USERS: [&str; 4] = ["jane", "joe", "jane.doe", "ann@example.org"];
/// Mailboxes that meet each other: INBOXes, what is below them, deleted and shared ones, and one that nobody may have.
pub const NAMES: [&str; 12] = [
    "user.jane",
    "user.jane.a",
    "user.jane.a.b",
    "user.jane.#sieve",
    "user.joe",
    "user.jane^doe",
    "example.org!user.ann",
    "DELETED.user.jane.a.60000000",
    "shared",
    "shared.news",
    "user..jane",
    "",
];
/// Identities that meet each other.
pub const IDS: [&str; 6] = ["id1", "id2", "id3", "id4", "id5", ""];
/// Messages that meet each other; the empty one is a message too.
pub const BODIES: [&str; 6] = ["", "a", "Subject: b\r\n\r\nb", "c)\r\n{9+}\r\n", "dddd", "e\0e"];

/// Strings with a meaning elsewhere.
const SPECIAL: [&[u8]; 10] = [
    b"NIL",
    b"",
    b"\r\n",
    b"{3+}\r\n",
    b"\\Seen",
    b"\0",
    b"%{",
    b"%(",
    b"RECORD",
    b"\xff\xfe",
];

/// The SHA-1 of some bytes.
pub fn guid_of(bytes: &[u8]) -> Guid {
    Guid::from_bytes(Sha1::digest(bytes).into())
}

/// Makes values of an input.
pub struct Maker<'u> {
    /// What is left of the input.
    pub u: Unstructured<'u>,
    hot: bool,
}

impl<'u> Maker<'u> {
    /// Over an input.
    pub fn new(input: &'u [u8], hot: bool) -> Self {
        Maker {
            u: Unstructured::new(input),
            hot,
        }
    }

    /// Whether nothing is left.
    pub fn is_done(&self) -> bool {
        self.u.is_empty()
    }

    /// A number below this one; 0 when nothing is left.
    pub fn below(&mut self, count: usize) -> usize {
        let last = count.saturating_sub(1).min(usize::from(u8::MAX));
        usize::from(self.u.int_in_range(0..=last as u8).unwrap_or(0))
    }

    /// True once in so many times.
    pub fn seldom(&mut self, count: usize) -> bool {
        self.below(count) == count - 1
    }

    fn raw<T: for<'a> arbitrary::Arbitrary<'a> + Default>(&mut self) -> T {
        self.u.arbitrary().unwrap_or_default()
    }

    /// Some bytes, at most this many.
    pub fn bytes(&mut self, most: usize) -> Vec<u8> {
        let length = self.below(most + 1).min(self.u.len());
        self.u.bytes(length).unwrap_or_default().to_vec()
    }

    /// A string of any form.
    pub fn any_text(&mut self) -> Text {
        let bytes = match self.below(8) {
            0..3 => {
                let atom = b"abcdefghijklmnopqrstuvwxyzABC0123456789./&^-_:;,=+*#@!?~|'`$[]<>";
                let bytes = self.bytes(12).into_iter();
                bytes.map(|byte| atom[usize::from(byte) % atom.len()]).collect()
            }
            3 => self.bytes(12).into_iter().map(|byte| b' ' + byte % 95).collect(),
            4 | 5 => self.bytes(12),
            6 => SPECIAL[self.below(SPECIAL.len())].to_vec(),
            _ => vec![if self.seldom(2) { b' ' } else { b'a' }; 1020 + self.below(7)],
        };
        Text::from(bytes)
    }

    fn word(&mut self, hot: &[&str]) -> Text {
        if self.hot && !self.seldom(40) {
            return Text::from(hot[self.below(hot.len())]);
        }
        self.any_text()
    }

    fn user(&mut self) -> Text {
        self.word(&USERS)
    }

    fn name(&mut self) -> Text {
        self.word(&NAMES)
    }

    fn id(&mut self) -> Text {
        self.word(&IDS)
    }

    fn partition(&mut self) -> Text {
        self.word(&["default", "default", "default", "other", "nowhere"])
    }

    fn entry(&mut self) -> Text {
        self.word(&[
            "/comment",
            "/vendor/x",
            "no-slash",
            "/vendor/cmu/cyrus-imapd/thrid",
        ])
    }

    /// A key's value, seldom left out.
    fn some<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        let rarity = if self.hot { 30 } else { 3 };
        if self.seldom(rarity) {
            None
        } else {
            Some(make(self))
        }
    }

    fn many<T>(&mut self, most: usize, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = self.below(most + 1);
        (0..count).map(|_| make(self)).collect()
    }

    /// A small number as a rule, or one of the edges.
    pub fn small(&mut self) -> u64 {
        if self.hot && !self.seldom(40) {
            return self.below(9) as u64;
        }
        match self.below(4) {
            0 => u64::MAX,
            1 => u64::from(u32::MAX),
            2 => 1 << 63,
            _ => self.raw(),
        }
    }

    fn small32(&mut self) -> u32 {
        u32::try_from(self.small()).unwrap_or(u32::MAX)
    }

    fn date(&mut self) -> i64 {
        if self.hot && !self.seldom(40) {
            return 1_700_000_000 + self.below(4) as i64;
        }
        self.raw()
    }

    /// Identity of a message.
    pub fn guid(&mut self) -> Guid {
        if self.hot && !self.seldom(20) {
            return guid_of(BODIES[self.below(BODIES.len())].as_bytes());
        }
        if self.seldom(2) {
            return Guid::NULL;
        }
        Guid::from_bytes(self.raw())
    }

    fn keyword(&mut self) -> Text {
        let text = self.word(&["$Junk", "$junk", "NIL", "Work", "a b"]);
        if text.is_empty() || text.starts_with(b"\\") {
            return Text::from_static(b"$Other");
        }
        text
    }

    fn flags(&mut self) -> Flags {
        let mut bits: u8 = self.raw();
        if self.hot && !self.seldom(4) {
            bits &= !SystemFlags::EXPUNGED.bits();
        }
        Flags {
            system: SystemFlags::from_bits(bits),
            keywords: self.many(2, Self::keyword),
        }
    }

    fn annotation(&mut self) -> Annotation {
        Annotation {
            entry: self.entry(),
            userid: if self.seldom(2) { self.user() } else { Text::EMPTY },
            modseq: self.small(),
            value: self.word(&["v", "", "w w", "00000000000000ab"]),
        }
    }

    /// A record; its UID is never 0.
    pub fn record(&mut self) -> Record {
        let guid = self.guid();
        let size = BODIES.iter().find(|body| guid_of(body.as_bytes()) == guid);
        Record {
            uid: self.small32().max(1),
            modseq: self.small(),
            last_updated: self.date(),
            flags: self.flags(),
            internaldate: self.date(),
            size: match size {
                Some(body) if self.hot && !self.seldom(20) => body.len() as u64,
                _ => self.small(),
            },
            guid,
            annotations: if self.seldom(3) {
                self.many(2, Self::annotation)
            } else {
                Vec::new()
            },
        }
    }

    /// The keys of a `MAILBOX` line.
    pub fn mailbox_line(&mut self) -> MailboxLine {
        let mut line = MailboxLine {
            uniqueid: self.some(Self::id),
            mboxname: self.some(Self::name),
            mboxtype: if self.seldom(6) {
                Some(self.word(&["", "e", "i", "d", "x", "n", "q"]))
            } else {
                None
            },
            last_uid: self.some(Self::small32),
            highestmodseq: self.some(Self::small),
            recentuid: self.some(Self::small32),
            recenttime: self.some(Self::date),
            last_appenddate: self.some(Self::date),
            pop3_last_login: self.some(Self::date),
            uidvalidity: self.some(Self::small32),
            partition: self.some(|m| m.some(Self::partition)),
            acl: self.some(|m| m.some(|m| m.word(&["anyone\tlrs\t", "", "jane\tlrswipkxtecda\t"]))),
            options: self.some(|m| MailboxOptions::from_bits(m.raw())),
            has_records: true,
            ..MailboxLine::default()
        };
        if !self.hot || self.seldom(3) {
            self.rare_keys(&mut line);
        }
        line
    }

    fn rare_keys(&mut self, line: &mut MailboxLine) {
        let rare = |m: &mut Self| !m.seldom(2);
        macro_rules! now_and_then {
            ($($key:ident: $make:expr),* $(,)?) => { $( if rare(self) { line.$key = Some($make(self)); } )* };
        }
        now_and_then! {
            jmapid: Self::any_text,
            sync_crc: Self::small32,
            sync_crc_annot: Self::small32,
            pop3_show_after: Self::date,
            xconvmodseq: Self::small,
            compact_emailids: Self::small32,
            raclmodseq: Self::small,
            usergroups: Self::any_text,
            version: Self::small32,
            quotaroot: Self::name,
            createdmodseq: Self::small,
            foldermodseq: Self::small,
            deletedmodseq: Self::small,
            annotations: |m: &mut Self| m.many(2, Self::annotation),
            userflags: |m: &mut Self| m.many(2, Self::keyword),
            since_modseq: Self::small,
            since_crc: Self::small32,
            since_crc_annot: Self::small32,
        }
    }

    fn unknown(&mut self) -> Text {
        Text::from(["X-NEW", "X-", "X-OTHER"][self.below(3)])
    }

    fn get(&mut self) -> Get {
        match self.below(10) {
            0 => Get::User(self.some(Self::user)),
            1 => Get::Meta(self.some(Self::user)),
            2 => Get::Mailboxes(self.some(|m| m.many(3, Self::name))),
            3 => Get::Uniqueids(self.some(|m| m.many(3, Self::id))),
            4 => Get::FullMailbox(self.some(Self::name)),
            5 => Get::Quota(self.some(Self::name)),
            6 => Get::Annotation(self.some(Self::name)),
            7 => Get::Fetch(Fetch {
                mboxname: self.some(Self::name),
                partition: self.some(Self::partition),
                uniqueid: self.some(Self::id),
                guid: self.some(Self::guid),
                uid: self.some(Self::small32),
            }),
            8 => Get::FetchSieve {
                userid: self.some(Self::user),
                filename: self.some(Self::script),
            },
            _ => Get::Unknown(self.unknown()),
        }
    }

    fn script(&mut self) -> Text {
        self.word(&[
            "one.script",
            "two.script",
            "one.bc",
            "two.bc",
            "one",
            ".script",
            "a/b.script",
        ])
    }

    fn seen(&mut self) -> Seen {
        Seen {
            userid: self.some(Self::user),
            uniqueid: self.some(Self::id),
            lastread: self.some(Self::date),
            lastuid: self.some(Self::small32),
            lastchange: self.some(Self::date),
            seenuids: self.some(|m| m.word(&["1:3", "", "1,3:5"])),
        }
    }

    fn quota(&mut self) -> Quota {
        Quota {
            root: self.some(Self::name),
            limit: self.some(Self::small32),
            storage: self.some(Self::small32),
            message: self.some(Self::small32),
            annotation_storage: self.some(Self::small32),
            num_folders: self.some(Self::small32),
            modseq: self.some(Self::small),
        }
    }

    /// A command of the kinds that change something and do not stream.
    pub fn apply(&mut self) -> Apply {
        let local = self.seldom(4);
        match self.below(17) {
            0 => Apply::Reserve(Reserve {
                partition: self.some(Self::partition),
                mboxnames: self.some(|m| m.many(3, Self::name)),
                guids: self.some(|m| m.many(4, Self::guid)),
            }),
            1 => Apply::Expunge {
                mboxname: self.some(Self::name),
                uniqueid: self.some(Self::id),
                uids: self.some(|m| m.many(4, Self::small32)),
            },
            2 => Apply::Rename {
                oldmboxname: self.some(Self::name),
                newmboxname: self.some(Self::name),
                partition: self.some(Self::partition),
                uidvalidity: self.some(Self::small32),
                local,
            },
            3 => Apply::Unmailbox {
                mboxname: self.some(Self::name),
                local,
            },
            4 => Apply::Unuser {
                userid: self.some(Self::user),
                local,
            },
            5 => Apply::Sub {
                mboxname: self.some(Self::name),
                userid: self.some(Self::user),
            },
            6 => Apply::Unsub {
                mboxname: self.some(Self::name),
                userid: self.some(Self::user),
            },
            7 => Apply::Seen(self.seen()),
            8 => Apply::Quota(self.quota()),
            9 => Apply::Unquota {
                root: self.some(Self::name),
            },
            10 => Apply::Sieve {
                userid: self.some(Self::user),
                filename: self.some(Self::script),
                last_update: self.some(Self::date),
                content: self.some(|m| m.word(&["keep;", "", "stop;\r\n"])),
            },
            11 => Apply::Unsieve {
                userid: self.some(Self::user),
                filename: self.some(Self::script),
            },
            12 => Apply::ActivateSieve {
                userid: self.some(Self::user),
                filename: self.some(Self::script),
            },
            13 => Apply::UnactivateSieve {
                userid: self.some(Self::user),
            },
            14 => Apply::Annotation {
                mboxname: self.some(Self::name),
                entry: self.some(Self::entry),
                userid: self.some(|m| if m.seldom(2) { m.user() } else { Text::EMPTY }),
                value: self.some(|m| m.word(&["v", "", "w"])),
            },
            15 => Apply::Unannotation {
                mboxname: self.some(Self::name),
                entry: self.some(Self::entry),
                userid: self.some(|m| if m.seldom(2) { m.user() } else { Text::EMPTY }),
            },
            _ => match self.below(3) {
                0 => Apply::Force,
                1 => Apply::Capabilities(self.some(|m| m.many(2, |m| m.word(&["SIEVE-MAILBOX", "X-Y"])))),
                _ => Apply::Unknown(self.unknown()),
            },
        }
    }

    /// A command that does not stream.
    pub fn command(&mut self) -> Command {
        match self.below(20) {
            0 => [Command::Noop, Command::Restart, Command::StartTls][self.below(3)].clone(),
            1 => {
                let mechanism = Text::from(["PLAIN", "SCRAM-SHA-256", "X-Y_1"][self.below(3)]);
                let initial = [None, Some("AGEAYg=="), Some("YWRtaW4="), Some("c3RyYW5nZXI=")][self.below(4)];
                Command::Authenticate {
                    mechanism,
                    initial: initial.map(Text::from),
                }
            }
            2 => match self.below(4) {
                0 => Command::Compress {
                    algorithm: Text::from("LZW"),
                },
                1 => Command::TaggedProbe {
                    tag: Text::from("C01"),
                },
                2 => Command::RestoreUnknown(self.unknown()),
                _ if self.hot => Command::Noop,
                _ => Command::Exit,
            },
            3..8 => Command::Get(self.get()),
            _ => Command::Apply(self.apply()),
        }
    }

    /// A data line that does not stream.
    pub fn data(&mut self) -> Data {
        match self.below(12) {
            0 => Data::Capability {
                name: Text::from(["SASL", "STARTTLS", "X-Z", "SIEVE-MAILBOX"][self.below(4)]),
                arguments: self.many(2, |m| Text::from(["PLAIN", "SCRAM-SHA-1", "X"][m.below(3)])),
            },
            1 => Data::Enabled(self.many(2, |m| m.word(&["SIEVE-MAILBOX", "X-Y"]))),
            2 | 3 => {
                let mut line = self.mailbox_line();
                line.has_records = false;
                Data::Mailbox(Box::new(line))
            }
            4 => Data::Quota(self.quota()),
            5 => Data::Seen(self.seen()),
            6 => Data::Lsub(self.many(3, Self::name)),
            7 => Data::Sieve(Sieve {
                userid: self.some(Self::user),
                filename: self.some(Self::script),
                last_update: self.some(Self::date),
                guid: self.some(Self::guid),
                isactive: self.raw(),
                content: self.some(|m| m.word(&["keep;", ""])),
            }),
            8 => Data::Annotation {
                mboxname: self.some(Self::name),
                entry: self.some(Self::entry),
                userid: self.some(Self::user),
                value: self.some(Self::any_text),
            },
            9 => Data::Missing(self.many(4, Self::guid)),
            10 => Data::MessageNil,
            _ => Data::Unknown(self.unknown()),
        }
    }

    /// The line that ends an answer.
    pub fn final_line(&mut self) -> Final {
        let text = Text::from(["success", "no", "x y z", "[TOOBIG]"][self.below(4)]);
        match self.below(8) {
            0..3 => Final::Ok(text),
            3 => Final::Bad(text),
            4 => Final::Bye(text),
            5 => Final::Continue(Text::from(["", "AGEAYg=="][self.below(2)])),
            _ => {
                let code = Code::WORDS[self.below(Code::WORDS.len())].0.clone();
                Final::No(code, text)
            }
        }
    }
}
