//! Mailboxes that have other names or partitions on the replica than here. [CS-MASTER-13] [CS-MASTER-14] [CS-MASTER-15]
//!
//! RENAME goes by name, and another connection may have renamed since the names were listed: it would be another mailbox
//! then. So what came of it is looked at, and put right. [CS-MASTER-69]

use std::collections::{BTreeMap, BTreeSet};

use protocol::command::{Apply, Command};
use protocol::{MailboxLine, Text};

use super::folders::{Batch, same_name};
use super::plan::PlannedWhat;
use super::run::{Run, Tried};

/// Times that renames are sent because the names there were others than those listed.
const ROUNDS_MAX: usize = 4;

#[derive(Clone, PartialEq, Eq, Debug)]
struct Rename {
    /// Our name of the mailbox, which failures are noted by.
    name: Text,
    uniqueid: Text,
    from: Text,
    /// Our name, or a temporary one.
    to: Text,
    partition: Text,
    uidvalidity: u32,
}

impl Run {
    /// Renames, and moves between partitions. Failures are noted in the batch.
    pub(super) async fn rename_remotes(&mut self, batch: &mut Batch) -> Tried<()> {
        let mut wanted = self.renames(batch);
        if self.config.dry_run {
            self.plan_renames(batch, wanted);
            return Ok(());
        }
        let mut round = 0;
        while !wanted.is_empty() {
            round += 1;
            let (names, mut refused) = self.send_renames(batch, &wanted).await?;
            self.look_at_renamed(batch, &wanted, names).await?;
            let left: Vec<Rename> = self
                .renames(batch)
                .into_iter()
                .filter(|rename| !same_name(&rename.from, &rename.to))
                .collect();
            // What was refused and is where it was is refused again.
            let is_stuck = |rename: &Rename| refused.contains_key(&rename.name) && wanted.contains(rename);
            if round == ROUNDS_MAX || left.iter().all(is_stuck) {
                for rename in left {
                    let reason = refused
                        .remove(&rename.name)
                        .unwrap_or_else(|| changed(&rename.name));
                    batch.fail(&rename.name, reason);
                }
                // Moves between partitions that were refused.
                for (name, reason) in refused {
                    let is_move = wanted.iter().any(|r| r.name == name && r.from == r.to);
                    if is_move {
                        batch.fail(&name, reason);
                    }
                }
                return Ok(());
            }
            wanted = left;
        }
        Ok(())
    }

    /// What has another name or partition on the replica.
    fn renames(&self, batch: &Batch) -> Vec<Rename> {
        let mut wanted = Vec::new();
        for mailbox in &batch.locals {
            let Some(line) = batch.remotes.get(&mailbox.uniqueid) else {
                continue;
            };
            let Some(from) = line.mboxname.clone() else {
                continue;
            };
            let partition = self.partition_of(mailbox);
            // A replica that names no partition has none that could differ.
            let there = line.partition.clone().flatten();
            let moves = !mailbox.is_placeholder() && there.is_some_and(|p| p != partition);
            if !same_name(&from, &mailbox.name) || moves {
                wanted.push(Rename {
                    name: mailbox.name.clone(),
                    uniqueid: mailbox.uniqueid.clone(),
                    from,
                    to: mailbox.name.clone(),
                    partition,
                    uidvalidity: mailbox.uidvalidity,
                });
            }
        }
        wanted
    }

    /// Sends renames in an order that works; answers all names that occurred, and by our names what was refused.
    async fn send_renames(
        &mut self,
        batch: &Batch,
        wanted: &[Rename],
    ) -> Tried<(BTreeSet<Text>, BTreeMap<Text, String>)> {
        let taken = batch
            .remotes
            .values()
            .filter_map(|line| line.mboxname.clone())
            .collect();
        let mut asked = Vec::new();
        for rename in order_renames(wanted.to_vec(), taken) {
            let command = Apply::Rename {
                oldmboxname: Some(rename.from.clone()),
                newmboxname: Some(rename.to.clone()),
                partition: Some(rename.partition.clone()),
                uidvalidity: Some(rename.uidvalidity),
                local: self.config.local_only,
            };
            let sent = self
                .wire
                .send("APPLY RENAME", &rename.from, &Command::Apply(command));
            asked.push((sent, rename));
            self.wire.room().await?;
        }
        let (mut names, mut refused) = (BTreeSet::new(), BTreeMap::new());
        for (sent, rename) in asked {
            match self.wire.answer(sent).await?.result {
                Ok(_) if rename.from == rename.to => {
                    self.notice(format!(
                        "moved {} to partition {} on the replica",
                        rename.to, rename.partition
                    ));
                }
                Ok(_) => self.notice(format!("renamed {} to {} on the replica", rename.from, rename.to)),
                Err(refusal) => {
                    refused.entry(rename.name).or_insert(refusal.text);
                }
            }
            names.extend([rename.from, rename.to]);
        }
        Ok((names, refused))
    }

    /// Learns what has these names now, and where the mailboxes are that were renamed: a rename may change more than the
    /// name, and another connection may have renamed as well.
    async fn look_at_renamed(
        &mut self,
        batch: &mut Batch,
        wanted: &[Rename],
        names: BTreeSet<Text>,
    ) -> Tried<()> {
        let is_asked = |line: &MailboxLine| line.mboxname.as_ref().is_some_and(|name| names.contains(name));
        let is_meant = |id: &Text| wanted.iter().any(|rename| rename.uniqueid == *id);
        batch.remotes.retain(|id, line| !is_asked(line) && !is_meant(id));
        let names: Vec<Text> = names.into_iter().collect();
        let lines = self.get_mailboxes(&names).await?;
        batch.learn(lines)?;
        self.find_elsewhere(batch).await?;
        for rename in wanted {
            if !batch.remotes.contains_key(&rename.uniqueid) {
                batch.fail(&rename.name, changed(&rename.name));
            }
        }
        Ok(())
    }

    /// Notes renames instead of doing them.
    fn plan_renames(&self, batch: &mut Batch, wanted: Vec<Rename>) {
        for rename in wanted {
            let what = if rename.from == rename.to {
                PlannedWhat::MoveMailbox {
                    partition: rename.partition,
                }
            } else {
                PlannedWhat::RenameMailbox { from: rename.from }
            };
            self.plan_item(&batch.scope, &rename.to, what);
        }
    }
}

fn changed(name: &Text) -> String {
    format!("{name} was renamed on the replica meanwhile, and not by this connection; the next run goes on")
}

/// Orders renames so that each target is free when its turn comes; a circle is opened through a temporary name.
fn order_renames(mut pending: Vec<Rename>, mut taken: BTreeSet<Text>) -> Vec<Rename> {
    let mut ordered = Vec::with_capacity(pending.len());
    let mut sources: BTreeSet<Text> = pending.iter().map(|rename| rename.from.clone()).collect();
    while !pending.is_empty() {
        let before = ordered.len();
        pending.retain(|rename| {
            let free = rename.from == rename.to || !sources.contains(&rename.to);
            if free {
                sources.remove(&rename.from);
                ordered.push(rename.clone());
            }
            !free
        });
        if ordered.len() == before
            && let Some(first) = pending.first_mut()
        {
            let temporary = temporary_name(&first.from, &taken);
            taken.insert(temporary.clone());
            sources.remove(&first.from);
            sources.insert(temporary.clone());
            ordered.push(Rename {
                to: temporary.clone(),
                ..first.clone()
            });
            first.from = temporary;
        }
    }
    ordered
}

fn temporary_name(name: &Text, taken: &BTreeSet<Text>) -> Text {
    let mut number = 0u32;
    loop {
        let mut bytes = name.as_bytes().to_vec();
        bytes.extend_from_slice(format!("-mailtwin-swap-{number}").as_bytes());
        let candidate = Text::from(bytes);
        if !taken.contains(&candidate) {
            return candidate;
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(renames: &[(&str, &str)], extra: &[&str]) -> BTreeMap<String, String> {
        let pending: Vec<Rename> = renames
            .iter()
            .map(|(from, to)| Rename {
                name: Text::from(*to),
                uniqueid: Text::from(*from),
                from: Text::from(*from),
                to: Text::from(*to),
                partition: Text::EMPTY,
                uidvalidity: 1,
            })
            .collect();
        let mut there: BTreeMap<String, String> = renames
            .iter()
            .map(|(from, _)| (*from).to_owned())
            .chain(extra.iter().map(|n| (*n).to_owned()))
            .map(|n| (n.clone(), n))
            .collect();
        let taken = there.keys().map(|n| Text::from(n.as_str())).collect();
        for rename in order_renames(pending, taken) {
            let (from, to) = (rename.from.to_string(), rename.to.to_string());
            let what = there.remove(&from).expect("the source exists");
            assert!(there.insert(to, what).is_none(), "the target is free");
        }
        there
    }

    #[test]
    fn chains_swaps_and_circles_end_where_they_should() {
        let circles: [&[(&str, &str)]; 4] = [
            &[("a", "b"), ("b", "c"), ("c", "d")],
            &[("a", "b"), ("b", "a")],
            &[("a", "b"), ("b", "c"), ("c", "a"), ("x", "y"), ("y", "x")],
            &[("a", "a"), ("c", "b")],
        ];
        for renames in circles {
            let there = run(renames, &["a-mailtwin-swap-0"]);
            for (from, to) in renames {
                assert_eq!(there.get(*to).map(String::as_str), Some(*from));
            }
        }
    }
}
