//! Master against replica over real sockets: TCP with each mechanism, a Unix socket, deflate; memory to SQLite and
//! back; and what a server does to peers that are refused, silent or too talkative.

#[path = "../../engine/tests/twin/mail.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod mail;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::master::{Compress, Ending, Job, MasterConfig, Progress};
use engine::name::Scope;
use engine::ticket::Session;
use mail::Mail;
use net::address::{ListenAddress, PeerAddress};
use net::client::{self, Target};
use net::listener::Listener;
use net::sasl::{Credentials, Hash, Verifier, Verifiers, derive};
use net::secret::Secret;
use net::server::{NewSession, Server, ServerConfig};
use protocol::Text;
use store::memory::MemoryStore;
use store::sqlite::{Options, SqliteStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

struct Users(BTreeMap<(String, Hash), Verifier>);

impl Users {
    fn with(names: &[&str]) -> Arc<Self> {
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

struct Running {
    address: String,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Running {
    async fn start(
        listen: &ListenAddress,
        sessions: NewSession,
        change: impl FnOnce(&mut ServerConfig),
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
            failed_login_pause: Duration::ZERO,
            connections_max: 8,
        };
        change(&mut config);
        let listener = Listener::bind(listen, 0o600).await.expect("binds");
        let address = listener.shown().to_owned();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = Server::new(config, vec![listener], sessions, Users::with(&["repl", "jane"]));
        let task = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        Running {
            address,
            stop: Some(stop),
            task,
        }
    }

    async fn tcp(sessions: NewSession, change: impl FnOnce(&mut ServerConfig)) -> Running {
        let any = ListenAddress::Tcp {
            host: "127.0.0.1".to_owned(),
            port: 0,
        };
        Running::start(&any, sessions, change).await
    }

    fn target(&self, user: &str, password: &str) -> Target {
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
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).await.expect("connects")
    }

    async fn stop(mut self) {
        drop(self.stop.take());
        tokio::time::timeout(Duration::from_secs(10), self.task)
            .await
            .expect("ends in time")
            .expect("no panic");
    }
}

fn of_memory(store: &MemoryStore) -> NewSession {
    let store = store.clone();
    Arc::new(move || Box::new(store.session()))
}

fn of_sqlite(store: &SqliteStore) -> NewSession {
    let store = store.clone();
    Arc::new(move || Box::new(store.session()))
}

async fn sync(target: &Target, session: impl Session + 'static, compress: Compress) -> Progress {
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
fn sample() -> Mail {
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

fn scopes() -> [Scope; 3] {
    [
        Scope::User(Text::from("jane")),
        Scope::User(Text::from("bob")),
        Scope::Shared,
    ]
}

fn assert_equal(ours: &Mail, theirs: &Mail) {
    for scope in scopes() {
        assert_eq!(ours.dump(&scope), theirs.dump(&scope), "{scope:?}");
    }
}

fn assert_done(progress: &Progress) {
    assert_eq!(progress.ended, Some(Ending::Done), "{progress:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_and_back_over_tcp_and_a_unix_socket() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut ours = sample();
    let middle = SqliteStore::open(folder.path().join("store"), Options::default()).expect("opens");
    let back = Mail::new("back");
    for (round, compress) in [Compress::No, Compress::Required].into_iter().enumerate() {
        if round > 0 {
            ours.expunge("user.jane", 2);
            ours.append("user.bob", &["Subject: later\r\n\r\nx\r\n"]);
            ours.delete("user.jane.Sent Mail");
        }
        let server = Running::tcp(of_sqlite(&middle), |_| {}).await;
        let target = server.target("repl", "pencil");
        assert_done(&sync(&target, ours.store.session(), compress).await);
        let again = sync(&target, ours.store.session(), compress).await;
        assert_done(&again);
        assert_eq!((again.messages_sent, again.mailboxes_sent), (0, 0), "{again:?}");
        server.stop().await;

        let socket = ListenAddress::Unix(folder.path().join("socket"));
        let server = Running::start(&socket, of_memory(&back.store), |_| {}).await;
        assert_done(&sync(&server.target("nobody", "needed"), middle.session(), Compress::No).await);
        server.stop().await;
        assert_equal(&ours, &back);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mechanism_logs_in() {
    for mechanism in ["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"] {
        let theirs = Mail::new("x");
        let server = Running::tcp(of_memory(&theirs.store), |config| {
            config.mechanisms = vec![mechanism.to_owned()]
        })
        .await;
        let ours = sample();
        let progress = sync(
            &server.target("repl", "pencil"),
            ours.store.session(),
            Compress::WhenOffered,
        )
        .await;
        assert_done(&progress);
        assert_equal(&ours, &theirs);
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_logins_are_refused() {
    let theirs = Mail::new("x");
    let server = Running::tcp(of_memory(&theirs.store), |_| {}).await;
    let ours = sample();
    for (user, password) in [("repl", "wrong"), ("nobody", "pencil")] {
        let progress = sync(&server.target(user, password), ours.store.session(), Compress::No).await;
        assert!(
            matches!(progress.ended, Some(Ending::AuthenticationFailed(_))),
            "{progress:?}"
        );
    }
    // An ordinary user logs in and may do nothing.
    let progress = sync(
        &server.target("jane", "pencil"),
        ours.store.session(),
        Compress::No,
    )
    .await;
    assert_ne!(progress.ended, Some(Ending::Done), "{progress:?}");
    assert_eq!(theirs.dump(&scopes()[0]), Mail::new("y").dump(&scopes()[0]));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_may_send_so_much_and_no_more() {
    let server = Running::tcp(of_memory(&MemoryStore::new()), |_| {}).await;
    let within = "NOOP\r\n".repeat(4080 / 6) + "EXIT\r\n";
    let mut stream = server.connect().await;
    stream.write_all(within.as_bytes()).await.expect("written");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("text");
    assert_eq!(text.matches("OK Noop").count(), 680, "{text}");
    assert!(text.ends_with("OK Finished\r\n"), "{text}");

    let mut stream = server.connect().await;
    let mut text = Vec::new();
    // The server may close before all is written; what it said is still there to read.
    let _ = stream.write_all(&[b'x'; 20_000]).await;
    let _ = stream.read_to_end(&mut text).await;
    let text = String::from_utf8_lossy(&text);
    assert!(text.ends_with("\r\n") && text.contains("* Fatal error"), "{text}");
    server.stop().await;
}

/// Commands sent behind the login without waiting do not count as a stranger's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_and_much_behind_it_in_one_go() {
    let server = Running::tcp(of_memory(&MemoryStore::new()), |_| {}).await;
    let mut stream = server.connect().await;
    let behind = "GET USER nobody\r\n".repeat(2000);
    let all = format!("AUTHENTICATE PLAIN AHJlcGwAcGVuY2ls\r\n{behind}EXIT\r\n");
    let mut text = String::new();
    let (mut reading, mut writing) = stream.split();
    let (written, read) = tokio::join!(
        writing.write_all(all.as_bytes()),
        reading.read_to_string(&mut text)
    );
    written.expect("written");
    read.expect("text");
    assert_eq!(
        text.matches("OK success").count(),
        2000,
        "{}",
        &text[..text.len().min(500)]
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_peers_are_left_without_a_word() {
    let server = Running::tcp(of_memory(&MemoryStore::new()), |config| {
        config.peer_timeout = Duration::from_millis(300);
    })
    .await;
    let started = Instant::now();
    let mut stream = server.connect().await;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("text");
    assert!(text.ends_with("Cyrus sync server mailtwin test\r\n"), "{text}");
    assert!((300..5000).contains(&started.elapsed().as_millis()));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_server_is_left_by_the_client() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("bound").to_string();
    let target = Target {
        peer: PeerAddress::parse(&address, 1).expect("an address"),
        credentials: None,
        connect_timeout: Duration::from_millis(300),
        peer_timeout: Duration::from_secs(20),
        tls: None,
        mechanisms: Vec::new(),
        trace: None,
    };
    let progress = sync(&target, MemoryStore::new().session(), Compress::No).await;
    assert!(
        matches!(progress.ended, Some(Ending::ConnectionLost(_))),
        "{progress:?}"
    );
    drop(listener);
    let config = MasterConfig {
        pipeline_bytes_max: 1 << 20,
        ..MasterConfig::new(Job::Users(Vec::new()))
    };
    let session = Box::new(MemoryStore::new().session());
    let refused = client::run(&target, config, session, std::future::pending(), |_| {}).await;
    assert!(
        refused
            .expect_err("nobody there")
            .to_string()
            .contains("is the replication server running there?")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_says_bye_and_takes_no_more() {
    let server = Running::tcp(of_memory(&MemoryStore::new()), |_| {}).await;
    let mut stream = server.connect().await;
    let mut banner = [0; 16];
    stream.read_exact(&mut banner).await.expect("a banner");
    let address = server.address.clone();
    server.stop().await;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("text");
    assert!(text.ends_with("BYE shutting down\r\n"), "{text}");
    assert!(TcpStream::connect(&address).await.is_err());
}

/// A server that is stopped in the middle of a run leaves whole batches or nothing, and the next run makes it equal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_stopped_while_it_works_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut ours = sample();
    let texts: Vec<String> = (0..400)
        .map(|n| format!("Subject: {n}\r\n\r\n{}", "some text\r\n".repeat(n * 5)))
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for user in ["user.bob", "user.jane"] {
        ours.append(user, &texts);
    }
    let store = SqliteStore::open(folder.path().join("store"), Options::default()).expect("opens");
    let mut lost = 0;
    for wait in [0, 5, 10, 20, 40, 80] {
        let server = Running::tcp(of_sqlite(&store), |_| {}).await;
        let target = server.target("repl", "pencil");
        let session = ours.store.session();
        let run = tokio::spawn(async move { sync(&target, session, Compress::WhenOffered).await });
        // Let the login pass first, so that it is the work that is interrupted.
        tokio::time::sleep(Duration::from_millis(100 + wait)).await;
        server.stop().await;
        let progress = run.await.expect("no panic");
        match progress.ended {
            Some(Ending::Done) => {}
            Some(Ending::ConnectionLost(_)) => lost += 1,
            other => panic!("{other:?}"),
        }
    }
    println!("{lost} runs were interrupted");
    let server = Running::tcp(of_sqlite(&store), |_| {}).await;
    assert_done(
        &sync(
            &server.target("repl", "pencil"),
            ours.store.session(),
            Compress::No,
        )
        .await,
    );
    server.stop().await;
    let back = Mail::new("back");
    let server = Running::tcp(of_memory(&back.store), |_| {}).await;
    assert_done(&sync(&server.target("repl", "pencil"), store.session(), Compress::No).await);
    server.stop().await;
    assert_equal(&ours, &back);
}

/// A false server that says OK to a SCRAM login, without the proof that it knows the password too, gets no mail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_leaves_its_proof_out_is_refused() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("an address").to_string();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        stream
            .write_all(b"* SASL SCRAM-SHA-256\r\n* OK false server\r\n")
            .await
            .expect("writes");
        let mut heard = vec![0; 4096];
        let n = stream.read(&mut heard).await.expect("reads");
        assert!(heard[..n].starts_with(b"AUTHENTICATE SCRAM-SHA-256"));
        stream
            .write_all(b"OK Success (no protection)\r\n")
            .await
            .expect("writes");
        // What comes now is the farewell.
        let n = stream.read(&mut heard).await.expect("reads");
        stream.write_all(b"OK Finished\r\n").await.expect("writes");
        heard[..n].to_vec()
    });
    let target = Target {
        peer: PeerAddress::parse(&address, 2005).expect("an address"),
        credentials: Some(Credentials {
            user: "repl".to_owned(),
            password: Secret::new("pencil"),
            mechanisms: Vec::new(),
            allow_plain: true,
        }),
        connect_timeout: Duration::from_secs(10),
        peer_timeout: Duration::from_secs(20),
        tls: None,
        mechanisms: Vec::new(),
        trace: None,
    };
    let progress = sync(&target, sample().store.session(), Compress::No).await;
    assert!(
        matches!(&progress.ended, Some(Ending::AuthenticationFailed(text)) if text.contains("proved")),
        "{progress:?}"
    );
    let rest = server.await.expect("the false server ends");
    assert!(
        !rest.windows(5).any(|word| word == b"APPLY"),
        "mail was sent to it"
    );
}
