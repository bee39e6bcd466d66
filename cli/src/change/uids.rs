//! Sets of UIDs as IMAP writes them.

use engine::model::Mailbox;
use protocol::Record;

use crate::access::Access;
use crate::failure::{Exit, Failure, Result};

/// Most parts of a set.
const PARTS_MAX: usize = 10_000;

/// `1:5,9,20:*`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UidSet(Vec<(u32, u32)>);

impl UidSet {
    /// Reads a set; `*` is the highest UID of the mailbox, and ranges may be written either way round.
    pub fn parse(text: &str, last_uid: u32) -> Result<UidSet> {
        let wrong = || {
            let what = format!("{text:?} is no set of UIDs; write for instance 1:5,9,20:*");
            Failure::new(Exit::Usage, what)
        };
        let number = |text: &str| match text {
            "*" => Some(last_uid.max(1)),
            _ if text.starts_with('+') => None,
            _ => text.parse().ok().filter(|&uid| uid > 0),
        };
        let mut ranges = Vec::new();
        for part in text.split(',') {
            let (from, to) = part.split_once(':').unwrap_or((part, part));
            let (from, to) = number(from).zip(number(to)).ok_or_else(wrong)?;
            ranges.push((from.min(to), from.max(to)));
            if ranges.len() > PARTS_MAX {
                return Err(wrong());
            }
        }
        Ok(UidSet(ranges))
    }

    /// Whether it holds the UID.
    pub fn contains(&self, uid: u32) -> bool {
        self.0.iter().any(|&(from, to)| (from..=to).contains(&uid))
    }
}

/// The live records of a mailbox that are wanted, by ascending UID.
pub fn live(access: &mut Access, mailbox: &Mailbox, wanted: impl Fn(&Record) -> bool) -> Result<Vec<Record>> {
    let mut found = Vec::new();
    access.for_each_record(&mailbox.key(), |_, record| {
        if !record.is_expunged() && wanted(&record) {
            found.push(record);
        }
        Ok(())
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets() {
        let set = UidSet::parse("3,9:7,20:*", 25).unwrap();
        let held: Vec<u32> = (1..40).filter(|&uid| set.contains(uid)).collect();
        assert_eq!(held, [3, 7, 8, 9, 20, 21, 22, 23, 24, 25]);
        assert!(UidSet::parse("*", 0).unwrap().contains(1));
        assert!(UidSet::parse("4294967295", 1).unwrap().contains(u32::MAX));
        for bad in ["", "0", "1,", "a", "1:2:3", "-1", "+1", "4294967296", "1 2", ":"] {
            assert!(UidSet::parse(bad, 5).is_err(), "{bad:?}");
        }
    }
}
