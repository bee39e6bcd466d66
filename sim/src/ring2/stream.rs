//! A stream that is cut at any place, is not ready when it could be, and breaks as it was told to.
//!
//! The network below carries a write as one piece and never cuts one, so this does.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::court::Court;
use super::plan::{Chop, Place, Trouble};
use super::rules;
use super::sabotage::Sabotage;
use crate::seeded::Seeded;

/// Bytes of one read at most, whatever is asked for.
const READ_BYTES: usize = 16 * 1024;

/// A stream of one of our programs.
#[derive(Debug)]
pub struct Chopper<S> {
    inner: S,
    watch: Watch,
    chop: Chop,
    chance: Seeded,
    trouble: Option<(Trouble, u64)>,
    flushing: Option<Pin<Box<Sleep>>>,
    /// How fast it takes bytes, and how long it takes none because it took some.
    bytes_per_ms: u64,
    busy: Option<Pin<Box<Sleep>>>,
    /// Never ready, and always about to be.
    spins: bool,
    /// How often it was asked since anything moved, and when that began.
    polls: u32,
    polls_at: Instant,
}

/// Says that a connection is open for as long as it exists.
struct Watch {
    court: Court,
    id: u64,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.court.closed(self.id);
    }
}

impl<S> Chopper<S> {
    /// The stream of a program that has just got it.
    pub fn new(inner: S, court: &Court, place: Place, stranger: bool) -> Self {
        let (id, trouble) = court.opened(place, stranger);
        Chopper {
            inner,
            chop: court.tuning().chop,
            chance: court.chance(),
            trouble,
            watch: Watch {
                court: court.clone(),
                id,
            },
            flushing: None,
            bytes_per_ms: court.tuning().bytes_per_ms,
            busy: None,
            spins: court.is_sabotaged(Sabotage::Spin),
            polls: 0,
            polls_at: Instant::now(),
        }
    }

    /// Whether the trouble that is in for it has come, and which.
    fn troubled(&self) -> Option<Trouble> {
        self.trouble
            .filter(|(_, left)| *left == 0)
            .map(|(trouble, _)| trouble)
    }

    /// At most so many bytes of so many may move now.
    fn allowed(&mut self, bytes: usize, bytes_max: usize) -> usize {
        let cut = match bytes_max {
            0 => bytes,
            most => bytes.min(1 + self.chance.below(most)),
        };
        let until = self
            .trouble
            .map_or(u64::MAX, |(_, left)| if left == 0 { u64::MAX } else { left });
        cut.min(usize::try_from(until).unwrap_or(usize::MAX))
    }

    fn moved(&mut self, sent: bool, bytes: &[u8]) {
        if let Some((_, left)) = &mut self.trouble {
            *left = left.saturating_sub(bytes.len() as u64);
        }
        self.polls = 0;
        self.watch.court.moved(self.watch.id, sent, bytes);
    }

    /// Counts how often it is asked; whoever asks for ever is stopped.
    fn asked(&mut self) {
        let now = Instant::now();
        if self.polls_at != now {
            (self.polls, self.polls_at) = (0, now);
        }
        self.polls += 1;
        if let Err(broken) = rules::spins(self.polls) {
            self.watch.court.judged(Err(broken.clone()));
            // Nothing else gets a turn before the one who asks is gone.
            panic!("{}", broken.text);
        }
    }

    /// Whether it says that it is not ready although it could be.
    fn dallies(&mut self, cx: &Context<'_>) -> bool {
        let one_in = self.chop.pending_one_in;
        let dallies = self.spins || (one_in > 0 && self.chance.one_in(one_in));
        if dallies {
            cx.waker().wake_by_ref();
        }
        dallies
    }
}

fn reset<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
}

impl<S: AsyncRead + Unpin> AsyncRead for Chopper<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.asked();
        match this.troubled() {
            Some(Trouble::Reset) => return reset(),
            Some(Trouble::Deaf) => return Poll::Pending,
            _ => {}
        }
        if this.dallies(cx) {
            return Poll::Pending;
        }
        let count = this.allowed(buf.remaining().min(READ_BYTES), this.chop.read_bytes_max);
        let mut bytes = vec![0; count.max(1)];
        let mut part = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut this.inner).poll_read(cx, &mut part))?;
        let read = part.filled();
        buf.put_slice(read);
        let read = read.to_vec();
        this.moved(false, &read);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Chopper<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.asked();
        match this.troubled() {
            Some(Trouble::Reset) => return reset(),
            Some(Trouble::Stuck) => return Poll::Pending,
            Some(Trouble::Hole) => {
                this.moved(true, buf);
                return Poll::Ready(Ok(buf.len()));
            }
            _ => {}
        }
        if this.dallies(cx) {
            return Poll::Pending;
        }
        if let Some(busy) = &mut this.busy {
            ready!(busy.as_mut().poll(cx));
            this.busy = None;
        }
        let count = this.allowed(buf.len(), this.chop.write_bytes_max).max(1);
        let count = count.min(buf.len());
        let written = ready!(Pin::new(&mut this.inner).poll_write(cx, &buf[..count]))?;
        let takes_ms = (written as u64).checked_div(this.bytes_per_ms);
        if let Some(takes_ms) = takes_ms.filter(|ms| *ms > 0) {
            this.busy = Some(Box::pin(tokio::time::sleep(Duration::from_millis(takes_ms))));
        }
        this.moved(true, &buf[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let one_in = this.chop.slow_flush_one_in;
        if this.flushing.is_none() && one_in > 0 && this.chance.one_in(one_in) {
            let takes = Duration::from_millis(1 + this.chance.below(20) as u64);
            this.flushing = Some(Box::pin(tokio::time::sleep(takes)));
        }
        if let Some(flushing) = &mut this.flushing {
            ready!(flushing.as_mut().poll(cx));
            this.flushing = None;
        }
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.asked();
        match this.troubled() {
            Some(Trouble::Reset) => reset(),
            Some(Trouble::Stuck) => Poll::Pending,
            Some(Trouble::Hole) => Poll::Ready(Ok(())),
            _ => Pin::new(&mut this.inner).poll_shutdown(cx),
        }
    }
}
