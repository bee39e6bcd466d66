//! Listening sockets: bound here, or handed over by who started the process.

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use tokio::net::{TcpListener, UnixListener};

use crate::address::ListenAddress;
use crate::stream::{Origin, Stream};

/// Connections that may wait to be accepted, as far as the system allows.
const BACKLOG: i32 = 1024;

/// Why an address or a socket cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else does.
    #[error("cannot listen on {address}: another program does; stop it or choose another address")]
    InUse {
        /// The address.
        address: String,
    },
    /// The path is a file of another kind.
    #[error(
        "cannot listen on {address}: there is a file that is no socket; remove it or choose another path"
    )]
    NoSocket {
        /// The address.
        address: String,
    },
    /// What was handed over is something else.
    #[error("{name} was handed over, but it is no listening stream socket; {advice}")]
    NoListener {
        /// How whoever handed it over calls it.
        name: String,
        /// What to do.
        advice: &'static str,
    },
    /// Anything else.
    #[error("cannot listen on {address}: {source}")]
    System {
        /// The address.
        address: String,
        /// What the system said.
        source: io::Error,
    },
}

/// A bound socket that takes connections already, but nobody serves them yet. It is made before a program gives up the
/// rights that binding needs, and before any thread runs. That of a Unix socket bound here removes its file when dropped.
#[derive(Debug)]
pub struct Bound {
    socket: Socket,
    shown: String,
}

#[derive(Debug)]
enum Socket {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener, Option<SocketFile>),
}

impl Bound {
    /// Binds an address; `mode` are the permissions of a Unix socket's file.
    ///
    /// # Errors
    /// See [`BindError`].
    pub fn bind(address: &ListenAddress, mode: u32) -> Result<Bound, BindError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse {
                address: address.to_string(),
            },
            _ => BindError::System {
                address: address.to_string(),
                source,
            },
        };
        match address {
            ListenAddress::Tcp { host, port } => {
                let listener = std::net::TcpListener::bind((host.as_str(), *port)).map_err(failed)?;
                longer_backlog(&listener).map_err(failed)?;
                let shown = listener.local_addr().map_err(failed)?.to_string();
                Ok(Bound {
                    socket: Socket::Tcp(listener),
                    shown,
                })
            }
            ListenAddress::Unix(path) => {
                clear_stale(path, address)?;
                let listener = bind_private(path).map_err(failed)?;
                let file = SocketFile(path.clone());
                longer_backlog(&listener).map_err(failed)?;
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(failed)?;
                Ok(Bound {
                    socket: Socket::Unix(listener, Some(file)),
                    shown: address.to_string(),
                })
            }
        }
    }

    /// A listening TCP or Unix socket that was handed over; its owner is who handed it over, so a file stays. `name` is
    /// for messages. [CS-SVC-3] [CS-SVC-15]
    ///
    /// # Errors
    /// [`BindError::NoListener`], or what the system said.
    pub fn inherited(descriptor: OwnedFd, name: &str) -> Result<Bound, BindError> {
        let no_listener = |advice| BindError::NoListener {
            name: name.to_owned(),
            advice,
        };
        let failed = |source: io::Error| BindError::System {
            address: name.to_owned(),
            source,
        };
        match sockopt::socket_acceptconn(&descriptor) {
            Ok(true) => {}
            Ok(false) => return Err(no_listener("with systemd, write `Accept=no` in the socket unit")),
            Err(_) => return Err(no_listener("hand over sockets only")),
        }
        let kind = sockopt::socket_type(&descriptor).map_err(|error| failed(error.into()))?;
        if kind != SocketType::STREAM {
            return Err(no_listener("with systemd, write `ListenStream=`"));
        }
        match sockopt::socket_domain(&descriptor).map_err(|error| failed(error.into()))? {
            AddressFamily::INET | AddressFamily::INET6 => {
                let listener = std::net::TcpListener::from(descriptor);
                let shown = listener.local_addr().map_err(failed)?.to_string();
                Ok(Bound {
                    socket: Socket::Tcp(listener),
                    shown,
                })
            }
            AddressFamily::UNIX => {
                let listener = std::os::unix::net::UnixListener::from(descriptor);
                let address = listener.local_addr().map_err(failed)?;
                let shown = match address.as_pathname() {
                    Some(path) => format!("unix:{}", path.display()),
                    None => format!("unix:{name}"),
                };
                Ok(Bound {
                    socket: Socket::Unix(listener, None),
                    shown,
                })
            }
            _ => Err(no_listener("TCP and Unix sockets are served")),
        }
    }

    /// Gives the file of a Unix socket that was bound here to another user and group.
    ///
    /// # Errors
    /// What the system said.
    pub fn give_file_to(&self, uid: u32, gid: u32) -> Result<(), BindError> {
        match &self.socket {
            Socket::Unix(_, Some(SocketFile(path))) => std::os::unix::fs::lchown(path, Some(uid), Some(gid))
                .map_err(|source| BindError::System {
                    address: self.shown.clone(),
                    source,
                }),
            _ => Ok(()),
        }
    }

    /// Whether it is a TCP socket, whose peers have to log in.
    pub fn is_tcp(&self) -> bool {
        matches!(self.socket, Socket::Tcp(_))
    }

    /// The address with the port that was really bound.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Makes the runtime watch it; to be called inside of one. The socket does not block from now on, for other processes
    /// that share it neither: of several that wake up for a connection one gets it, and the others go on waiting.
    ///
    /// # Errors
    /// What the system said.
    pub fn listen(self) -> Result<Listener, BindError> {
        let Bound { socket, shown } = self;
        let watched = match socket {
            Socket::Tcp(listener) => listener
                .set_nonblocking(true)
                .and_then(|()| TcpListener::from_std(listener))
                .map(Inner::Tcp),
            Socket::Unix(listener, file) => listener
                .set_nonblocking(true)
                .and_then(|()| UnixListener::from_std(listener))
                .map(|listener| Inner::Unix {
                    listener,
                    _file: file,
                }),
        };
        match watched {
            Ok(inner) => Ok(Listener { inner, shown }),
            Err(source) => Err(BindError::System {
                address: shown,
                source,
            }),
        }
    }
}

/// A listening socket that the runtime watches. That of a Unix socket bound here removes its file when dropped.
#[derive(Debug)]
pub struct Listener {
    inner: Inner,
    shown: String,
}

#[derive(Debug)]
enum Inner {
    Tcp(TcpListener),
    Unix {
        listener: UnixListener,
        _file: Option<SocketFile>,
    },
    Other(Box<dyn Accepting>),
}

/// A connection that is waited for.
pub type Accepted<'a> = Pin<Box<dyn Future<Output = io::Result<(Stream, Origin)>> + Send + 'a>>;

/// What connections come from on another platform, such as a simulated network.
pub trait Accepting: Send + Sync + Debug {
    /// The next connection. One that is not waited for to the end is not lost.
    fn accept(&self) -> Accepted<'_>;
}

#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Another server may have cleaned up behind us; then there is nothing to remove.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Listener {
    /// Binds an address and listens at once; `mode` are the permissions of a Unix socket's file.
    ///
    /// # Errors
    /// See [`BindError`].
    pub async fn bind(address: &ListenAddress, mode: u32) -> Result<Listener, BindError> {
        Bound::bind(address, mode)?.listen()
    }

    /// One of another platform; `shown` is its address for people.
    pub fn other(accepting: Box<dyn Accepting>, shown: String) -> Listener {
        Listener {
            inner: Inner::Other(accepting),
            shown,
        }
    }

    /// The address with the port that was really bound.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The next connection.
    ///
    /// # Errors
    /// What the system said, too many open files for instance.
    pub async fn accept(&self) -> io::Result<(Stream, Origin)> {
        let (stream, origin) = match &self.inner {
            Inner::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                (Stream::Tcp(stream), Origin::Tcp(address))
            }
            Inner::Unix { listener, .. } => (Stream::Unix(listener.accept().await?.0), Origin::UnixSocket),
            Inner::Other(accepting) => accepting.accept().await?,
        };
        stream.tune();
        Ok((stream, origin))
    }
}

/// The standard library asks for 128 waiting connections at most.
fn longer_backlog(socket: &impl std::os::fd::AsFd) -> io::Result<()> {
    Ok(rustix::net::listen(socket, BACKLOG)?)
}

/// Binds with a umask that lets nobody else in before the permissions are set.
fn bind_private(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    let earlier = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let bound = std::os::unix::net::UnixListener::bind(path);
    rustix::process::umask(earlier);
    bound
}

/// Removes a socket's file that nobody answers on, as a killed server leaves it.
fn clear_stale(path: &Path, address: &ListenAddress) -> Result<(), BindError> {
    let system = |source| BindError::System {
        address: address.to_string(),
        source,
    };
    let kind = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(system(error)),
    };
    if !kind.is_socket() {
        return Err(BindError::NoSocket {
            address: address.to_string(),
        });
    }
    let in_use = || BindError::InUse {
        address: address.to_string(),
    };
    match answers(path).map_err(|error| error.kind()) {
        Err(io::ErrorKind::ConnectionRefused) => std::fs::remove_file(path).map_err(system),
        Err(io::ErrorKind::NotFound) => Ok(()),
        // Somebody listens, even when the queue is full.
        Ok(()) | Err(io::ErrorKind::WouldBlock) => Err(in_use()),
        Err(kind) => Err(system(kind.into())),
    }
}

/// Connects without waiting for a server whose queue is full.
fn answers(path: &Path) -> io::Result<()> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let address = rustix::net::SocketAddrUnix::new(path)?;
    Ok(rustix::net::connect(&socket, &address)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_living_one_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s");
        let address = ListenAddress::Unix(path.clone());
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
        let listener = Listener::bind(&address, 0o660)
            .await
            .expect("replaces the stale file");
        assert_eq!(
            std::fs::metadata(&path).expect("there").permissions().mode() & 0o777,
            0o660
        );
        assert!(matches!(
            Listener::bind(&address, 0o600).await,
            Err(BindError::InUse { .. })
        ));
        drop(listener);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn other_files_are_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mail");
        std::fs::write(&path, "precious").expect("a file");
        let error = Listener::bind(&ListenAddress::Unix(path.clone()), 0o600)
            .await
            .expect_err("no socket");
        assert!(matches!(error, BindError::NoSocket { .. }));
        assert_eq!(std::fs::read_to_string(&path).expect("there"), "precious");
    }

    #[tokio::test]
    async fn the_chosen_port_is_shown_and_a_taken_one_refused() {
        let any = ListenAddress::Tcp {
            host: "127.0.0.1".to_owned(),
            port: 0,
        };
        let listener = Listener::bind(&any, 0).await.expect("binds");
        let taken = ListenAddress::parse(listener.shown()).expect("an address");
        assert_ne!(taken, any);
        let error = Listener::bind(&taken, 0).await.expect_err("taken");
        assert!(matches!(error, BindError::InUse { .. }), "{error}");
    }

    #[tokio::test]
    async fn what_was_handed_over_is_served_and_left_as_it_was() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s");
        let unix = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
        let bound = Bound::inherited(OwnedFd::from(unix), "descriptor 3").expect("it listens");
        assert!(!bound.is_tcp());
        assert_eq!(bound.shown(), format!("unix:{}", path.display()));
        bound
            .give_file_to(u32::MAX - 1, u32::MAX - 1)
            .expect("nothing to do");
        let listener = bound.listen().expect("watched");
        let _client = std::os::unix::net::UnixStream::connect(&path).expect("connects");
        assert_eq!(listener.accept().await.expect("one").1, Origin::UnixSocket);
        drop(listener);
        assert!(path.exists(), "its owner removes it");

        let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = tcp.local_addr().expect("bound").to_string();
        let bound = Bound::inherited(OwnedFd::from(tcp), "descriptor 4").expect("it listens");
        assert!(bound.is_tcp());
        assert_eq!(bound.shown(), address);
        let listener = bound.listen().expect("watched");
        let _client = std::net::TcpStream::connect(address).expect("connects");
        assert!(matches!(listener.accept().await.expect("one").1, Origin::Tcp(_)));
    }

    #[test]
    fn what_does_not_listen_is_refused() {
        let said = |descriptor: OwnedFd| {
            Bound::inherited(descriptor, "csync.socket")
                .expect_err("no listener")
                .to_string()
        };
        let (near, _far) = std::os::unix::net::UnixStream::pair().expect("a pair");
        assert_eq!(
            said(near.into()),
            "csync.socket was handed over, but it is no listening stream socket; with systemd, write `Accept=no` in the \
             socket unit"
        );
        let file = tempfile::tempfile().expect("a file");
        assert!(said(file.into()).contains("hand over sockets only"));
        let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
        assert!(said(datagrams.into()).contains("it is no listening stream socket"));
    }
}
