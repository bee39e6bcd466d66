//! A replica for one run of a client: it stands before a real one, passes on what it is told, and does something else where the
//! scenario says so.

use super::super::matching::{self, Heard};
use super::super::play::{Event, Side};
use super::super::scope::Scope;
use super::super::template::{self, Template};
use super::super::wire::{AnyClient, Wire};
use super::script::{Deed, Rule};
use crate::Error;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the real replica may take for an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often an idle connection looks whether the run is over.
const LOOK: Duration = Duration::from_millis(100);

/// What all connections of one run share.
pub struct Shared<'s, 't> {
    /// The scenario's names and values.
    pub scope: &'s Mutex<Scope<'t>>,
    /// What is done in place of answering, and how often it still is.
    pub rules: Mutex<Vec<(Rule, Option<u32>)>>,
    /// Commands of the client in the order in which they came.
    pub commands: Mutex<Vec<Vec<u8>>>,
    /// All that was said.
    pub events: Mutex<Vec<Event>>,
    /// Set when the client has ended.
    pub over: AtomicBool,
    /// What the replica shows inside TLS.
    tls: Arc<ServerConfig>,
    /// The administrator's login.
    login: Template,
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere is reported there; what is in here still counts.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'s, 't> Shared<'s, 't> {
    /// Rules for one run.
    ///
    /// # Errors
    /// When no certificate can be made.
    pub fn new(scope: &'s Mutex<Scope<'t>>, rules: Vec<Rule>) -> Result<Shared<'s, 't>, String> {
        let shared = Shared {
            scope,
            rules: Mutex::default(),
            tls: certificate()?,
            login: template::parse("AUTHENTICATE PLAIN <plain>")?,
            commands: Mutex::default(),
            events: Mutex::default(),
            over: AtomicBool::new(false),
        };
        shared.add(rules);
        Ok(shared)
    }

    /// More rules, behind those that there are.
    pub fn add(&self, rules: Vec<Rule>) {
        lock(&self.rules).extend(rules.into_iter().map(|rule| {
            let times = rule.times;
            (rule, times)
        }));
    }

    fn record(&self, connection: &str, side: Side, bytes: &[u8]) {
        let bytes = lock(self.scope).redacted(bytes);
        lock(&self.events).push(Event {
            connection: connection.to_owned(),
            side,
            bytes,
        });
    }

    /// What the first rule that fits has for a command.
    fn rule(&self, command: &[u8]) -> Option<Vec<Deed>> {
        let mut scope = lock(self.scope);
        let heard = Heard::Line(command.to_vec());
        for (rule, left) in lock(&self.rules).iter_mut() {
            if *left == Some(0) {
                continue;
            }
            if let Ok(names) = matching::line(&rule.command, &heard, &mut scope) {
                for (name, value) in names {
                    scope.bind(&name, value);
                }
                *left = left.map(|left| left - 1);
                return Some(rule.does.clone());
            }
        }
        None
    }
}

/// A certificate of its own for `localhost`, which nobody vouches for; the client is asked for one.
fn certificate() -> Result<Arc<ServerConfig>, String> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])
        .map_err(|error| format!("making a certificate: {error}"))?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_client_cert_verifier(Arc::new(AnyClient::new(provider)))
        .with_single_cert(vec![made.cert.der().clone()], key)
        .map_err(|error| error.to_string())?;
    Ok(Arc::new(config))
}

/// Takes connections until the run is over; each is passed on to the replica at `behind`.
///
/// # Errors
/// When the listening socket fails.
pub fn serve(listener: &TcpListener, behind: &str, shared: &Shared<'_, '_>) -> crate::Result<()> {
    listener
        .set_nonblocking(true)
        .map_err(Error::io("preparing the listener"))?;
    std::thread::scope(|scope| {
        let mut count = 0;
        while !shared.over.load(Ordering::SeqCst) {
            match listener.accept() {
                Ok((stream, _)) => {
                    count += 1;
                    let name = count.to_string();
                    scope.spawn(move || {
                        if let Err(error) = connection(stream, behind, shared, &name) {
                            shared.record(&name, Side::Note, error.to_string().as_bytes());
                        }
                    });
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) => return Err(Error::io("accepting the client")(error)),
            }
        }
        Ok(())
    })
}

fn connection(stream: TcpStream, behind: &str, shared: &Shared<'_, '_>, name: &str) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    let mut client = Wire::tcp(stream, false)?;
    let mut replica = Wire::connect(behind)?;
    shared.record(name, Side::Note, b"connected");
    // A scenario can do something in place of the banner, too: as if it were a command.
    let mut banner = Vec::new();
    while !banner
        .last()
        .is_some_and(|line: &Vec<u8>| line.starts_with(b"* OK"))
    {
        let Heard::Line(line) = replica.line(PATIENCE) else {
            return Ok(());
        };
        banner.push(line);
    }
    match shared.rule(b"CONNECT") {
        Some(deeds) => {
            if !act(&deeds, b"", &mut client, &mut replica, shared, name)? {
                return Ok(());
            }
        }
        None => banner
            .iter()
            .try_for_each(|line| say(line, &mut client, shared, name))?,
    }
    loop {
        let command = match client.line(LOOK) {
            Heard::Line(command) => command,
            Heard::Closed => {
                shared.record(name, Side::Note, b"closed by the client");
                return Ok(());
            }
            Heard::Waits if shared.over.load(Ordering::SeqCst) => return Ok(()),
            Heard::Waits => continue,
        };
        shared.record(name, Side::Client, &command);
        lock(&shared.commands).push(command.clone());
        match shared.rule(&command) {
            Some(deeds) => {
                if !act(&deeds, &command, &mut client, &mut replica, shared, name)? {
                    return Ok(());
                }
            }
            None => {
                if !forward(&command, Some(&mut client), &mut replica, shared, name)? {
                    return Ok(());
                }
            }
        }
    }
}

fn say(line: &[u8], client: &mut Wire, shared: &Shared<'_, '_>, name: &str) -> std::io::Result<()> {
    shared.record(name, Side::Server, line);
    client.send(&[line, b"\r\n"].concat())
}

/// Passes a command on, and what is answered to `client`; whether the connection goes on.
fn forward(
    command: &[u8],
    mut client: Option<&mut Wire>,
    replica: &mut Wire,
    shared: &Shared<'_, '_>,
    name: &str,
) -> std::io::Result<bool> {
    replica.send(&[command, b"\r\n"].concat())?;
    loop {
        let Heard::Line(line) = replica.line(PATIENCE) else {
            shared.record(name, Side::Note, b"the replica closed");
            return Ok(false);
        };
        if let Some(client) = client.as_deref_mut() {
            say(&line, client, shared, name)?;
        }
        let is_final = [b"OK".as_slice(), b"NO", b"BAD", b"BYE", b"+"]
            .iter()
            .any(|word| line.starts_with(word));
        if is_final {
            return Ok(!line.starts_with(b"BYE"));
        }
    }
}

/// Does what the scenario says; whether the connection goes on.
fn act(
    deeds: &[Deed],
    command: &[u8],
    client: &mut Wire,
    replica: &mut Wire,
    shared: &Shared<'_, '_>,
    name: &str,
) -> std::io::Result<bool> {
    let value = |template| {
        let bytes = lock(shared.scope).bytes(template);
        bytes.map_err(std::io::Error::other)
    };
    for deed in deeds {
        match deed {
            Deed::Line(text) => say(&value(text)?, client, shared, name)?,
            Deed::Raw(text) => {
                let bytes = value(text)?;
                shared.record(name, Side::Server, &bytes);
                client.send(&bytes)?;
            }
            Deed::Wait(time) => std::thread::sleep(*time),
            Deed::Forward => {
                if !forward(command, Some(client), replica, shared, name)? {
                    return Ok(false);
                }
            }
            Deed::Swallow => {
                forward(command, None, replica, shared, name)?;
                shared.record(name, Side::Note, b"done by the replica, and not answered");
            }
            Deed::Tls => {
                client.accept_tls(shared.tls.clone(), PATIENCE)?;
                shared.record(name, Side::Note, b"inside TLS");
            }
            Deed::Deflate => client.deflate(),
            Deed::Login => {
                let login = value(&shared.login)?;
                forward(&login, None, replica, shared, name)?;
            }
            Deed::Close => {
                shared.record(name, Side::Note, b"closed by the scenario");
                return Ok(false);
            }
            Deed::Hang => {
                shared.record(name, Side::Note, b"nothing more is said or read");
                while !shared.over.load(Ordering::SeqCst) {
                    std::thread::sleep(LOOK);
                }
                return Ok(false);
            }
        }
    }
    Ok(true)
}
