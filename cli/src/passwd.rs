//! `mailtwin passwd`: who may log in to replicate.

use std::io::{self, BufRead, IsTerminal};

use console::Term;
use net::sasl::{Hash, PasswordError, Verifier, Verifiers, derive_all};
use net::secret::Secret;
use store::credentials::{self, Credentials};
use store::sqlite::SqliteStore;

use crate::failure::{Exit, Failure, Result};
use crate::output;

/// Asks for the password and stores its verifiers. `admins` are those whom the server lets replicate.
pub fn run(store: &SqliteStore, user: &str, admins: &[String]) -> Result<()> {
    if user.is_empty() || user.chars().any(char::is_control) {
        return Err(Failure::new(
            Exit::Data,
            format!("{user:?} cannot be a user's name"),
        ));
    }
    set(store, user, &ask(user)?)?;
    output::note(&format!("{user} can log in with this password from now on"))?;
    if !admins.iter().any(|admin| admin == user) {
        output::note(&format!(
            "{user} may not replicate yet: add the name to `admins` in the server's configuration"
        ))?;
    }
    Ok(())
}

/// Stores the verifiers of a password, which replace the earlier ones; the password itself is stored nowhere.
pub fn set(store: &SqliteStore, user: &str, password: &Secret) -> Result<()> {
    let verifiers = derive_all(password).map_err(|error| {
        let exit = if matches!(error, PasswordError::NoRandomness(_)) {
            Exit::Io
        } else {
            Exit::Data
        };
        Failure::new(exit, error.to_string())
    })?;
    let verifiers: Vec<_> = verifiers
        .into_iter()
        .map(|(hash, verifier)| credentials::Verifier {
            mechanism: hash.mechanism().to_owned(),
            salt: verifier.salt,
            iterations: verifier.iterations,
            stored_key: verifier.stored_key,
            server_key: verifier.server_key,
        })
        .collect();
    Ok(Credentials::of(store).put(user.as_bytes(), &verifiers)?)
}

/// Looks verifiers up in a store.
pub struct Stored(Credentials);

impl Stored {
    /// Those of this store.
    pub fn of(store: &SqliteStore) -> Self {
        Stored(Credentials::of(store))
    }
}

impl Verifiers for Stored {
    fn verifier(&self, user: &str, hash: Hash) -> std::result::Result<Option<Verifier>, String> {
        let found = self
            .0
            .get(user.as_bytes(), hash.mechanism())
            .map_err(|error| error.to_string())?;
        Ok(found.map(|verifier| Verifier {
            salt: verifier.salt,
            iterations: verifier.iterations,
            stored_key: verifier.stored_key,
            server_key: verifier.server_key,
        }))
    }
}

/// One line of standard input; on a terminal twice, and unseen.
fn ask(user: &str) -> Result<Secret> {
    let failed = |error: io::Error| Failure::new(Exit::Io, format!("standard input: {error}"));
    if io::stdin().is_terminal() {
        let terminal = Term::stderr();
        let asked = |prompt: &str| {
            terminal.write_str(prompt)?;
            terminal.read_secure_line().map(Secret::new)
        };
        let first = asked(&format!("Password for {user}: ")).map_err(failed)?;
        let second = asked("Once more: ").map_err(failed)?;
        if first.reveal() != second.reveal() {
            return Err(Failure::new(
                Exit::Data,
                "the two passwords are not the same; nothing was changed",
            ));
        }
        return Ok(first);
    }
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(failed)?;
    Ok(Secret::new(
        line.strip_suffix('\n')
            .map_or(&line[..], |l| l.strip_suffix('\r').unwrap_or(l)),
    ))
}
