//! What stands between the machine's bytes and the socket's: TLS below deflate both ways, the queue of what goes out, the one
//! buffer of what came in.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use engine::flow::Now;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::transport::Transport;
use crate::deflate::{Deflater, InflateError, InflateLimits, Inflater};
use crate::tls::{TlsFacts, TlsSide};
use crate::trace::{Direction, Trace};

/// Bytes that wait for the socket at which the machine is asked for no more.
pub(super) const OUT_BYTES_HIGH: usize = 256 * 1024;

/// Bytes of one read at most.
const READ_BYTES_MOST: usize = 128 * 1024;

/// Bytes of the first read, and of the first one after the peer was silent: a connection that idles holds no more.
const READ_BYTES_LEAST: usize = 8 * 1024;

/// Pieces given to one write.
const SLICES: usize = 64;

/// Both directions of a connection, above its socket.
pub(super) struct Wire<S> {
    stream: Transport<S>,
    out: VecDeque<Bytes>,
    out_bytes: usize,
    deflater: Option<Deflater>,
    inflater: Option<Inflater>,
    inflate_limits: InflateLimits,
    buffer: BytesMut,
    /// Bytes of the next read buffer: more with each one that was filled, the least again after a silence.
    read_bytes: usize,
    inbox: VecDeque<Bytes>,
    inbox_bytes: usize,
    read_closed: bool,
    write_failed: bool,
    /// Nothing has moved for a while: no buffer is kept between reads.
    resting: bool,
    trace: Option<Trace>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(stream: S, inflate_limits: InflateLimits, trace: Option<Trace>) -> Self {
        Wire {
            stream: Transport::new(stream),
            out: VecDeque::new(),
            out_bytes: 0,
            deflater: None,
            inflater: None,
            inflate_limits,
            buffer: BytesMut::new(),
            read_bytes: READ_BYTES_LEAST,
            inbox: VecDeque::new(),
            inbox_bytes: 0,
            read_closed: false,
            write_failed: false,
            resting: false,
            trace,
        }
    }

    /// Gives back what memory can be had again, until something moves.
    pub(super) fn rest(&mut self) {
        self.resting = true;
        self.read_bytes = READ_BYTES_LEAST;
        if self.out.is_empty() {
            self.out = VecDeque::new();
        }
        if self.inbox.is_empty() {
            self.inbox = VecDeque::new();
        }
        if let Some(deflater) = &mut self.deflater {
            deflater.rest();
        }
    }

    /// Queues bytes of the machine.
    pub(super) fn push(&mut self, now: Now, bytes: Bytes) {
        if let Some(trace) = &self.trace {
            trace.note(now, Direction::Sent, &bytes);
        }
        self.resting = false;
        let (out, out_bytes) = (&mut self.out, &mut self.out_bytes);
        let mut queue = |piece: Bytes| {
            *out_bytes += piece.len();
            out.push_back(piece);
        };
        match &mut self.deflater {
            Some(deflater) => deflater.push(&bytes, queue),
            None if bytes.is_empty() => {}
            None => queue(bytes),
        }
        if self.write_failed {
            self.discard_output();
        }
    }

    /// Ends a unit: everything pushed can go out now.
    pub(super) fn flush(&mut self) {
        let (out, out_bytes) = (&mut self.out, &mut self.out_bytes);
        if let Some(deflater) = &mut self.deflater {
            deflater.flush(|piece| {
                *out_bytes += piece.len();
                out.push_back(piece);
            });
        }
        if self.write_failed {
            self.discard_output();
        }
    }

    /// Switches deflate on behind what is queued; `received` came behind the switch already.
    pub(super) fn start_deflate(&mut self, level: u32, received: Bytes) {
        let mut inflater = Inflater::new(self.inflate_limits);
        inflater.push(received);
        self.inflater = Some(inflater);
        self.deflater = Some(Deflater::new(level));
    }

    /// Begins the TLS handshake, once all output is out. False when something came in clear behind the switch.
    pub(super) fn start_tls(&mut self, side: TlsSide) -> bool {
        let clean = self.is_drained();
        if clean {
            self.stream.start_tls(side);
        }
        clean
    }

    /// Goes on with the handshake.
    ///
    /// # Errors
    /// Why it failed; the connection is at its end.
    pub(super) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<TlsFacts>> {
        self.stream.poll_handshake(cx)
    }

    /// The peer is known: it may send what inflates to more.
    pub(super) fn trust(&mut self) {
        self.inflate_limits = InflateLimits::TRUSTED;
        if let Some(inflater) = &mut self.inflater {
            inflater.set_limits(self.inflate_limits);
        }
    }

    /// Plain bytes for the machine, if some are here; at most `bytes_max` of those that are not deflated.
    ///
    /// # Errors
    /// Those of inflating; the connection cannot go on.
    pub(super) fn next_input(&mut self, now: Now, bytes_max: usize) -> Result<Option<Bytes>, InflateError> {
        let input = loop {
            if let Some(inflater) = &mut self.inflater
                && let Some(piece) = inflater.next_piece()?
            {
                break Some(piece);
            }
            let Some(mut bytes) = self.inbox.pop_front() else {
                break None;
            };
            if self.inflater.is_none() && bytes.len() > bytes_max {
                self.inbox.push_front(bytes.split_off(bytes_max));
            }
            self.inbox_bytes -= bytes.len();
            match &mut self.inflater {
                Some(inflater) => inflater.push(bytes),
                None => break Some(bytes),
            }
        };
        if let (Some(trace), Some(bytes)) = (&self.trace, &input) {
            trace.note(now, Direction::Received, bytes);
        }
        Ok(input)
    }

    /// Whether the peer has closed and all it sent was taken.
    pub(super) fn is_at_end(&self) -> bool {
        self.read_closed && self.is_drained()
    }

    pub(super) fn has_output(&self) -> bool {
        !self.out.is_empty() || self.stream.is_unflushed()
    }

    pub(super) fn is_full(&self) -> bool {
        self.out_bytes >= OUT_BYTES_HIGH
    }

    /// Writes some of the queue. Pending when there is nothing to write.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.out.is_empty() {
            return if self.stream.is_unflushed() {
                Pin::new(&mut self.stream).poll_flush(cx)
            } else {
                Poll::Pending
            };
        }
        let empty: &[u8] = &[];
        let mut slices = [IoSlice::new(empty); SLICES];
        let count = self.out.len().min(SLICES);
        for (slice, bytes) in slices.iter_mut().zip(&self.out) {
            *slice = IoSlice::new(bytes);
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, &slices[..count]));
        match written {
            Ok(0) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Ok(written) => {
                self.advance(written);
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Reads once: one buffer ahead of the machine, or up to `ahead_bytes_max` bytes. Pending when nothing may be read.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, ahead_bytes_max: usize) -> Poll<io::Result<()>> {
        if self.read_closed || !(self.is_drained() || self.inbox_bytes < ahead_bytes_max) {
            return Poll::Pending;
        }
        if self.buffer.capacity() < READ_BYTES_LEAST {
            self.buffer = BytesMut::with_capacity(self.read_bytes);
        }
        let room = self.buffer.capacity();
        let Poll::Ready(read) = pin!(self.stream.read_buf(&mut self.buffer)).poll(cx) else {
            if self.resting || self.buffer.capacity() > READ_BYTES_LEAST {
                self.buffer = BytesMut::new();
                self.read_bytes = (self.read_bytes / 2).max(READ_BYTES_LEAST);
            }
            return Poll::Pending;
        };
        match read {
            Ok(0) => self.read_closed = true,
            Ok(count) => {
                if count == room {
                    self.read_bytes = (self.read_bytes * 4).min(READ_BYTES_MOST);
                }
                self.resting = false;
                let bytes = self.buffer.split().freeze();
                self.inbox_bytes += bytes.len();
                self.inbox.push_back(bytes);
            }
            Err(error) => {
                self.read_closed = true;
                return Poll::Ready(Err(error));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The socket takes no more: what is queued and what comes is dropped, reading goes on.
    pub(super) fn fail_write(&mut self) {
        self.write_failed = true;
        self.discard_output();
    }

    /// The socket, for closing it.
    pub(super) fn into_stream(self) -> Transport<S> {
        self.stream
    }

    fn is_drained(&self) -> bool {
        self.inbox.is_empty() && self.inflater.as_ref().is_none_or(Inflater::is_drained)
    }

    fn discard_output(&mut self) {
        self.out.clear();
        self.out_bytes = 0;
    }

    fn advance(&mut self, mut written: usize) {
        self.out_bytes -= written;
        while let Some(first) = self.out.front_mut() {
            if written < first.len() {
                first.advance(written);
                return;
            }
            written -= first.len();
            self.out.pop_front();
        }
    }
}
