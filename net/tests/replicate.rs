//! Master against replica over real sockets: TCP with each mechanism, a Unix socket, deflate; memory to SQLite and
//! back; and what a server does to peers that are refused, silent or too talkative.

mod support;

use std::time::{Duration, Instant};

use engine::master::{Compress, Ending, Job, MasterConfig};
use net::address::{ListenAddress, PeerAddress};
use net::client::{self, Target};
use net::sasl::Credentials;
use net::secret::Secret;
use store::memory::MemoryStore;
use store::sqlite::{Options, SqliteStore};
use support::mail::Mail;
use support::{Running, assert_done, assert_equal, of_memory, of_sqlite, sample, scopes, sync};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

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

/// [CS-LIMIT-1]
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

/// [CS-CONN-27]
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
        traffic: std::sync::Arc::default(),
        platform: std::sync::Arc::new(net::platform::System),
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
        traffic: std::sync::Arc::default(),
        platform: std::sync::Arc::new(net::platform::System),
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
