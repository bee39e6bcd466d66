//! Banner, authentication, TLS, compression, and the answer to a client that takes us for an IMAP server.

use bytes::Bytes;
use protocol::Text;
use protocol::decode::CommandEvent;
use protocol::response::{Data, Final};

use super::fail::{Fail, Stop};
use super::session::{Conn, Peer, bad, no, ok};
use crate::flow::{SaslReply, SaslRequest};

/// Sends the banner, at the beginning and again inside TLS. A trusted peer sees its last line only. [CS-CONN-2]
/// [CS-CONN-4] [CS-CONN-5] [CS-EXC-32]
pub(super) fn greet(conn: &Conn) {
    let capability = |name: &'static [u8], arguments: Vec<Text>| Data::Capability {
        name: Text::from_static(name),
        arguments,
    };
    let mut lines = Vec::new();
    if conn.peer == Peer::Guest {
        let mechanisms = mechanisms(conn);
        if !mechanisms.is_empty() {
            lines.push(capability(b"SASL", mechanisms));
        }
        if conn.config.tls.is_some() && conn.tls.is_none() {
            lines.push(capability(b"STARTTLS", Vec::new()));
        }
        if conn.config.compress && !conn.compressed {
            lines.push(capability(b"COMPRESS", vec![Text::from_static(b"DEFLATE")]));
        }
        lines.push(capability(b"SIEVE-MAILBOX", Vec::new()));
    }
    lines.push(Data::Banner(Text::from(format!(
        "{} Cyrus sync server {}",
        conn.config.servername, conn.config.version
    ))));
    conn.port
        .encode(|encoder| lines.iter().for_each(|line| encoder.data(line)));
}

/// The mechanisms that can be used as the connection is now.
fn mechanisms(conn: &Conn) -> Vec<Text> {
    let (names, identified) = match (&conn.config.tls, conn.tls) {
        (Some(tls), Some(started)) => (&tls.mechanisms, started.identified),
        _ => (&conn.config.mechanisms, false),
    };
    let usable = names.iter().filter(|name| identified || *name != "EXTERNAL");
    usable.map(|name| Text::from(name.as_str())).collect()
}

/// `STARTTLS`. What came in clear behind it may be somebody else's words, so it ends the connection. [CS-AUTH-12]
/// [CS-AUTH-13] [CS-EXC-31]
pub(super) async fn start_tls(conn: &mut Conn) -> Result<(), Stop> {
    if conn.config.tls.is_none() {
        conn.say(bad("IMAP_PROTOCOL_ERROR Unrecognized command"));
    } else if conn.peer != Peer::Guest {
        conn.say(bad("Can't Starttls after authentication"));
    } else if conn.tls.is_some() {
        conn.say(bad("Already did a successful Starttls"));
    } else {
        if !conn
            .port
            .with_decoder(|decoder| decoder.take_buffered())
            .is_empty()
        {
            return Err(Stop::Injected);
        }
        conn.say(ok("Begin TLS negotiation now"));
        conn.tls = Some(conn.port.start_tls().await.ok_or(Stop::Injected)?);
        greet(conn);
    }
    Ok(())
}

/// A Cyrus client that tries IMAP first waits ten seconds for a line with its tag; this is that line.
/// [CS-CONN-50] [CS-EXC-11]
pub(super) fn answer_probe(conn: &mut Conn, tag: &Text) {
    let mut line = tag.to_vec();
    line.retain(|byte| byte.is_ascii_graphic());
    line.extend_from_slice(b" BAD this is a replication server, not an IMAP server\r\n");
    conn.port.encode(|encoder| encoder.raw(&line));
}

/// `COMPRESS`. [CS-COMP-1] [CS-COMP-4] [CS-COMP-5]
pub(super) fn compress(conn: &mut Conn, algorithm: &Text) {
    if !conn.config.compress {
        conn.say(bad("IMAP_PROTOCOL_ERROR Unrecognized command"));
    } else if !algorithm.eq_ignore_ascii_case(b"DEFLATE") {
        conn.say(no(format!("Unknown compression algorithm: {algorithm}")));
    } else if conn.compressed {
        conn.say(no(format!("Compression already active: {algorithm}")));
    } else {
        conn.say(Final::Ok(Text::from(format!("{algorithm} active"))));
        conn.port.start_deflate();
        conn.compressed = true;
    }
}

/// Failed logins on one connection; the next would be guessing.
const LOGIN_ATTEMPTS_MAX: u32 = 5;

/// Answers a failed attempt; the last one ends the connection.
fn refuse(conn: &mut Conn, text: String) -> Result<(), Stop> {
    conn.say(no(text));
    conn.failed_logins += 1;
    if conn.failed_logins < LOGIN_ATTEMPTS_MAX {
        Ok(())
    } else {
        Err(Stop::Guessing)
    }
}

/// `AUTHENTICATE`, with its exchange of lines. [CS-AUTH-1] [CS-AUTH-2] [CS-AUTH-5]
/// [CS-AUTH-6] [CS-AUTH-8]
pub(super) async fn authenticate(
    conn: &mut Conn,
    mechanism: Text,
    initial: Option<Text>,
) -> Result<(), Stop> {
    if conn.peer != Peer::Guest {
        conn.say(bad("Already authenticated"));
        return Ok(());
    }
    let start = SaslRequest::Start {
        mechanism: mechanism.to_lossy().into_owned(),
        initial: initial.map(|text| Bytes::from(text.into_bytes())),
    };
    let mut reply = conn.port.sasl(start).await;
    loop {
        let step = match reply {
            SaslReply::Send(challenge) => exchange(conn, challenge).await?,
            SaslReply::Success { admin, last, .. } => {
                if let Some(last) = last
                    && !matches!(exchange(conn, last).await?, Answer::Line(_))
                {
                    conn.say(bad("Client canceled authentication"));
                    return Ok(());
                }
                conn.peer = if admin { Peer::Admin } else { Peer::Stranger };
                conn.port.limit_input(None);
                conn.say(ok(if conn.tls.is_some() {
                    "Success (tls protection)"
                } else {
                    "Success (no protection)"
                }));
                return Ok(());
            }
            SaslReply::Failure { text } => return refuse(conn, text),
            SaslReply::Chosen { .. } => return refuse(conn, "no mechanism available".to_owned()),
        };
        reply = match step {
            Answer::Line(line) => conn.port.sasl(SaslRequest::Step(line)).await,
            Answer::Cancel => {
                conn.port.sasl(SaslRequest::Abort).await;
                conn.say(bad("Client canceled authentication"));
                return Ok(());
            }
            Answer::Malformed(fail) => {
                conn.port.sasl(SaslRequest::Abort).await;
                conn.say(fail.to_final());
                return Ok(());
            }
        };
    }
}

enum Answer {
    Line(Bytes),
    Cancel,
    Malformed(Fail),
}

/// Sends a challenge and reads the line that answers it.
async fn exchange(conn: &mut Conn, challenge: Bytes) -> Result<Answer, Stop> {
    conn.port
        .encode(|encoder| encoder.final_line(&Final::Continue(Text::copy_from(&challenge))));
    conn.port.with_decoder(|decoder| decoder.set_raw_lines(true));
    let event = conn.port.event(true).await;
    conn.port.with_decoder(|decoder| decoder.set_raw_lines(false));
    Ok(match event.map_err(Stop::Ended)? {
        CommandEvent::Raw(line) if line.as_ref() == b"*" => Answer::Cancel,
        CommandEvent::Raw(line) => Answer::Line(line),
        CommandEvent::Bad(malformed) => Answer::Malformed(Fail::Malformed(malformed)),
        CommandEvent::Fatal(malformed) => return Err(Stop::Fatal(malformed)),
        _ => Answer::Malformed(Fail::other("bad protocol / cancel")),
    })
}
