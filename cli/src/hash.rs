//! SHA-1, which is a message's identity.

use protocol::Guid;
use sha1::{Digest, Sha1};

/// The GUID of these bytes.
pub fn guid_of(bytes: &[u8]) -> Guid {
    Guid::from_bytes(Sha1::digest(bytes).into())
}

/// The GUID of bytes that come in pieces.
#[derive(Clone, Default)]
pub struct Hasher(Sha1);

impl Hasher {
    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The GUID of all of them.
    pub fn finish(self) -> Guid {
        Guid::from_bytes(self.0.finalize().into())
    }
}
