//! The store's verifiers, as the SASL layer asks for them.

use net::sasl::{Hash, Verifier, Verifiers};
use store::credentials::Credentials;
use store::sqlite::SqliteStore;

/// Verifiers of the users who may log in, read anew at each login, so that `mailtwin passwd` takes effect at once.
pub(crate) struct StoredVerifiers(Credentials);

impl StoredVerifiers {
    pub(crate) fn new(store: &SqliteStore) -> Self {
        StoredVerifiers(Credentials::of(store))
    }

    /// Whether the user could log in by any mechanism.
    pub(crate) fn has_password(&self, user: &str) -> bool {
        Hash::ALL
            .into_iter()
            .any(|hash| matches!(self.verifier(user, hash), Ok(Some(_))))
    }
}

impl Verifiers for StoredVerifiers {
    fn verifier(&self, user: &str, hash: Hash) -> Result<Option<Verifier>, String> {
        let found = self
            .0
            .get(user.as_bytes(), hash.mechanism())
            .map_err(|error| error.to_string())?;
        Ok(found.map(|kept| Verifier {
            salt: kept.salt,
            iterations: kept.iterations,
            stored_key: kept.stored_key,
            server_key: kept.server_key,
        }))
    }
}
