//! Connections that idle give back what they do not need, and those that work take turns, without anybody's work being
//! lost or kept waiting for ever. [CS-CONN-55]

#[allow(dead_code, reason = "other tests use more of it")]
mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use net::address::ListenAddress;
use net::meter::{Event, Meter};
use sha1::{Digest, Sha1};
use store::sqlite::{Options, SqliteStore};
use support::{Running, of_sqlite};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

const PATIENCE: Duration = Duration::from_secs(60);

/// How many work, and how many did at most.
#[derive(Default)]
struct Busy {
    now: AtomicI64,
    most: AtomicI64,
    messages: AtomicU64,
}

impl Meter for Busy {
    fn note(&self, event: Event<'_>) {
        match event {
            Event::WorkBegan => {
                let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
                self.most.fetch_max(now, Ordering::SeqCst);
            }
            Event::WorkEnded => {
                self.now.fetch_sub(1, Ordering::SeqCst);
            }
            Event::Answered(answers) => {
                self.messages.fetch_add(answers.messages, Ordering::SeqCst);
            }
            _ => {}
        }
    }
}

impl Busy {
    async fn nobody(&self) {
        let waiting = async {
            while self.now.load(Ordering::SeqCst) > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .expect("all rest in time");
    }
}

struct Site {
    folder: tempfile::TempDir,
    busy: Arc<Busy>,
    server: Running,
}

impl Site {
    async fn start(busy_max: usize) -> Site {
        let folder = tempfile::tempdir().expect("a folder");
        let options = Options {
            busy_timeout: Duration::from_millis(300),
            ..Options::default()
        };
        let store = SqliteStore::open(folder.path().join("store"), options).expect("opens");
        let busy = Arc::new(Busy::default());
        let meter: Arc<Busy> = Arc::clone(&busy);
        let server = Running::start_as(
            &ListenAddress::Unix(folder.path().join("socket")),
            of_sqlite(&store),
            |config| {
                config.connections_max = 100;
                config.busy_max = busy_max;
            },
            |server| server.metered(meter),
        )
        .await;
        Site { folder, busy, server }
    }

    async fn peer(&self) -> Peer {
        let stream = UnixStream::connect(self.folder.path().join("socket"))
            .await
            .expect("connects");
        let mut peer = Peer(BufReader::new(stream));
        peer.answer().await;
        peer
    }

    /// Databases of users that this process has open.
    fn open_files(&self) -> Vec<PathBuf> {
        open_files(&self.folder.path().join("store/users"))
    }
}

fn open_files(folder: &Path) -> Vec<PathBuf> {
    let folder = folder.canonicalize().expect("a folder");
    std::fs::read_dir("/proc/self/fd")
        .expect("a system with /proc")
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter(|path| path.starts_with(&folder))
        .collect()
}

struct Peer(BufReader<UnixStream>);

impl Peer {
    async fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).await.expect("sent");
    }

    /// The line that ends an answer.
    async fn answer(&mut self) -> String {
        loop {
            let mut line = String::new();
            tokio::time::timeout(PATIENCE, self.0.read_line(&mut line))
                .await
                .expect("says something in time")
                .expect("text");
            if !line.starts_with("* ") || line.starts_with("* OK") {
                return line.trim_end().to_owned();
            }
        }
    }

    async fn ask(&mut self, command: &str) -> String {
        self.send(&format!("{command}\r\n")).await;
        self.answer().await
    }
}

fn guid(body: &str) -> String {
    Sha1::digest(body.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn upload(body: &str) -> String {
    format!(
        "APPLY MESSAGE (%{{default {} {}}}\r\n{body})",
        guid(body),
        body.len()
    )
}

fn keys(user: &str, uid: u32) -> String {
    format!(
        "UNIQUEID id-{user} MBOXNAME user.{user} LAST_UID {uid} HIGHESTMODSEQ {uid} RECENTUID 0 RECENTTIME 0 \
         LAST_APPENDDATE 0 POP3_LAST_LOGIN 0 UIDVALIDITY 1000 PARTITION default ACL \"anyone\tlrs\t\" OPTIONS P"
    )
}

fn record(uid: u32, body: &str) -> String {
    format!(
        "%(UID {uid} MODSEQ {uid} LAST_UPDATED 1700000000 FLAGS () INTERNALDATE 1600000000 SIZE {} GUID {})",
        body.len(),
        guid(body)
    )
}

fn mailbox(user: &str, uid: u32, body: &str) -> String {
    format!(
        "APPLY MAILBOX %({} RECORD ({}))",
        keys(user, uid),
        record(uid, body)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_idles_holds_no_file_and_staged_messages_stay() {
    let site = Site::start(4).await;
    let mut peers = Vec::new();
    for n in 0..8 {
        let user = format!("u{n}");
        let mut peer = site.peer().await;
        assert_eq!(peer.ask(&upload(&user)).await, "OK success");
        assert_eq!(peer.ask(&mailbox(&user, 1, &user)).await, "OK success");
        assert_eq!(peer.ask(&format!("GET USER {user}")).await, "OK success");
        // For after the rest.
        assert_eq!(peer.ask(&upload(&format!("{user} later"))).await, "OK success");
        peers.push((user, peer));
    }
    site.busy.nobody().await;
    assert_eq!(site.open_files(), Vec::<PathBuf>::new());
    for (user, peer) in &mut peers {
        assert_eq!(
            peer.ask(&mailbox(user, 2, &format!("{user} later"))).await,
            "OK success"
        );
    }
    assert!(site.busy.most.load(Ordering::SeqCst) <= 4);
    assert_eq!(site.busy.messages.load(Ordering::SeqCst), 16);
    drop(peers);
    site.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_work_in_turns_with_few_places() {
    let site = Site::start(2).await;
    let mut working = tokio::task::JoinSet::new();
    for n in 0..24 {
        let mut peer = site.peer().await;
        working.spawn(async move {
            let user = format!("u{n}");
            for uid in 1..=5 {
                let body = format!("{user} {uid}");
                assert_eq!(peer.ask(&upload(&body)).await, "OK success");
                assert_eq!(peer.ask(&mailbox(&user, uid, &body)).await, "OK success");
                assert_eq!(peer.ask("RESTART").await, "OK Restarting");
            }
            peer
        });
    }
    let ended = tokio::time::timeout(PATIENCE, working.join_all()).await;
    assert_eq!(ended.expect("nobody waits for ever").len(), 24);
    assert!(site.busy.most.load(Ordering::SeqCst) <= 2);
    site.server.stop().await;
}

/// With one place, somebody in the middle of a command neither keeps the others from work nor is kept by them from its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_stuck_holds_up_its_own_user_alone() {
    let site = Site::start(1).await;
    let (mut stuck, mut other, mut same) = (site.peer().await, site.peer().await, site.peer().await);
    for (peer, body) in [(&mut stuck, "one"), (&mut other, "two"), (&mut same, "three")] {
        assert_eq!(peer.ask(&upload(body)).await, "OK success");
    }
    assert_eq!(stuck.ask(&mailbox("jane", 1, "one")).await, "OK success");
    stuck
        .send(&format!(
            "APPLY MAILBOX %({} RECORD ({}",
            keys("jane", 2),
            record(1, "one")
        ))
        .await;
    assert_eq!(other.ask(&mailbox("joe", 1, "two")).await, "OK success");
    // The transaction is open by now, or will be when its turn comes: until then jane can be written to.
    let began = std::time::Instant::now();
    loop {
        let answer = same.ask(&mailbox("jane", 1, "one")).await;
        if answer.starts_with("NO IMAP_MAILBOX_LOCKED") {
            break;
        }
        assert_eq!(answer, "OK success");
        assert!(began.elapsed() < PATIENCE, "the command never began");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(other.ask("GET USER joe").await, "OK success");
    stuck.send(&format!(" {}))\r\n", record(2, "one"))).await;
    assert_eq!(stuck.answer().await, "OK success");
    assert_eq!(same.ask("GET FULLMAILBOX user.jane").await, "OK success");
    // What was open when a peer goes away is undone.
    stuck
        .send(&format!(
            "APPLY MAILBOX %({} RECORD ({}",
            keys("jane", 3),
            record(2, "one")
        ))
        .await;
    stuck.0.get_mut().shutdown().await.expect("shut down");
    let mut rest = Vec::new();
    stuck.0.read_to_end(&mut rest).await.expect("closed");
    assert_eq!(same.ask(&mailbox("jane", 2, "one")).await, "OK success");
    site.server.stop().await;
}
