//! Pipelined commands: many may be under way, and their answers come in order. [CS-CONN-9]

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use protocol::Text;
use protocol::command::{Command, Streaming};
use protocol::decode::{ReplyDecoder, ReplyEvent};
use protocol::response::{Code, Data, Final, StreamingData};

use super::{Ending, SharedProgress, update_progress};
use crate::flow::{Ended, Port};

/// Commands under way at most; beyond it the oldest answer is awaited first.
const COMMANDS_MAX: usize = 1024;

/// Data lines taken in one answer; a replica that sends more is not believed.
const DATA_LINES_MAX: usize = 1 << 20;

/// Names a command that was sent, until its answer is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sent(u64);

/// A refusal, as far as it matters what to do next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Refusal {
    /// The code of a NO; [`Code::Other`] for BAD.
    pub(super) code: Code,
    /// What was refused and how, for people.
    pub(super) text: String,
}

/// A complete answer.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Answer {
    /// Data lines in order; lines that stream come without what streamed.
    pub(super) data: Vec<Data>,
    /// How it ended.
    pub(super) result: Result<Text, Refusal>,
}

struct Pending {
    id: u64,
    bytes: u64,
    keep: bool,
    what: &'static str,
    about: Text,
}

/// The connection's conversation.
pub(super) struct Wire {
    port: Port<ReplyDecoder>,
    progress: SharedProgress,
    pending: VecDeque<Pending>,
    answers: BTreeMap<u64, Answer>,
    data: Vec<Data>,
    next: u64,
    unanswered_bytes: u64,
    sent_since_wait: bool,
}

impl Wire {
    /// A conversation behind the banner.
    pub(super) fn new(port: Port<ReplyDecoder>, progress: SharedProgress) -> Self {
        Wire {
            port,
            progress,
            pending: VecDeque::new(),
            answers: BTreeMap::new(),
            data: Vec::new(),
            next: 0,
            unanswered_bytes: 0,
            sent_since_wait: false,
        }
    }

    /// Sends a complete command; `about` names its object for messages.
    pub(super) fn send(&mut self, what: &'static str, about: &Text, command: &Command) -> Sent {
        self.port.encode(|encoder| encoder.command(command));
        self.expect(what, about)
    }

    /// Begins a streaming command; what streams and its end are the caller's.
    pub(super) fn begin(&mut self, what: &'static str, about: &Text, streaming: &Streaming) -> Sent {
        self.port.encode(|encoder| encoder.begin(streaming));
        self.expect(what, about)
    }

    /// Counts message bytes towards the command sent last.
    pub(super) fn add_bytes(&mut self, bytes: u64) {
        if let Some(last) = self.pending.back_mut() {
            last.bytes += bytes;
            self.unanswered_bytes += bytes;
        }
    }

    fn expect(&mut self, what: &'static str, about: &Text) -> Sent {
        let id = self.next;
        self.next += 1;
        self.sent_since_wait = true;
        self.pending.push_back(Pending {
            id,
            bytes: 0,
            keep: true,
            what,
            about: about.clone(),
        });
        Sent(id)
    }

    /// Waits for room in the output, taking answers meanwhile: a replica that cannot get rid of its answers would
    /// stop reading what is sent to it.
    pub(super) async fn room(&mut self) -> Result<(), Ending> {
        loop {
            let event = {
                let mut room = pin!(self.port.room());
                let mut event = pin!(self.port.event(false));
                std::future::poll_fn(|context| {
                    if room.as_mut().poll(context).is_ready() {
                        return Poll::Ready(None);
                    }
                    event.as_mut().poll(context).map(Some)
                })
                .await
            };
            match event {
                None => return Ok(()),
                Some(event) => self.take(event)?,
            }
        }
    }

    /// Waits until a further command may be sent: few enough are under way, and at most `bytes_max` bytes of
    /// messages are unanswered. Never while a line is open.
    pub(super) async fn bound(&mut self, bytes_max: u64) -> Result<(), Ending> {
        while self.pending.len() >= COMMANDS_MAX
            || (self.unanswered_bytes > bytes_max && !self.pending.is_empty())
        {
            self.step().await?;
        }
        self.room().await
    }

    /// A command's answer; every command's answer can be taken once.
    pub(super) async fn answer(&mut self, sent: Sent) -> Result<Answer, Ending> {
        loop {
            if let Some(answer) = self.answers.remove(&sent.0) {
                return Ok(answer);
            }
            self.step().await?;
        }
    }

    /// A command's answer if it has come already.
    pub(super) fn answer_now(&mut self, sent: Sent) -> Result<Option<Answer>, Ending> {
        while let Some(event) = self.port.event_now() {
            self.take(Ok(event))?;
        }
        Ok(self.answers.remove(&sent.0))
    }

    /// Takes what has come; a replica that has gone ends the run.
    pub(super) fn hear(&mut self) -> Result<(), Ending> {
        while let Some(event) = self.port.event_now() {
            self.take(Ok(event))?;
        }
        if self.port.is_at_end() {
            return self.take(Err(Ended::Eof));
        }
        Ok(())
    }

    /// Drops a command's answer, now or when it comes.
    pub(super) fn forget(&mut self, sent: Sent) {
        self.answers.remove(&sent.0);
        for pending in self.pending.iter_mut().filter(|pending| pending.id == sent.0) {
            pending.keep = false;
        }
    }

    /// Waits for all answers and forgets them.
    pub(super) async fn drain(&mut self) -> Result<(), Ending> {
        while !self.pending.is_empty() {
            self.step().await?;
        }
        self.answers.clear();
        Ok(())
    }

    /// Waits until this command's answer is the next to come, so that [`Wire::streamed`] reads it piece by piece.
    pub(super) async fn front(&mut self, sent: Sent) -> Result<(), Ending> {
        while self.pending.front().is_some_and(|pending| pending.id != sent.0) {
            self.step().await?;
        }
        Ok(())
    }

    /// The next piece of the answer that [`Wire::front`] waited for; `Ok(Err(answer))` is its end.
    pub(super) async fn streamed(&mut self, sent: Sent) -> Result<Result<ReplyEvent, Answer>, Ending> {
        match self.event().await {
            Ok(event @ (ReplyEvent::Final(_) | ReplyEvent::Fatal(_))) => self.take(Ok(event))?,
            Ok(event) => return Ok(Ok(event)),
            Err(ended) => self.take(Err(ended))?,
        }
        match self.answers.remove(&sent.0) {
            Some(answer) => Ok(Err(answer)),
            None => Err(Ending::ConnectionLost(
                "the replica's answers are out of order".to_owned(),
            )),
        }
    }

    async fn step(&mut self) -> Result<(), Ending> {
        let event = self.event().await;
        self.take(event)
    }

    async fn event(&mut self) -> Result<ReplyEvent, Ended> {
        if let Some(event) = self.port.event_now() {
            return Ok(event);
        }
        if std::mem::take(&mut self.sent_since_wait) {
            update_progress(&self.progress, |progress| progress.round_trips += 1);
        }
        self.port.event(false).await
    }

    fn take(&mut self, event: Result<ReplyEvent, Ended>) -> Result<(), Ending> {
        match event {
            Ok(ReplyEvent::Data(data)) => self.keep(data),
            Ok(ReplyEvent::Begin(StreamingData::Mailbox(line))) => self.keep(Data::Mailbox(line)),
            Ok(ReplyEvent::Final(line)) => self.finish(line),
            Ok(ReplyEvent::Fatal(fault)) => Err(Ending::ConnectionLost(format!(
                "the replica's answer to {}: {fault}",
                self.asked()
            ))),
            Ok(_) => Ok(()),
            Err(_) => Err(Ending::ConnectionLost(format!(
                "the replica closed the connection before it answered {}",
                self.asked()
            ))),
        }
    }

    fn keep(&mut self, data: Data) -> Result<(), Ending> {
        if self.data.len() >= DATA_LINES_MAX {
            return Err(Ending::ConnectionLost(format!(
                "the replica's answer to {} has more than {DATA_LINES_MAX} lines",
                self.asked()
            )));
        }
        self.data.push(data);
        Ok(())
    }

    fn finish(&mut self, line: Final) -> Result<(), Ending> {
        if let Final::Bye(text) = &line {
            return Err(Ending::ConnectionLost(format!("the replica said BYE: {text}")));
        }
        let asked = self.asked();
        let data = std::mem::take(&mut self.data);
        let Some(pending) = self.pending.pop_front() else {
            return Err(Ending::ConnectionLost(
                "the replica sent an answer to nothing".to_owned(),
            ));
        };
        self.unanswered_bytes -= pending.bytes;
        self.count_refusal(&line);
        let result = match line {
            Final::Ok(text) => Ok(text),
            Final::No(code, text) => {
                let word = Code::WORDS
                    .iter()
                    .find(|(c, ..)| *c == code)
                    .map_or("", |(_, word, _)| word);
                let said = format!("NO {word} {}", text.to_lossy());
                Err(Refusal {
                    code,
                    text: format!("the replica refused {asked}: {}", said.trim().replace("  ", " ")),
                })
            }
            Final::Bad(text) => Err(Refusal {
                code: Code::Other,
                text: format!("the replica did not understand {asked}: BAD {}", text.to_lossy()),
            }),
            Final::Bye(_) | Final::Continue(_) => {
                return Err(Ending::ConnectionLost(format!(
                    "the replica asked back at {asked}"
                )));
            }
        };
        if pending.keep {
            self.answers.insert(pending.id, Answer { data, result });
        }
        Ok(())
    }

    fn count_refusal(&self, line: &Final) {
        let word = match line {
            Final::No(code, _) => Code::WORDS
                .iter()
                .find(|(known, ..)| known == code)
                .map_or("NO", |(_, word, _)| word),
            Final::Bad(_) => "BAD",
            Final::Ok(_) | Final::Bye(_) | Final::Continue(_) => return,
        };
        update_progress(&self.progress, |progress| {
            *progress.refusals.entry(word).or_default() += 1
        });
    }

    fn asked(&self) -> String {
        match self.pending.front() {
            None => "nothing".to_owned(),
            Some(pending) if pending.about.is_empty() => pending.what.to_owned(),
            Some(pending) => format!("{} {}", pending.what, pending.about.to_lossy()),
        }
    }
}
