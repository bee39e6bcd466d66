//! What a server keeps instead of a password: the SCRAM verifier (RFC 5802 section 3).

use rsasl::mechanisms::scram::tools::{derive_keys, hash_password};
use sha1_scram::Sha1;
use sha2::{Digest, Sha256};

use crate::secret::Secret;

/// Rounds of PBKDF2 for new verifiers. RFC 7677 asks for 4,096 at least; a check costs some 10 ms with this many.
pub const ITERATIONS_DEFAULT: u32 = 16_384;

/// Bytes of salt of new verifiers.
const SALT_BYTES: usize = 16;

/// The hash a verifier is made with, and so the mechanism it serves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Hash {
    /// SCRAM-SHA-1, the only one that older Cyrus SASL libraries know.
    Sha1,
    /// SCRAM-SHA-256.
    Sha256,
}

impl Hash {
    /// All, best first.
    pub const ALL: [Hash; 2] = [Hash::Sha256, Hash::Sha1];

    /// Name of the mechanism.
    pub fn mechanism(self) -> &'static str {
        match self {
            Hash::Sha1 => "SCRAM-SHA-1",
            Hash::Sha256 => "SCRAM-SHA-256",
        }
    }

    /// The hash of a mechanism's name in capitals.
    pub fn of_mechanism(name: &str) -> Option<Hash> {
        Hash::ALL.into_iter().find(|hash| hash.mechanism() == name)
    }
}

/// Salt, rounds and keys from which a password cannot be had back.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    /// Salt.
    pub salt: Vec<u8>,
    /// Rounds of PBKDF2.
    pub iterations: u32,
    /// Hash of the client key; 20 or 32 bytes.
    pub stored_key: Vec<u8>,
    /// Server key; 20 or 32 bytes.
    pub server_key: Vec<u8>,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Verifier({} rounds, ..)", self.iterations)
    }
}

impl Verifier {
    /// Whether this is the verifier of the password. Takes the same time whatever the answer.
    pub fn matches(&self, hash: Hash, password: &[u8]) -> bool {
        let (stored, _) = keys(hash, password, &self.salt, self.iterations);
        stored.len() == self.stored_key.len()
            && stored
                .iter()
                .zip(&self.stored_key)
                .fold(0, |differing, (a, b)| differing | (a ^ b))
                == 0
    }
}

/// Why a password cannot be taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PasswordError {
    /// Nothing there.
    #[error("the password is empty")]
    Empty,
    /// Characters that SASLprep (RFC 4013) forbids.
    #[error("the password holds characters that SASL does not allow (control characters and the like)")]
    Forbidden,
    /// No salt to be had.
    #[error("the system has no random numbers: {0}")]
    NoRandomness(String),
}

/// Makes a verifier for a new password, with a fresh salt.
///
/// # Errors
/// See [`PasswordError`].
pub fn derive(hash: Hash, password: &Secret, iterations: u32) -> Result<Verifier, PasswordError> {
    let password = prepare(password.reveal())?;
    let mut salt = vec![0; SALT_BYTES];
    getrandom::fill(&mut salt).map_err(|error| PasswordError::NoRandomness(error.to_string()))?;
    let (stored_key, server_key) = keys(hash, password.as_bytes(), &salt, iterations);
    Ok(Verifier {
        salt,
        iterations,
        stored_key,
        server_key,
    })
}

/// Makes the verifiers of all mechanisms for a new password.
///
/// # Errors
/// See [`PasswordError`].
pub fn derive_all(password: &Secret) -> Result<Vec<(Hash, Verifier)>, PasswordError> {
    Hash::ALL
        .into_iter()
        .map(|hash| Ok((hash, derive(hash, password, ITERATIONS_DEFAULT)?)))
        .collect()
}

/// SASLprep of a password; both sides do it, or non-ASCII passwords would match by luck.
pub(super) fn prepare(password: &str) -> Result<String, PasswordError> {
    let prepared = stringprep::saslprep(password).map_err(|_| PasswordError::Forbidden)?;
    if prepared.is_empty() || prepared.contains('\0') {
        return Err(PasswordError::Empty);
    }
    Ok(prepared.into_owned())
}

fn keys(hash: Hash, password: &[u8], salt: &[u8], iterations: u32) -> (Vec<u8>, Vec<u8>) {
    match hash {
        Hash::Sha1 => {
            let mut salted = Default::default();
            hash_password::<Sha1>(password, iterations, salt, &mut salted);
            let (client, server) = derive_keys::<Sha1>(&salted);
            (Sha1::digest(client).to_vec(), server.to_vec())
        }
        Hash::Sha256 => {
            let mut salted = Default::default();
            hash_password::<Sha256>(password, iterations, salt, &mut salted);
            let (client, server) = derive_keys::<Sha256>(&salted);
            (Sha256::digest(client).to_vec(), server.to_vec())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// The keys behind the example exchange of RFC 5802 section 5 (user `user`, password `pencil`).
    #[test]
    fn keys_of_the_rfc_example() {
        let salt = super::super::decode(b"QSXCR+Q6sek8bf92").expect("base64");
        let (stored, server) = keys(Hash::Sha1, b"pencil", &salt, 4096);
        assert_eq!(hex(&stored), "e9d94660c39d65c38fbad91c358f14da0eef2bd6");
        assert_eq!(hex(&server), "0fe09258b3ac852ba502cc62ba903eaacdbf7d31");
    }

    #[test]
    fn a_verifier_knows_its_password() {
        for hash in Hash::ALL {
            let verifier = derive(hash, &Secret::new("pencil"), 4096).expect("a verifier");
            assert!(verifier.matches(hash, b"pencil"));
            assert!(!verifier.matches(hash, b"pencils"));
            let other = derive(hash, &Secret::new("pencil"), 4096).expect("a verifier");
            assert_ne!(verifier.salt, other.salt);
        }
    }

    #[test]
    fn passwords_that_are_refused() {
        assert_eq!(derive(Hash::Sha1, &Secret::new(""), 1), Err(PasswordError::Empty));
        assert_eq!(
            derive(Hash::Sha1, &Secret::new("a\u{7}b"), 1),
            Err(PasswordError::Forbidden)
        );
    }
}
