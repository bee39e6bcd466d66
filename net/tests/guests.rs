//! Connections that do not log in, against a server over real sockets: whoever replicates is never without a place.

#[allow(dead_code, reason = "other tests use more of it")]
mod support;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::master::Compress;
use engine::ticket::{Reply, Request, Session, StoreError};
use net::guests::GuestLimits;
use store::memory::MemoryStore;
use support::mail::Mail;
use support::{Running, assert_done, assert_equal, of_memory, sample, sync};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(60);

async fn serve(store: &MemoryStore, limits: GuestLimits) -> Running {
    Running::tcp(of_memory(store), |config| {
        config.guests = limits;
        config.connections_max = 200;
    })
    .await
}

fn limits(total_max: usize, per_address_max: usize) -> GuestLimits {
    GuestLimits {
        total_max,
        per_address_max,
        pause: Duration::from_secs(40),
        pause_max: Duration::from_secs(40),
    }
}

struct Peer(BufReader<TcpStream>);

impl Peer {
    async fn connect(server: &Running) -> Peer {
        Peer(BufReader::new(server.connect().await))
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        tokio::time::timeout(PATIENCE, self.0.read_line(&mut line))
            .await
            .expect("says something in time")
            .expect("text");
        line
    }

    /// Reads the banner to its end; the line that ended it.
    async fn banner(&mut self) -> String {
        loop {
            let line = self.line().await;
            if line.starts_with("* OK") || !line.starts_with("* ") {
                return line;
            }
        }
    }

    async fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).await.expect("sent");
    }

    async fn login(&mut self, password: &str) {
        let response = STANDARD.encode(format!("\0repl\0{password}"));
        self.send(&format!("AUTHENTICATE PLAIN {response}\r\n")).await;
    }

    /// All that comes until the server closes.
    async fn rest(&mut self) -> String {
        let mut rest = String::new();
        tokio::time::timeout(PATIENCE, self.0.read_to_string(&mut rest))
            .await
            .expect("closed in time")
            .expect("text");
        rest
    }
}

const DISPLACED: &str = "BYE too many connections that have not logged in; log in sooner\r\n";

/// [CS-LIMIT-3]
#[tokio::test]
async fn those_who_never_log_in_hold_up_nobody() {
    let theirs = Mail::new("theirs");
    let server = serve(&theirs.store, limits(6, 4)).await;
    let mut replicating = Peer::connect(&server).await;
    replicating.banner().await;
    replicating.login("pencil").await;
    assert!(replicating.line().await.starts_with("OK Success"));
    let mut crowd = Vec::new();
    for _ in 0..40 {
        let mut one = Peer::connect(&server).await;
        assert!(one.banner().await.starts_with("* OK"), "each newcomer is greeted");
        crowd.push(one);
    }
    for one in &mut crowd[..36] {
        assert_eq!(one.rest().await, DISPLACED);
    }
    replicating.send("NOOP\r\n").await;
    assert_eq!(replicating.line().await, "OK Noop completed\r\n");
    let ours = sample();
    let target = server.target("repl", "pencil");
    assert_done(&sync(&target, ours.store.session(), Compress::WhenOffered).await);
    assert_equal(&ours, &theirs);
    drop((crowd, replicating));
    server.stop().await;
}

/// A half-open command and a half-done login are no better than silence.
#[tokio::test]
async fn dawdlers_go_too() {
    let theirs = Mail::new("theirs");
    let server = serve(&theirs.store, limits(2, 2)).await;
    let mut first = Peer::connect(&server).await;
    first.banner().await;
    first.send("AUTHENTICATE PLAIN\r\n").await;
    assert_eq!(first.line().await, "+ \r\n");
    let mut second = Peer::connect(&server).await;
    second.banner().await;
    second.send("GET MAILBOXES (").await;
    let mut more = Vec::new();
    for _ in 0..2 {
        let mut one = Peer::connect(&server).await;
        assert!(one.banner().await.starts_with("* OK"));
        more.push(one);
    }
    assert_eq!(first.rest().await, DISPLACED);
    assert_eq!(second.rest().await, DISPLACED);
    server.stop().await;
}

/// Guessing over many connections at once is no faster: places are kept until the pause is over, and a newcomer is told.
/// [CS-AUTH-19]
#[tokio::test]
async fn guessers_wait_and_are_told() {
    let theirs = Mail::new("theirs");
    let server = serve(&theirs.store, limits(2, 1)).await;
    for attempt in 1..=20 {
        let mut guesser = Peer::connect(&server).await;
        let greeted = guesser.banner().await;
        assert!(greeted.starts_with("* OK"), "{greeted}");
        guesser.login("guess").await;
        // When the guess is judged cannot be seen from outside; until then the newcomer gets the place.
        tokio::time::sleep(Duration::from_millis(100 * attempt)).await;
        let mut next = Peer::connect(&server).await;
        let greeted = next.banner().await;
        if let Some(wait) =
            greeted.strip_prefix("BYE too many failed logins from your address; try again in ")
        {
            let seconds = wait.trim_end().strip_suffix(" seconds").expect("how long");
            assert!(
                (1..=40).contains(&seconds.parse::<u32>().expect("a number")),
                "{greeted}"
            );
            assert_eq!(next.rest().await, "");
            server.stop().await;
            return;
        }
        assert_eq!(guesser.rest().await, DISPLACED);
        drop((guesser, next));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("a guesser's place was always given away");
}

/// Before the login a little must not inflate to much, and the peer is told why. [CS-LIMIT-14]
#[tokio::test]
async fn a_bomb_before_login() {
    let theirs = Mail::new("theirs");
    let server = Running::tcp(of_memory(&theirs.store), |config| {
        // So that the bomb is what ends it, and not the sum of its bytes.
        config.unauthenticated_bytes_max = 1 << 40;
    })
    .await;
    let mut peer = Peer::connect(&server).await;
    peer.banner().await;
    peer.send("COMPRESS DEFLATE\r\n").await;
    assert_eq!(peer.line().await, "OK DEFLATE active\r\n");
    let mut bomb = Vec::with_capacity(1 << 20);
    flate2::Compress::new(flate2::Compression::best(), false)
        .compress_vec(&b"NOOP".repeat(4 << 20), &mut bomb, flate2::FlushCompress::Sync)
        .expect("deflates");
    let (mut reading, mut writing) = peer.0.into_inner().into_split();
    let sending = tokio::spawn(async move {
        // The server closes before all of it is out.
        let _ = writing.write_all(&bomb).await;
        writing
    });
    let mut answers = Vec::new();
    let read = tokio::time::timeout(PATIENCE, reading.read_to_end(&mut answers));
    // A reset behind the reason is as good as an end.
    let _ = read.await.expect("closed in time");
    let mut plain = Vec::with_capacity(1 << 20);
    let _ =
        flate2::Decompress::new(false).decompress_vec(&answers, &mut plain, flate2::FlushDecompress::None);
    let said = String::from_utf8_lossy(&plain);
    assert!(said.contains("inflates to more than 64 times its size"), "{said}");
    drop(sending.await);
    server.stop().await;
}

/// A store that a stranger must not reach.
struct Untouched;

impl Session for Untouched {
    fn execute(&mut self, request: Request) -> Result<Reply, StoreError> {
        panic!("a stranger reached the store: {request:?}")
    }
}

/// Whatever is said before the login, no thread, file or place to work at is taken for it.
#[tokio::test]
async fn strangers_do_not_reach_the_store() {
    let server = Running::tcp(Arc::new(|| Box::new(Untouched)), |_| {}).await;
    let mut peer = Peer::connect(&server).await;
    peer.banner().await;
    let guid = "00000000000000000000000000000000deadbeef";
    for (command, answer) in [
        ("NOOP".to_owned(), "OK "),
        ("RESTART".to_owned(), "OK Restarting"),
        ("GET USER jane".to_owned(), "NO Please authenticate first"),
        ("APPLY UNUSER jane".to_owned(), "NO Please authenticate first"),
        (
            format!("APPLY MESSAGE (%{{default {guid} 3}}\r\nabc)"),
            "NO Please authenticate first",
        ),
        (
            "RESTORE MAILBOX %(UNIQUEID u MBOXNAME user.jane)".to_owned(),
            "NO Please authenticate first",
        ),
        ("nonsense".to_owned(), "BAD "),
        ("RESTART".to_owned(), "OK Restarting"),
        ("EXIT".to_owned(), "OK Finished"),
    ] {
        peer.send(&format!("{command}\r\n")).await;
        let said = peer.line().await;
        assert!(said.starts_with(answer), "{command}: {said}");
    }
    assert_eq!(peer.rest().await, "");
    server.stop().await;
}
