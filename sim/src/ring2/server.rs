//! The software of a server's machine: our server, started again whenever it has stopped.

use std::sync::Arc;
use std::time::Duration;

use net::guests::GuestLimits;
use net::listener::Listener;
use net::sasl::{Hash, Verifier, Verifiers, derive};
use net::secret::Secret;
use net::server::{Connection, NewSession, Notice, Server, ServerConfig};
use tokio::runtime::Handle;
use turmoil::net::TcpListener;

use super::court::{Court, Order};
use super::plan::Place;
use super::platform::{Listening, Simulated};
use super::sabotage::Sabotage;
use super::session::Watched;
use super::{PORT, rules};

/// Who may log in.
pub const USER: &str = "sync";
/// With what.
pub const PASSWORD: &str = "secret";

/// The one user's verifier, made once a run: salts are random, and shown to nobody who logs in with PLAIN.
pub struct OneUser(Verifier);

impl OneUser {
    /// Makes the verifier.
    pub fn make() -> Option<Arc<dyn Verifiers>> {
        let verifier = derive(Hash::Sha256, &Secret::new(PASSWORD), 1).ok()?;
        Some(Arc::new(OneUser(verifier)))
    }
}

impl Verifiers for OneUser {
    fn verifier(&self, user: &str, hash: Hash) -> Result<Option<Verifier>, String> {
        Ok((user == USER && hash == Hash::Sha256).then(|| self.0.clone()))
    }
}

/// Serves until the machine dies.
pub async fn serve(court: Court, host: usize, verifiers: Arc<dyn Verifiers>) -> turmoil::Result {
    let place = Place::Server(host);
    let mut orders = court.orders(place);
    loop {
        court.until_work(place, &mut orders).await?;
        let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
        let listening = Listening::new(listener, &court, place);
        let listener = Listener::other(Box::new(listening), format!("server {host}"));
        let sessions: NewSession = {
            let court = court.clone();
            Arc::new(move || {
                if court.is_sabotaged(Sabotage::Leak) {
                    std::mem::forget(Watched::new(&court, place));
                }
                Box::new(Watched::new(&court, place))
            })
        };
        let notice: Notice = {
            let court = court.clone();
            Arc::new(move |connection| match connection {
                Connection::Accepted => court.told(place, 1),
                Connection::Ended => court.told(place, -1),
                Connection::NoMore => {}
            })
        };
        let tasks_before = tasks();
        let server = Server::new(config(&court), vec![listener], sessions, Arc::clone(&verifiers))
            .on(Simulated::at(&court, place))
            .notice(notice);
        let (mut drain, mut stop) = (orders.clone(), orders.clone());
        let drain = async move {
            // The court lives as long as the run.
            let _ = drain.wait_for(|order| *order >= Order::Drain).await;
        };
        let stop = async move {
            let _ = stop.wait_for(|order| *order == Order::Stop).await;
        };
        server.run_until(drain, stop).await;
        // A draining server may be over before it is told to stop.
        orders.wait_for(|order| *order != Order::Drain).await?;
        // Tasks that have ended are counted for as long as they are being taken away.
        tokio::task::yield_now().await;
        let left = rules::Left {
            tasks: tasks() - tasks_before,
            ..court.left(place)
        };
        court.judged(rules::leftovers(&left));
        court.has_stopped(place);
    }
}

fn tasks() -> i64 {
    i64::try_from(Handle::current().metrics().num_alive_tasks()).unwrap_or(i64::MAX)
}

fn config(court: &Court) -> ServerConfig {
    let tuning = court.tuning();
    let pause = Duration::from_millis(tuning.pause_ms);
    let times = |by| if court.is_sabotaged(by) { 100 } else { 1 };
    ServerConfig {
        servername: "sim".to_owned(),
        version: "mailtwin sim".to_owned(),
        admins: vec![USER.to_owned()],
        // The others begin with random numbers that are no seed's.
        mechanisms: vec!["PLAIN".to_owned()],
        allow_plaintext: true,
        tls: None,
        tls_required: false,
        login_timeout: Duration::from_millis(tuning.login_timeout_ms * times(Sabotage::PatientLogins)),
        compress: tuning.server_deflate,
        partitions: Vec::new(),
        unauthenticated_bytes_max: 4_096,
        peer_timeout: Duration::from_millis(tuning.peer_timeout_ms * times(Sabotage::PatientPeers)),
        shutdown_grace: Duration::from_millis(tuning.grace_ms * times(Sabotage::LongGrace)),
        guests: GuestLimits {
            total_max: tuning.guests_max,
            per_address_max: tuning.guests_each_max,
            pause,
            pause_max: pause * rules::PAUSES_MAX as u32,
        },
        connections_max: tuning.connections_max,
        busy_max: tuning.busy_max,
    }
}
