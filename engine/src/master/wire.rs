//! Pipelined commands: many may be under way, and their answers come in order. [CS-CONN-9]

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use protocol::Text;
use protocol::command::{Command, Get, Streaming};
use protocol::decode::{ReplyDecoder, ReplyEvent};
use protocol::encode::{Encoder, LiteralStyle};
use protocol::response::{Code, Data, Final, StreamingData};

use super::blame::Blame;
use super::turn::{Turn, Turns};
use super::{Ending, SharedProgress, update_progress};
use crate::flow::{Ended, Port};

/// Commands under way at most; beyond it the oldest answer is awaited first.
const COMMANDS_MAX: usize = 1024;

/// Data lines taken in one answer; a replica that sends more is not believed.
const DATA_LINES_MAX: usize = 1 << 20;

/// Bytes of the data lines of one answer that is held as a whole; beyond it the replica is not believed. Room for a user
/// with some hundred thousand mailboxes. [CS-LIMIT-21]
const ANSWER_BYTES_MAX: u64 = 128 << 20;

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
    /// Its asker reads the answer piece by piece.
    streams: bool,
    what: &'static str,
    about: Text,
}

/// A line that streams, and what others said meanwhile, which goes behind it.
struct OpenLine {
    id: u64,
    behind: Encoder,
    _turn: Turn,
}

struct State {
    pending: VecDeque<Pending>,
    answers: BTreeMap<u64, Answer>,
    data: Vec<Data>,
    /// What had been heard when `data` was begun.
    data_from: u64,
    next: u64,
    unanswered_bytes: u64,
    sent_since_wait: bool,
    /// Whether several items work side by side, so that one that waits says nothing about the others.
    has_crew: bool,
    open: Option<OpenLine>,
}

/// The connection's conversation; clones are the same one. Many may ask at once: each gets its own answer.
#[derive(Clone)]
pub(super) struct Wire {
    port: Port<ReplyDecoder>,
    progress: SharedProgress,
    lines: Turns,
    state: Arc<Mutex<State>>,
    blame: Blame,
}

impl Wire {
    /// A conversation behind the banner.
    pub(super) fn new(port: Port<ReplyDecoder>, progress: SharedProgress, blame: Blame) -> Self {
        Wire {
            lines: Turns::new(port.clone(), 1),
            port,
            progress,
            state: Arc::new(Mutex::new(State {
                pending: VecDeque::new(),
                answers: BTreeMap::new(),
                data: Vec::new(),
                data_from: 0,
                next: 0,
                unanswered_bytes: 0,
                sent_since_wait: false,
                has_crew: false,
                open: None,
            })),
            blame,
        }
    }

    /// The same conversation for another item.
    pub(super) fn for_item(&self, blame: Blame) -> Self {
        Wire {
            blame,
            ..self.clone()
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a complete command; `about` names its object for messages. Behind a line that somebody has open it waits.
    pub(super) fn send(&mut self, what: &'static str, about: &Text, command: &Command) -> Sent {
        let mut state = self.lock();
        match &mut state.open {
            Some(line) => line.behind.command(command),
            None => self.port.encode(|encoder| encoder.command(command)),
        }
        let streams = matches!(command, Command::Get(Get::FullMailbox(_) | Get::Fetch(_)));
        state.expect(what, about, streams)
    }

    /// The turn to send a line that streams.
    pub(super) async fn line(&self) -> Turn {
        self.lines.take().await
    }

    /// Begins a streaming command; what streams is the caller's, and then [`Wire::end`].
    pub(super) fn begin(
        &mut self,
        turn: Turn,
        what: &'static str,
        about: &Text,
        streaming: &Streaming,
    ) -> Sent {
        let mut state = self.lock();
        self.port.encode(|encoder| encoder.begin(streaming));
        let sent = state.expect(what, about, false);
        state.open = Some(OpenLine {
            id: sent.0,
            behind: Encoder::new(LiteralStyle::Client),
            _turn: turn,
        });
        sent
    }

    /// Ends the open line.
    pub(super) fn end(&mut self) {
        let open = self.lock().open.take();
        if let Some(mut line) = open {
            self.port.encode(|encoder| encoder.end());
            if !line.behind.is_empty() {
                self.port.send_bytes(line.behind.take());
            }
        }
    }

    /// Whether a line was begun and not ended: nothing else can be said then.
    pub(super) fn is_torn(&self) -> bool {
        self.lock().open.is_some()
    }

    /// Counts message bytes towards the open line.
    pub(super) fn add_bytes(&mut self, bytes: u64) {
        let mut state = self.lock();
        let Some(id) = state.open.as_ref().map(|line| line.id) else {
            return;
        };
        if let Some(asked) = state.pending.iter_mut().rev().find(|asked| asked.id == id) {
            asked.bytes += bytes;
            state.unanswered_bytes += bytes;
        }
    }

    /// Waits for room in the output, taking answers meanwhile: a replica that cannot get rid of its answers would
    /// stop reading what is sent to it.
    pub(super) async fn room(&mut self) -> Result<(), Ending> {
        std::future::poll_fn(|_| {
            if self.port.poll_room().is_ready() {
                return Poll::Ready(Ok(()));
            }
            self.hear()
                .map_or_else(|ending| Poll::Ready(Err(ending)), |()| Poll::Pending)
        })
        .await
    }

    /// Waits until a further command may be sent: few enough are under way, and at most `bytes_max` bytes of
    /// messages are unanswered. Never while a line of one's own is open.
    pub(super) async fn bound(&mut self, bytes_max: u64) -> Result<(), Ending> {
        std::future::poll_fn(|_| {
            if let Err(ending) = self.hear() {
                return Poll::Ready(Err(ending));
            }
            let state = self.lock();
            let full = state.pending.len() >= COMMANDS_MAX
                || (state.unanswered_bytes > bytes_max && !state.pending.is_empty());
            if full { Poll::Pending } else { Poll::Ready(Ok(())) }
        })
        .await?;
        self.room().await
    }

    /// A command's answer; every command's answer can be taken once.
    pub(super) async fn answer(&mut self, sent: Sent) -> Result<Answer, Ending> {
        std::future::poll_fn(|_| {
            if let Some(answer) = self.taken(sent) {
                return Poll::Ready(Ok(answer));
            }
            if let Err(ending) = self.hear() {
                return Poll::Ready(Err(ending));
            }
            self.taken(sent)
                .map_or(Poll::Pending, |answer| Poll::Ready(Ok(answer)))
        })
        .await
    }

    /// A command's answer if it has come already.
    pub(super) fn answer_now(&mut self, sent: Sent) -> Result<Option<Answer>, Ending> {
        self.hear()?;
        Ok(self.taken(sent))
    }

    fn taken(&self, sent: Sent) -> Option<Answer> {
        let answer = self.lock().answers.remove(&sent.0)?;
        if let Err(refusal) = &answer.result {
            self.blame.note_refusal(&refusal.code);
        }
        Some(answer)
    }

    /// Drops a command's answer, now or when it comes.
    pub(super) fn forget(&mut self, sent: Sent) {
        let mut state = self.lock();
        state.answers.remove(&sent.0);
        for pending in state.pending.iter_mut().filter(|pending| pending.id == sent.0) {
            pending.keep = false;
            pending.streams = false;
        }
        drop(state);
        self.port.moved();
    }

    /// Waits for all answers and forgets them, those too whose askers are gone.
    pub(super) async fn drain(&mut self) -> Result<(), Ending> {
        self.lock().pending.iter_mut().for_each(|asked| {
            asked.streams = false;
            asked.keep = false;
        });
        std::future::poll_fn(|_| {
            if let Err(ending) = self.hear() {
                return Poll::Ready(Err(ending));
            }
            let mut state = self.lock();
            state.answers.clear();
            if state.pending.is_empty() {
                Poll::Ready(Ok(()))
            } else {
                Poll::Pending
            }
        })
        .await
    }

    /// Waits until this command's answer is the next to come, so that [`Wire::streamed`] reads it piece by piece. Only
    /// for commands whose answers stream.
    pub(super) async fn front(&mut self, sent: Sent) -> Result<(), Ending> {
        std::future::poll_fn(|_| {
            if let Err(ending) = self.hear() {
                return Poll::Ready(Err(ending));
            }
            let is_next = self.lock().pending.front().is_none_or(|asked| asked.id == sent.0);
            if is_next {
                Poll::Ready(Ok(()))
            } else {
                Poll::Pending
            }
        })
        .await
    }

    /// The next piece of the answer that [`Wire::front`] waited for; `Ok(Err(answer))` is its end.
    pub(super) async fn streamed(&mut self, sent: Sent) -> Result<Result<ReplyEvent, Answer>, Ending> {
        let event = std::future::poll_fn(|_| {
            let event = self.port.poll_event(false);
            if event.is_pending() {
                self.count_wait();
            }
            event
        })
        .await;
        match event {
            Ok(event @ (ReplyEvent::Final(_) | ReplyEvent::Fatal(_))) => self.take(Ok(event))?,
            Ok(event) => return Ok(Ok(event)),
            Err(ended) => self.take(Err(ended))?,
        }
        match self.taken(sent) {
            Some(answer) => Ok(Err(answer)),
            None => Err(Ending::ConnectionLost(
                "the replica's answers are out of order".to_owned(),
            )),
        }
    }

    /// Takes what has come, but for an answer that its asker reads piece by piece; a replica that has gone ends the run.
    pub(super) fn hear(&mut self) -> Result<(), Ending> {
        loop {
            if self.lock().pending.front().is_some_and(|asked| asked.streams) {
                return Ok(());
            }
            match self.port.poll_event(false) {
                Poll::Ready(event) => self.take(event)?,
                Poll::Pending => {
                    self.count_wait();
                    return Ok(());
                }
            }
        }
    }

    /// Counts a round trip when nothing else is left to do than to wait.
    fn count_wait(&self) {
        let mut state = self.lock();
        if !state.has_crew && !state.pending.is_empty() && std::mem::take(&mut state.sent_since_wait) {
            update_progress(&self.progress, |progress| progress.round_trips += 1);
        }
    }

    /// A crew works from here on, or has ended.
    pub(super) fn set_crew(&self, has_crew: bool) {
        self.lock().has_crew = has_crew;
    }

    /// None of the crew can go on.
    pub(super) fn crew_waits(&self) {
        let mut state = self.lock();
        let waits = self.port.open_tickets() == 0 && !state.pending.is_empty();
        if waits && std::mem::take(&mut state.sent_since_wait) {
            update_progress(&self.progress, |progress| progress.round_trips += 1);
        }
    }

    fn take(&self, event: Result<ReplyEvent, Ended>) -> Result<(), Ending> {
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

    fn keep(&self, data: Data) -> Result<(), Ending> {
        let heard = self.port.heard_bytes();
        let mut state = self.lock();
        if state.pending.front().is_none_or(|asked| !asked.keep) {
            // Nobody will look at it.
            return Ok(());
        }
        if state.data.is_empty() {
            state.data_from = heard;
        }
        let too_long = if state.data.len() >= DATA_LINES_MAX {
            format!("{DATA_LINES_MAX} lines")
        } else if heard - state.data_from > ANSWER_BYTES_MAX {
            format!("{ANSWER_BYTES_MAX} bytes")
        } else {
            state.data.push(data);
            return Ok(());
        };
        drop(state);
        Err(Ending::ConnectionLost(format!(
            "the replica's answer to {} has more than {too_long}",
            self.asked()
        )))
    }

    fn finish(&self, line: Final) -> Result<(), Ending> {
        if let Final::Bye(text) = &line {
            return Err(Ending::ConnectionLost(format!("the replica said BYE: {text}")));
        }
        let asked = self.asked();
        let mut state = self.lock();
        let data = std::mem::take(&mut state.data);
        let Some(pending) = state.pending.pop_front() else {
            return Err(Ending::ConnectionLost(
                "the replica sent an answer to nothing".to_owned(),
            ));
        };
        state.unanswered_bytes -= pending.bytes;
        drop(state);
        self.port.moved();
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
            self.lock().answers.insert(pending.id, Answer { data, result });
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
        match self.lock().pending.front() {
            None => "nothing".to_owned(),
            Some(pending) if pending.about.is_empty() => pending.what.to_owned(),
            Some(pending) => format!("{} {}", pending.what, pending.about.to_lossy()),
        }
    }
}

impl State {
    fn expect(&mut self, what: &'static str, about: &Text, streams: bool) -> Sent {
        let id = self.next;
        self.next += 1;
        self.sent_since_wait = true;
        self.pending.push_back(Pending {
            id,
            bytes: 0,
            keep: true,
            streams,
            what,
            about: about.clone(),
        });
        Sent(id)
    }
}
