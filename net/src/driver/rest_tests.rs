//! Connections at rest: no thread, nothing lost, and places to work at for everybody.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use engine::flow::Waiting;
use engine::ticket::{Request, Resting};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

use super::*;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks the store once for each byte, and says `.` for each answer.
#[derive(Default)]
struct Asker {
    outputs: std::collections::VecDeque<Output>,
    asked: u64,
    answered: u64,
}

impl Drive for Asker {
    fn handle(&mut self, _: Now, input: Input) {
        match input {
            Input::Bytes(bytes) => {
                for _ in bytes {
                    self.asked += 1;
                    let request = Output::Store(TicketId(self.asked), Request::ForgetStaged);
                    self.outputs.push_back(request);
                }
            }
            Input::Stored(ticket, answer) => {
                assert_eq!(answer, Ok(Reply::Done));
                self.answered += 1;
                assert_eq!(ticket.0, self.answered, "in order");
                self.outputs.push_back(Output::Send(Bytes::from_static(b".")));
            }
            Input::Eof => self.outputs.push_back(Output::Closed),
            _ => {}
        }
    }

    fn poll(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or(Output::Wait(Waiting {
            for_input: true,
            for_store: self.answered < self.asked,
            for_sasl: false,
            for_owner: false,
        }))
    }
}

/// What a session was told to do, and what it does only when it may.
struct Scripted {
    seen: Arc<Mutex<Vec<&'static str>>>,
    threads: Arc<Mutex<Vec<std::thread::ThreadId>>>,
    may_work: Option<mpsc::Receiver<()>>,
    may_rest: Option<mpsc::Receiver<()>>,
    resting: Resting,
}

type Seen = Arc<Mutex<Vec<&'static str>>>;

impl Scripted {
    fn new() -> (Self, Seen) {
        let seen = Seen::default();
        let session = Scripted {
            seen: Arc::clone(&seen),
            threads: Arc::default(),
            may_work: None,
            may_rest: None,
            resting: Resting::Free,
        };
        (session, seen)
    }
}

impl Session for Scripted {
    fn execute(&mut self, _: Request) -> Result<Reply, StoreError> {
        if let Some(may) = &self.may_work {
            may.recv_timeout(PATIENCE).expect("let go in time");
        }
        self.seen.lock().expect("no panic").push("work");
        self.threads
            .lock()
            .expect("no panic")
            .push(std::thread::current().id());
        Ok(Reply::Done)
    }

    fn rest(&mut self) -> Resting {
        self.seen.lock().expect("no panic").push("rest");
        if let Some(may) = &self.may_rest {
            may.recv_timeout(PATIENCE).expect("let go in time");
        }
        self.resting
    }
}

fn start(
    session: Scripted,
    rest_after: Duration,
    places: Option<&Places>,
) -> (DuplexStream, JoinHandle<End>) {
    let (peer, stream) = duplex(64);
    let options = Options {
        rest_after,
        places: places.cloned(),
        ..Options::default()
    };
    let never = std::future::pending::<()>();
    let driving = tokio::spawn(async move {
        let (sasl, session) = (Box::new(NoSasl), Box::new(session));
        let driven = drive(Asker::default(), stream, session, sasl, never, options, |_| {}).await;
        driven.1
    });
    (peer, driving)
}

/// Sends so many bytes.
async fn ask(peer: &mut DuplexStream, count: usize) {
    peer.write_all(&b"xxxxxxxx"[..count]).await.expect("written");
}

/// Reads so many answers.
async fn answers(peer: &mut DuplexStream, count: usize) {
    let mut said = vec![0; count];
    tokio::time::timeout(PATIENCE, peer.read_exact(&mut said))
        .await
        .expect("in time")
        .expect("read");
    assert_eq!(said, vec![b'.'; count]);
}

/// Waits until the session has seen this so often.
async fn until(seen: &Seen, what: &str, times: usize) {
    let waiting = async {
        while seen
            .lock()
            .expect("no panic")
            .iter()
            .filter(|w| **w == what)
            .count()
            < times
        {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("in time");
}

async fn end(peer: DuplexStream, driving: JoinHandle<End>) {
    drop(peer);
    let end = tokio::time::timeout(PATIENCE, driving).await.expect("in time");
    assert!(matches!(end.expect("no panic"), End::Closed | End::Lost(_)));
}

/// [CS-CONN-55]
#[tokio::test]
async fn a_connection_that_idles_has_no_thread_and_goes_on() {
    let (session, seen) = Scripted::new();
    let threads = Arc::clone(&session.threads);
    let (mut peer, driving) = start(session, Duration::from_millis(5), None);
    for round in 1..4 {
        ask(&mut peer, 2).await;
        answers(&mut peer, 2).await;
        until(&seen, "rest", round).await;
    }
    let mut used = threads.lock().expect("no panic").clone();
    used.dedup();
    assert_eq!(used.len(), 3, "a thread for each burst: {used:?}");
    end(peer, driving).await;
}

#[tokio::test]
async fn what_comes_while_a_session_goes_to_rest_is_done_behind_it() {
    let (mut session, seen) = Scripted::new();
    let (let_rest, may_rest) = mpsc::channel();
    session.may_rest = Some(may_rest);
    let (mut peer, driving) = start(session, Duration::from_millis(5), None);
    ask(&mut peer, 1).await;
    answers(&mut peer, 1).await;
    until(&seen, "rest", 1).await;
    ask(&mut peer, 3).await;
    // Whether or not the driver has the request by now, it comes behind the rest.
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(*seen.lock().expect("no panic"), ["work", "rest"]);
    let_rest.send(()).expect("it rests");
    answers(&mut peer, 3).await;
    assert_eq!(
        seen.lock().expect("no panic")[..5],
        ["work", "rest", "work", "work", "work"]
    );
    for _ in 0..9 {
        // The rests that may follow.
        let _ = let_rest.send(());
    }
    end(peer, driving).await;
}

#[tokio::test]
async fn an_idle_session_gives_its_place_to_one_that_waits() {
    let places = Places::new(1);
    let long = Duration::from_secs(3600);
    let (first, first_seen) = Scripted::new();
    let (mut one, one_driving) = start(first, long, Some(&places));
    ask(&mut one, 1).await;
    answers(&mut one, 1).await;
    assert_eq!(*first_seen.lock().expect("no panic"), ["work"]);
    // With one place and two who want it in turn, both get on, though neither is silent for an hour.
    let (second, _) = Scripted::new();
    let (mut two, two_driving) = start(second, long, Some(&places));
    for _ in 0..3 {
        ask(&mut two, 2).await;
        answers(&mut two, 2).await;
        ask(&mut one, 2).await;
        answers(&mut one, 2).await;
    }
    assert!(first_seen.lock().expect("no panic").contains(&"rest"));
    end(one, one_driving).await;
    end(two, two_driving).await;
}

/// A session with an open transaction does not queue behind those who wait for that transaction to end.
#[tokio::test]
async fn a_session_that_holds_something_needs_no_place() {
    let places = Places::new(1);
    let (mut holder, holder_seen) = Scripted::new();
    holder.resting = Resting::Holding;
    let (mut one, one_driving) = start(holder, Duration::from_millis(5), Some(&places));
    ask(&mut one, 1).await;
    answers(&mut one, 1).await;
    until(&holder_seen, "rest", 1).await;

    let (mut blocked, _) = Scripted::new();
    let (let_work, may_work) = mpsc::channel();
    blocked.may_work = Some(may_work);
    let (mut two, two_driving) = start(blocked, Duration::from_millis(5), Some(&places));
    ask(&mut two, 1).await;
    let taken = async {
        while places.try_take().is_some() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, taken).await.expect("in time");
    ask(&mut one, 1).await;
    answers(&mut one, 1).await;
    let_work.send(()).expect("it waits");
    answers(&mut two, 1).await;
    drop(let_work);
    end(one, one_driving).await;
    end(two, two_driving).await;
}

/// A peer that goes away while its request waits for a place leaves the place to others.
#[tokio::test]
async fn who_waits_no_longer_takes_no_place() {
    let places = Places::new(1);
    let place = places.try_take().expect("free");
    let (session, seen) = Scripted::new();
    let (mut peer, driving) = start(session, Duration::from_millis(5), Some(&places));
    ask(&mut peer, 1).await;
    let waits = async {
        while !places.are_wanted() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waits).await.expect("in time");
    driving.abort();
    let _ = driving.await;
    drop(place);
    assert!(!places.are_wanted());
    assert!(places.try_take().is_some());
    assert!(seen.lock().expect("no panic").is_empty());
}
