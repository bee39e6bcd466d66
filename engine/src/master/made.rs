//! Mailboxes that the replica did not have when it was asked, and that may have come to be there before ours came.
//! [CS-MASTER-74]

use protocol::Text;

use super::folders::{Batch, is_placeholder};
use super::run::{Run, Tried};
use super::update::Todo;
use crate::model::Mailbox;

impl Run {
    /// Those to be sent that the replica does not have, and that had another name or partition before, or another ACL: what
    /// another connection told earlier may be on its way to the replica still.
    pub(super) fn makes(&self, batch: &Batch, todo: &Todo) -> Vec<Text> {
        let may_differ = |mailbox: &&Mailbox| {
            let there = batch.remotes.get(&mailbox.uniqueid);
            !mailbox.is_placeholder()
                && mailbox.foldermodseq != mailbox.createdmodseq
                && there.is_none_or(is_placeholder)
        };
        let sent = todo.send.iter().map(|index| &batch.locals[*index]);
        let made = sent.filter(may_differ);
        made.map(|mailbox| mailbox.uniqueid.clone()).collect()
    }

    /// Looks where these are on the replica now. An update makes a mailbox on the partition that it names, and moves none
    /// that is there already.
    pub(super) async fn look_at_made(&mut self, batch: &mut Batch, made: &[Text]) -> Tried<()> {
        let locals = batch.locals.iter();
        let locals = locals.filter(|m| made.contains(&m.uniqueid) && !batch.failed.contains_key(&m.name));
        let locals: Vec<Mailbox> = locals.cloned().collect();
        if locals.is_empty() {
            return Ok(());
        }
        let names: Vec<Text> = locals.iter().map(|mailbox| mailbox.name.clone()).collect();
        let lines = self.get_mailboxes(&names).await?;
        let mut few = Batch::new(batch.scope.clone(), locals, lines, Vec::new())?;
        self.keep_displaced(&mut few);
        if few.locals.is_empty() {
            return Ok(());
        }
        self.rename_remotes(&mut few).await?;
        // A replica may change more of a mailbox than its partition.
        let todo = self.compare(&few);
        self.update_all(&mut few, todo).await?;
        for (name, reason) in few.failed {
            batch.fail(&name, reason);
        }
        Ok(())
    }

    /// Keeps those that are on another partition.
    fn keep_displaced(&self, few: &mut Batch) {
        let remotes = &few.remotes;
        few.locals.retain(|mailbox| {
            let line = remotes.get(&mailbox.uniqueid);
            let there = line.and_then(|line| line.partition.clone().flatten());
            there.is_some_and(|there| there != self.partition_of(mailbox))
        });
    }
}
