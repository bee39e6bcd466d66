//! From the banner to the first command: who the peer is, TLS, authentication, deflate, capabilities. [CS-CONN-2] [CS-CONN-3]

use protocol::Text;
use protocol::command::{Apply, Command};
use protocol::decode::{ReplyDecoder, ReplyEvent};
use protocol::response::{Data, Final};

use super::run::Run;
use super::{Compress, Ending, MasterConfig, Tls};
use crate::flow::{Ended, Port, SaslReply, SaslRequest};

/// Bytes that a replica may send before it is logged in to. [CS-LIMIT-22]
pub(super) const LOGIN_BYTES_MAX: u64 = 1 << 20;

/// Challenges of one login; no mechanism needs more than three. [CS-LIMIT-22]
const CHALLENGES_MAX: u32 = 16;

/// What kind of server answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Server {
    /// Our own replica: takes MAILBOX lines behind unanswered MESSAGE blocks, and partial updates.
    Mailtwin,
    /// Cyrus, with major and minor version; 0 and 0 when its banner does not say.
    Cyrus(u32, u32),
}

/// What is known of the peer, by its banner and its answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct PeerProfile {
    /// What it is.
    pub(super) server: Server,
    /// SASL mechanisms offered.
    mechanisms: Vec<String>,
    /// Whether the banner had capability lines at all (Unix sockets show none).
    has_capabilities: bool,
    /// Whether STARTTLS is offered.
    starttls: bool,
    /// Whether deflate is offered.
    deflate: bool,
    /// Whether `#sieve` mailboxes travel as mailboxes; offered first, then as enabled.
    pub(super) sieve_mailbox: bool,
    /// Whether new messages can be staged on the archive partition.
    archive: bool,
}

impl PeerProfile {
    fn nobody() -> Self {
        PeerProfile {
            server: Server::Cyrus(0, 0),
            mechanisms: Vec::new(),
            has_capabilities: false,
            starttls: false,
            deflate: false,
            sieve_mailbox: false,
            archive: false,
        }
    }

    /// Whether the peer is our own replica.
    pub(super) fn is_mailtwin(&self) -> bool {
        self.server == Server::Mailtwin
    }

    /// Whether unknown names in lists are harmless; Cyrus before 3.6 dies of some.
    pub(super) fn takes_unknown_ids(&self) -> bool {
        match self.server {
            Server::Mailtwin => true,
            Server::Cyrus(major, minor) => (major, minor) >= (3, 6),
        }
    }

    /// Whether a mailbox that never held a message gives way to another one of its name. [CS-MBOX-18]
    pub(super) fn replaces_unused(&self) -> bool {
        self.takes_unknown_ids()
    }

    fn learn_capability(&mut self, name: &Text, arguments: &[Text]) {
        self.has_capabilities = true;
        match name.to_ascii_uppercase().as_slice() {
            b"SASL" => self.mechanisms = arguments.iter().map(|m| m.to_lossy().into_owned()).collect(),
            b"STARTTLS" => self.starttls = true,
            b"COMPRESS" => self.deflate = arguments.iter().any(|a| a.eq_ignore_ascii_case(b"DEFLATE")),
            b"SIEVE-MAILBOX" => self.sieve_mailbox = true,
            b"REPLICATION-ARCHIVE" => self.archive = true,
            _ => {}
        }
    }

    /// `<servername> Cyrus sync server <version>` or the like; the server's own name says nothing.
    fn learn_banner(&mut self, text: &Text) {
        let text = text.to_lossy();
        let said = text.split_once(' ').map_or("", |(_, rest)| rest);
        self.server = if said.to_ascii_lowercase().contains("mailtwin") {
            Server::Mailtwin
        } else {
            let version = said
                .split(' ')
                .find(|w| w.starts_with(|c: char| c.is_ascii_digit()))
                .unwrap_or("");
            let mut numbers = version
                .split(|c: char| !c.is_ascii_digit())
                .map(|n| n.parse().unwrap_or(0));
            Server::Cyrus(numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
        };
    }
}

/// Reads the banner.
pub(super) async fn banner(port: &Port<ReplyDecoder>) -> Result<PeerProfile, Ending> {
    let mut peer = PeerProfile::nobody();
    loop {
        match port.event(true).await {
            Ok(ReplyEvent::Data(Data::Capability { name, arguments })) => {
                peer.learn_capability(&name, &arguments)
            }
            Ok(ReplyEvent::Data(Data::Banner(text))) => {
                peer.learn_banner(&text);
                return Ok(peer);
            }
            Ok(ReplyEvent::Data(_)) => {}
            event => return Err(unexpected(event, "the banner")),
        }
    }
}

fn unexpected(event: Result<ReplyEvent, Ended>, during: &str) -> Ending {
    match event {
        Err(Ended::Eof) => {
            Ending::ConnectionLost(format!("the replica closed the connection during {during}"))
        }
        Err(Ended::TooMuch) => Ending::ConnectionLost(format!(
            "{during} is not that of a csync server: more than {LOGIN_BYTES_MAX} bytes before the login was done"
        )),
        Err(Ended::Shutdown) => Ending::Stopped,
        Ok(ReplyEvent::Final(Final::Bye(text))) => {
            Ending::ConnectionLost(format!("the replica said BYE: {text}"))
        }
        Ok(ReplyEvent::Fatal(fault)) => Ending::ConnectionLost(format!("{during}: {fault}")),
        Ok(_) => Ending::ConnectionLost(format!("{during} is not that of a csync server")),
    }
}

/// STARTTLS as configured; inside TLS the peer begins anew, and what it said in clear is forgotten. [CS-CONN-29]
/// [CS-CONN-53]
pub(super) async fn secure(
    port: &Port<ReplyDecoder>,
    peer: &mut PeerProfile,
    policy: Tls,
) -> Result<(), Ending> {
    match policy {
        Tls::Never => return Ok(()),
        Tls::WhenOffered if !peer.starttls => return Ok(()),
        Tls::Required if !peer.starttls => {
            return Err(Ending::TlsFailed(
                "the replica does not offer STARTTLS, and TLS is required; give it a certificate \
                 (`tls_server_cert` and `tls_server_key` there, and for Cyrus from 3.10 on `allowstarttls: yes`), or do not \
                 require TLS"
                    .to_owned(),
            ));
        }
        Tls::WhenOffered | Tls::Required => {}
    }
    port.encode(|encoder| encoder.command(&Command::StartTls));
    loop {
        match port.event(false).await {
            Ok(ReplyEvent::Final(Final::Ok(_))) => break,
            Ok(ReplyEvent::Final(Final::No(_, text) | Final::Bad(text))) => {
                return Err(Ending::TlsFailed(format!(
                    "the replica offers STARTTLS and then refuses it: {text}; see its log, its certificate may not be readable"
                )));
            }
            Ok(ReplyEvent::Data(_)) => {}
            event => return Err(unexpected(event, "STARTTLS")),
        }
    }
    if port.start_tls().await.is_none() {
        return Err(Ending::ConnectionLost(
            "something was sent in clear behind the replica's answer to STARTTLS; somebody may be tampering with the connection".to_owned(),
        ));
    }
    *peer = banner(port).await?;
    Ok(())
}

/// Authenticates with what the SASL layer chooses. [CS-AUTH-10]
pub(super) async fn authenticate(port: &Port<ReplyDecoder>, peer: &PeerProfile) -> Result<(), Ending> {
    let offered = peer.mechanisms.clone();
    let (mechanism, initial) = match port.sasl(SaslRequest::Choose { offered }).await {
        SaslReply::Chosen { mechanism, initial } => (mechanism, initial),
        SaslReply::Failure { text } => return Err(Ending::AuthenticationFailed(text)),
        SaslReply::Send(_) | SaslReply::Success { .. } => {
            return Err(Ending::AuthenticationFailed(
                "the SASL layer chose no mechanism".to_owned(),
            ));
        }
    };
    let command = Command::Authenticate {
        mechanism: Text::from(mechanism.as_str()),
        initial: initial.map(|data| Text::copy_from(&data)),
    };
    port.encode(|encoder| encoder.command(&command));
    let mut given_up = None;
    let mut challenges = 0;
    loop {
        match port.event(false).await {
            Ok(ReplyEvent::Final(Final::Continue(_))) if challenges >= CHALLENGES_MAX => {
                return Err(Ending::ConnectionLost(format!(
                    "the replica asks more than {CHALLENGES_MAX} times in one login"
                )));
            }
            Ok(ReplyEvent::Final(Final::Continue(challenge))) => {
                challenges += 1;
                let step = bytes::Bytes::from(challenge.into_bytes());
                let line = match port.sasl(SaslRequest::Step(step)).await {
                    SaslReply::Send(data) => data,
                    SaslReply::Failure { text } => {
                        given_up = Some(text);
                        bytes::Bytes::from_static(b"*")
                    }
                    SaslReply::Chosen { .. } | SaslReply::Success { .. } => bytes::Bytes::new(),
                };
                port.encode(|encoder| {
                    encoder.raw(&line);
                    encoder.raw(b"\r\n");
                });
            }
            Ok(ReplyEvent::Final(Final::Ok(_))) => {
                if let Some(text) = given_up {
                    return Err(Ending::AuthenticationFailed(text));
                }
                // A server that has to prove itself too (SCRAM) could leave its proof out and just say OK.
                return match port.sasl(SaslRequest::Abort).await {
                    SaslReply::Failure { text } => Err(Ending::AuthenticationFailed(text)),
                    _ => Ok(()),
                };
            }
            Ok(ReplyEvent::Final(Final::No(_, text) | Final::Bad(text))) => {
                let said = given_up.unwrap_or_else(|| format!("the replica refused {mechanism}: {text}"));
                return Err(Ending::AuthenticationFailed(said));
            }
            Ok(ReplyEvent::Data(_)) => {}
            event => return Err(unexpected(event, "authentication")),
        }
    }
}

/// Switches deflate on as configured. [CS-COMP-5]
pub(super) async fn compress(
    port: &Port<ReplyDecoder>,
    peer: &PeerProfile,
    config: &MasterConfig,
) -> Result<(), Ending> {
    let wanted = match config.compress {
        Compress::No => false,
        Compress::WhenOffered => peer.deflate,
        Compress::Required => true,
    };
    if !wanted {
        return Ok(());
    }
    port.encode(|encoder| {
        encoder.command(&Command::Compress {
            algorithm: Text::from_static(b"DEFLATE"),
        })
    });
    loop {
        match port.event(false).await {
            Ok(ReplyEvent::Final(Final::Ok(_))) => {
                port.start_deflate();
                return Ok(());
            }
            Ok(ReplyEvent::Final(Final::No(_, text) | Final::Bad(text))) => {
                return match config.compress {
                    Compress::Required => Err(Ending::CompressionUnavailable(text.to_lossy().into_owned())),
                    _ => Ok(()),
                };
            }
            Ok(ReplyEvent::Data(_)) => {}
            event => return Err(unexpected(event, "COMPRESS")),
        }
    }
}

impl Run {
    /// Capabilities and FORCE, in one round trip. [CS-MASTER-40]
    pub(super) async fn negotiate(&mut self) -> Result<(), Ending> {
        // A Unix socket offers nothing. Cyrus's master asks for nothing there either, and lists and sends scripts one by
        // one; with SIEVE-MAILBOX on, scripts that came to us that way could not be deleted at the replica any more.
        let ask_sieve = self.peer.sieve_mailbox || (!self.peer.has_capabilities && self.peer.is_mailtwin());
        let none = Text::EMPTY;
        let mut names = Vec::new();
        if ask_sieve {
            names.push(Text::from_static(b"SIEVE-MAILBOX"));
        }
        if self.config.stage_to_archive && self.peer.archive {
            names.push(Text::from_static(b"REPLICATION-ARCHIVE"));
        } else if self.config.stage_to_archive {
            self.notice("the replica has no archive partition to stage messages on".to_owned());
        }
        let capabilities = (!names.is_empty()).then(|| {
            let ask = Command::Apply(Apply::Capabilities(Some(names)));
            self.wire.send("APPLY CAPABILITIES", &none, &ask)
        });
        let force = (!self.config.copyback && !self.config.dry_run).then(|| {
            self.wire
                .send("APPLY FORCE", &none, &Command::Apply(Apply::Force))
        });
        self.peer.sieve_mailbox = false;
        if let Some(sent) = capabilities {
            let answer = self.wire.answer(sent).await?;
            self.peer.sieve_mailbox = answer.result.is_ok()
                && answer.data.iter().any(|line| match line {
                    Data::Enabled(names) => names.iter().any(|n| n.eq_ignore_ascii_case(b"SIEVE-MAILBOX")),
                    _ => false,
                });
        }
        if let Some(sent) = force
            && let Err(refusal) = self.wire.answer(sent).await?.result
        {
            self.notice(format!("no forced updates: {}", refusal.text));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn banner_of(text: &str) -> Server {
        let mut peer = PeerProfile::nobody();
        peer.learn_banner(&Text::from(text));
        peer.server
    }

    #[test]
    fn servers_by_their_banner() {
        assert_eq!(
            banner_of("a.example.org Cyrus sync server 3.6.1-4+deb12u5"),
            Server::Cyrus(3, 6)
        );
        assert_eq!(
            banner_of("mailtwin.example.org Cyrus sync server 3.12.4"),
            Server::Cyrus(3, 12)
        );
        assert_eq!(banner_of("a Cyrus sync server v2"), Server::Cyrus(0, 0));
        assert_eq!(banner_of("a mailtwin 0.1.0"), Server::Mailtwin);
        assert_eq!(banner_of("a Cyrus sync server mailtwin 0.1.0"), Server::Mailtwin);
        assert_eq!(banner_of(""), Server::Cyrus(0, 0));
    }
}
