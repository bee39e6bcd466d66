//! What a rolling run found, as a table and as JSON.

use super::lag::Lags;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Lags at one server in one situation.
#[derive(Debug, Clone)]
pub struct Row {
    /// The server at which messages showed.
    pub server: &'static str,
    /// From when: `delivery`, or the server at which they showed before.
    pub since: &'static str,
    /// What was going on when they were delivered: `calm`, a fault on the way, or faults elsewhere.
    pub during: &'static str,
    /// The lags.
    pub lags: Lags,
}

/// What a run found.
#[derive(Debug)]
pub struct Report {
    /// Lags per server and kind of fault.
    pub rows: Vec<Row>,
    /// Messages whose arrival was watched.
    pub deliveries: usize,
    /// Operations on the servers, deliveries among them.
    pub changes: u64,
    /// Faults that happened.
    pub faults: u32,
    /// Facts that are equal at the end, over all servers.
    pub facts: usize,
    /// Messages in mailboxes that two servers changed at once, each looked for by its hash at the end.
    pub kept: usize,
    /// The run's seed.
    pub seed: u64,
}

impl Report {
    /// A table for people.
    pub fn table(&self) -> String {
        let mut text = format!("{:<50}{}\n", "lag of messages delivered during", Lags::heading());
        let mut before = ("", "");
        for row in &self.rows {
            if before != (row.server, row.since) {
                before = (row.server, row.since);
                let _ = writeln!(text, "{}, since {}", row.server, row.since);
            }
            let _ = writeln!(text, "  {:<48}{}", row.during, row.lags.columns());
        }
        let _ = write!(
            text,
            "{} messages watched, {} changes, {} faults: all servers caught up by themselves; nothing lost, {} facts equal",
            self.deliveries, self.changes, self.faults, self.facts
        );
        if self.kept > 0 {
            let _ = write!(
                text,
                ", {} messages of mailboxes changed on both sides all there",
                self.kept
            );
        }
        let _ = write!(text, "; seed {}", self.seed);
        text
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        let rows: Vec<Value> = self.rows.iter().map(row).collect();
        json!({
            "lags": rows,
            "messages": self.deliveries,
            "changes": self.changes,
            "faults": self.faults,
            "facts_equal": self.facts,
            "kept_of_both": self.kept,
            "seed": self.seed,
        })
    }
}

fn row(row: &Row) -> Value {
    let mut value = row.lags.json();
    if let Some(map) = value.as_object_mut() {
        for (key, text) in [
            ("server", row.server),
            ("since", row.since),
            ("during", row.during),
        ] {
            map.insert(key.to_owned(), text.into());
        }
    }
    value
}
