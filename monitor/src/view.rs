//! A channel as it is looked at from outside: its status with what follows from it.

use serde::Serialize;

use crate::health::{self, Level, Problem, Thresholds};
use crate::status::ChannelStatus;

/// One channel, for the page, for `/status.json` and for a command that shows it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ChannelView {
    /// Name of the channel; `None` is the default channel.
    pub channel: Option<String>,
    /// The replica, `host:port` or a path, when it is known.
    pub replica: Option<String>,
    /// Whether a daemon works on it.
    pub running: bool,
    /// The worst of `problems`.
    pub level: Level,
    /// What is wrong, worst first.
    pub problems: Vec<Problem>,
    /// Age of the oldest change not yet replicated, milliseconds; `None` when nobody knows.
    pub lag_ms: Option<u64>,
    /// Changes not yet replicated, without those in quarantine; `None` when nobody knows.
    pub waiting: Option<u64>,
    /// Changes in quarantine.
    pub quarantined: u64,
    /// What the daemon published last.
    pub status: Option<ChannelStatus>,
}

impl ChannelView {
    /// Of a published status; `alive` says whether the daemon's process exists.
    pub fn of(status: ChannelStatus, alive: bool, now_ms: u64, limits: &Thresholds) -> Self {
        let problems = health::problems(&status, alive, now_ms, limits);
        ChannelView {
            channel: status.channel.clone(),
            replica: Some(status.replica.clone()),
            running: alive && !status.is_over(now_ms),
            level: health::worst(&problems),
            problems,
            lag_ms: Some(status.queue.lag_ms(now_ms)),
            waiting: Some(status.queue.waiting()),
            quarantined: status.queue.quarantined,
            status: Some(status),
        }
    }

    /// Of a channel without any status.
    pub fn unknown(channel: Option<&str>, replica: Option<&str>) -> Self {
        ChannelView {
            channel: channel.map(str::to_owned),
            replica: replica.map(str::to_owned),
            running: false,
            level: Level::Fine,
            problems: Vec::new(),
            lag_ms: None,
            waiting: None,
            quarantined: 0,
            status: None,
        }
    }

    /// Adds a problem found outside.
    pub fn add(&mut self, level: Level, text: impl Into<String>) {
        self.problems.push(Problem {
            level,
            text: text.into(),
        });
        self.problems
            .sort_by_key(|problem| std::cmp::Reverse(problem.level));
        self.level = health::worst(&self.problems);
    }

    /// What to call it.
    pub fn title(&self) -> &str {
        self.channel
            .as_deref()
            .filter(|name| !name.is_empty())
            .unwrap_or("default channel")
    }
}
