//! The web server in front of the status: what it answers, and that nobody who is slow, greedy or many keeps others away.
//! [CS-OPS-7]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use monitor::http::{Limits, Source, serve_within};
use monitor::view::ChannelView;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How long anything may take on a machine that has other things to do as well.
const PATIENCE: Duration = Duration::from_secs(60);

struct Status;

impl Source for Status {
    fn now_ms(&self) -> u64 {
        1_800_000_000_000
    }

    fn channels(&self) -> Vec<ChannelView> {
        vec![ChannelView::unknown(Some("offsite"), Some("192.0.2.30:2005"))]
    }

    fn metrics(&self) -> String {
        "mailtwin_channel_up 1\n".to_owned()
    }
}

async fn start(limits: Limits) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(serve_within(limits, listener, Arc::new(Status)));
    address
}

fn quick() -> Limits {
    Limits {
        connections_max: 4,
        head_timeout: Duration::from_millis(100),
        connection_timeout: Duration::from_secs(1),
    }
}

/// Sends the bytes and reads until the other side closes.
async fn answer(address: SocketAddr, request: &[u8]) -> String {
    let talk = async {
        let mut stream = TcpStream::connect(address).await.expect("connects");
        // A server that has heard enough may close before all is sent.
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    tokio::time::timeout(PATIENCE, talk).await.expect("an end")
}

async fn get(address: SocketAddr, what: &str) -> String {
    answer(address, format!("{what} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await
}

#[tokio::test]
async fn what_is_served() {
    let address = start(Limits::default()).await;
    let page = get(address, "GET /").await;
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    assert!(
        page.contains("content-security-policy: default-src 'none'"),
        "{page}"
    );
    assert!(page.contains("<h2 id=\"c0\">offsite</h2>"), "{page}");
    let json = get(address, "GET /status.json?x=1").await;
    assert!(
        json.contains("application/json") && json.contains("\"channel\": \"offsite\""),
        "{json}"
    );
    assert!(
        get(address, "GET /metrics")
            .await
            .ends_with("mailtwin_channel_up 1\n")
    );
    assert!(
        get(address, "GET /../etc/passwd")
            .await
            .starts_with("HTTP/1.1 404")
    );
    let head = get(address, "HEAD /metrics").await;
    assert!(
        head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
}

#[tokio::test]
async fn only_looking_is_allowed() {
    let address = start(Limits::default()).await;
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "BREW"] {
        let said = get(address, &format!("{method} /")).await;
        assert!(said.starts_with("HTTP/1.1 405"), "{method}: {said}");
        assert!(said.contains("allow: GET, HEAD"), "{method}: {said}");
    }
    // A body that never comes is not waited for.
    let said = answer(
        address,
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n",
    )
    .await;
    assert!(said.starts_with("HTTP/1.1 405"), "{said}");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let address = start(Limits::default()).await;
    let mut request = b"GET / HTTP/1.1\r\nHost: x\r\nX: ".to_vec();
    request.resize(10 << 20, b'a');
    let said = answer(address, &request).await;
    assert!(!said.contains("200 OK"), "{said}");
    let many: String = (0..5000).map(|number| format!("X-{number}: y\r\n")).collect();
    let said = answer(address, format!("GET / HTTP/1.1\r\n{many}\r\n").as_bytes()).await;
    assert!(!said.contains("200 OK"), "{said}");
    for nonsense in [
        &b"\0\xff\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"* OK hello\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
    ] {
        assert!(!answer(address, nonsense).await.contains("200 OK"));
    }
    assert!(get(address, "GET /").await.starts_with("HTTP/1.1 200"));
}

/// More visitors than places, who say nothing, half a request, one byte now and then, or read nothing.
#[tokio::test]
async fn the_slow_make_way() {
    let address = start(quick()).await;
    let mut silent = Vec::new();
    for number in 0..12 {
        let mut stream = TcpStream::connect(address).await.expect("connects");
        match number % 3 {
            0 => {}
            1 => stream.write_all(b"GET / HTTP/1.1\r\nHo").await.expect("sent"),
            _ => stream
                .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                .await
                .expect("sent"),
        }
        silent.push(stream);
    }
    let mut drip = TcpStream::connect(address).await.expect("connects");
    let dripping = tokio::spawn(async move {
        // Ends when it is cut off.
        while drip.write_all(b"X").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(get(address, "GET /").await.starts_with("HTTP/1.1 200"));
    tokio::time::timeout(PATIENCE, dripping)
        .await
        .expect("cut off")
        .expect("no panic");
    for mut stream in silent {
        let mut rest = Vec::new();
        let end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        assert!(end.is_ok(), "a silent visitor is sent away");
    }
}

/// A connection serves one request, so that nobody stays by asking again.
#[tokio::test]
async fn one_request_a_connection() {
    let address = start(Limits::default()).await;
    let twice = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\nGET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    let said = answer(address, twice).await;
    assert_eq!(said.matches("HTTP/1.1 200").count(), 1, "{said}");
}
