//! The server side: PLAIN and SCRAM against verifiers, EXTERNAL by the certificate that TLS verified.

use std::sync::Arc;

use engine::flow::{SaslReply, SaslRequest};
use rsasl::callback::{Context, Request, SessionCallback, SessionData};
use rsasl::mechanisms::scram::properties::ScramStoredPassword;
use rsasl::prelude::{Mechname, SASLConfig, SASLServer, Session, SessionError, State, Validation};
use rsasl::property::{AuthId, AuthzId, Password};
use rsasl::validate::{Validate, ValidationError};
use sha2::{Digest, Sha256};

use super::{
    BAD_DATA, Hash, ITERATIONS_DEFAULT, REFUSED, SaslLayer, Verifier, decode, encode, failure,
    is_scram_shaped,
};
use crate::tls::TlsFacts;

/// Where verifiers are kept.
pub trait Verifiers: Send + Sync {
    /// The verifier of a user, or `None` for an unknown one.
    ///
    /// # Errors
    /// What the store said.
    fn verifier(&self, user: &str, hash: Hash) -> Result<Option<Verifier>, String>;
}

/// The mechanisms a server offers, best first: all it has, or those of `allowed` (names in capitals) when that is not
/// empty; PLAIN only when `plain` says that the password would not cross a network in clear. [CS-AUTH-11]
pub fn mechanisms(allowed: &[String], plain: bool) -> Vec<String> {
    let all = Hash::ALL
        .into_iter()
        .map(Hash::mechanism)
        .chain(plain.then_some("PLAIN"));
    all.filter(|name| allowed.is_empty() || allowed.iter().any(|a| a == name))
        .map(str::to_owned)
        .collect()
}

/// The mechanisms a server offers inside TLS, `allowed` as for [`mechanisms`]: PLAIN crosses no network in clear there, and
/// EXTERNAL is for clients with a certificate.
pub fn inside_tls(allowed: &[String]) -> Vec<String> {
    let external = allowed.is_empty() || allowed.iter().any(|name| name == EXTERNAL);
    let mut offered = mechanisms(allowed, true);
    offered.extend(external.then(|| EXTERNAL.to_owned()));
    offered
}

/// The mechanism of a client that is known by its certificate.
pub const EXTERNAL: &str = "EXTERNAL";

/// One connection's server side. A failed attempt may be followed by another one.
pub struct ServerSasl {
    verifiers: Arc<dyn Verifiers>,
    admins: Arc<[String]>,
    mechanisms: Vec<String>,
    /// Those inside TLS.
    mechanisms_inside: Vec<String>,
    /// Who the client is by its certificate.
    certified: Option<String>,
    /// The exchange is one of EXTERNAL, and waits for the client's answer to an empty challenge.
    external: bool,
    session: Option<Session<Outcome>>,
    /// Whether the next message is the first of its exchange.
    first: bool,
}

impl ServerSasl {
    /// `mechanisms` are those that [`mechanisms`] named; `admins` may replicate.
    pub fn new(verifiers: Arc<dyn Verifiers>, admins: Arc<[String]>, mechanisms: Vec<String>) -> Self {
        ServerSasl {
            verifiers,
            admins,
            mechanisms,
            mechanisms_inside: Vec::new(),
            certified: None,
            external: false,
            session: None,
            first: true,
        }
    }

    /// Says what may be used inside TLS in place of the others; EXTERNAL among them is for clients with a certificate.
    #[must_use]
    pub fn inside_tls(mut self, mechanisms: Vec<String>) -> Self {
        self.mechanisms_inside = mechanisms;
        self
    }

    fn start(&mut self, mechanism: &str, initial: Option<&[u8]>) -> SaslReply {
        self.session = None;
        self.external = false;
        let name = mechanism.to_ascii_uppercase();
        if !self.mechanisms.contains(&name) {
            return failure("no mechanism available");
        }
        if name == EXTERNAL {
            self.external = true;
            return match initial {
                Some(data) => self.certify(data),
                None => SaslReply::Send(encode(b"")),
            };
        }
        let callback = Callback {
            verifiers: Arc::clone(&self.verifiers),
            hash: Hash::of_mechanism(&name),
        };
        let session = SASLConfig::builder()
            .with_defaults()
            .with_callback(callback)
            .ok()
            .zip(Mechname::parse(name.as_bytes()).ok())
            .and_then(|(config, name)| SASLServer::<Outcome>::new(config).start_suggested(name).ok());
        let Some(session) = session else {
            return failure("no mechanism available");
        };
        self.session = Some(session);
        self.first = true;
        match initial {
            Some(data) => self.advance(data),
            None => SaslReply::Send(encode(b"")),
        }
    }

    fn advance(&mut self, data: &[u8]) -> SaslReply {
        // A mechanism must not be stepped again after an error, so the session is put back only while it runs.
        let Some(mut session) = self.session.take() else {
            return failure(BAD_DATA);
        };
        let Some(data) = decode(data) else {
            return failure(BAD_DATA);
        };
        let first = std::mem::replace(&mut self.first, false);
        if session.get_mechname().as_str().starts_with("SCRAM-") && !is_scram_shaped(&data, first) {
            return failure(BAD_DATA);
        }
        let mut answer = Vec::new();
        match session.step(Some(&data), &mut answer) {
            Ok(State::Running) => {
                self.session = Some(session);
                SaslReply::Send(encode(&answer))
            }
            Ok(State::Finished(_)) => self.finish(session.validation(), &answer),
            Err(error) => {
                tracing::info!(%error, "a login attempt failed");
                failure(if matches!(error, SessionError::MechanismError(_)) {
                    BAD_DATA
                } else {
                    REFUSED
                })
            }
        }
    }

    /// Ends EXTERNAL (RFC 4422): the client may name whom it wants to act for, and is who its certificate says.
    /// [CS-AUTH-14]
    fn certify(&mut self, data: &[u8]) -> SaslReply {
        self.external = false;
        let named = if data == b"=" {
            Some(Vec::new())
        } else {
            decode(data)
        };
        let (Some(named), Some(user)) = (named, self.certified.clone()) else {
            return failure(BAD_DATA);
        };
        let own_rights = named.is_empty() || named == user.as_bytes();
        self.finish(Some(Login { user, own_rights }), b"")
    }

    fn finish(&self, login: Option<Login>, answer: &[u8]) -> SaslReply {
        let Some(login) = login else {
            tracing::info!("a login attempt failed");
            return failure(REFUSED);
        };
        let admin = login.own_rights && self.admins.contains(&login.user);
        if !admin {
            tracing::warn!(
                user = login.user,
                "logged in without being among `admins`; may do nothing"
            );
        }
        let last = (!answer.is_empty()).then(|| encode(answer));
        SaslReply::Success {
            admin,
            user: login.user,
            last,
        }
    }
}

impl SaslLayer for ServerSasl {
    fn step(&mut self, request: SaslRequest) -> SaslReply {
        match request {
            SaslRequest::Start { mechanism, initial } => self.start(&mechanism, initial.as_deref()),
            SaslRequest::Step(data) if self.external => self.certify(&data),
            SaslRequest::Step(data) => self.advance(&data),
            SaslRequest::Abort | SaslRequest::Choose { .. } => {
                self.session = None;
                self.external = false;
                failure(BAD_DATA)
            }
        }
    }

    fn secured(&mut self, facts: &TlsFacts) {
        self.session = None;
        self.external = false;
        self.certified.clone_from(&facts.peer);
        self.mechanisms = std::mem::take(&mut self.mechanisms_inside);
        if self.certified.is_none() {
            self.mechanisms.retain(|name| name != EXTERNAL);
        }
    }
}

/// Who logged in.
struct Login {
    user: String,
    /// False when the user asked to act for somebody else, which never makes an administrator. [CS-AUTH-8]
    own_rights: bool,
}

/// Carries the login out of the callback; absent when the proof or password was wrong.
struct Outcome;

impl Validation for Outcome {
    type Value = Login;
}

struct Callback {
    verifiers: Arc<dyn Verifiers>,
    /// `None` for PLAIN.
    hash: Option<Hash>,
}

impl Callback {
    fn find(&self, user: &str, hash: Hash) -> Option<Verifier> {
        self.verifiers.verifier(user, hash).unwrap_or_else(|error| {
            tracing::error!(%error, "cannot read credentials");
            None
        })
    }

    /// PLAIN is checked against the best verifier there is; an unknown user takes as long as a known one.
    fn password_is_right(&self, user: &str, password: &[u8]) -> bool {
        let found = Hash::ALL
            .into_iter()
            .find_map(|hash| Some((hash, self.find(user, hash)?)));
        match found {
            Some((hash, verifier)) => verifier.matches(hash, password),
            None => {
                std::hint::black_box(unknown_user(user, Hash::Sha256).matches(Hash::Sha256, password));
                false
            }
        }
    }
}

impl SessionCallback for Callback {
    fn callback(
        &self,
        _: &SessionData,
        context: &Context<'_>,
        request: &mut Request<'_>,
    ) -> Result<(), SessionError> {
        if let (Some(hash), Some(user)) = (self.hash, context.get_ref::<AuthId>()) {
            let verifier = self
                .find(&unescape(user), hash)
                .unwrap_or_else(|| unknown_user(user, hash));
            request.satisfy::<ScramStoredPassword<'static>>(&ScramStoredPassword::new(
                verifier.iterations,
                &verifier.salt,
                &verifier.stored_key,
                &verifier.server_key,
            ))?;
        }
        Ok(())
    }

    fn validate(
        &self,
        _: &SessionData,
        context: &Context<'_>,
        validate: &mut Validate<'_>,
    ) -> Result<(), ValidationError> {
        let Some(user) = context.get_ref::<AuthId>() else {
            return Ok(());
        };
        let user = if self.hash.is_some() {
            unescape(user)
        } else {
            user.to_owned()
        };
        // SCRAM comes here only after the proof was found right; PLAIN brings the password.
        let right = match context.get_ref::<Password>() {
            Some(password) => self.hash.is_none() && self.password_is_right(&user, password),
            None => self.hash.is_some(),
        };
        if right {
            let acting_for = context.get_ref::<AuthzId>().unwrap_or_default();
            let own_rights = acting_for.is_empty() || acting_for == user;
            validate.finalize::<Outcome>(Login { user, own_rights });
        }
        Ok(())
    }
}

/// A verifier that nothing matches, the same for the same name, so that guessing names tells nothing.
fn unknown_user(user: &str, hash: Hash) -> Verifier {
    static KEY: std::sync::OnceLock<[u8; 32]> = std::sync::OnceLock::new();
    let key = KEY.get_or_init(|| {
        let mut key = [0; 32];
        if let Err(error) = getrandom::fill(&mut key) {
            tracing::error!(%error, "no random numbers; unknown users can be told from known ones");
        }
        key
    });
    let derived = |what: &[u8]| {
        Sha256::new()
            .chain_update(key)
            .chain_update(what)
            .chain_update(user)
            .finalize()
            .to_vec()
    };
    let length = match hash {
        Hash::Sha1 => 20,
        Hash::Sha256 => 32,
    };
    let key_of = |what: &[u8]| derived(what).into_iter().take(length).collect::<Vec<u8>>();
    Verifier {
        salt: derived(b"salt").into_iter().take(16).collect(),
        iterations: ITERATIONS_DEFAULT,
        stored_key: key_of(b"stored"),
        server_key: key_of(b"server"),
    }
}

/// A user name as SCRAM writes it, with `=2C` and `=3D` for `,` and `=`.
fn unescape(name: &str) -> String {
    name.replace("=2C", ",").replace("=3D", "=")
}
