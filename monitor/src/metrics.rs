//! Numbers for Prometheus.
//!
//! What belongs to a channel has the label `channel`, empty for the default channel. Times of the table in
//! docs/OPERATIONS.md are in seconds, sizes in bytes, as Prometheus wants them.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use crate::serving::ServerStatus;
use crate::status::{ChannelStatus, State};

/// Bounds of the durations' buckets, seconds.
const DURATION_BUCKETS_S: [f64; 14] = [
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0, 3600.0,
];

/// Kinds of metric, for their description.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Goes up only, until the program starts again.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts in buckets.
    Histogram,
}

/// A metric as documented.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Described {
    /// Its name.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// Its unit.
    pub unit: Option<Unit>,
    /// Its labels.
    pub labels: &'static str,
    /// What it says.
    pub text: &'static str,
}

const fn metric(
    name: &'static str,
    kind: Kind,
    unit: Option<Unit>,
    labels: &'static str,
    text: &'static str,
) -> Described {
    Described {
        name,
        kind,
        unit,
        labels,
        text,
    }
}

/// All metrics there are. Counters end in `_total`, and a histogram has `_bucket`, `_sum` and `_count`.
pub const ALL: &[Described] = &[
    metric(
        "mailtwin_channel_up",
        Kind::Gauge,
        None,
        "channel, replica",
        "1 while at least one connection to the replica is logged in",
    ),
    metric(
        "mailtwin_channel_lag_seconds",
        Kind::Gauge,
        Some(Unit::Seconds),
        "channel",
        "age of the oldest change not yet replicated; 0 when there is none",
    ),
    metric(
        "mailtwin_channel_queued",
        Kind::Gauge,
        None,
        "channel",
        "changes that wait for their turn",
    ),
    metric(
        "mailtwin_channel_in_flight",
        Kind::Gauge,
        None,
        "channel",
        "changes being replicated",
    ),
    metric(
        "mailtwin_channel_deferred",
        Kind::Gauge,
        None,
        "channel",
        "changes put off, tried again later",
    ),
    metric(
        "mailtwin_channel_quarantined",
        Kind::Gauge,
        None,
        "channel",
        "changes put aside until an operator decides",
    ),
    metric(
        "mailtwin_channel_workers",
        Kind::Gauge,
        None,
        "channel, state",
        "connections: wanted (state=total), logged in (connected), at work (busy)",
    ),
    metric(
        "mailtwin_channel_last_success_timestamp_seconds",
        Kind::Gauge,
        Some(Unit::Seconds),
        "channel",
        "when a change was last replicated, seconds since the epoch; 0 if never",
    ),
    metric(
        "mailtwin_channel_start_timestamp_seconds",
        Kind::Gauge,
        Some(Unit::Seconds),
        "channel",
        "when the daemon started, seconds since the epoch",
    ),
    metric(
        "mailtwin_channel_changes_total",
        Kind::Counter,
        None,
        "channel",
        "changes replicated",
    ),
    metric(
        "mailtwin_channel_messages_total",
        Kind::Counter,
        None,
        "channel",
        "messages sent",
    ),
    metric(
        "mailtwin_channel_sent_bytes_total",
        Kind::Counter,
        Some(Unit::Bytes),
        "channel",
        "bytes sent, as they went over the wire",
    ),
    metric(
        "mailtwin_channel_received_bytes_total",
        Kind::Counter,
        Some(Unit::Bytes),
        "channel",
        "bytes received, as they came over the wire",
    ),
    metric(
        "mailtwin_channel_errors_total",
        Kind::Counter,
        None,
        "channel, code",
        "failures by code",
    ),
    metric(
        "mailtwin_channel_reconnects_total",
        Kind::Counter,
        None,
        "channel",
        "connections made after the first one",
    ),
    metric(
        "mailtwin_channel_change_duration_seconds",
        Kind::Histogram,
        Some(Unit::Seconds),
        "channel, kind, outcome",
        "time from giving a change to a connection to its result",
    ),
    metric(
        "mailtwin_channel_change_delay_seconds",
        Kind::Histogram,
        Some(Unit::Seconds),
        "channel",
        "time from logging a change to its being replicated",
    ),
    metric(
        "mailtwin_server_connections",
        Kind::Gauge,
        None,
        "state",
        "connections of sync_server: all (state=open), at work (busy)",
    ),
    metric(
        "mailtwin_server_connections_total",
        Kind::Counter,
        None,
        "",
        "connections that sync_server took",
    ),
    metric(
        "mailtwin_server_logins_total",
        Kind::Counter,
        None,
        "mechanism, outcome",
        "logins at sync_server, accepted and refused",
    ),
    metric(
        "mailtwin_server_received_bytes_total",
        Kind::Counter,
        Some(Unit::Bytes),
        "",
        "bytes that sync_server received, as they came over the wire",
    ),
    metric(
        "mailtwin_server_sent_bytes_total",
        Kind::Counter,
        Some(Unit::Bytes),
        "",
        "bytes that sync_server sent, as they went over the wire",
    ),
    metric(
        "mailtwin_server_commands_total",
        Kind::Counter,
        None,
        "command",
        "commands that sync_server answered: get, message, mailbox, apply (others of APPLY), restore, session",
    ),
    metric(
        "mailtwin_server_errors_total",
        Kind::Counter,
        None,
        "code",
        "commands that sync_server refused, by code; NO and BAD where the answer has none",
    ),
    metric(
        "mailtwin_server_messages_total",
        Kind::Counter,
        None,
        "",
        "messages that sync_server received",
    ),
    metric(
        "mailtwin_server_message_bytes_total",
        Kind::Counter,
        Some(Unit::Bytes),
        "",
        "their bytes",
    ),
    metric(
        "mailtwin_server_records_total",
        Kind::Counter,
        None,
        "",
        "records of messages that sync_server wrote and committed",
    ),
    metric(
        "mailtwin_server_start_timestamp_seconds",
        Kind::Gauge,
        Some(Unit::Seconds),
        "",
        "when sync_server started, seconds since the epoch",
    ),
    metric(
        "mailtwin_server_last_command_timestamp_seconds",
        Kind::Gauge,
        Some(Unit::Seconds),
        "",
        "when sync_server last answered a command, seconds since the epoch; 0 if never",
    ),
    metric(
        "mailtwin_server_turn_duration_seconds",
        Kind::Histogram,
        Some(Unit::Seconds),
        "",
        "time from the first byte of a command, or of several sent together, to the last answer",
    ),
    metric(
        "mailtwin_server_store_duration_seconds",
        Kind::Histogram,
        Some(Unit::Seconds),
        "kind",
        "time that the store took: read, stage (messages received), write, commit; waiting for locks included",
    ),
];

/// The recorder, and the handle that prints it.
fn recorder() -> Result<PrometheusRecorder, BuildError> {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(
            Matcher::Suffix("_duration_seconds".to_owned()),
            &DURATION_BUCKETS_S,
        )?
        .set_buckets_for_metric(Matcher::Suffix("_delay_seconds".to_owned()), &DURATION_BUCKETS_S)?;
    Ok(builder.build_recorder())
}

/// Makes this process count; call it once, before anything counts. The handle prints what was counted.
///
/// # Errors
/// The recorder is there already, as text for people.
pub fn install() -> Result<PrometheusHandle, String> {
    let recorder = recorder().map_err(|error| error.to_string())?;
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|error| error.to_string())?;
    describe();
    Ok(handle)
}

/// How often durations are put into their buckets.
const UPKEEP: Duration = Duration::from_secs(10);

/// Puts durations into their buckets now and then; until then, or until somebody asks, each is kept by itself. Never
/// completes: let it run for as long as the program counts.
pub async fn upkeep(handle: PrometheusHandle) {
    let mut times = tokio::time::interval(UPKEEP);
    loop {
        times.tick().await;
        handle.run_upkeep();
    }
}

/// The metrics of these channels alone, for a program that only looks on: text in Prometheus's format.
pub fn of_channels<'a>(statuses: impl IntoIterator<Item = (&'a ChannelStatus, bool)>, now_ms: u64) -> String {
    let Ok(recorder) = recorder() else {
        return String::new();
    };
    metrics::with_local_recorder(&recorder, || {
        describe();
        for (status, running) in statuses {
            observe(status, now_ms);
            if !running {
                up(status).set(0.0);
            }
        }
    });
    recorder.handle().render()
}

fn describe() {
    for metric in ALL {
        let unit = metric.unit.unwrap_or(Unit::Count);
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, unit, metric.text),
            Kind::Gauge => describe_gauge!(metric.name, unit, metric.text),
            Kind::Histogram => describe_histogram!(metric.name, unit, metric.text),
        }
    }
}

/// Takes over the numbers of a channel's status; call it before printing, and as often as you like.
pub fn observe(status: &ChannelStatus, now_ms: u64) {
    let channel = label(status);
    let queue = &status.queue;
    let set = |name: &'static str, value: f64| gauge!(name, "channel" => channel.clone()).set(value);
    let connected = status.state == State::Connected || status.workers.connected > 0;
    up(status).set(f64::from(u8::from(connected)));
    set(
        "mailtwin_channel_lag_seconds",
        queue.lag_ms(now_ms) as f64 / 1000.0,
    );
    set("mailtwin_channel_queued", queue.queued as f64);
    set("mailtwin_channel_in_flight", queue.in_flight as f64);
    set("mailtwin_channel_deferred", queue.deferred as f64);
    set("mailtwin_channel_quarantined", queue.quarantined as f64);
    set(
        "mailtwin_channel_last_success_timestamp_seconds",
        status.last_success_at_ms.unwrap_or(0) as f64 / 1000.0,
    );
    set(
        "mailtwin_channel_start_timestamp_seconds",
        status.started_at_ms as f64 / 1000.0,
    );
    let workers = &status.workers;
    for (state, number) in [
        ("total", workers.total),
        ("connected", workers.connected),
        ("busy", workers.busy),
    ] {
        gauge!("mailtwin_channel_workers", "channel" => channel.clone(), "state" => state)
            .set(f64::from(number));
    }
    let totals = &status.totals;
    let count = |name: &'static str, value: u64| counter!(name, "channel" => channel.clone()).absolute(value);
    count("mailtwin_channel_changes_total", totals.changes);
    count("mailtwin_channel_messages_total", totals.messages);
    count("mailtwin_channel_sent_bytes_total", totals.bytes_sent);
    count("mailtwin_channel_received_bytes_total", totals.bytes_received);
    count("mailtwin_channel_reconnects_total", totals.reconnects);
    for (code, &number) in &totals.errors {
        counter!("mailtwin_channel_errors_total", "channel" => channel.clone(), "code" => code.clone())
            .absolute(number);
    }
}

/// Counts how long a change took. `kind` is the log's word (`MAILBOX`), `waited` the time since it was logged, known
/// for changes that are done.
pub fn change_done(
    channel: Option<&str>,
    kind: &'static str,
    ok: bool,
    took: Duration,
    waited: Option<Duration>,
) {
    let channel = channel.unwrap_or_default().to_owned();
    let outcome = if ok { "done" } else { "failed" };
    histogram!("mailtwin_channel_change_duration_seconds",
        "channel" => channel.clone(), "kind" => kind, "outcome" => outcome)
    .record(took.as_secs_f64());
    if let Some(waited) = waited {
        histogram!("mailtwin_channel_change_delay_seconds", "channel" => channel)
            .record(waited.as_secs_f64());
    }
}

/// Takes over the numbers of a server; call it before printing, and as often as you like.
pub fn observe_server(status: &ServerStatus) {
    for (state, number) in [("open", status.open), ("busy", status.busy)] {
        gauge!("mailtwin_server_connections", "state" => state).set(number as f64);
    }
    for (mechanism, logins) in &status.logins {
        for (outcome, number) in [("accepted", logins.accepted), ("refused", logins.refused)] {
            counter!("mailtwin_server_logins_total", "mechanism" => mechanism.clone(), "outcome" => outcome)
                .absolute(number);
        }
    }
    for (&command, &number) in &status.commands {
        counter!("mailtwin_server_commands_total", "command" => command).absolute(number);
    }
    for (&code, &number) in &status.errors {
        counter!("mailtwin_server_errors_total", "code" => code).absolute(number);
    }
    for (name, number) in [
        ("mailtwin_server_connections_total", status.connections),
        ("mailtwin_server_received_bytes_total", status.bytes_received),
        ("mailtwin_server_sent_bytes_total", status.bytes_sent),
        ("mailtwin_server_messages_total", status.messages),
        ("mailtwin_server_message_bytes_total", status.message_bytes),
        ("mailtwin_server_records_total", status.records),
    ] {
        counter!(name).absolute(number);
    }
    let at = |ms: u64| ms as f64 / 1000.0;
    gauge!("mailtwin_server_start_timestamp_seconds").set(at(status.started_at_ms));
    gauge!("mailtwin_server_last_command_timestamp_seconds").set(at(status.last_command_at_ms.unwrap_or(0)));
}

/// Counts how long it took until all that was sent together was answered.
pub(crate) fn server_turn(took: Duration) {
    histogram!("mailtwin_server_turn_duration_seconds").record(took.as_secs_f64());
}

/// Counts how long the store took.
pub(crate) fn server_stored(kind: &'static str, took: Duration) {
    histogram!("mailtwin_server_store_duration_seconds", "kind" => kind).record(took.as_secs_f64());
}

fn label(status: &ChannelStatus) -> String {
    status.channel.clone().unwrap_or_default()
}

fn up(status: &ChannelStatus) -> metrics::Gauge {
    gauge!("mailtwin_channel_up", "channel" => label(status), "replica" => status.replica.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serving::{Answered, Serving};

    fn status() -> ChannelStatus {
        let mut status = ChannelStatus::starting(Some("f\"ar\n"), "replica:2005", 1_000);
        status.state = State::Connected;
        status.queue.oldest_logged_at_ms = Some(500);
        status.queue.quarantined = 2;
        status.totals.changes = 17;
        status.failed(900, "IMAP_MAILBOX_LOCKED", "locked");
        status
    }

    #[test]
    fn a_channel_is_printed_with_units_and_escaped_labels() {
        let text = of_channels([(&status(), true)], 2_000);
        for line in [
            "mailtwin_channel_lag_seconds{channel=\"f\\\"ar\\n\"} 1.5",
            "mailtwin_channel_quarantined{channel=\"f\\\"ar\\n\"} 2",
            "mailtwin_channel_changes_total{channel=\"f\\\"ar\\n\"} 17",
            "mailtwin_channel_errors_total{channel=\"f\\\"ar\\n\",code=\"IMAP_MAILBOX_LOCKED\"} 1",
            "mailtwin_channel_up{channel=\"f\\\"ar\\n\",replica=\"replica:2005\"} 1",
            "# TYPE mailtwin_channel_lag_seconds gauge",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        let gone = of_channels([(&status(), false)], 2_000);
        assert!(gone.contains("replica=\"replica:2005\"} 0"), "{gone}");
    }

    #[test]
    fn everything_printed_is_documented() {
        let recorder = recorder().unwrap();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            observe(&status(), 2_000);
            change_done(
                None,
                "MAILBOX",
                true,
                Duration::from_millis(3),
                Some(Duration::from_secs(2)),
            );
            let serving = Serving::default();
            serving.connected();
            serving.work_began();
            serving.login("PLAIN", false);
            serving.answered(
                Answered {
                    commands: [("get", 1)].into(),
                    errors: [("IMAP_MAILBOX_NONEXISTENT", 1)].into(),
                    ..Answered::default()
                },
                2_000,
            );
            serving.turn(Duration::from_millis(3));
            serving.stored("commit", Duration::from_millis(3));
            observe_server(&serving.status());
        });
        let printed = handle.render();
        let kinds: Vec<(&str, &str)> = printed
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
            .collect();
        for (name, kind) in &kinds {
            let known = ALL.iter().find(|metric| metric.name == *name);
            let known = known.unwrap_or_else(|| panic!("{name} is not documented"));
            assert_eq!(format!("{:?}", known.kind).to_lowercase(), *kind, "{name}");
        }
        assert_eq!(
            kinds.len(),
            ALL.len(),
            "all that is documented is counted: {kinds:?}"
        );
        for line in [
            "mailtwin_server_connections{state=\"open\"} 1",
            "mailtwin_server_logins_total{mechanism=\"PLAIN\",outcome=\"refused\"} 1",
            "mailtwin_server_errors_total{code=\"IMAP_MAILBOX_NONEXISTENT\"} 1",
            "mailtwin_server_store_duration_seconds_bucket{kind=\"commit\",le=\"0.005\"} 1",
        ] {
            assert!(printed.lines().any(|l| l == line), "{line}\n{printed}");
        }
        assert!(printed.contains("mailtwin_channel_change_delay_seconds_bucket{channel=\"\",le=\"2.5\"} 1"));
    }

    #[test]
    fn the_operators_table_names_each() {
        let page = include_str!("../../docs/OPERATIONS.md");
        for metric in ALL {
            assert!(
                page.contains(&format!("`{}`", metric.name)),
                "{} is missing",
                metric.name
            );
        }
    }
}
