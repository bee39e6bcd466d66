//! Noise in place of a protocol, from strangers and from those who may replicate: every connection ends, nothing dies, and
//! memory does not follow what is announced.

#[allow(dead_code, reason = "other tests use more of it")]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use net::address::ListenAddress;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use store::memory::MemoryStore;
use support::{Running, of_memory};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;

/// Resident memory that no noise may push this process beyond, in KiB.
const MEMORY_MAX_KIB: u64 = 256 * 1024;
const PATIENCE: Duration = Duration::from_secs(60);

/// Parts of commands, and what is near to them.
const PARTS: [&str; 40] = [
    "NOOP\r\n",
    "RESTART\r\n",
    "EXIT\r\n",
    "C01 CAPABILITY\r\n",
    "AUTHENTICATE PLAIN\r\n",
    "AUTHENTICATE PLAIN AHJlcGwAeA==\r\n",
    "AUTHENTICATE SCRAM-SHA-256 biwsbj1yZXBsLHI9eA==\r\n",
    "*\r\n",
    "STARTTLS\r\n",
    "COMPRESS DEFLATE\r\n",
    "GET USER jane\r\n",
    "GET MAILBOXES (",
    "GET FULLMAILBOX user.jane\r\n",
    "GET FETCH %(MBOXNAME user.jane PARTITION default UNIQUEID u GUID ",
    "APPLY MAILBOX %(UNIQUEID u MBOXNAME user.jane LAST_UID 1 HIGHESTMODSEQ 1 RECENTUID 0 RECENTTIME 0 LAST_APPENDDATE 0 \
     POP3_LAST_LOGIN 0 UIDVALIDITY 1 PARTITION default ACL \"\" OPTIONS \"\" RECORD (",
    "%(UID 1 MODSEQ 1 LAST_UPDATED 1 FLAGS () INTERNALDATE 1 SIZE 3 GUID a9993e364706816aba3e25717850c26c9cd0d89d)",
    "))\r\n",
    "APPLY MESSAGE (%{default a9993e364706816aba3e25717850c26c9cd0d89d 3}\r\nabc)\r\n",
    "APPLY MESSAGE (%{default a9993e364706816aba3e25717850c26c9cd0d89d 4294967295}\r\nabc",
    "APPLY RESERVE %(PARTITION default MBOXNAME (user.jane) GUID (a9993e364706816aba3e25717850c26c9cd0d89d))\r\n",
    "APPLY SIEVE %(USERID jane FILENAME a LAST_UPDATE 1 CONTENT ",
    "APPLY RENAME %(OLDMBOXNAME user.jane NEWMBOXNAME user.joe PARTITION default)\r\n",
    "APPLY UNUSER jane\r\n",
    "APPLY EXPUNGE %(MBOXNAME user.jane UNIQUEID u UID (1 2 3))\r\n",
    "RESTORE MAILBOX %(UNIQUEID u MBOXNAME user.jane RECORD (",
    "LOCAL_MAILBOX",
    "{3+}\r\nabc",
    "{3}\r\nabc",
    "{4194305+}\r\n",
    "{4294967295+}\r\n",
    "{99999999999999999999+}\r\n",
    "%(",
    "%{",
    "(",
    ")",
    "\"",
    "\\",
    "\r\n",
    "\n",
    " ",
];

fn noise() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        12 => prop::sample::select(&PARTS[..]).prop_map(|part| part.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        1 => (prop::sample::select(&PARTS[..]), 0_usize..40).prop_map(|(part, cut)| {
            let end = cut.min(part.len());
            part.as_bytes()[..end].to_vec()
        }),
        1 => (prop::sample::select(&["(", "%(A ", " ", "a", "() "][..]), 1_usize..200_000)
            .prop_map(|(part, times)| part.as_bytes().repeat(times)),
    ];
    prop::collection::vec(part, 0..30).prop_map(|parts| parts.concat())
}

/// Says it all and nothing more, and hears the server out.
async fn shout(stream: impl AsyncRead + AsyncWrite + Send + 'static, noise: Vec<u8>) {
    let (mut reading, mut writing) = tokio::io::split(stream);
    let saying = tokio::spawn(async move {
        // A server that has heard enough closes.
        let _ = writing.write_all(&noise).await;
        let _ = writing.shutdown().await;
    });
    let mut rest = Vec::new();
    let heard = tokio::time::timeout(PATIENCE, reading.read_to_end(&mut rest)).await;
    assert!(
        heard.is_ok(),
        "the server holds on to a peer that has nothing more to say"
    );
    saying.await.expect("no panic");
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak
        .and_then(|text| text.trim().strip_suffix(" kB"))
        .expect("a peak");
    peak.trim().parse().expect("a number")
}

#[test]
fn noise_ends_and_kills_nothing() {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        usual(info);
    }));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("csync");
    let store = MemoryStore::new();
    let (inside, outside) = runtime.block_on(async {
        let inside = Running::start(&ListenAddress::Unix(path.clone()), of_memory(&store), |_| {}).await;
        (inside, Running::tcp(of_memory(&store), |_| {}).await)
    });
    let outside = Arc::new(outside);
    let mut runner = TestRunner::new(Config {
        cases: 96,
        max_shrink_iters: 60,
        failure_persistence: None,
        ..Config::default()
    });
    let outcome = runner.run(&noise(), |noise| {
        runtime.block_on(async {
            let trusted = UnixStream::connect(&path).await.expect("connects");
            shout(trusted, noise.clone()).await;
            shout(outside.connect().await, noise).await;
        });
        prop_assert_eq!(PANICS.load(Ordering::Relaxed), 0, "something panicked");
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    let peak = peak_kib();
    assert!(peak < MEMORY_MAX_KIB, "peak resident memory {peak} KiB");
    runtime.block_on(async {
        let mut last = UnixStream::connect(&path).await.expect("connects");
        last.write_all(b"NOOP\r\nEXIT\r\n").await.expect("sent");
        let mut said = String::new();
        last.read_to_string(&mut said).await.expect("text");
        assert!(said.ends_with("OK Noop completed\r\nOK Finished\r\n"), "{said}");
        inside.stop().await;
        if let Ok(outside) = Arc::try_unwrap(outside) {
            outside.stop().await;
        }
    });
}
