//! The sample mail: part of the program, so that the demonstration works anywhere.

use engine::local::canonical_keyword;
use protocol::{Flags, SystemFlags, Text};

/// One message of the sample mail.
pub struct Sample {
    /// Whose.
    pub user: &'static str,
    /// As people write it: `INBOX`, `Projects/Lighthouse`.
    pub mailbox: &'static str,
    /// System flags.
    pub system: SystemFlags,
    /// Keywords, separated by blanks.
    pub keywords: &'static str,
    /// The message, lines ended with LF.
    pub text: &'static [u8],
}

impl Sample {
    /// All flags.
    pub fn flags(&self) -> Flags {
        let words = self
            .keywords
            .split(' ')
            .filter_map(|word| canonical_keyword(word.as_bytes()));
        Flags {
            system: self.system,
            keywords: words.collect::<Vec<Text>>(),
        }
    }
}

const NONE: SystemFlags = SystemFlags::NONE;
const SEEN: SystemFlags = SystemFlags::SEEN;
const READ_AND_ANSWERED: SystemFlags = SEEN.with(SystemFlags::ANSWERED);

macro_rules! sample {
    ($user:literal, $mailbox:literal, $system:expr, $keywords:literal, $file:literal) => {
        Sample {
            user: $user,
            mailbox: $mailbox,
            system: $system,
            keywords: $keywords,
            text: include_bytes!(concat!("../../samples/", $file)),
        }
    };
}

/// All of it, in the order of arrival.
pub const SAMPLES: [Sample; 20] = [
    sample!("jane", "INBOX", SEEN, "", "welcome.eml"),
    sample!("jane", "INBOX", READ_AND_ANSWERED, "$Label2", "lunch.eml"),
    sample!("jane", "INBOX", SEEN, "Boatyard", "latin1.eml"),
    sample!("jane", "INBOX", NONE, "NonJunk $Phishing", "newsletter.eml"),
    sample!("jane", "INBOX", NONE, "", "photo.eml"),
    sample!("jane", "INBOX", NONE, "$HasAttachment", "forwarded.eml"),
    sample!("jane", "Archive/2024", SEEN, "", "minutes-2024.eml"),
    sample!("jane", "Archive/2025", SEEN, "", "minutes-2025.eml"),
    sample!("jane", "Archive/2025", SEEN, "", "tide-log.eml"),
    sample!("jane", "Entwürfe", SystemFlags::DRAFT, "", "draft.eml"),
    sample!("jane", "Projects/Lighthouse", READ_AND_ANSWERED, "", "lens-1.eml"),
    sample!("jane", "Projects/Lighthouse", SEEN, "", "lens-2.eml"),
    sample!(
        "jane",
        "Projects/Lighthouse",
        SystemFlags::FLAGGED,
        "Urgent",
        "lens-3.eml"
    ),
    sample!("jane", "Projects/Lighthouse", NONE, "", "lens-4.eml"),
    sample!("jane", "Sent", SEEN, "", "sent-offer.eml"),
    sample!("omar", "INBOX", SEEN, "", "tide-log.eml"),
    sample!("omar", "INBOX", NONE, "", "long-line.eml"),
    sample!("omar", "INBOX", NONE, "", "empty.eml"),
    sample!("omar", "INBOX", SEEN, "", "lens-2.eml"),
    sample!("omar", "R&D/Cooking v1.2", SEEN, "Yum", "recipe.eml"),
];

/// What arrives between the two runs.
pub const LATE: &[u8] = include_bytes!("../../samples/late.eml");
