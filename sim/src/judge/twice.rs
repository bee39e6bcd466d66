//! No message is there more often than clients put it there.

use std::collections::BTreeMap;

use super::{Checker, End, Mail};
use crate::plan::HOST_NAMES;

/// In the end no server shows a user more copies of a message than clients ever added. Retries and merges copy messages to
/// new UIDs; each time the old copy has to go. Where a store was replaced by an older one, what came back may meet what was
/// moved since, and both stay. Where two servers are masters of each other, each may settle the same conflict while the other
/// does; what both move is then there twice, and nothing is deleted on doubt.
pub struct NotTwice;

impl Checker for NotTwice {
    fn name(&self) -> &'static str {
        "no message is there twice"
    }

    fn settled(&mut self, end: &End<'_>) -> Result<(), String> {
        let is_mutual = |(from, to, _): &(usize, usize, bool)| {
            let mut others = end.equal.iter();
            others.any(|other| (other.0, other.1) == (*to, *from))
        };
        if !end.restored.is_empty() || end.equal.iter().any(is_mutual) {
            return Ok(());
        }
        for ((host, owner), view) in end.views {
            let mut copies: BTreeMap<Mail, u32> = BTreeMap::new();
            for (_, record) in view.live() {
                *copies.entry((owner.clone(), record.guid)).or_default() += 1;
            }
            for (mail, count) in copies {
                let added = end.ledger.copies.get(&mail).copied().unwrap_or(0);
                if count > added {
                    return Err(format!(
                        "message {} of {owner} is on {} {count} times; clients added it {added} times",
                        mail.1, HOST_NAMES[*host]
                    ));
                }
            }
        }
        Ok(())
    }
}
