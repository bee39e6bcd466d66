//! A server over real sockets, a target for a client, and some mail to replicate.

#[path = "../../../engine/tests/twin/mail.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
pub mod mail;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use engine::master::{Compress, Ending, Job, MasterConfig, Progress};
use engine::name::Scope;
use engine::ticket::Session;
use mail::Mail;
use net::address::{ListenAddress, PeerAddress};
use net::client::{self, Target};
use net::guests::GuestLimits;
use net::listener::Listener;
use net::sasl::{Credentials, Hash, Verifier, Verifiers, derive};
use net::secret::Secret;
use net::server::{NewSession, Server, ServerConfig};
use protocol::Text;
use store::memory::MemoryStore;
use store::sqlite::SqliteStore;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Places enough, and failed logins are answered at once.
pub const NO_PAUSE: GuestLimits = GuestLimits {
    total_max: 64,
    per_address_max: 64,
    pause: Duration::ZERO,
    pause_max: Duration::ZERO,
};

pub struct Users(BTreeMap<(String, Hash), Verifier>);

impl Users {
    pub fn with(names: &[&str]) -> Arc<Self> {
        let every = names.iter().flat_map(|&name| Hash::ALL.map(|hash| (name, hash)));
        let verifier = |hash| derive(hash, &Secret::new("pencil"), 4096).expect("a verifier");
        Arc::new(Users(
            every
                .map(|(name, hash)| ((name.to_owned(), hash), verifier(hash)))
                .collect(),
        ))
    }
}

impl Verifiers for Users {
    fn verifier(&self, user: &str, hash: Hash) -> Result<Option<Verifier>, String> {
        Ok(self.0.get(&(user.to_owned(), hash)).cloned())
    }
}

pub struct Running {
    pub address: String,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Running {
    pub async fn start(
        listen: &ListenAddress,
        sessions: NewSession,
        change: impl FnOnce(&mut ServerConfig),
    ) -> Running {
        Running::start_as(listen, sessions, change, |server| server).await
    }

    /// The same, with a server that is told more.
    pub async fn start_as(
        listen: &ListenAddress,
        sessions: NewSession,
        change: impl FnOnce(&mut ServerConfig),
        told: impl FnOnce(Server) -> Server,
    ) -> Running {
        let mut config = ServerConfig {
            servername: "test".to_owned(),
            version: "mailtwin test".to_owned(),
            admins: vec!["repl".to_owned()],
            mechanisms: Vec::new(),
            allow_plaintext: false,
            tls: None,
            tls_required: false,
            login_timeout: Duration::from_secs(20),
            compress: true,
            partitions: Vec::new(),
            unauthenticated_bytes_max: 4096,
            peer_timeout: Duration::from_secs(20),
            shutdown_grace: Duration::from_secs(5),
            guests: NO_PAUSE,
            connections_max: 8,
            busy_max: 8,
        };
        change(&mut config);
        let listener = Listener::bind(listen, 0o600).await.expect("binds");
        let address = listener.shown().to_owned();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = told(Server::new(
            config,
            vec![listener],
            sessions,
            Users::with(&["repl", "jane"]),
        ));
        let task = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        Running {
            address,
            stop: Some(stop),
            task,
        }
    }

    pub async fn tcp(sessions: NewSession, change: impl FnOnce(&mut ServerConfig)) -> Running {
        let any = ListenAddress::Tcp {
            host: "127.0.0.1".to_owned(),
            port: 0,
        };
        Running::start(&any, sessions, change).await
    }

    pub fn target(&self, user: &str, password: &str) -> Target {
        Target {
            peer: PeerAddress::parse(&self.address, 2005).expect("an address"),
            credentials: Some(Credentials {
                user: user.to_owned(),
                password: Secret::new(password),
                mechanisms: Vec::new(),
                allow_plain: true,
            }),
            connect_timeout: Duration::from_secs(10),
            peer_timeout: Duration::from_secs(20),
            tls: None,
            mechanisms: Vec::new(),
            trace: None,
            traffic: std::sync::Arc::default(),
            platform: std::sync::Arc::new(net::platform::System),
        }
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).await.expect("connects")
    }

    pub async fn stop(mut self) {
        drop(self.stop.take());
        tokio::time::timeout(Duration::from_secs(10), self.task)
            .await
            .expect("ends in time")
            .expect("no panic");
    }
}

pub fn of_memory(store: &MemoryStore) -> NewSession {
    let store = store.clone();
    Arc::new(move || Box::new(store.session()))
}

pub fn of_sqlite(store: &SqliteStore) -> NewSession {
    let store = store.clone();
    Arc::new(move || Box::new(store.session()))
}

pub async fn sync(target: &Target, session: impl Session + 'static, compress: Compress) -> Progress {
    let config = MasterConfig {
        compress,
        pipeline_bytes_max: 1 << 20,
        ..MasterConfig::new(Job::AllUsers { prefix: Text::EMPTY })
    };
    client::run(target, config, Box::new(session), std::future::pending(), |_| {})
        .await
        .expect("connects")
}

/// Two users and a shared mailbox; one large message, and one that is in two mailboxes.
pub fn sample() -> Mail {
    let mut mail = Mail::new("net");
    let large = format!("Subject: large\r\n\r\n{}", "0123456789abcdef\r\n".repeat(40_000));
    mail.create(&["user.jane", "user.jane.Sent Mail", "user.bob", "news.local"]);
    mail.append(
        "user.jane",
        &["Subject: one\r\n\r\n1\r\n", "Subject: two\r\n\r\n2\r\n", &large],
    );
    mail.append("user.jane.Sent Mail", &["Subject: two\r\n\r\n2\r\n"]);
    mail.append("user.bob", &["Subject: bob\r\n\r\n\r\n"]);
    mail.append("news.local", &["Subject: news\r\n\r\n\r\n"]);
    mail
}

pub fn scopes() -> [Scope; 3] {
    [
        Scope::User(Text::from("jane")),
        Scope::User(Text::from("bob")),
        Scope::Shared,
    ]
}

pub fn assert_equal(ours: &Mail, theirs: &Mail) {
    for scope in scopes() {
        assert_eq!(ours.dump(&scope), theirs.dump(&scope), "{scope:?}");
    }
}

pub fn assert_done(progress: &Progress) {
    assert_eq!(progress.ended, Some(Ending::Done), "{progress:?}");
}
