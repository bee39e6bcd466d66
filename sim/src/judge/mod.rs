//! The judge: what must hold, told by plain data and nothing of the engine.
//!
//! Each rule is a [`Checker`] in a file of its own. The world calls them after every commit, restart, finished task and
//! at the end.

mod bytes;
mod crc;
mod durable;
mod expunge;
mod later;
mod ledger;
mod loss;
mod modseq;
mod promise;
mod returned;
mod settled;
mod twice;
mod uid;
mod view;
mod visible;

pub use ledger::{Ledger, Mail, Note};
pub use view::{MailboxView, SEEN, ScopeView};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use protocol::{Guid, Text};

/// A scope by its user's id; empty is that of nobody.
pub type Owner = Text;
/// What all servers show, by server and scope.
pub type Views = BTreeMap<(usize, Owner), Arc<ScopeView>>;

/// A transaction that was just committed.
pub struct Commit<'a> {
    /// Where.
    pub host: usize,
    /// Whose mail.
    pub owner: &'a Owner,
    /// Before it.
    pub before: &'a ScopeView,
    /// After it.
    pub after: &'a ScopeView,
    /// What all servers show; this one, what it showed before.
    pub views: &'a Views,
    /// What clients did, this transaction included.
    pub ledger: &'a Ledger,
    /// What a client did in it; nothing when replication did it.
    pub client: Option<&'a Note>,
    /// Messages that were not live before it and are now.
    pub arrived: &'a [Arrived],
    /// Whether no master is at work: what a client does now, no run that has begun can have missed.
    pub is_quiet: bool,
}

/// A message that became visible.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrived {
    /// What it is called.
    pub guid: Guid,
    /// What its bytes hash to; `None` when there are none.
    pub actual: Option<Guid>,
}

/// A piece of replication that its master was told is done.
pub struct Kept<'a> {
    /// The replica.
    pub to: usize,
    /// Whose mail.
    pub owner: &'a Owner,
    /// Names of the mailboxes it was about; all when `None`.
    pub names: Option<&'a [Text]>,
    /// The master's mail when it began.
    pub began: &'a ScopeView,
    /// The master's mail now.
    pub master: &'a ScopeView,
    /// The replica's mail now.
    pub replica: &'a ScopeView,
    /// What clients did.
    pub ledger: &'a Ledger,
}

/// The end, when all is calm and nothing is left to do.
pub struct End<'a> {
    /// What all servers show.
    pub views: &'a Views,
    /// Pairs of servers that have to be equal; whether the second may have more mailboxes.
    pub equal: &'a [(usize, usize, bool)],
    /// How many servers there are.
    pub hosts: usize,
    /// Those whose store was replaced by an older one. What only a replica knows of such a master stays there alone.
    pub restored: &'a BTreeSet<usize>,
    /// What clients did.
    pub ledger: &'a Ledger,
}

/// A rule of safety. The answer is what broke it, for people.
pub trait Checker: Send {
    /// Its name in reports.
    fn name(&self) -> &'static str;
    /// After a commit.
    ///
    /// # Errors
    /// What broke the rule.
    fn committed(&mut self, _commit: &Commit<'_>) -> Result<(), String> {
        Ok(())
    }
    /// A reader looked at mail between commits.
    ///
    /// # Errors
    /// What broke the rule.
    fn read(&mut self, _committed: &ScopeView, _read: &ScopeView) -> Result<(), String> {
        Ok(())
    }
    /// A server came back after its process had died.
    ///
    /// # Errors
    /// What broke the rule.
    fn restarted(&mut self, _before: &ScopeView, _after: &ScopeView) -> Result<(), String> {
        Ok(())
    }
    /// A server's store was replaced by an older one: what is remembered of it holds no more.
    fn restored(&mut self, _host: usize) {}
    /// A master was told that something is done.
    ///
    /// # Errors
    /// What broke the rule.
    fn kept(&mut self, _kept: &Kept<'_>) -> Result<(), String> {
        Ok(())
    }
    /// The end.
    ///
    /// # Errors
    /// What broke the rule.
    fn settled(&mut self, _end: &End<'_>) -> Result<(), String> {
        Ok(())
    }
}

/// All checkers.
pub struct Judge {
    checkers: Vec<Box<dyn Checker>>,
}

/// A broken rule of safety.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broken {
    /// The checker's name.
    pub rule: &'static str,
    /// What was seen.
    pub text: String,
}

impl Default for Judge {
    fn default() -> Self {
        Judge {
            checkers: vec![
                Box::new(loss::Loss),
                Box::new(uid::OneMessageAUid::default()),
                Box::new(expunge::ExpungedStays::default()),
                Box::new(modseq::ModseqsRise),
                Box::new(crc::CrcRecomputed),
                Box::new(bytes::BytesHash),
                Box::new(returned::NeverReturns::default()),
                Box::new(later::LaterWins::default()),
                Box::new(durable::Durable),
                Box::new(visible::OnlyCommitted),
                Box::new(promise::OkIsThere),
                Box::new(settled::Settled),
                Box::new(twice::NotTwice),
            ],
        }
    }
}

impl Judge {
    /// Names of all rules.
    pub fn rules(&self) -> Vec<&'static str> {
        self.checkers.iter().map(|checker| checker.name()).collect()
    }

    /// Asks every checker.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn ask(
        &mut self,
        mut question: impl FnMut(&mut dyn Checker) -> Result<(), String>,
    ) -> Result<(), Broken> {
        for checker in &mut self.checkers {
            question(checker.as_mut()).map_err(|text| Broken {
                rule: checker.name(),
                text,
            })?;
        }
        Ok(())
    }
}
