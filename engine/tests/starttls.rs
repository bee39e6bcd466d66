//! STARTTLS on both sides, with the handshake left to the test.

mod support;

use bytes::Bytes;
use engine::Master;
use engine::flow::{Input, Now, Output, SaslReply, SaslRequest, TlsStarted};
use engine::master::{Ending, Job, MasterConfig, Tls};
use engine::replica::{Replica, ReplicaConfig, ReplicaTls};
use protocol::Text;
use store::memory::MemoryStore;
use support::{Driver, config};

const DONE: Input = Input::TlsStarted(TlsStarted { identified: false });

fn replica(change: impl FnOnce(&mut ReplicaConfig)) -> Driver<Replica> {
    let mut config = ReplicaConfig {
        trusted: false,
        mechanisms: vec!["SCRAM-SHA-1".into()],
        tls: Some(ReplicaTls {
            mechanisms: vec!["SCRAM-SHA-1".into(), "PLAIN".into(), "EXTERNAL".into()],
        }),
        ..config()
    };
    change(&mut config);
    let mut driver = Driver::new(Replica::new(config), &MemoryStore::new());
    driver.settle();
    driver
}

fn said(driver: &mut Driver<Replica>, line: &str) -> String {
    driver.feed(line.as_bytes());
    driver.take()
}

/// [CS-CONN-2] [CS-CONN-4] [CS-AUTH-12] [CS-AUTH-13]
#[test]
fn a_replica_greets_anew_inside_tls() {
    let mut replica = replica(|_| {});
    let banner = replica.take();
    assert!(
        banner.starts_with("* SASL SCRAM-SHA-1\n* STARTTLS\n* COMPRESS DEFLATE\n"),
        "{banner}"
    );
    assert_eq!(
        said(&mut replica, "STARTTLS now\r\n"),
        "BAD Unexpected extra arguments to Starttls\n"
    );
    assert_eq!(
        said(&mut replica, "starttls\r\n"),
        "OK Begin TLS negotiation now\n"
    );
    assert!(replica.started_tls);
    replica.input(DONE);
    let inside = replica.take();
    // Without a certificate nobody is known by one.
    assert!(inside.starts_with("* SASL SCRAM-SHA-1 PLAIN\n"), "{inside}");
    assert!(
        !inside.contains("STARTTLS") && inside.contains("* OK "),
        "{inside}"
    );
    assert_eq!(
        said(&mut replica, "STARTTLS\r\n"),
        "BAD Already did a successful Starttls\n"
    );
    assert_eq!(
        said(&mut replica, "AUTHENTICATE PLAIN YWRtaW4=\r\n"),
        "OK Success (tls protection)\n"
    );
    assert_eq!(
        said(&mut replica, "STARTTLS\r\n"),
        "BAD Can't Starttls after authentication\n"
    );
}

#[test]
fn external_is_for_clients_with_a_certificate() {
    let mut replica = replica(|_| {});
    replica.take();
    said(&mut replica, "STARTTLS\r\n");
    replica.input(Input::TlsStarted(TlsStarted { identified: true }));
    let inside = replica.take();
    assert!(
        inside.starts_with("* SASL SCRAM-SHA-1 PLAIN EXTERNAL\n"),
        "{inside}"
    );
}

#[test]
fn a_replica_without_a_certificate_knows_no_starttls() {
    let mut without = replica(|config| config.tls = None);
    assert!(!without.take().contains("STARTTLS"));
    assert_eq!(
        said(&mut without, "STARTTLS\r\n"),
        "BAD IMAP_PROTOCOL_ERROR Unrecognized command\n"
    );
    let mut trusted = replica(|config| config.trusted = true);
    assert!(!trusted.take().contains("STARTTLS"));
    assert_eq!(
        said(&mut trusted, "STARTTLS\r\n"),
        "BAD Can't Starttls after authentication\n"
    );
}

/// [CS-AUTH-12] [CS-EXC-31]
#[test]
fn words_behind_starttls_end_the_connection() {
    for (line, closes) in [
        ("STARTTLS\r\nN", true),
        ("STARTTLS\r\nAUTHENTICATE PLAIN YWRtaW4=\r\n", true),
        ("STARTTLS\r\n", false),
    ] {
        let mut replica = replica(|_| {});
        replica.take();
        let answer = said(&mut replica, line);
        assert_eq!(replica.closed, closes, "{line}: {answer}");
        assert_eq!(replica.started_tls, !closes);
        if closes {
            assert_eq!(answer, "* Fatal error: bytes in clear behind STARTTLS\n");
        }
    }
}

/// [CS-AUTH-5]
#[test]
fn failed_logins_are_counted() {
    let mut replica = replica(|config| config.mechanisms = vec!["PLAIN".into()]);
    replica.take();
    for attempt in 1..=5 {
        assert!(!replica.closed, "at attempt {attempt}");
        let answer = said(&mut replica, "AUTHENTICATE PLAIN d3Jvbmc=\r\n");
        assert!(answer.starts_with("NO authentication failure\n"), "{answer}");
        assert_eq!(answer.contains("* Fatal error: "), attempt == 5, "{answer}");
    }
    assert!(replica.closed);
}

/// A master against a script: pairs of what it should say and what is answered; `None` stands for the handshake.
fn converse(tls: Tls, banner: &str, script: &[Option<(&str, &str)>]) -> (Ending, Vec<Vec<String>>) {
    let config = MasterConfig {
        tls,
        ..MasterConfig::new(Job::Users(vec![Text::from("jane")]))
    };
    let mut master = Master::new(config);
    let mut offered = Vec::new();
    let mut sent = String::new();
    let mut script = script.iter();
    let give = |master: &mut Master, input| master.handle(Now(1), input);
    give(
        &mut master,
        Input::Bytes(Bytes::copy_from_slice(banner.as_bytes())),
    );
    loop {
        match master.poll() {
            Output::Send(bytes) => sent.push_str(&String::from_utf8_lossy(&bytes)),
            Output::Sasl(SaslRequest::Choose { offered: names }) => {
                offered.push(names);
                let text = "enough".to_owned();
                give(&mut master, Input::Sasl(SaslReply::Failure { text }));
            }
            Output::StartTls => {
                assert_eq!(script.next(), Some(&None), "no handshake was expected");
                give(&mut master, DONE);
            }
            Output::Wait(_) => match script.next() {
                Some(Some((expected, answer))) => {
                    assert_eq!(std::mem::take(&mut sent), *expected);
                    give(
                        &mut master,
                        Input::Bytes(Bytes::copy_from_slice(answer.as_bytes())),
                    );
                }
                Some(None) => panic!("the handshake was expected"),
                None => give(&mut master, Input::Eof),
            },
            Output::Closed => {
                return (master.progress().ended.expect("an end"), offered);
            }
            Output::Store(..) | Output::Sasl(_) | Output::StartDeflate { .. } => panic!("not that far"),
        }
    }
}

const CLEAR: &str = "* SASL PLAIN LOGIN\r\n* STARTTLS\r\n* OK x Cyrus sync server 3.6.1\r\n";
const BEGIN: &str = "OK Begin TLS negotiation now\r\n";

/// [CS-CONN-53]
#[test]
fn a_master_forgets_what_was_said_in_clear() {
    let inside = "* SASL SCRAM-SHA-256\r\n* OK x Cyrus sync server 3.6.1\r\n";
    for tls in [Tls::WhenOffered, Tls::Required] {
        let script = [Some(("STARTTLS\r\n", BEGIN)), None, Some(("", inside))];
        let (ending, offered) = converse(tls, CLEAR, &script);
        assert_eq!(ending, Ending::AuthenticationFailed("enough".to_owned()));
        assert_eq!(offered, [["SCRAM-SHA-256"]]);
    }
    let (_, offered) = converse(Tls::Never, CLEAR, &[]);
    assert_eq!(offered, [["PLAIN", "LOGIN"]]);
}

#[test]
fn a_master_that_cannot_have_tls() {
    let without = "* SASL PLAIN\r\n* OK x Cyrus sync server 3.6.1\r\n";
    let (ending, offered) = converse(Tls::Required, without, &[]);
    assert!(
        matches!(&ending, Ending::TlsFailed(text) if text.contains("does not offer")),
        "{ending:?}"
    );
    assert!(offered.is_empty());
    let (ending, offered) = converse(Tls::WhenOffered, without, &[]);
    assert!(matches!(ending, Ending::AuthenticationFailed(_)));
    assert_eq!(offered, [["PLAIN"]]);
    for refused in ["NO Error initializing TLS\r\n", "BAD what\r\n"] {
        let (ending, offered) = converse(Tls::WhenOffered, CLEAR, &[Some(("STARTTLS\r\n", refused))]);
        assert!(
            matches!(&ending, Ending::TlsFailed(text) if text.contains("refuses")),
            "{ending:?}"
        );
        assert!(offered.is_empty());
    }
}

#[test]
fn a_master_does_not_believe_words_behind_the_consent() {
    let tampered = format!("{BEGIN}* SASL PLAIN\r\n* OK y Cyrus sync server 3.6.1\r\n");
    let (ending, offered) = converse(Tls::WhenOffered, CLEAR, &[Some(("STARTTLS\r\n", &tampered))]);
    assert!(
        matches!(&ending, Ending::ConnectionLost(text) if text.contains("tampering")),
        "{ending:?}"
    );
    assert!(offered.is_empty());
}
