//! What is wrong with a channel, if anything.

use serde::Serialize;

use crate::status::{ChannelStatus, STALE_MS, State};

/// How much a channel may be behind before it counts as trouble.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Thresholds {
    /// Age of the oldest change not yet replicated, milliseconds.
    pub lag_ms_max: u64,
    /// Changes not yet replicated.
    pub waiting_max: u64,
    /// Entries in quarantine.
    pub quarantined_max: u64,
}

impl Default for Thresholds {
    /// Five minutes, any number of changes, no quarantine.
    fn default() -> Self {
        Thresholds {
            lag_ms_max: 300_000,
            waiting_max: u64::MAX,
            quarantined_max: 0,
        }
    }
}

/// How a channel is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing to do.
    Fine,
    /// It works, and somebody should look.
    Warning,
    /// Changes are not replicated.
    Trouble,
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Problem {
    /// How bad it is.
    pub level: Level,
    /// What it is, for people, without a final period.
    pub text: String,
}

/// What is wrong with a channel, worst first; nothing when it is fine.
///
/// `alive` says whether its process exists.
pub fn problems(status: &ChannelStatus, alive: bool, now_ms: u64, limits: &Thresholds) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut add = |level, text| found.push(Problem { level, text });
    let silent_ms = now_ms.saturating_sub(status.updated_at_ms);
    match &status.state {
        State::Stopped { reason: Some(reason) } => add(Level::Trouble, format!("stopped: {reason}")),
        State::Stopped { reason: None } => add(Level::Trouble, format!("stopped {} ago", span(silent_ms))),
        _ if !alive => add(
            Level::Trouble,
            format!(
                "not running: process {} is gone, last heard of {} ago",
                status.pid,
                span(silent_ms)
            ),
        ),
        _ if silent_ms > STALE_MS => add(
            Level::Trouble,
            format!("silent for {}: process {} may hang", span(silent_ms), status.pid),
        ),
        State::Waiting { .. } | State::Connecting if !is_young(status, now_ms) => {
            add(Level::Trouble, "not connected to the replica".to_owned())
        }
        _ => {}
    }
    let lag_ms = status.queue.lag_ms(now_ms);
    if lag_ms > limits.lag_ms_max {
        let allowed = span(limits.lag_ms_max);
        add(
            Level::Trouble,
            format!("{} behind, more than {allowed}", span(lag_ms)),
        );
    }
    let waiting = status.queue.waiting();
    if waiting > limits.waiting_max {
        add(
            Level::Warning,
            format!("{waiting} changes wait, more than {}", limits.waiting_max),
        );
    }
    let held = status.queue.quarantined;
    if held > limits.quarantined_max {
        let what = if held == 1 { "change" } else { "changes" };
        add(Level::Warning, format!("{held} {what} in quarantine"));
    }
    found.sort_by_key(|problem| std::cmp::Reverse(problem.level));
    found
}

/// The worst level among problems.
pub fn worst(problems: &[Problem]) -> Level {
    problems
        .iter()
        .map(|problem| problem.level)
        .max()
        .unwrap_or(Level::Fine)
}

/// A daemon that has just begun, or is connected again and again as it should be, may be without connection for a
/// moment.
fn is_young(status: &ChannelStatus, now_ms: u64) -> bool {
    matches!(status.state, State::Connecting) && now_ms.saturating_sub(status.started_at_ms) < 30_000
}

/// A length of time for people, in its two largest units: `850 ms`, `12 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
pub fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    let two = |large: u64, unit: &str, small: u64, small_unit: &str| {
        if small == 0 {
            format!("{large} {unit}")
        } else {
            format!("{large} {unit} {small} {small_unit}")
        }
    };
    match seconds {
        0 => format!("{ms} ms"),
        1..60 => format!("{seconds} s"),
        60..3600 => two(seconds / 60, "min", seconds % 60, "s"),
        3600..86_400 => two(seconds / 3600, "h", seconds / 60 % 60, "min"),
        _ => two(seconds / 86_400, "d", seconds / 3600 % 24, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connected() -> ChannelStatus {
        let mut status = ChannelStatus::starting(None, "replica", 0);
        status.state = State::Connected;
        status.updated_at_ms = 1_000_000;
        status
    }

    fn texts(status: &ChannelStatus, alive: bool) -> Vec<String> {
        problems(status, alive, 1_000_000, &Thresholds::default())
            .into_iter()
            .map(|problem| problem.text)
            .collect()
    }

    #[test]
    fn a_quiet_channel_is_fine() {
        assert!(texts(&connected(), true).is_empty());
        assert_eq!(worst(&[]), Level::Fine);
    }

    #[test]
    fn each_kind_of_trouble_is_told() {
        let mut status = connected();
        status.queue.oldest_logged_at_ms = Some(1_000_000 - 720_000);
        status.queue.quarantined = 1;
        let told = texts(&status, true);
        assert_eq!(told, ["12 min behind, more than 5 min", "1 change in quarantine"]);
        assert_eq!(
            texts(&status, false)[0],
            format!(
                "not running: process {} is gone, last heard of 0 ms ago",
                status.pid
            )
        );
        let mut status = connected();
        status.updated_at_ms = 900_000;
        assert!(texts(&status, true)[0].starts_with("silent for 1 min 40 s"));
        status.state = State::Stopped {
            reason: Some("login refused".to_owned()),
        };
        assert_eq!(texts(&status, false), ["stopped: login refused"]);
        let mut status = connected();
        status.state = State::Waiting { until_ms: 1_010_000 };
        assert_eq!(texts(&status, true), ["not connected to the replica"]);
        status.state = State::Connecting;
        status.started_at_ms = 999_000;
        assert!(texts(&status, true).is_empty(), "it has just begun");
    }

    #[test]
    fn thresholds_are_inclusive() {
        let mut status = connected();
        status.queue.oldest_logged_at_ms = Some(1_000_000 - 300_000);
        assert!(texts(&status, true).is_empty());
        status.queue.queued = 5;
        let limits = Thresholds {
            waiting_max: 5,
            ..Thresholds::default()
        };
        assert!(problems(&status, true, 1_000_000, &limits).is_empty());
        status.queue.queued = 6;
        assert_eq!(
            worst(&problems(&status, true, 1_000_000, &limits)),
            Level::Warning
        );
    }

    #[test]
    fn spans_have_two_units_at_most() {
        for (ms, text) in [
            (0, "0 ms"),
            (850, "850 ms"),
            (12_000, "12 s"),
            (200_000, "3 min 20 s"),
            (180_000, "3 min"),
            (7_500_000, "2 h 5 min"),
            (273_600_000, "3 d 4 h"),
        ] {
            assert_eq!(span(ms), text);
        }
    }
}
