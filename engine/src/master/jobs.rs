//! The kinds of runs: users, mailboxes, everything. [CS-MASTER-53]

use std::collections::VecDeque;

use protocol::Text;
use protocol::command::{Command, Get};

use super::mailboxes::by_scope;
use super::run::{Run, Tried, Trouble};
use super::wire::Sent;
use super::{Ending, Job};

/// Users whose `GET USER` is under way while another is worked on.
const USERS_AHEAD: usize = 4;

impl Run {
    /// Does all of the job; failures of items are counted, not answered.
    pub(super) async fn do_job(&mut self) -> Result<(), Ending> {
        match self.config.job.clone() {
            Job::Users(users) => {
                self.count(|progress| progress.items_total = users.len() as u64);
                self.do_users(users).await
            }
            Job::Mailboxes(names) => {
                let groups = by_scope(names);
                self.count(|progress| progress.items_total = groups.len() as u64);
                for (scope, names) in groups {
                    let label = names.first().map(Text::to_string).unwrap_or_default();
                    self.check_stop()?;
                    self.start(label.clone());
                    let result = self.do_group(scope, names).await;
                    self.finish(label, result)?;
                }
                Ok(())
            }
            Job::Meta(users) => {
                self.count(|progress| progress.items_total = users.len() as u64);
                for user in users {
                    self.check_stop()?;
                    self.start(user.to_string());
                    let result = self.do_meta(&user).await;
                    self.finish(user.to_string(), result)?;
                }
                Ok(())
            }
            Job::Compare(users) => self.compare_users(users).await,
            Job::Tasks => self.do_tasks().await,
            Job::AllUsers { prefix } => {
                let with_shared = prefix.is_empty();
                let users = self
                    .local_users(prefix)
                    .await
                    .map_err(|error| Ending::Storage(error.to_string()))?;
                let total = users.len() as u64 + u64::from(with_shared);
                self.count(|progress| progress.items_total = total);
                self.do_users(users).await?;
                if with_shared {
                    self.check_stop()?;
                    let label = "shared mailboxes".to_owned();
                    self.start(label.clone());
                    let result = self.do_shared().await;
                    self.finish(label, result)?;
                }
                Ok(())
            }
        }
    }

    async fn do_users(&mut self, users: Vec<Text>) -> Result<(), Ending> {
        let mut users = users.into_iter();
        let mut ahead: VecDeque<(Text, Sent)> = VecDeque::new();
        loop {
            while ahead.len() <= USERS_AHEAD {
                let Some(user) = users.next() else { break };
                let sent = self
                    .wire
                    .send("GET USER", &user, &Command::Get(Get::User(Some(user.clone()))));
                ahead.push_back((user, sent));
            }
            self.wire.room().await?;
            let Some((user, sent)) = ahead.pop_front() else {
                return Ok(());
            };
            self.check_stop()?;
            self.start(user.to_string());
            let result = self.do_user(&user, sent).await;
            self.finish(user.to_string(), result)?;
        }
    }

    pub(super) fn start(&self, label: String) {
        self.count(|progress| progress.current = label);
    }

    pub(super) fn finish(&self, label: String, result: Tried<()>) -> Result<(), Ending> {
        match result {
            Ok(()) => {}
            Err(Trouble::Item(reason)) => self.fail(label, reason),
            Err(Trouble::Halt(ending)) => return Err(ending),
        }
        self.count(|progress| progress.items_done += 1);
        Ok(())
    }
}
