//! A run from the banner to the last answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use protocol::Text;
use protocol::command::Command;
use protocol::decode::ReplyDecoder;

use super::ahead::Ahead;
use super::blame::Blame;
use super::connect::{self, PeerProfile};
use super::crossing::Crossings;
use super::heavy::Heavy;
use super::mailboxes::ToldShared;
use super::settled::Settled;
use super::standoff::Standoffs;
use super::tasks::Board;
use super::turn::{Turn, Turns};
use super::upload::Uploads;
use super::user::Told;
use super::wire::{Refusal, Wire};
use super::{Ending, Failure, MasterConfig, Progress, SharedProgress, update_progress};
use crate::flow::Port;
use crate::name::Scope;
use crate::ticket::StoreError;

/// Items that read messages ahead at once, each up to twice two megabytes.
const UPLOADS_MAX: usize = 8;

/// Why something was not done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Trouble {
    /// Only the item in work fails; the text says why.
    Item(String),
    /// The run ends.
    Halt(Ending),
}

impl From<Ending> for Trouble {
    fn from(ending: Ending) -> Self {
        Trouble::Halt(ending)
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Misuse { .. } => Trouble::Halt(Ending::Storage(error.to_string())),
            _ => Trouble::Item(error.to_string()),
        }
    }
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Trouble::Item(refusal.text)
    }
}

/// What most steps answer.
pub(super) type Tried<T> = Result<T, Trouble>;

/// A run's state, as one item of it sees it: what belongs to the connection is shared.
pub(super) struct Run {
    pub(super) port: Port<ReplyDecoder>,
    pub(super) config: Arc<MasterConfig>,
    pub(super) wire: Wire,
    pub(super) peer: PeerProfile,
    pub(super) uploads: Uploads,
    pub(super) board: Board,
    /// Listings that were asked for ahead.
    pub(super) ahead: Ahead,
    /// One at a time sends small mailboxes one behind the other.
    pub(super) speakers: Turns,
    /// The item's turn to do so.
    pub(super) speaking: Option<Turn>,
    /// Turns of those that nothing else should wait behind.
    pub(super) heavy: Heavy,
    /// What the item met.
    pub(super) blame: Blame,
    /// Since when, in seconds, the peer may join its INBOX with ours, by unique ids of ours and theirs.
    pub(super) hesitations: Arc<Mutex<BTreeMap<(Text, Text), i64>>>,
    /// Names that were told lately.
    pub(super) crossings: Arc<Mutex<Crossings>>,
    /// What the replica did not take, though it had just been settled.
    pub(super) standoffs: Arc<Mutex<Standoffs>>,
    /// What was compared in full, until the replica has taken what came of it.
    pub(super) settled: Settled,
    /// What was told of the item's user beside mailboxes.
    pub(super) told: Option<Told>,
    /// Whether the item's user was made anew while what was left of the former one was looked at.
    pub(super) made_anew: bool,
    /// Names and partitions by which the item's mailboxes were gone by, by identity.
    pub(super) named: Option<BTreeMap<Text, Option<(Text, Text)>>>,
    /// What was told of nobody's and the server's beside mailboxes.
    pub(super) told_shared: Option<ToldShared>,
    /// Whether the item is a user who, as the log says, was deleted.
    pub(super) departs: bool,
    /// The scope whose state is held for the item.
    pub(super) held_read: Mutex<Option<Scope>>,
    /// The item's turn to change the store, while it has a transaction open.
    pub(super) transaction: Mutex<Option<Turn>>,
    /// One at a time changes the store.
    pub(super) transactions: Turns,
    /// One at a time has messages of the replica staged here.
    pub(super) merging: Turns,
    /// So many at a time read messages ahead.
    pub(super) uploading: Turns,
    progress: SharedProgress,
    items: u64,
}

impl Run {
    /// The same run for a further item, which may be worked on beside this one.
    pub(super) fn for_item(&mut self) -> Run {
        self.items += 1;
        let blame = Blame::default();
        let owner = if self.peer.is_mailtwin() { 0 } else { self.items };
        Run {
            port: self.port.clone(),
            config: Arc::clone(&self.config),
            wire: self.wire.for_item(blame.clone()),
            peer: self.peer.clone(),
            uploads: self.uploads.for_item(owner),
            board: self.board.clone(),
            ahead: self.ahead.clone(),
            speakers: self.speakers.clone(),
            speaking: None,
            heavy: self.heavy.clone(),
            blame,
            hesitations: Arc::clone(&self.hesitations),
            crossings: Arc::clone(&self.crossings),
            standoffs: Arc::clone(&self.standoffs),
            settled: self.settled.clone(),
            told: None,
            told_shared: None,
            made_anew: false,
            named: None,
            departs: false,
            held_read: Mutex::default(),
            transaction: Mutex::default(),
            transactions: self.transactions.clone(),
            merging: self.merging.clone(),
            uploading: self.uploading.clone(),
            progress: self.progress.clone(),
            items: 0,
        }
    }

    /// Changes the counters.
    pub(super) fn count(&self, work: impl FnOnce(&mut Progress)) {
        update_progress(&self.progress, work);
    }

    /// Tells people something.
    pub(super) fn notice(&self, text: String) {
        self.count(|progress| progress.notices.push(text));
    }

    /// Notes that an item failed.
    pub(super) fn fail(&self, item: String, reason: String) {
        self.count(|progress| progress.failures.push(Failure { item, reason }));
    }

    /// Ends the run between two commands when the operator wants it.
    pub(super) fn check_stop(&self) -> Result<(), Ending> {
        if self.port.is_shutdown() {
            Err(Ending::Stopped)
        } else {
            Ok(())
        }
    }

    /// EXIT and its answer; a peer that just closes is fine by now.
    async fn say_goodbye(&mut self) -> Result<(), Ending> {
        if self.wire.is_torn() {
            return Ok(());
        }
        self.wire.drain().await?;
        let sent = self.wire.send("EXIT", &Text::EMPTY, &Command::Exit);
        match self.wire.answer(sent).await {
            Ok(_) | Err(Ending::ConnectionLost(_)) => Ok(()),
            Err(ending) => Err(ending),
        }
    }
}

/// Runs to the end.
pub(super) async fn run(
    port: Port<ReplyDecoder>,
    config: MasterConfig,
    progress: SharedProgress,
    board: Board,
) {
    let ending = conduct(port, config, &progress, board).await;
    update_progress(&progress, |progress| {
        progress.current.clear();
        progress.ended = Some(match ending {
            Ok(()) if progress.failures.is_empty() => Ending::Done,
            Ok(()) => Ending::SomeFailed,
            Err(ending) => ending,
        });
    });
}

async fn conduct(
    port: Port<ReplyDecoder>,
    config: MasterConfig,
    progress: &SharedProgress,
    board: Board,
) -> Result<(), Ending> {
    update_progress(progress, |progress| {
        "connecting".clone_into(&mut progress.current)
    });
    port.limit_input(Some(connect::LOGIN_BYTES_MAX));
    let peer = connect::banner(&port).await?;
    let blame = Blame::default();
    let wire = Wire::new(port.clone(), progress.clone(), blame.clone());
    let mut run = Run {
        config: Arc::new(config),
        wire,
        peer,
        uploads: Uploads::new(port.clone()),
        board,
        ahead: Ahead::new(port.clone()),
        speakers: Turns::new(port.clone(), 1),
        speaking: None,
        heavy: Heavy::new(port.clone(), progress.clone()),
        blame,
        hesitations: Arc::default(),
        crossings: Arc::default(),
        standoffs: Arc::default(),
        settled: Settled::default(),
        told: None,
        told_shared: None,
        made_anew: false,
        named: None,
        departs: false,
        held_read: Mutex::default(),
        transaction: Mutex::default(),
        transactions: Turns::new(port.clone(), 1),
        merging: Turns::new(port.clone(), 1),
        uploading: Turns::new(port.clone(), UPLOADS_MAX),
        progress: progress.clone(),
        items: 0,
        port,
    };
    let ending = run.work().await;
    match ending {
        Ok(()) | Err(Ending::Stopped) => {
            run.say_goodbye().await?;
            ending
        }
        Err(
            Ending::AuthenticationFailed(_)
            | Ending::TlsFailed(_)
            | Ending::CompressionUnavailable(_)
            | Ending::Storage(_),
        ) => {
            // The first reason is the one to report, however the farewell goes.
            let _ = run.say_goodbye().await;
            ending
        }
        Err(Ending::ConnectionLost(_) | Ending::Done | Ending::SomeFailed) => ending,
    }
}

impl Run {
    async fn work(&mut self) -> Result<(), Ending> {
        connect::secure(&self.port, &mut self.peer, self.config.tls).await?;
        if self.config.authenticate {
            connect::authenticate(&self.port, &self.peer).await?;
        }
        connect::compress(&self.port, &self.peer, &self.config).await?;
        self.port.limit_input(None);
        self.negotiate().await?;
        self.count(|progress| progress.ready = true);
        self.do_job().await
    }
}
