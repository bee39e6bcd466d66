//! A small read-only web server for `/metrics`, `/status.json` and the page `/`. [CS-OPS-7]

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::page;
use crate::serving::ServerStatus;
use crate::view::ChannelView;

/// What visitors may take. A connection serves one request, so that nobody keeps a place by asking slowly.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Connections served at a time; others wait.
    pub connections_max: usize,
    /// How long a request's head may take.
    pub head_timeout: Duration,
    /// How long a connection may last, whoever is slow.
    pub connection_timeout: Duration,
}

impl Default for Limits {
    /// 32 connections, 5 seconds, 20 seconds.
    fn default() -> Self {
        Limits {
            connections_max: 32,
            head_timeout: Duration::from_secs(5),
            connection_timeout: Duration::from_secs(20),
        }
    }
}

/// Largest head of a request, bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Pause after the system refused a connection for want of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Where the answers come from. The functions are called for each request and must not block for long.
pub trait Source: Send + Sync + 'static {
    /// Now, milliseconds since the epoch.
    fn now_ms(&self) -> u64;
    /// All channels to show.
    fn channels(&self) -> Vec<ChannelView>;
    /// Text for Prometheus.
    fn metrics(&self) -> String;
    /// A server, which is shown in place of channels.
    fn server(&self) -> Option<ServerStatus> {
        None
    }
}

/// Serves until it is dropped. Who may connect is the listener's affair: bind it to a loopback address, and put a web
/// server with authentication in front when others are to see the page.
///
/// # Errors
/// None at present; connections that fail are dropped.
pub async fn serve(listener: TcpListener, source: Arc<dyn Source>) -> io::Result<()> {
    serve_within(Limits::default(), listener, source).await
}

/// The same with these limits.
///
/// # Errors
/// As [`serve`].
pub async fn serve_within(limits: Limits, listener: TcpListener, source: Arc<dyn Source>) -> io::Result<()> {
    let room = Arc::new(Semaphore::new(limits.connections_max));
    let page = Arc::new(page::Page::new());
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return Ok(());
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!("status page: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (source, page) = (Arc::clone(&source), Arc::clone(&page));
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let response = answer(&request, source.as_ref(), &page);
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(limits.head_timeout)
                .keep_alive(false)
                .max_buf_size(HEAD_BYTES_MAX)
                .serve_connection(TokioIo::new(stream), service);
            // Whatever a browser does wrong concerns nobody else.
            let _ = tokio::time::timeout(limits.connection_timeout, connection).await;
            drop(permit);
        });
    }
}

/// One answer. Nothing of the request but method and path is used, so there is nothing to inject.
fn answer<B>(request: &Request<B>, source: &dyn Source, page: &page::Page) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = plain(
            StatusCode::METHOD_NOT_ALLOWED,
            "this server only shows; use GET\n",
        );
        response
            .headers_mut()
            .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/" => {
            let html = match source.server() {
                Some(server) => page.render_server(&server, source.now_ms()),
                None => page.render(&source.channels(), source.now_ms()),
            };
            let mut response = with_type(StatusCode::OK, "text/html; charset=utf-8", html);
            if let Ok(policy) = HeaderValue::from_str(page.content_security_policy()) {
                response
                    .headers_mut()
                    .insert(header::CONTENT_SECURITY_POLICY, policy);
            }
            response
        }
        "/status.json" => match status_json(source) {
            Ok(json) => with_type(StatusCode::OK, "application/json", json + "\n"),
            Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
        },
        "/metrics" => with_type(
            StatusCode::OK,
            "text/plain; version=0.0.4; charset=utf-8",
            source.metrics(),
        ),
        _ => plain(StatusCode::NOT_FOUND, "there are /, /status.json and /metrics\n"),
    }
}

/// All channels as an array, or a server as an object.
fn status_json(source: &dyn Source) -> serde_json::Result<String> {
    match source.server() {
        Some(server) => serde_json::to_string_pretty(&server),
        None => serde_json::to_string_pretty(&source.channels()),
    }
}

fn plain(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    with_type(status, "text/plain; charset=utf-8", text.to_owned())
}

fn with_type(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
