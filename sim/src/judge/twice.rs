//! No message is there more often than clients put it there.

use std::collections::BTreeMap;

use super::{Checker, End, Mail};
use crate::plan::HOST_NAMES;

/// In the end no server shows a user more copies of a message than clients ever added, also where two servers are masters of
/// each other. Retries and merges copy messages to new UIDs; each time the old copy has to go, and a copy that the other
/// side made meanwhile has to be known again. [CS-SPLIT-31] Where a store was replaced by an older one, what came back may
/// meet what was moved since, and both stay.
pub struct NotTwice;

impl Checker for NotTwice {
    fn name(&self) -> &'static str {
        "no message is there twice"
    }

    fn settled(&mut self, end: &End<'_>) -> Result<(), String> {
        if !end.restored.is_empty() {
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
