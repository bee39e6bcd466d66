//! What the operator sees: a bar or lines while it goes on, counts and failures at the end.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use engine::Master;
use engine::master::Progress;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use crate::say;

/// Time between two looks at the counters for the bar.
const REDRAW: Duration = Duration::from_millis(100);

/// Shows a run while it goes on.
pub(crate) struct Report {
    bar: Option<ProgressBar>,
    verbose: bool,
    looked_at: Option<Instant>,
    current: String,
    notices: usize,
}

impl Report {
    /// A bar when stderr is a terminal, lines with `-v`, else nothing.
    pub(crate) fn new(verbose: u8) -> Self {
        let bar = (verbose == 0 && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::no_length();
            let style = ProgressStyle::with_template("{spinner} {pos}/{len} {wide_msg} {elapsed}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Report {
            bar,
            verbose: verbose > 0,
            looked_at: None,
            current: String::new(),
            notices: 0,
        }
    }

    /// Called whenever the master waits.
    pub(crate) fn observe(&mut self, master: &Master) {
        let due = self.looked_at.is_none_or(|at| at.elapsed() >= REDRAW);
        if !(self.verbose || (self.bar.is_some() && due)) {
            return;
        }
        self.looked_at = Some(Instant::now());
        self.show(&master.progress());
    }

    /// Called when something is done on one of several connections.
    pub(crate) fn items(&mut self, total: &Progress) {
        let due = self.looked_at.is_none_or(|at| at.elapsed() >= REDRAW);
        if self.verbose || (self.bar.is_some() && due) {
            self.looked_at = Some(Instant::now());
            self.show(total);
        }
    }

    /// Shows the rest and clears the bar.
    pub(crate) fn finish(&mut self, progress: &Progress) {
        if self.verbose {
            self.show(progress);
        }
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn show(&mut self, progress: &Progress) {
        if let Some(bar) = &self.bar {
            bar.set_length(progress.items_total);
            bar.set_position(progress.items_done);
            let sent = HumanBytes(progress.message_bytes_sent);
            bar.set_message(format!(
                "{}  {} messages, {sent}",
                net::shown::tame(&progress.current),
                progress.messages_sent
            ));
            return;
        }
        if progress.current != self.current {
            self.current.clone_from(&progress.current);
            if !self.current.is_empty() {
                say(format_args!("{}\n", self.current));
            }
        }
        for notice in progress.notices.iter().skip(self.notices) {
            say(format_args!("  {notice}\n"));
        }
        self.notices = self.notices.max(progress.notices.len());
    }
}

/// The line of counts; `users` is how many were done, when that is what was asked for.
pub(crate) fn summary(progress: &Progress, users: Option<u64>, elapsed: Duration) -> String {
    let users = users.map_or_else(String::new, |users| format!("users {users}, "));
    format!(
        "{users}mailboxes {} ({} sent), messages {} ({}), {:.1} s",
        progress.mailboxes,
        progress.mailboxes_sent,
        progress.messages_sent,
        bytes(progress.message_bytes_sent),
        elapsed.as_secs_f64()
    )
}

/// Bytes as people read them, in powers of a thousand.
fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_for_people() {
        for (count, shown) in [
            (0, "0 B"),
            (999, "999 B"),
            (1400, "1.4 kB"),
            (999_960, "1.0 MB"),
            (1_400_000, "1.4 MB"),
        ] {
            assert_eq!(bytes(count), shown);
        }
        let progress = Progress {
            mailboxes: 12,
            mailboxes_sent: 5,
            messages_sent: 120,
            message_bytes_sent: 1_400_000,
            ..Progress::default()
        };
        let line = summary(&progress, Some(3), Duration::from_millis(800));
        insta::assert_snapshot!(line, @"users 3, mailboxes 12 (5 sent), messages 120 (1.4 MB), 0.8 s");
    }
}
