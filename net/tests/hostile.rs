//! Servers that mean harm, against our client: every one of them ends in an error that says what was wrong, soon and
//! without much memory.

#[allow(dead_code, reason = "other tests use more of it")]
mod support;

use std::time::Duration;

use engine::master::{Compress, Ending};
use flate2::{Compress as Deflate, Compression, FlushCompress};
use net::address::PeerAddress;
use net::client::Target;
use support::{Running, of_memory, sample, sync};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Resident memory that no server may push the client beyond, in KiB; the tests' own floods are small beside it.
const MEMORY_MAX_KIB: u64 = 640 * 1024;
/// Bytes of a flood that is to be cut short: more than any limit.
const FLOOD_BYTES: usize = 1 << 30;
const PATIENCE: Duration = Duration::from_secs(120);

const BANNER: &[u8] = b"* SASL PLAIN\r\n* COMPRESS DEFLATE\r\n* OK here Cyrus sync server 3.6.1\r\n";

/// What a server sends: once, and then again and again until [`FLOOD_BYTES`] are out.
#[derive(Clone)]
struct Flood {
    first: Vec<u8>,
    again: Vec<u8>,
}

fn flood(first: &[u8], again: &[u8]) -> Flood {
    Flood {
        first: first.to_vec(),
        again: again.to_vec(),
    }
}

impl Flood {
    /// Until the client does not listen any more.
    async fn send(&self, stream: &mut TcpStream) {
        if stream.write_all(&self.first).await.is_err() || self.again.is_empty() {
            return;
        }
        let many = self.again.repeat((64 * 1024 / self.again.len()).max(1));
        let mut left = FLOOD_BYTES;
        while left > 0 && stream.write_all(&many).await.is_ok() {
            left = left.saturating_sub(many.len());
        }
    }
}

/// Where a server begins to mean harm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum When {
    Banner,
    Login,
    Deflated,
    FirstAnswer,
}

/// Serves one client, honestly until it is time.
async fn serve(listener: TcpListener, when: When, harm: Flood) {
    let (stream, _) = listener.accept().await.expect("a client");
    let mut stream = BufReader::new(stream);
    if when == When::Banner {
        return harm.send(stream.get_mut()).await;
    }
    stream.get_mut().write_all(BANNER).await.expect("greets");
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        let (due, answer) = match line.split(' ').next() {
            Some("AUTHENTICATE") => (when == When::Login, "OK Success (no protection)\r\n"),
            Some("COMPRESS") if when == When::Deflated => (false, "OK DEFLATE active\r\n"),
            Some("COMPRESS") => (false, "NO not now\r\n"),
            _ => (when == When::FirstAnswer, "OK success\r\n"),
        };
        if due {
            return harm.send(stream.get_mut()).await;
        }
        stream
            .get_mut()
            .write_all(answer.as_bytes())
            .await
            .expect("answers");
        if when == When::Deflated && line.starts_with("COMPRESS") {
            return harm.send(stream.get_mut()).await;
        }
    }
}

/// How a run against this server ends.
async fn ending(when: When, harm: Flood, timeout: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("bound").to_string();
    let serving = tokio::spawn(serve(listener, when, harm));
    let ours = sample();
    let target = target(&address, timeout).await;
    let run = sync(&target, ours.store.session(), Compress::WhenOffered);
    let progress = tokio::time::timeout(PATIENCE, run).await.expect("ends");
    serving.abort();
    match progress.ended {
        Some(Ending::ConnectionLost(text) | Ending::AuthenticationFailed(text)) => text,
        other => panic!("{other:?}"),
    }
}

async fn target(address: &str, timeout: Duration) -> Target {
    let nobody = Running::tcp(of_memory(&sample().store), |_| {}).await;
    let mut target = nobody.target("repl", "pencil");
    nobody.stop().await;
    target.peer = PeerAddress::parse(address, 2005).expect("an address");
    target.connect_timeout = timeout;
    target
}

fn assert_memory() {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak
        .and_then(|text| text.trim().strip_suffix(" kB"))
        .expect("a peak");
    let peak: u64 = peak.trim().parse().expect("a number");
    assert!(peak < MEMORY_MAX_KIB, "peak resident memory {peak} KiB");
}

async fn assert_ends(when: When, harm: Flood, says: &str) {
    let text = ending(when, harm, Duration::from_secs(20)).await;
    assert!(text.contains(says), "{says:?} is missing in: {text}");
    assert_memory();
}

/// [CS-LIMIT-21]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_without_end() {
    let script = [
        b"* SIEVE %(USERID a FILENAME b LAST_UPDATE 1 CONTENT {1048576}\r\n".to_vec(),
        vec![b'x'; 1 << 20],
        b")\r\n".to_vec(),
    ]
    .concat();
    assert_ends(
        When::FirstAnswer,
        flood(b"", &script),
        "has more than 134217728 bytes",
    )
    .await;
    assert_ends(
        When::FirstAnswer,
        flood(b"", b"* LSUB (a)\r\n"),
        "has more than 1048576 lines",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_to_nothing() {
    assert_ends(
        When::FirstAnswer,
        flood(b"", b"OK success\r\n"),
        "an answer to nothing",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_without_end() {
    for (harm, says) in [
        (flood(b"* LSUB (", b"a "), "131072"),
        (flood(b"* LSUB (", b" "), "33554432"),
        (flood(b"* LSUB (", b"a"), "131072"),
        (flood(b"* LSUB (\"", b"a"), "131072"),
        (flood(b"", b"("), "GET USER"),
        (flood(b"* LSUB ", b"("), "64"),
        (flood(b"* LSUB ", b"%(A "), "64"),
        (flood(b"OK ", b"a"), "33554432"),
        (flood(b"* ", b"a"), "GET USER"),
        (flood(b"* LSUB ({4294967295}\r\n", b"a"), "4194304"),
        (flood(b"* LSUB ({99999999999999999999}\r\n", b"a"), "GET USER"),
        (flood(b"\0", b"\0"), "GET USER"),
    ] {
        assert_ends(When::FirstAnswer, harm, says).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn banners_without_end() {
    for harm in [
        flood(b"", b"* SOMETHING\r\n"),
        flood(b"* ", b"a"),
        flood(b"", b"\0"),
        flood(b"* SASL", b" PLAIN"),
    ] {
        assert_ends(When::Banner, harm, "the banner").await;
    }
}

/// [CS-LIMIT-22]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logins_without_end() {
    for (harm, says) in [
        (flood(b"", b"+ \r\n"), "more than 16 times in one login"),
        (flood(b"", b"* SOMETHING\r\n"), "before the login was done"),
        (flood(b"+ ", b"A"), "before the login was done"),
    ] {
        assert_ends(When::Login, harm, says).await;
    }
}

/// A server that goes on saying something holds nobody for ever; the clock is the real one, so nothing is said of how long
/// it took. [CS-LIMIT-23]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_banner_in_drops() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("bound").to_string();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        while stream.write_all(b"* X\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let target = target(&address, Duration::from_secs(1)).await;
    let ours = sample();
    let run = sync(&target, ours.store.session(), Compress::No);
    let progress = tokio::time::timeout(PATIENCE, run).await.expect("ends");
    let Some(Ending::ConnectionLost(text)) = progress.ended else {
        panic!("{progress:?}");
    };
    assert_eq!(text, "no login within 6 seconds");
    serving.abort();
}

/// A little that inflates to very much, as one line, as many, and as what is no line at all. [CS-LIMIT-15]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deflate_bombs() {
    for (again, says) in [
        (b"* LSUB (a)\r\n".as_slice(), "has more than 1048576 lines"),
        (b" ", "the line is longer than 33554432 bytes"),
        (b"\0", "the replica's answer to GET USER"),
    ] {
        let mut stream = Deflate::new(Compression::best(), false);
        let plain = again.repeat(FLOOD_BYTES / 8 / again.len());
        let mut bomb = Vec::with_capacity(8 << 20);
        stream
            .compress_vec(&plain, &mut bomb, FlushCompress::Sync)
            .expect("deflates");
        drop(plain);
        assert!(bomb.len() < 4 << 20, "{}", bomb.len());
        let text = ending(When::Deflated, flood(&bomb, b""), Duration::from_secs(20)).await;
        assert!(text.contains(says), "{says:?} is missing in: {text}");
        assert_memory();
    }
}
