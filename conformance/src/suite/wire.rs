//! One connection of a scenario, with its layers: plain, inside TLS, deflated.

use super::matching::Heard;
use crate::csync::dlist;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes that one read asks for.
const READ_BYTES: usize = 64 * 1024;

/// What a layer stands on.
trait Layer: Read + Write + Send {
    /// Limits every read from now on.
    fn limit(&self, limit: Duration) -> Result<()>;
    /// Says that nothing more will be sent.
    fn end_sending(&mut self) -> Result<()>;
}

impl Layer for TcpStream {
    fn limit(&self, limit: Duration) -> Result<()> {
        self.set_read_timeout(Some(limit))
    }

    fn end_sending(&mut self) -> Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Layer for UnixStream {
    fn limit(&self, limit: Duration) -> Result<()> {
        self.set_read_timeout(Some(limit))
    }

    fn end_sending(&mut self) -> Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Layer for rustls::StreamOwned<rustls::ServerConnection, Box<dyn Layer>> {
    fn limit(&self, limit: Duration) -> Result<()> {
        self.sock.limit(limit)
    }

    fn end_sending(&mut self) -> Result<()> {
        self.conn.send_close_notify();
        self.flush()?;
        self.sock.end_sending()
    }
}

impl Layer for rustls::StreamOwned<rustls::ClientConnection, Box<dyn Layer>> {
    fn limit(&self, limit: Duration) -> Result<()> {
        self.sock.limit(limit)
    }

    fn end_sending(&mut self) -> Result<()> {
        self.conn.send_close_notify();
        self.flush()?;
        self.sock.end_sending()
    }
}

/// Raw deflate in both directions [CS-COMP-1].
struct Deflated {
    below: Box<dyn Layer>,
    packer: Compress,
    unpacker: Decompress,
    /// Deflated bytes that have not been unpacked yet.
    packed: Vec<u8>,
    /// Unpacked bytes that nobody has read yet.
    plain: Vec<u8>,
}

impl Deflated {
    fn unpack(&mut self) -> Result<()> {
        while !self.packed.is_empty() {
            let (before_in, before_out) = (self.unpacker.total_in(), self.plain.len());
            self.plain.reserve(READ_BYTES);
            self.unpacker
                .decompress_vec(&self.packed, &mut self.plain, FlushDecompress::Sync)
                .map_err(|error| Error::new(ErrorKind::InvalidData, error))?;
            let taken = (self.unpacker.total_in() - before_in) as usize;
            self.packed.drain(..taken);
            if taken == 0 && self.plain.len() == before_out {
                break;
            }
        }
        Ok(())
    }
}

impl Read for Deflated {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        loop {
            self.unpack()?;
            if !self.plain.is_empty() {
                let count = self.plain.len().min(into.len());
                into[..count].copy_from_slice(&self.plain[..count]);
                self.plain.drain(..count);
                return Ok(count);
            }
            let mut chunk = [0; 4096];
            let count = self.below.read(&mut chunk)?;
            if count == 0 {
                return Ok(0);
            }
            self.packed.extend_from_slice(&chunk[..count]);
        }
    }
}

impl Write for Deflated {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut packed = Vec::with_capacity(bytes.len() + 64);
        let start = self.packer.total_in();
        loop {
            let done = (self.packer.total_in() - start) as usize;
            packed.reserve(4096);
            self.packer
                .compress_vec(&bytes[done..], &mut packed, FlushCompress::Sync)
                .map_err(|error| Error::new(ErrorKind::InvalidData, error))?;
            let all = (self.packer.total_in() - start) as usize == bytes.len();
            // Room that is left over says that the flush is complete.
            if all && packed.len() < packed.capacity() {
                break;
            }
        }
        self.below.write_all(&packed)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        self.below.flush()
    }
}

impl Layer for Deflated {
    fn limit(&self, limit: Duration) -> Result<()> {
        self.below.limit(limit)
    }

    fn end_sending(&mut self) -> Result<()> {
        self.below.end_sending()
    }
}

/// Nothing: what is left while a layer is put on.
struct Gone;

impl Read for Gone {
    fn read(&mut self, _: &mut [u8]) -> Result<usize> {
        Ok(0)
    }
}

impl Write for Gone {
    fn write(&mut self, _: &[u8]) -> Result<usize> {
        Err(ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Layer for Gone {
    fn limit(&self, _: Duration) -> Result<()> {
        Ok(())
    }

    fn end_sending(&mut self) -> Result<()> {
        Ok(())
    }
}

/// A connection.
pub struct Wire {
    layer: Box<dyn Layer>,
    /// What has come in and was not asked for yet.
    buffer: Vec<u8>,
    /// Whether only data lines announce literals: true for what a server says.
    from_server: bool,
}

impl Wire {
    /// Connects to `HOST:PORT`, or to a Unix socket when the address begins with `/`.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn connect(address: &str) -> Result<Wire> {
        if address.starts_with('/') {
            return Ok(Wire::over(Box::new(UnixStream::connect(address)?), true));
        }
        let stream = TcpStream::connect(address)?;
        Wire::tcp(stream, true)
    }

    /// A connection that is there; `from_server` says whether a server is at the other end.
    ///
    /// # Errors
    /// When the socket cannot be set up.
    pub fn tcp(stream: TcpStream, from_server: bool) -> Result<Wire> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(Duration::from_secs(60)))?;
        Ok(Wire::over(Box::new(stream), from_server))
    }

    fn over(layer: Box<dyn Layer>, from_server: bool) -> Wire {
        Wire {
            layer,
            buffer: Vec::new(),
            from_server,
        }
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the other side has closed.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.layer.write_all(bytes)?;
        self.layer.flush()
    }

    /// Says that nothing more will be sent.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn end_sending(&mut self) -> Result<()> {
        self.layer.end_sending()
    }

    /// The TLS client's handshake, in which any certificate is good: what is judged is csync.
    ///
    /// # Errors
    /// A handshake that fails, or that takes longer than `patience`.
    pub fn tls(&mut self, patience: Duration) -> Result<()> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Arc::new(AnyCertificate(provider.clone()));
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::new(ErrorKind::InvalidInput, error))?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        let name =
            ServerName::try_from("localhost").map_err(|error| Error::new(ErrorKind::InvalidInput, error))?;
        let connection = rustls::ClientConnection::new(Arc::new(config), name)
            .map_err(|error| Error::new(ErrorKind::InvalidInput, error))?;
        self.layer.limit(patience)?;
        let below = std::mem::replace(&mut self.layer, Box::new(Gone));
        let mut stream = rustls::StreamOwned::new(connection, below);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        self.layer = Box::new(stream);
        Ok(())
    }

    /// The TLS server's handshake; a client may show a certificate, and any is good.
    ///
    /// # Errors
    /// A handshake that fails, or that takes longer than `patience`.
    pub fn accept_tls(&mut self, config: Arc<rustls::ServerConfig>, patience: Duration) -> Result<()> {
        let connection = rustls::ServerConnection::new(config)
            .map_err(|error| Error::new(ErrorKind::InvalidInput, error))?;
        self.layer.limit(patience)?;
        let below = std::mem::replace(&mut self.layer, Box::new(Gone));
        let mut stream = rustls::StreamOwned::new(connection, below);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        self.layer = Box::new(stream);
        Ok(())
    }

    /// Both directions are deflated from here on. What has come in already is taken for deflated.
    pub fn deflate(&mut self) {
        let below = std::mem::replace(&mut self.layer, Box::new(Gone));
        self.layer = Box::new(Deflated {
            below,
            packer: Compress::new(Compression::default(), false),
            unpacker: Decompress::new(false),
            packed: std::mem::take(&mut self.buffer),
            plain: Vec::new(),
        });
    }

    /// The next line with the literals that it announces, without its CRLF. A bare LF stays.
    pub fn line(&mut self, patience: Duration) -> Heard {
        let end = Instant::now() + patience;
        let mut searched = 0;
        loop {
            match self.complete(&mut searched) {
                Some(length) => {
                    let mut line: Vec<u8> = self.buffer.drain(..length).collect();
                    if line.ends_with(b"\r\n") {
                        line.truncate(line.len() - 2);
                    }
                    return Heard::Line(line);
                }
                None => {
                    if let Err(heard) = self.fill(end) {
                        return heard;
                    }
                }
            }
        }
    }

    /// The length of the first line when all of it is there. `searched` bytes are known to be of earlier parts.
    fn complete(&self, searched: &mut usize) -> Option<usize> {
        loop {
            let end = *searched
                + self
                    .buffer
                    .get(*searched..)?
                    .iter()
                    .position(|byte| *byte == b'\n')?
                + 1;
            let part = &self.buffer[*searched..end];
            let part = part
                .strip_suffix(b"\r\n")
                .or_else(|| part.strip_suffix(b"\n"))
                .unwrap_or(part);
            let may_announce = !self.from_server || self.buffer.starts_with(b"* ");
            match dlist::announced(part).filter(|_| may_announce) {
                Some(size) if end + size <= self.buffer.len() => *searched = end + size,
                Some(_) => return None,
                None => return Some(end),
            }
        }
    }

    /// All that comes within `patience`, up to the end of the connection; for what is no line.
    pub fn bytes(&mut self, patience: Duration) -> (Vec<u8>, Heard) {
        let end = Instant::now() + patience;
        loop {
            if let Err(heard) = self.fill(end) {
                return (std::mem::take(&mut self.buffer), heard);
            }
        }
    }

    fn fill(&mut self, end: Instant) -> std::result::Result<(), Heard> {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Heard::Waits);
        }
        // A socket whose limit cannot be set is gone, which the read tells.
        let _ = self.layer.limit(left);
        let mut chunk = vec![0; READ_BYTES];
        match self.layer.read(&mut chunk) {
            Ok(0) => Err(Heard::Closed),
            Ok(count) => {
                self.buffer.extend_from_slice(&chunk[..count]);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Err(Heard::Waits)
            }
            Err(_) => Err(Heard::Closed),
        }
    }

    /// What has come in and was not asked for, for a report.
    pub fn pending(&self) -> &[u8] {
        &self.buffer
    }
}

/// Believes every certificate.
#[derive(Debug)]
struct AnyCertificate(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Believes every certificate of a client, and goes on without one.
#[derive(Debug)]
pub(super) struct AnyClient(Arc<rustls::crypto::CryptoProvider>);

impl AnyClient {
    pub(super) fn new(provider: Arc<rustls::crypto::CryptoProvider>) -> AnyClient {
        AnyClient(provider)
    }
}

impl ClientCertVerifier for AnyClient {
    fn root_hint_subjects(&self) -> &[rustls::DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> std::result::Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        AnyCertificate(self.0.clone()).verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        AnyCertificate(self.0.clone()).verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
