//! The `MAILBOX` line: a mailbox's own values, as GET answers and APPLY commands carry them.

use crate::{Annotation, Text};

/// The `OPTIONS` letters of a mailbox as a bit set.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct MailboxOptions(u8);

impl MailboxOptions {
    /// Every option letter with its bit, in the order Cyrus prints them.
    pub const ALL: [(MailboxOptions, u8); 4] = [
        (MailboxOptions::POP3_NEW_UIDL, b'P'),
        (MailboxOptions::SHARED_SEEN, b'S'),
        (MailboxOptions::DUPLICATE_DELIVER, b'D'),
        (MailboxOptions::HAS_ALARMS, b'A'),
    ];
    /// `P`: POP3 uses the new UIDL form.
    pub const POP3_NEW_UIDL: MailboxOptions = MailboxOptions(1);
    /// `S`: all readers share one seen state.
    pub const SHARED_SEEN: MailboxOptions = MailboxOptions(2);
    /// `D`: duplicate delivery allowed.
    pub const DUPLICATE_DELIVER: MailboxOptions = MailboxOptions(4);
    /// `A`: the mailbox has calendar alarms.
    pub const HAS_ALARMS: MailboxOptions = MailboxOptions(8);

    /// From letters; unknown ones are ignored, as Cyrus does.
    pub fn parse(letters: &[u8]) -> Self {
        let bits = Self::ALL
            .iter()
            .filter(|(_, letter)| letters.contains(letter))
            .fold(0, |b, (o, _)| b | o.0);
        MailboxOptions(bits)
    }

    /// The letters in print order.
    pub fn to_text(self) -> Text {
        let letters = Self::ALL
            .iter()
            .filter(|(o, _)| self.0 & o.0 != 0)
            .map(|(_, letter)| *letter);
        Text::from(letters.collect::<Vec<u8>>())
    }

    /// From the bits of [`MailboxOptions::bits`]; unknown bits are dropped.
    pub const fn from_bits(bits: u8) -> Self {
        MailboxOptions(bits & 15)
    }

    /// The bits, for storage.
    pub const fn bits(self) -> u8 {
        self.0
    }
}

/// Every key of a `MAILBOX` line, each optional because peers of different versions send different sets.
///
/// `None` means the key was absent or not of its type (which Cyrus treats alike). Which keys a command needs is the
/// receiver's rule, not the grammar's. `RECORD` is not here: it streams.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[allow(
    missing_docs,
    reason = "fields are named by the wire keys, which spec/ describes one by one"
)]
pub struct MailboxLine {
    pub jmapid: Option<Text>,
    pub uniqueid: Option<Text>,
    pub mboxname: Option<Text>,
    /// Type letters; absent for plain mail folders.
    pub mboxtype: Option<Text>,
    pub sync_crc: Option<u32>,
    pub sync_crc_annot: Option<u32>,
    pub last_uid: Option<u32>,
    pub highestmodseq: Option<u64>,
    pub recentuid: Option<u32>,
    pub recenttime: Option<i64>,
    pub last_appenddate: Option<i64>,
    pub pop3_last_login: Option<i64>,
    pub pop3_show_after: Option<i64>,
    pub xconvmodseq: Option<u64>,
    pub compact_emailids: Option<u32>,
    pub raclmodseq: Option<u64>,
    pub usergroups: Option<Text>,
    pub version: Option<u32>,
    pub uidvalidity: Option<u32>,
    /// `Some(None)` is an explicit NIL, as intermediates have it.
    pub partition: Option<Option<Text>>,
    /// `id TAB rights TAB ...`; `Some(None)` is an explicit NIL.
    pub acl: Option<Option<Text>>,
    pub options: Option<MailboxOptions>,
    pub quotaroot: Option<Text>,
    pub createdmodseq: Option<u64>,
    pub foldermodseq: Option<u64>,
    pub deletedmodseq: Option<u64>,
    /// Mailbox annotations; `None` when the key is absent.
    pub annotations: Option<Vec<Annotation>>,
    /// Keyword names of the mailbox in slot order (newer peers).
    pub userflags: Option<Vec<Text>>,
    pub since_modseq: Option<u64>,
    pub since_crc: Option<u32>,
    pub since_crc_annot: Option<u32>,
    /// Whether a `RECORD` list was present, even an empty one.
    pub has_records: bool,
}
