//! Where to listen and where to connect to.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

/// Port of `csync` when nothing else is said.
pub const CSYNC_PORT: u16 = 2005;

/// What is wrong with an address.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AddressError {
    /// Not an address to listen on.
    #[error("write ADDRESS:PORT (such as 127.0.0.1:2005 or [::1]:2005), or unix:/PATH")]
    Listen,
    /// Not a peer.
    #[error("write HOST, HOST:PORT, [IPV6]:PORT, or /PATH of a Unix socket")]
    Peer,
    /// An unknown word behind a peer.
    #[error("behind HOST or HOST:PORT there may be `/tls` and `/noauth`, nothing else")]
    Suffix,
}

/// Where a server listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ListenAddress {
    /// A TCP port; the host may be an address or a name, port 0 lets the system choose.
    Tcp {
        /// Address or name.
        host: String,
        /// Port.
        port: u16,
    },
    /// A Unix socket. Whoever can connect to it is the administrator.
    Unix(PathBuf),
}

impl Default for ListenAddress {
    fn default() -> Self {
        ListenAddress::Tcp {
            host: "127.0.0.1".to_owned(),
            port: CSYNC_PORT,
        }
    }
}

impl ListenAddress {
    /// Reads `ADDRESS:PORT`, `[IPV6]:PORT`, `unix:PATH` or `/PATH`.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(text: &str) -> Result<ListenAddress, AddressError> {
        if let Some(path) = socket_path(text) {
            return Ok(ListenAddress::Unix(path));
        }
        match split_port(text) {
            Some((host, Some(port))) => Ok(ListenAddress::Tcp { host, port }),
            _ => Err(AddressError::Listen),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::Tcp { host, port } => write_host(f, host, *port),
            ListenAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Where a client connects to. [CS-CONN-31]
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PeerAddress {
    /// Over TCP.
    Tcp {
        /// Address or name.
        host: String,
        /// Port.
        port: u16,
        /// `/tls`: TLS is a must.
        tls: bool,
        /// `/noauth`: there is no login.
        noauth: bool,
    },
    /// Over a Unix socket, without authentication.
    Unix(PathBuf),
}

impl PeerAddress {
    /// Reads `HOST`, `HOST:PORT`, `[IPV6]`, `[IPV6]:PORT`, each perhaps with `/tls` and `/noauth` behind it, `/PATH` or
    /// `unix:PATH`; `default_port` stands in for a missing port.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(text: &str, default_port: u16) -> Result<PeerAddress, AddressError> {
        if let Some(path) = socket_path(text) {
            return Ok(PeerAddress::Unix(path));
        }
        let mut parts = text.split('/');
        let text = parts.next().unwrap_or_default();
        let (mut tls, mut noauth) = (false, false);
        for word in parts {
            match word {
                "tls" => tls = true,
                "noauth" => noauth = true,
                _ => return Err(AddressError::Suffix),
            }
        }
        let (host, port) = split_port(text).ok_or(AddressError::Peer)?;
        let port = port.unwrap_or(default_port);
        if port == 0 {
            return Err(AddressError::Peer);
        }
        Ok(PeerAddress::Tcp {
            host,
            port,
            tls,
            noauth,
        })
    }

    /// Whether bytes sent there stay on this machine.
    pub fn is_local(&self) -> bool {
        match self {
            PeerAddress::Unix(_) => true,
            PeerAddress::Tcp { host, .. } => {
                host.eq_ignore_ascii_case("localhost")
                    || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
            }
        }
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeerAddress::Tcp { host, port, .. } => write_host(f, host, *port),
            PeerAddress::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

fn write_host(f: &mut fmt::Formatter<'_>, host: &str, port: u16) -> fmt::Result {
    if host.contains(':') {
        write!(f, "[{host}]:{port}")
    } else {
        write!(f, "{host}:{port}")
    }
}

fn socket_path(text: &str) -> Option<PathBuf> {
    match text.strip_prefix("unix:") {
        Some("") => None,
        Some(path) => Some(PathBuf::from(path)),
        None => text.starts_with('/').then(|| PathBuf::from(text)),
    }
}

fn split_port(text: &str) -> Option<(String, Option<u16>)> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (host, rest) = bracketed.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, rest)
        }
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let acceptable = !host.is_empty() && !host.bytes().any(|b| b.is_ascii_whitespace() || b == b'/');
    let port = match rest.strip_prefix(':') {
        Some(port) => Some(port.parse().ok()?),
        None if rest.is_empty() => None,
        None => return None,
    };
    acceptable.then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_addresses() {
        for text in ["127.0.0.1:2005", "[::1]:0", "localhost:23000"] {
            assert_eq!(
                ListenAddress::parse(text).map(|a| a.to_string()),
                Ok(text.to_owned())
            );
        }
        assert_eq!(
            ListenAddress::parse("unix:/run/x"),
            Ok(ListenAddress::Unix("/run/x".into()))
        );
        assert_eq!(
            ListenAddress::parse("/run/x"),
            Ok(ListenAddress::Unix("/run/x".into()))
        );
        for bad in [
            "",
            "2005",
            "host",
            "unix:",
            ":2005",
            "host:99999",
            "::1:2005",
            "[::1",
            "a b:1",
        ] {
            assert_eq!(ListenAddress::parse(bad), Err(AddressError::Listen), "{bad}");
        }
    }

    #[test]
    fn peers() {
        for (text, shown) in [
            ("far", "far:2005"),
            ("far:1", "far:1"),
            ("[::1]", "[::1]:2005"),
            ("/run/x", "/run/x"),
            ("unix:/run/x", "/run/x"),
        ] {
            assert_eq!(
                PeerAddress::parse(text, 2005).map(|a| a.to_string()),
                Ok(shown.to_owned())
            );
        }
        let suffixes = |text: &str| match PeerAddress::parse(text, 1) {
            Ok(PeerAddress::Tcp { tls, noauth, .. }) => Ok((tls, noauth)),
            Ok(PeerAddress::Unix(_)) => panic!("{text} is no path"),
            Err(error) => Err(error),
        };
        assert_eq!(suffixes("far:2005"), Ok((false, false)));
        assert_eq!(suffixes("far:2005/tls"), Ok((true, false)));
        assert_eq!(suffixes("[::1]/noauth/tls"), Ok((true, true)));
        assert_eq!(suffixes("far/TLS"), Err(AddressError::Suffix));
        assert_eq!(suffixes("far:1/"), Err(AddressError::Suffix));
        for bad in ["", "far:", "far:0", "::1", "[far]:1"] {
            assert_eq!(PeerAddress::parse(bad, 2005), Err(AddressError::Peer), "{bad}");
        }
    }

    #[test]
    fn local_peers() {
        for (text, local) in [
            ("localhost", true),
            ("127.0.0.9", true),
            ("[::1]", true),
            ("/run/x", true),
            ("192.0.2.1", false),
            ("far", false),
        ] {
            assert_eq!(
                PeerAddress::parse(text, 2005).map(|a| a.is_local()),
                Ok(local),
                "{text}"
            );
        }
    }
}
