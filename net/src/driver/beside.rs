//! What a connection does beside carrying bytes: it rests, it is counted, and it is logged.

use engine::flow::{SaslReply, Waiting};
use engine::replica::Refusal;
use engine::ticket::StoreError;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Connection, Drained, Drive};
use crate::meter;

impl<M: Drive, S: AsyncRead + AsyncWrite + Unpin, O: FnMut(&M)> Connection<M, S, O> {
    /// Whether nothing is under way, and there is something to give back.
    pub(super) fn may_rest(&self, drained: Drained) -> bool {
        let at_work = matches!(drained, Drained::Waits(waiting) if waiting.for_store || waiting.for_sasl);
        !at_work && (!self.resting || self.worker.may_rest())
    }

    /// Gives back what is not needed until something happens. What the machine and its session hold stays.
    pub(super) fn rest(&mut self) {
        self.resting = true;
        self.worker.rest();
        self.wire.rest();
    }

    /// Tells what was answered, and how long that took.
    pub(super) fn count(&mut self, waiting: Waiting) {
        let answers = self.machine.take_answers();
        for refusal in &answers.refusals {
            log_refusal(refusal);
        }
        let Some(meter) = self.options.meter.as_deref().filter(|_| !answers.is_empty()) else {
            return;
        };
        meter.note(meter::Event::Answered(&answers));
        let over = waiting.for_input && !waiting.for_store && !waiting.for_sasl;
        if let Some(began) = self.turn_began.take_if(|_| over) {
            let took = began.elapsed();
            meter.note(meter::Event::Turn { took });
        }
    }

    /// Tells how a login ended.
    pub(super) fn count_login(&mut self, reply: &SaslReply) {
        let accepted = matches!(reply, SaslReply::Success { .. });
        if !accepted && !matches!(reply, SaslReply::Failure { .. }) {
            return;
        }
        if let Some((meter, mechanism)) = self.options.meter.as_deref().zip(self.mechanism.take()) {
            meter.note(meter::Event::Login { mechanism, accepted });
        }
    }
}

/// What a peer is told in general words, the operator is told exactly. What concerns single mailboxes is for the peer.
pub(super) fn log_failure(error: &StoreError) {
    match error {
        StoreError::Locked { .. }
        | StoreError::NotFound { .. }
        | StoreError::NotStaged { .. }
        | StoreError::Conflict { .. }
        | StoreError::Misuse { .. } => {}
        _ => tracing::error!(%error, "the store failed"),
    }
}

/// A command that was refused.
fn log_refusal(refusal: &Refusal) {
    tracing::info!(
        command = refusal.kind.word(),
        code = refusal.code,
        about = refusal.about,
        reason = refusal.text,
        "refused"
    );
}
