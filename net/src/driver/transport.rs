//! The socket, in clear and later inside TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{Accept, Connect, TlsAcceptor, TlsConnector, TlsStream};

use crate::tls::{TlsFacts, TlsFault, TlsSide};

/// A socket with or without TLS.
pub(super) struct Transport<S> {
    state: State<S>,
    side: Option<TlsSide>,
    /// Something was written that TLS may still hold.
    unflushed: bool,
}

enum State<S> {
    Clear(S),
    Accepting(Box<Accept<S>>),
    Connecting(Box<Connect<S>>),
    Secured(Box<TlsStream<S>>),
    /// The handshake failed and took the socket with it.
    Gone,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Transport<S> {
    pub(super) fn new(stream: S) -> Self {
        Transport {
            state: State::Clear(stream),
            side: None,
            unflushed: false,
        }
    }

    /// Begins the handshake; nothing may be read or written before it has ended.
    pub(super) fn start_tls(&mut self, side: TlsSide) {
        self.state = match std::mem::replace(&mut self.state, State::Gone) {
            State::Clear(stream) => match &side {
                TlsSide::Server(server) => {
                    State::Accepting(Box::new(TlsAcceptor::from(server.config()).accept(stream)))
                }
                TlsSide::Client(client) => {
                    let connector = TlsConnector::from(std::sync::Arc::clone(&client.config));
                    State::Connecting(Box::new(connector.connect(client.name.clone(), stream)))
                }
            },
            other => other,
        };
        self.side = Some(side);
    }

    /// Goes on with the handshake.
    ///
    /// # Errors
    /// Why it failed, and what to do; a [`TlsFault`] inside where TLS itself failed. There is no socket any more.
    pub(super) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<TlsFacts>> {
        let done = match &mut self.state {
            State::Accepting(accept) => ready!(Pin::new(accept.as_mut()).poll(cx)).map(TlsStream::from),
            State::Connecting(connect) => ready!(Pin::new(connect.as_mut()).poll(cx)).map(TlsStream::from),
            State::Clear(_) | State::Secured(_) | State::Gone => {
                return Poll::Ready(Err(io::Error::other("there is no handshake")));
            }
        };
        Poll::Ready(match done {
            Ok(stream) => {
                let shown = stream.get_ref().1.peer_certificates();
                let facts = match &self.side {
                    Some(TlsSide::Server(server)) => server.facts(shown),
                    Some(TlsSide::Client(client)) => client.facts(),
                    None => TlsFacts::default(),
                };
                self.state = State::Secured(Box::new(stream));
                Ok(facts)
            }
            Err(error) => {
                self.state = State::Gone;
                Err(match (self.explain(&error), error.kind()) {
                    (Some(text), kind) => io::Error::new(kind, TlsFault(text)),
                    (None, io::ErrorKind::UnexpectedEof) => io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the other side closed the connection during the TLS handshake; see its log",
                    ),
                    (None, _) => error,
                })
            }
        })
    }

    /// Whether TLS may still hold something of what was written.
    pub(super) fn is_unflushed(&self) -> bool {
        self.unflushed
    }

    fn explain(&self, error: &io::Error) -> Option<String> {
        match &self.side {
            Some(TlsSide::Server(server)) => server.explain(error),
            Some(TlsSide::Client(client)) => client.explain(error),
            None => None,
        }
    }

    /// An error of the TLS layer in words; such as the alert of a server that wants a certificate, which comes only
    /// after the handshake.
    fn in_words(&self, error: io::Error) -> io::Error {
        match self.explain(&error) {
            Some(text) => io::Error::new(error.kind(), TlsFault(text)),
            None => error,
        }
    }
}

fn gone<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Transport<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read = match &mut this.state {
            State::Clear(stream) => Pin::new(stream).poll_read(cx, buf),
            State::Secured(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
            State::Accepting(_) | State::Connecting(_) => Poll::Pending,
            State::Gone => gone(),
        };
        read.map_err(|error| this.in_words(error))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Transport<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = match &mut this.state {
            State::Clear(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            State::Secured(stream) => {
                this.unflushed = true;
                Pin::new(stream.as_mut()).poll_write_vectored(cx, bufs)
            }
            State::Accepting(_) | State::Connecting(_) => Poll::Pending,
            State::Gone => gone(),
        };
        written.map_err(|error| this.in_words(error))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = match &mut this.state {
            State::Clear(stream) => Pin::new(stream).poll_flush(cx),
            State::Secured(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
            State::Accepting(_) | State::Connecting(_) => Poll::Pending,
            State::Gone => gone(),
        };
        if flushed.is_ready() {
            this.unflushed = false;
        }
        flushed.map_err(|error| this.in_words(error))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().state {
            State::Clear(stream) => Pin::new(stream).poll_shutdown(cx),
            State::Secured(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
            State::Accepting(_) | State::Connecting(_) | State::Gone => Poll::Ready(Ok(())),
        }
    }
}
