use super::*;
use crate::health::Thresholds;
use crate::serving::{Logins, ServerError, ServerStatus};
use crate::status::{ChannelStatus, Quarantined, Queue, Sample, State, Workers};

pub const NOW_MS: u64 = 1_795_427_000_000;

/// Channels in all kinds of states, as they could be on one server.
pub fn sample_views() -> Vec<ChannelView> {
    let limits = Thresholds::default();
    let view = |status, alive| ChannelView::of(status, alive, NOW_MS, &limits);
    let mut unconfigured = ChannelView::unknown(Some("archive"), Some("archive.example.org"));
    unconfigured.lag_ms = Some(7_500_000);
    unconfigured.waiting = Some(1_204);
    unconfigured.add(
        Level::Trouble,
        "no sync_client works on this channel; 1,204 lines wait in its log",
    );
    vec![
        view(near(), true),
        view(offsite(), true),
        view(cut(), true),
        unconfigured,
        view(hostile(), false),
    ]
}

fn status(
    channel: Option<&str>,
    replica: &str,
    lag_s: impl Fn(u64) -> u64,
    connected: impl Fn(u64) -> bool,
) -> ChannelStatus {
    let mut status = ChannelStatus::starting(channel, replica, NOW_MS - 266_400_000);
    status.pid = 4242;
    status.updated_at_ms = NOW_MS - 400;
    status.state = State::Connected;
    status.workers = Workers {
        busy: 1,
        connected: 4,
        total: 4,
    };
    status.last_success_at_ms = Some(NOW_MS - 2_000);
    status.totals.changes = 1_204_117;
    status.totals.messages = 88_214;
    status.totals.bytes_sent = 3_482_000_111;
    status.totals.bytes_received = 92_000_300;
    status.history = (0..360u64)
        .map(|i| Sample {
            at_ms: NOW_MS - 3_600_000 + i * 10_000,
            lag_ms: lag_s(i) * 1000,
            waiting: lag_s(i) / 2,
            connected: connected(i),
        })
        .collect();
    status
}

fn near() -> ChannelStatus {
    let wave = |i: u64| [0, 0, 1, 0, 2, 1, 0, 0, 0, 1, 3, 1][(i % 12) as usize] + u64::from(i / 40 == 4) * 4;
    let mut status = status(None, "replica1.example.org:2005", wave, |_| true);
    status.queue = Queue {
        queued: 2,
        in_flight: 1,
        oldest_logged_at_ms: Some(NOW_MS - 900),
        ..Queue::default()
    };
    status
}

fn offsite() -> ChannelStatus {
    let mut status = status(
        Some("offsite"),
        "mail-backup.far.example.net:2005",
        |i| (i / 3) % 45 + i / 8,
        |_| true,
    );
    status.queue = Queue {
        queued: 137,
        in_flight: 4,
        deferred: 2,
        quarantined: 2,
        oldest_logged_at_ms: Some(NOW_MS - 48_000),
    };
    status.set_quarantine([
        Quarantined {
            action: "MAILBOX user.jane^doe.\"Entw&APw-rfe 2026\"".to_owned(),
            logged_at_ms: NOW_MS - 9_000_000,
            since_ms: NOW_MS - 5_400_000,
            attempts: 8,
            reason: "the replica answered NO IMAP_QUOTA_EXCEEDED: over quota; raise the quota there, then `mailtwin quarantine retry`".to_owned(),
        },
        Quarantined {
            action: "USER info@example.org".to_owned(),
            logged_at_ms: NOW_MS - 900_000,
            since_ms: NOW_MS - 240_000,
            attempts: 8,
            reason: "users/info.db is damaged (page 17); run `mailtwin verify info@example.org`".to_owned(),
        },
    ]);
    status.queue.queued = 137;
    status.failed(NOW_MS - 240_000, "local", "users/info.db is damaged (page 17)");
    status.totals.errors.insert("IMAP_QUOTA_EXCEEDED".to_owned(), 8);
    status
}

fn cut() -> ChannelStatus {
    let lag = |i: u64| if i < 250 { i % 3 } else { (i - 250) * 10 };
    let mut status = status(Some("berlin"), "10.17.0.4:2005", lag, |i| {
        i < 250 && !(90..110).contains(&i)
    });
    status.state = State::Waiting {
        until_ms: NOW_MS + 205_000,
    };
    status.workers = Workers {
        busy: 0,
        connected: 0,
        total: 2,
    };
    status.queue = Queue {
        queued: 3_816,
        oldest_logged_at_ms: Some(NOW_MS - 1_100_000),
        ..Queue::default()
    };
    status.last_success_at_ms = Some(NOW_MS - 1_100_000);
    status.totals.reconnects = 3;
    status.failed(NOW_MS - 35_000, "connect", "10.17.0.4:2005: no route to host; is the replica running, and does a firewall let port 2005 through?");
    status
}

fn hostile() -> ChannelStatus {
    let mut status = ChannelStatus::starting(
        Some("<b>x</b>"),
        "\"><script>alert(1)</script>",
        NOW_MS - 90_000_000,
    );
    status.pid = 77;
    status.updated_at_ms = NOW_MS - 8_000_000;
    status.set_quarantine([Quarantined {
        action: "MAILBOX user.<img src=x onerror=alert(1)>\u{202e}".to_owned(),
        logged_at_ms: 0,
        since_ms: 0,
        attempts: 1,
        reason: "';--</td><script>alert(2)</script>".to_owned(),
    }]);
    status.failed(NOW_MS, "<i>code</i>", "</style><script>alert(3)</script>");
    status
}

#[test]
fn the_page_of_sample_channels() {
    let html = Page::new().render(&sample_views(), NOW_MS);
    let body = html
        .replace(STYLE, "STYLE")
        .replace(SCRIPT, "SCRIPT")
        .replace("><", ">\n<");
    // The long lists of points say nothing to a reader.
    let short: Vec<String> = body
        .lines()
        .map(|line| {
            let line = cut_attribute(line, " d=\"");
            cut_attribute(&line, "data-samples=\"")
        })
        .collect();
    insta::assert_snapshot!(short.join("\n"));
    if let Ok(path) = std::env::var("MAILTWIN_PAGE") {
        let shown = Page::new().render(&sample_views()[..4], NOW_MS);
        std::fs::write(path, shown).unwrap();
    }
}

fn cut_attribute(line: &str, name: &str) -> String {
    let Some(at) = line.find(name).map(|at| at + name.len()) else {
        return line.to_owned();
    };
    let end = line[at..].find('"').map_or(line.len(), |end| at + end);
    if end - at < 60 {
        line.to_owned()
    } else {
        format!("{}…{}", &line[..at + 40], &line[end..])
    }
}

#[test]
fn hostile_names_cannot_inject() {
    for html in both_pages() {
        for (tag, times) in [
            ("<script", 1),
            ("</script", 1),
            ("</style", 1),
            ("<img", 0),
            ("<i>", 0),
            ("<b>x", 0),
        ] {
            assert_eq!(html.matches(tag).count(), times, "{tag}");
        }
        assert!(!html.contains('\u{202e}'));
    }
}

/// A server whose peers choose what they say.
fn sample_server() -> ServerStatus {
    ServerStatus {
        program: "sync_server 1.0".to_owned(),
        pid: 4242,
        started_at_ms: NOW_MS - 266_400_000,
        listens: vec!["192.0.2.1:2005".to_owned(), "unix:/run/<i>".to_owned()],
        open: 1_204,
        open_max: 10_000,
        busy: 3,
        busy_max: 64,
        connections: 88_214,
        logins: [(
            "SCRAM-SHA-256".to_owned(),
            Logins {
                accepted: 17,
                refused: 2,
            },
        )]
        .into(),
        commands: [("get", 5), ("mailbox", 1_204_117)].into(),
        errors: [("IMAP_MAILBOX_LOCKED", 4)].into(),
        messages: 88_214,
        message_bytes: 3_482_000_111,
        records: 90_000,
        bytes_received: 3_500_000_000,
        bytes_sent: 92_000_300,
        last_command_at_ms: Some(NOW_MS - 2_000),
        last_error: Some(ServerError {
            at_ms: NOW_MS - 60_000,
            code: "IMAP_MAILBOX_LOCKED",
            text: "<script>alert(1)</script>".to_owned(),
            about: Some("user.<img src=x>\u{202e}".to_owned()),
        }),
    }
}

fn both_pages() -> [String; 2] {
    let page = Page::new();
    [
        page.render(&sample_views(), NOW_MS),
        page.render_server(&sample_server(), NOW_MS),
    ]
}

#[test]
fn the_page_of_a_server() {
    let html = Page::new().render_server(&sample_server(), NOW_MS);
    let main = html.find("<main>").unwrap()..html.find("</main>").unwrap();
    insta::assert_snapshot!(html[main].replace("><", ">\n<"));
    if let Ok(path) = std::env::var("MAILTWIN_SERVER_PAGE") {
        std::fs::write(path, html).unwrap();
    }
}

#[test]
fn tags_are_balanced() {
    both_pages().iter().for_each(|html| assert_balanced(html));
}

fn assert_balanced(html: &str) {
    let text = html.replace(STYLE, "").replace(SCRIPT, "");
    let mut open = Vec::new();
    for tag in text.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap();
        let name: String = tag
            .trim_start_matches('/')
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .collect();
        if tag.starts_with('!') || tag.ends_with('/') || name == "meta" {
            continue;
        }
        if tag.starts_with('/') {
            assert_eq!(open.pop().as_deref(), Some(&name[..]), "at </{name}>");
        } else {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn nothing_comes_from_elsewhere() {
    let html = both_pages().concat();
    for word in ["http://", "https://", "src=", "@import", "url("] {
        let body = html.replace("&lt;img src=x", "");
        assert!(!body.contains(word), "{word}");
    }
}

#[test]
fn an_empty_configuration_says_so() {
    assert!(
        Page::new()
            .render(&[], NOW_MS)
            .contains("No channel is configured")
    );
}
