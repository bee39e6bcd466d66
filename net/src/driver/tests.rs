//! The driver under scripted machines: order, back-pressure, time, endings.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use engine::ticket::Request;
use tokio::io::{DuplexStream, duplex};

use super::*;

const NOTHING: Waiting = Waiting {
    for_input: false,
    for_store: false,
    for_sasl: false,
    for_owner: false,
};
const INPUT: Waiting = Waiting {
    for_input: true,
    ..NOTHING
};
const STORE: Waiting = Waiting {
    for_store: true,
    ..NOTHING
};
const SASL: Waiting = Waiting {
    for_sasl: true,
    ..NOTHING
};

/// A machine that says what its closures say.
struct Scripted<F> {
    outputs: VecDeque<Output>,
    waiting: Waiting,
    seen: Vec<String>,
    react: F,
}

/// What a closure may change.
struct Next<'a> {
    outputs: &'a mut VecDeque<Output>,
}

impl Next<'_> {
    fn send(&mut self, text: &str) {
        self.outputs
            .push_back(Output::Send(Bytes::copy_from_slice(text.as_bytes())));
    }
    fn close(&mut self) {
        self.outputs.push_back(Output::Closed);
    }
}

impl<F: FnMut(&Input, &mut Next<'_>) + Send> Scripted<F> {
    fn new(outputs: Vec<Output>, waiting: Waiting, react: F) -> Self {
        Scripted {
            outputs: outputs.into(),
            waiting,
            seen: Vec::new(),
            react,
        }
    }
}

impl<F: FnMut(&Input, &mut Next<'_>) + Send> Drive for Scripted<F> {
    fn handle(&mut self, _: Now, input: Input) {
        self.seen.push(match &input {
            Input::Bytes(bytes) => format!("bytes {}", bytes.escape_ascii()),
            Input::Eof => "eof".to_owned(),
            Input::Stored(ticket, answer) => format!("stored {} {}", ticket.0, answer.is_ok()),
            Input::Sasl(reply) => format!("{reply:?}"),
            Input::Shutdown => "shutdown".to_owned(),
            #[allow(unreachable_patterns, reason = "inputs may be added to the engine")]
            _ => "other".to_owned(),
        });
        (self.react)(
            &input,
            &mut Next {
                outputs: &mut self.outputs,
            },
        );
    }

    fn poll(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or(Output::Wait(self.waiting))
    }
}

struct Slow(Duration);

impl Session for Slow {
    fn execute(&mut self, _: Request) -> Result<Reply, StoreError> {
        std::thread::sleep(self.0);
        Ok(Reply::Done)
    }
}

struct Dying;

impl Session for Dying {
    fn execute(&mut self, _: Request) -> Result<Reply, StoreError> {
        panic!("a bug in the store")
    }
}

struct DyingSasl;

impl SaslLayer for DyingSasl {
    fn step(&mut self, _: SaslRequest) -> SaslReply {
        panic!("a bug in the SASL library")
    }
}

fn request(ticket: u64) -> Output {
    Output::Store(TicketId(ticket), Request::Commit)
}

async fn never() {
    std::future::pending().await
}

async fn drive_with<M: Drive>(machine: M, stream: DuplexStream, options: Options) -> (M, End) {
    drive(
        machine,
        stream,
        Box::new(Slow(Duration::ZERO)),
        Box::new(NoSasl),
        never(),
        options,
        |_| {},
    )
    .await
}

async fn read_all(stream: &mut DuplexStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("text");
    text
}

#[tokio::test]
async fn what_is_said_arrives_and_then_the_end() {
    let (mut peer, stream) = duplex(64);
    let machine = Scripted::new(vec![], INPUT, |input, next| {
        if let Input::Bytes(bytes) = input {
            next.send("you said ");
            next.send(&bytes.escape_ascii().to_string());
            next.close();
        }
    });
    let driving = tokio::spawn(drive_with(machine, stream, Options::default()));
    peer.write_all(b"hello").await.expect("written");
    assert_eq!(read_all(&mut peer).await, "you said hello");
    drop(peer);
    let (machine, end) = driving.await.expect("no panic");
    assert!(matches!(end, End::Closed), "{end}");
    assert_eq!(machine.seen, ["bytes hello"]);
}

#[tokio::test]
async fn the_peers_end_is_told_once() {
    let (peer, stream) = duplex(64);
    drop(peer);
    let machine = Scripted::new(vec![], INPUT, |input, next| {
        if matches!(input, Input::Eof) {
            next.close();
        }
    });
    let (machine, _) = drive_with(machine, stream, Options::default()).await;
    assert_eq!(machine.seen, ["eof"]);
}

/// A machine with endless output is polled only as the peer reads. [CS-LIMIT-19]
#[tokio::test]
async fn a_peer_that_does_not_read_stops_the_machine() {
    struct Endless(Arc<AtomicUsize>);
    impl Drive for Endless {
        fn handle(&mut self, _: Now, _: Input) {}
        fn poll(&mut self) -> Output {
            self.0.fetch_add(64 * 1024, Ordering::Relaxed);
            Output::Send(Bytes::from_static(&[b'x'; 64 * 1024]))
        }
    }
    let said = Arc::new(AtomicUsize::new(0));
    let (mut peer, stream) = duplex(4096);
    let driving = tokio::spawn(drive_with(Endless(Arc::clone(&said)), stream, Options::default()));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(said.load(Ordering::Relaxed) <= wire::OUT_BYTES_HIGH + 64 * 1024 + 4096);
    let mut taken = vec![0; 1024 * 1024];
    peer.read_exact(&mut taken).await.expect("read");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(said.load(Ordering::Relaxed) <= taken.len() + wire::OUT_BYTES_HIGH + 64 * 1024 + 4096);
    driving.abort();
}

/// A machine that wants no input makes the peer wait, one buffer ahead.
#[tokio::test]
async fn a_machine_that_does_not_listen_stops_the_peer() {
    let (mut peer, stream) = duplex(4096);
    let machine = Scripted::new(vec![request(0)], STORE, |_, _| {});
    let session = Box::new(Slow(Duration::from_secs(1)));
    let sasl = Box::new(NoSasl);
    let driving = tokio::spawn(drive(
        machine,
        stream,
        session,
        sasl,
        never(),
        Options::default(),
        |_| {},
    ));
    let mut written = 0;
    while let Ok(result) = tokio::time::timeout(Duration::from_millis(50), peer.write(&[b'x'; 4096])).await {
        written += result.expect("open");
        assert!(written <= 256 * 1024, "unbounded read-ahead");
    }
    driving.abort();
}

/// A peer that reads commands only when its answers are read, and a machine with more commands than the pipe holds.
/// [CS-LIMIT-24]
#[tokio::test]
async fn answers_are_read_while_commands_are_stuck() {
    const EACH: usize = 1024 * 1024;
    let (mut peer, stream) = duplex(4096);
    let commands = vec![
        Output::Send(Bytes::from(vec![b'c'; EACH])),
        Output::Send(Bytes::from(vec![b'c'; EACH])),
    ];
    let mut answered = 0;
    let machine = Scripted::new(commands, INPUT, move |input, next| {
        if let Input::Bytes(bytes) = input {
            answered += bytes.len();
            if answered == EACH {
                next.close();
            }
        }
    });
    let options = Options {
        read_ahead_bytes: EACH,
        ..Options::default()
    };
    let driving = tokio::spawn(drive_with(machine, stream, options));
    let talk = async {
        peer.write_all(&vec![b'a'; EACH])
            .await
            .expect("answers are taken");
        let mut commands = vec![0; 2 * EACH];
        peer.read_exact(&mut commands).await.expect("commands come");
    };
    tokio::time::timeout(Duration::from_secs(10), talk)
        .await
        .expect("no deadlock");
    drop(peer);
    let (_, end) = driving.await.expect("no panic");
    assert!(matches!(end, End::Closed), "{end}");
}

#[tokio::test]
async fn tickets_are_answered_in_order_while_the_wire_moves() {
    let (mut peer, stream) = duplex(4096);
    let outputs = vec![
        request(0),
        request(1),
        Output::Send(Bytes::from_static(b"meanwhile")),
        request(2),
    ];
    let machine = Scripted::new(outputs, STORE, |input, next| {
        if matches!(input, Input::Stored(TicketId(2), _)) {
            next.close();
        }
    });
    let session = Box::new(Slow(Duration::from_millis(100)));
    let sasl = Box::new(NoSasl);
    let driving = tokio::spawn(drive(
        machine,
        stream,
        session,
        sasl,
        never(),
        Options::default(),
        |_| {},
    ));
    let mut text = [0; 9];
    let read = tokio::time::timeout(Duration::from_millis(90), peer.read_exact(&mut text)).await;
    assert!(read.is_ok(), "output waits for the store");
    drop(peer);
    let (machine, _) = driving.await.expect("no panic");
    assert_eq!(machine.seen, ["stored 0 true", "stored 1 true", "stored 2 true"]);
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_left() {
    let (_peer, stream) = duplex(64);
    let options = Options {
        login_timeout: Duration::from_secs(5),
        ..Options::default()
    };
    let started = Instant::now();
    let (machine, end) = drive_with(Scripted::new(vec![], INPUT, |_, _| {}), stream, options).await;
    assert!(
        matches!(end, End::TimedOut(after) if after.as_secs() == 5),
        "{end}"
    );
    assert_eq!(started.elapsed().as_secs(), 5);
    assert!(machine.seen.is_empty());
}

#[tokio::test(start_paused = true)]
async fn every_byte_begins_the_patience_anew() {
    let (mut peer, stream) = duplex(64);
    let options = Options {
        login_timeout: Duration::from_secs(5),
        ..Options::default()
    };
    let driving = tokio::spawn(drive_with(
        Scripted::new(vec![], INPUT, |_, _| {}),
        stream,
        options,
    ));
    let started = Instant::now();
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_secs(4)).await;
        peer.write_all(b"x").await.expect("still there");
    }
    let (machine, end) = driving.await.expect("no panic");
    assert!(matches!(end, End::TimedOut(_)), "{end}");
    assert_eq!((started.elapsed().as_secs(), machine.seen.len()), (21, 4));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_is_left() {
    let (_peer, stream) = duplex(64);
    let outputs = vec![Output::Send(Bytes::from_static(&[b'x'; 1000]))];
    let options = Options {
        login_timeout: Duration::from_secs(5),
        ..Options::default()
    };
    let (_, end) = drive_with(Scripted::new(outputs, INPUT, |_, _| {}), stream, options).await;
    assert!(matches!(end, End::TimedOut(_)), "{end}");
}

#[tokio::test]
async fn a_busy_store_may_take_longer_than_the_peer_may() {
    let (_peer, stream) = duplex(64);
    let outputs = vec![request(0)];
    let both = Waiting {
        for_input: true,
        for_store: true,
        for_sasl: false,
        for_owner: false,
    };
    let machine = Scripted::new(outputs, both, |input, next| {
        if matches!(input, Input::Stored(..)) {
            next.close();
        }
    });
    let options = Options {
        peer_timeout: Duration::from_millis(20),
        ..Options::default()
    };
    let session = Box::new(Slow(Duration::from_millis(200)));
    let (_, end) = drive(
        machine,
        stream,
        session,
        Box::new(NoSasl),
        never(),
        options,
        |_| {},
    )
    .await;
    assert!(matches!(end, End::Closed), "{end}");
}

#[tokio::test(start_paused = true)]
async fn stopping_is_told_once_and_waited_for_within_the_grace() {
    let stop = || tokio::time::sleep(Duration::from_secs(1));
    let options = Options {
        shutdown_grace: Duration::from_secs(3),
        ..Options::default()
    };
    let (mut peer, stream) = duplex(64);
    let polite = Scripted::new(vec![], INPUT, |input, next| {
        if matches!(input, Input::Shutdown) {
            next.send("BYE");
            next.close();
        }
    });
    let session = || Box::new(Slow(Duration::ZERO));
    let driving = drive(
        polite,
        stream,
        session(),
        Box::new(NoSasl),
        stop(),
        options.clone(),
        |_| {},
    );
    let ((machine, end), text) = tokio::join!(driving, read_all(&mut peer));
    assert!(matches!(end, End::Closed), "{end}");
    assert_eq!(
        (text.as_str(), machine.seen),
        ("BYE", vec!["shutdown".to_owned()])
    );

    let (_peer, stream) = duplex(64);
    let stubborn = Scripted::new(vec![], INPUT, |_, _| {});
    let started = Instant::now();
    let (machine, end) = drive(
        stubborn,
        stream,
        session(),
        Box::new(NoSasl),
        stop(),
        options,
        |_| {},
    )
    .await;
    assert!(matches!(end, End::Stopped), "{end}");
    assert_eq!((started.elapsed().as_secs(), machine.seen.len()), (4, 1));
}

#[tokio::test]
async fn bugs_below_end_the_connection_and_nothing_else() {
    let (_peer, stream) = duplex(64);
    let machine = Scripted::new(vec![request(0)], STORE, |_, _| {});
    let (_, end) = drive(
        machine,
        stream,
        Box::new(Dying),
        Box::new(NoSasl),
        never(),
        Options::default(),
        |_| {},
    )
    .await;
    assert!(matches!(end, End::Broken(_)), "{end}");

    let (_peer, stream) = duplex(64);
    let machine = Scripted::new(vec![Output::Sasl(SaslRequest::Abort)], SASL, |input, next| {
        assert!(
            matches!(input, Input::Sasl(SaslReply::Failure { .. })),
            "{input:?}"
        );
        next.close();
    });
    let session = Box::new(Slow(Duration::ZERO));
    let (_, end) = drive(
        machine,
        stream,
        session,
        Box::new(DyingSasl),
        never(),
        Options::default(),
        |_| {},
    )
    .await;
    assert!(matches!(end, End::Closed), "{end}");

    let (_peer, stream) = duplex(64);
    let (_, end) = drive_with(
        Scripted::new(vec![], NOTHING, |_, _| {}),
        stream,
        Options::default(),
    )
    .await;
    assert!(matches!(end, End::Broken(_)), "{end}");
}

#[tokio::test(start_paused = true)]
async fn failed_logins_are_answered_late() {
    let (_peer, stream) = duplex(64);
    let start = SaslRequest::Start {
        mechanism: "X".to_owned(),
        initial: None,
    };
    let machine = Scripted::new(vec![Output::Sasl(start)], SASL, |_, next| next.close());
    let guests = crate::guests::Guests::new(crate::guests::GuestLimits {
        total_max: 1,
        per_address_max: 1,
        pause: Duration::from_secs(3),
        pause_max: Duration::from_secs(3),
    });
    let guest = guests.admit([192, 0, 2, 1].into()).expect("a place");
    let options = Options {
        guest: Some(Arc::new(guest)),
        ..Options::default()
    };
    let started = Instant::now();
    drive_with(machine, stream, options).await;
    assert!(started.elapsed() >= Duration::from_secs(3));
}

/// Two machines that switch deflate on in the middle of what they say, one with bytes that came too early.
#[tokio::test]
async fn deflate_begins_exactly_where_it_is_switched_on() {
    let text: String = (0..100_000).map(|n| format!("line {n}\r\n")).collect();
    let (left, right) = duplex(777);
    let said = text.clone();
    let sender = Scripted::new(
        vec![
            Output::Send(Bytes::from_static(b"plain\r\n")),
            Output::StartDeflate {
                received: Bytes::new(),
            },
            Output::Send(Bytes::from(said)),
            Output::Closed,
        ],
        INPUT,
        |_, _| {},
    );
    let mut plain = Vec::new();
    let mut inflated = String::new();
    let mut switched = false;
    let receiver = Scripted::new(vec![], INPUT, move |input, next| match input {
        Input::Bytes(bytes) if !switched => {
            plain.extend_from_slice(bytes);
            if let Some(at) = plain.iter().position(|&b| b == b'\n') {
                assert_eq!(&plain[..at], b"plain\r");
                switched = true;
                let received = Bytes::copy_from_slice(&plain[at + 1..]);
                next.outputs.push_back(Output::StartDeflate { received });
            }
        }
        Input::Bytes(bytes) => inflated.push_str(std::str::from_utf8(bytes).expect("text")),
        Input::Eof => {
            assert_eq!(inflated.len(), text.len());
            assert!(inflated == text, "differs");
            next.close();
        }
        _ => {}
    });
    let options = Options {
        trusted: true,
        ..Options::default()
    };
    let (sent, received) = tokio::join!(
        drive_with(sender, left, options.clone()),
        drive_with(receiver, right, options)
    );
    assert!(matches!(sent.1, End::Closed), "{}", sent.1);
    assert!(matches!(received.1, End::Closed), "{}", received.1);
    assert_eq!(received.0.seen.last().map(String::as_str), Some("eof"));
}

#[tokio::test]
async fn useless_deflated_data_ends_the_connection() {
    let (mut peer, stream) = duplex(64);
    let machine = Scripted::new(
        vec![Output::StartDeflate {
            received: Bytes::new(),
        }],
        INPUT,
        |_, _| {},
    );
    peer.write_all(b"NOOP\r\n").await.expect("written");
    let driving = tokio::spawn(drive_with(
        machine,
        stream,
        Options {
            tells_reason: true,
            ..Options::default()
        },
    ));
    let mut said = Vec::new();
    peer.read_to_end(&mut said).await.expect("read");
    let mut inflater = crate::deflate::Inflater::new(InflateLimits::TRUSTED);
    inflater.push(said.into());
    let reason = inflater.next_piece().expect("deflated").expect("a line");
    assert_eq!(
        reason,
        "* Fatal error: what the peer sends is no deflated data\r\n"
    );
    drop(peer);
    let (machine, end) = driving.await.expect("no panic");
    assert!(matches!(end, End::Inflate(InflateError::Corrupt)), "{end}");
    assert!(machine.seen.is_empty());
}

/// Found by the second ring of the simulator: a goodbye that nobody takes held a server for as long as a peer may be silent.
/// [CS-CONN-56]
#[tokio::test(start_paused = true)]
async fn a_goodbye_that_nobody_takes_holds_nobody_longer_than_the_grace() {
    let options = Options {
        shutdown_grace: Duration::from_secs(3),
        ..Options::default()
    };
    let stop_after = |seconds| tokio::time::sleep(Duration::from_secs(seconds));
    let goodbye = || Output::Send(Bytes::from_static(&[b'x'; 1000]));
    let told = Scripted::new(vec![], INPUT, |_, next| {
        next.outputs.extend([goodbye(), Output::Closed]);
    });
    let leaving = Scripted::new(vec![goodbye(), Output::Closed], INPUT, |_, _| {});

    let (_peer, stream) = duplex(64);
    let (sasl, started) = (Box::new(NoSasl), Instant::now());
    let session = Box::new(Slow(Duration::ZERO));
    let (machine, end) = drive(
        told,
        stream,
        session,
        sasl,
        stop_after(1),
        options.clone(),
        |_| {},
    )
    .await;
    assert!(matches!(end, End::Closed), "{end}");
    assert_eq!(machine.seen, ["shutdown"]);
    assert_eq!(started.elapsed().as_secs(), 1 + 3, "told before its goodbye");

    let (_peer, stream) = duplex(64);
    let (sasl, started) = (Box::new(NoSasl), Instant::now());
    let session = Box::new(Slow(Duration::ZERO));
    let (_, end) = drive(leaving, stream, session, sasl, stop_after(10), options, |_| {}).await;
    assert!(matches!(end, End::Closed), "{end}");
    assert_eq!(started.elapsed().as_secs(), 10 + 3, "told behind its goodbye");
}

/// Found by the second ring of the simulator: a machine with something to say was not told to stop, nor was its time counted.
/// [CS-CONN-56]
#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_holds_nobody_longer_than_the_grace() {
    let options = Options {
        shutdown_grace: Duration::from_secs(3),
        ..Options::default()
    };
    // More than waits for a socket: the machine is asked for no more.
    let much = || Output::Send(Bytes::from(vec![b'x'; super::wire::OUT_BYTES_HIGH]));
    let machine = Scripted::new(vec![much(), much()], INPUT, |_, next| next.close());
    let (_peer, stream) = duplex(64);
    let (sasl, started) = (Box::new(NoSasl), Instant::now());
    let session = Box::new(Slow(Duration::ZERO));
    let stop = tokio::time::sleep(Duration::from_secs(10));
    let (machine, end) = drive(machine, stream, session, sasl, stop, options, |_| {}).await;
    assert!(matches!(end, End::Stopped), "{end}");
    assert!(machine.seen.is_empty(), "{:?}", machine.seen);
    assert_eq!(started.elapsed().as_secs(), 10 + 3);
}
