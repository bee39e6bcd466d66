//! The client side: chooses a mechanism, proves the password, checks the server's proof.

use engine::flow::{SaslReply, SaslRequest};
use rsasl::callback::{Context, Request, SessionCallback, SessionData};
use rsasl::prelude::{Mechname, SASLClient, SASLConfig, Session, SessionError, State};
use rsasl::property::{AuthId, Password};

use super::verifier::prepare;
use super::{EXTERNAL, SaslLayer, decode, encode, failure, is_scram_shaped};
use crate::secret::Secret;
use crate::tls::TlsFacts;

/// What the client can do, best first.
const SUPPORTED: [&str; 4] = ["SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"];

/// Rounds of PBKDF2 a server may ask for. Fewer would make a stolen proof cheap to guess from (RFC 7677), more would
/// let a server keep us busy for minutes.
const ITERATIONS: std::ops::RangeInclusive<u64> = 4_096..=1_000_000;

/// How `sync_client` logs in.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// `sync_authname`.
    pub user: String,
    /// `sync_password`.
    pub password: Secret,
    /// The only mechanisms allowed (in capitals); empty for all.
    pub mechanisms: Vec<String>,
    /// Whether PLAIN may be used: the peer is on this machine, or the operator allowed it.
    pub allow_plain: bool,
}

/// One connection's client side.
pub struct ClientSasl {
    credentials: Option<Credentials>,
    mechanisms: Vec<String>,
    /// What is known of TLS, inside it.
    tls: Option<TlsFacts>,
    session: Option<Session>,
    state: Progress,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Running,
    Finished,
}

impl ClientSasl {
    /// `None` when the configuration names no user or password; that is an error only if the server wants them.
    pub fn new(credentials: Option<Credentials>) -> Self {
        ClientSasl {
            credentials,
            mechanisms: Vec::new(),
            tls: None,
            session: None,
            state: Progress::Running,
        }
    }

    /// Allows only these mechanisms (in capitals); all when empty. For a client that may log in by its certificate alone,
    /// and so may have no credentials.
    #[must_use]
    pub fn only(mut self, mechanisms: Vec<String>) -> Self {
        self.mechanisms = mechanisms;
        self
    }

    /// Whether to log in by the certificate that was shown: it names somebody, and nobody else is configured to log in
    /// with a password, or the mechanism is forced. [CS-AUTH-14]
    fn is_certified(&self, offered: &[String]) -> bool {
        let Some(own) = self.tls.as_ref().and_then(|facts| facts.own.as_ref()) else {
            return false;
        };
        let offers = offered.iter().any(|name| name.eq_ignore_ascii_case(EXTERNAL));
        let forced = self.mechanisms.iter().any(|name| name == EXTERNAL);
        let wanted = match &self.credentials {
            _ if forced => true,
            _ if !self.mechanisms.is_empty() => false,
            Some(credentials) => credentials.user == *own,
            None => true,
        };
        offers && wanted
    }

    fn choose(&mut self, offered: &[String]) -> SaslReply {
        if self.is_certified(offered) {
            self.state = Progress::Finished;
            return SaslReply::Chosen {
                mechanism: EXTERNAL.to_owned(),
                initial: Some(bytes::Bytes::from_static(b"=")),
            };
        }
        let Some(credentials) = &self.credentials else {
            return failure(
                "the server wants a login; set `sync_authname` and `sync_password` in the configuration",
            );
        };
        let verified = self.tls.as_ref().map(|facts| facts.verified);
        let name = match pick(offered, credentials, verified) {
            Ok(name) => name,
            Err(text) => return SaslReply::Failure { text },
        };
        let password = match prepare(credentials.password.reveal()) {
            Ok(password) => Secret::new(password),
            Err(error) => {
                return SaslReply::Failure {
                    text: format!("`sync_password`: {error}"),
                };
            }
        };
        let callback = Callback {
            user: credentials.user.clone(),
            password,
        };
        let session = SASLConfig::builder()
            .with_defaults()
            .with_callback(callback)
            .ok()
            .and_then(|config| {
                let name = Mechname::parse(name.as_bytes()).ok()?;
                SASLClient::new(config).start_suggested(&[name]).ok()
            });
        let Some(mut session) = session else {
            return failure("the SASL library has no such mechanism");
        };
        let mut initial = Vec::new();
        match session.step(None, &mut initial) {
            Ok(state) => {
                self.keep(session, &state);
                SaslReply::Chosen {
                    mechanism: name.to_owned(),
                    initial: Some(encode(&initial)),
                }
            }
            Err(error) => SaslReply::Failure {
                text: format!("cannot log in as {}: {error}", credentials.user),
            },
        }
    }

    fn advance(&mut self, challenge: &[u8]) -> SaslReply {
        // A mechanism must not be stepped again after an error, so the session is put back only while it runs.
        let Some(mut session) = self.session.take() else {
            return failure("the server goes on with an exchange that has ended");
        };
        if self.state == Progress::Finished {
            return failure("the server goes on with an exchange that has ended");
        }
        let Some(challenge) = decode(challenge) else {
            return failure("the server sent a challenge that is no base64");
        };
        if !is_scram_shaped(&challenge, false) {
            return failure("the server sent a challenge that is no SCRAM message");
        }
        if let Err(text) = check_rounds(&challenge) {
            return SaslReply::Failure { text };
        }
        let mut answer = Vec::new();
        match session.step(Some(&challenge), &mut answer) {
            Ok(state) => {
                self.keep(session, &state);
                SaslReply::Send(encode(&answer))
            }
            Err(SessionError::MutualAuthenticationFailed) => failure(
                "the server does not know the password it should verify; this may be somebody else's server",
            ),
            Err(error) => SaslReply::Failure {
                text: format!("the login failed: {error}"),
            },
        }
    }

    /// The server said OK: that counts only when the mechanism is through, the server's own proof included.
    fn end(&mut self) -> SaslReply {
        self.session = None;
        match self.state {
            Progress::Finished => {
                let user = self
                    .credentials
                    .as_ref()
                    .map_or_else(String::new, |c| c.user.clone());
                SaslReply::Success {
                    admin: false,
                    user,
                    last: None,
                }
            }
            Progress::Running => failure("the server said OK before it proved who it is"),
        }
    }

    fn keep(&mut self, session: Session, state: &State) {
        self.state = if state.is_running() {
            Progress::Running
        } else {
            Progress::Finished
        };
        self.session = Some(session);
    }
}

impl SaslLayer for ClientSasl {
    fn step(&mut self, request: SaslRequest) -> SaslReply {
        match request {
            SaslRequest::Choose { offered } => self.choose(&offered),
            SaslRequest::Step(challenge) => self.advance(&challenge),
            SaslRequest::Abort => self.end(),
            SaslRequest::Start { .. } => failure("this is the client side"),
        }
    }

    fn secured(&mut self, facts: &TlsFacts) {
        self.tls = Some(facts.clone());
    }
}

/// The best mechanism that both sides have, or what to do. `verified` tells, inside TLS, whether the server is who it
/// should be: a password goes to nobody else. [CS-AUTH-11] [CS-AUTH-16]
fn pick(
    offered: &[String],
    credentials: &Credentials,
    verified: Option<bool>,
) -> Result<&'static str, String> {
    let offers = |name: &str| offered.iter().any(|o| o.eq_ignore_ascii_case(name));
    let wanted =
        |name: &str| credentials.mechanisms.is_empty() || credentials.mechanisms.iter().any(|m| m == name);
    let mut common = SUPPORTED.into_iter().filter(|name| offers(name) && wanted(name));
    match common.next() {
        Some("PLAIN") if !credentials.allow_plain && verified == Some(false) => Err(
            "the server offers no mechanism that hides the password (PLAIN only), and its certificate is not verified; \
             let it be (`mailtwin_tls_verify`, `mailtwin_tls_fingerprint`), or set `mailtwin_allow_plaintext: yes` to \
             give the password to whoever answers"
                .to_owned(),
        ),
        Some("PLAIN") if !credentials.allow_plain && verified.is_none() => Err(
            "the server offers no mechanism that hides the password (PLAIN only), and there is no TLS; give the replica \
             a certificate, or set `mailtwin_allow_plaintext: yes` to send the password in clear over this network"
                .to_owned(),
        ),
        Some(name) => Ok(name),
        None => Err(format!(
            "no common mechanism: the server offers {}; this client knows {}",
            if offered.is_empty() {
                "none".to_owned()
            } else {
                offered.join(" ")
            },
            SUPPORTED
                .into_iter()
                .filter(|name| wanted(name))
                .collect::<Vec<_>>()
                .join(" "),
        )),
    }
}

/// Looks at the rounds in a server-first message (`r=..,s=..,i=..`) before anybody computes that many.
pub(super) fn check_rounds(challenge: &[u8]) -> Result<(), String> {
    let mut fields = challenge.split(|&b| b == b',');
    let rounds = fields
        .find_map(|field| field.strip_prefix(b"i="))
        .filter(|_| challenge.starts_with(b"r="));
    let Some(rounds) = rounds else { return Ok(()) };
    let rounds = std::str::from_utf8(rounds)
        .ok()
        .and_then(|text| text.parse::<u64>().ok());
    match rounds {
        Some(rounds) if ITERATIONS.contains(&rounds) => Ok(()),
        _ => Err(format!(
            "the server asks for a number of SCRAM rounds outside {} to {}",
            ITERATIONS.start(),
            ITERATIONS.end()
        )),
    }
}

struct Callback {
    user: String,
    password: Secret,
}

impl SessionCallback for Callback {
    fn callback(
        &self,
        _: &SessionData,
        _: &Context<'_>,
        request: &mut Request<'_>,
    ) -> Result<(), SessionError> {
        request
            .satisfy::<AuthId>(&self.user)?
            .satisfy::<Password>(self.password.reveal().as_bytes())?;
        Ok(())
    }
}
