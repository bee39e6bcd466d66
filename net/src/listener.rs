//! Listening sockets.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, UnixListener, UnixStream};

use crate::address::ListenAddress;
use crate::stream::{Origin, Stream};

/// Why an address cannot be listened on.
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
    /// Anything else.
    #[error("cannot listen on {address}: {source}")]
    System {
        /// The address.
        address: String,
        /// What the system said.
        source: io::Error,
    },
}

/// A bound socket. That of a Unix socket removes its file when dropped.
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
        _file: SocketFile,
    },
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
    /// Binds an address; `mode` are the permissions of a Unix socket's file.
    ///
    /// # Errors
    /// See [`BindError`].
    pub async fn bind(address: &ListenAddress, mode: u32) -> Result<Listener, BindError> {
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
                let listener = TcpListener::bind((host.as_str(), *port)).await.map_err(failed)?;
                let shown = listener.local_addr().map_err(failed)?.to_string();
                Ok(Listener {
                    inner: Inner::Tcp(listener),
                    shown,
                })
            }
            ListenAddress::Unix(path) => {
                clear_stale(path, address).await?;
                let listener = bind_private(path).map_err(failed)?;
                let file = SocketFile(path.clone());
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(failed)?;
                Ok(Listener {
                    inner: Inner::Unix {
                        listener,
                        _file: file,
                    },
                    shown: address.to_string(),
                })
            }
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
        };
        stream.tune();
        Ok((stream, origin))
    }
}

/// Binds with a umask that lets nobody else in before the permissions are set.
fn bind_private(path: &Path) -> io::Result<UnixListener> {
    let earlier = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let bound = UnixListener::bind(path);
    rustix::process::umask(earlier);
    bound
}

/// Removes a socket's file that nobody answers on, as a killed server leaves it.
async fn clear_stale(path: &Path, address: &ListenAddress) -> Result<(), BindError> {
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
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(system)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(system(error)),
        Ok(_) => Err(BindError::InUse {
            address: address.to_string(),
        }),
    }
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
}
