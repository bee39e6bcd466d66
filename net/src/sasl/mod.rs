//! SASL below the engine: PLAIN and SCRAM for both sides, over rsasl; EXTERNAL inside TLS.
//!
//! A layer answers one [`SaslRequest`] at a time. Steps compute (PBKDF2 takes milliseconds) and may read the store, so
//! they belong on a thread that may block.

mod client;
mod server;
#[cfg(test)]
mod tests;
mod verifier;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use engine::flow::{SaslReply, SaslRequest};

use crate::tls::TlsFacts;

pub use client::{ClientSasl, Credentials};
pub use server::{EXTERNAL, ServerSasl, Verifiers, inside_tls, mechanisms};
pub use verifier::{Hash, ITERATIONS_DEFAULT, PasswordError, Verifier, derive, derive_all};

/// What Cyrus says to a wrong password, an unknown user and the like: nothing that tells them apart. [CS-AUTH-5]
const REFUSED: &str = "authentication failure";
/// What Cyrus says to bytes that are no base64. [CS-AUTH-3]
const BAD_DATA: &str = "bad protocol / cancel";

/// One connection's side of an authentication.
pub trait SaslLayer: Send {
    /// Does one step; may take milliseconds and read files.
    fn step(&mut self, request: SaslRequest) -> SaslReply;

    /// The connection is inside TLS now: what may be offered and used changes. Never within an exchange.
    fn secured(&mut self, facts: &TlsFacts) {
        let _ = facts;
    }
}

/// For peers that need no authentication (Unix sockets): refuses everything.
#[derive(Debug, Default)]
pub struct NoSasl;

impl SaslLayer for NoSasl {
    fn step(&mut self, _: SaslRequest) -> SaslReply {
        failure("no mechanism available")
    }
}

fn failure(text: &str) -> SaslReply {
    SaslReply::Failure {
        text: text.to_owned(),
    }
}

fn encode(data: &[u8]) -> Bytes {
    Bytes::from(STANDARD.encode(data))
}

fn decode(data: &[u8]) -> Option<Vec<u8>> {
    STANDARD.decode(data).ok()
}

/// Whether the attributes of a SCRAM message (`x=...` between commas) are long enough to be looked at; rsasl slices
/// them before it measures them. The first message of a client begins with a header of two parts, which may be short.
fn is_scram_shaped(message: &[u8], header: bool) -> bool {
    let mut parts = message.split(|&b| b == b',');
    if header {
        let (binding, acting_for) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if binding.is_empty() || !(acting_for.is_empty() || acting_for.starts_with(b"a=")) {
            return false;
        }
    }
    parts.all(|part| part.len() >= 2)
}
