//! A run as text.

use std::fmt::Write as _;

use crate::plan::{HOST_NAMES, Plan};
use crate::report::{Clock, Report};
use crate::trace::{Happened, Kind};

/// A run as text, a line for each thing that happened.
pub fn text(plan: &Plan, report: &Report, happened: &[Happened]) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "seed {}, profile {:?}, {} servers",
        plan.seed, plan.profile, plan.hosts
    );
    for link in &plan.links {
        let (from, to) = (HOST_NAMES[link.from], HOST_NAMES[link.to]);
        let how = if link.rolling { "rolling" } else { "by hand" };
        let _ = writeln!(out, "  {from} replicates to {to}, {how}");
    }
    for what in happened {
        let to = what
            .to
            .map(|to| format!(" → {}", HOST_NAMES[to]))
            .unwrap_or_default();
        let mark = match what.kind {
            Kind::Client => "client ",
            Kind::Message => "says   ",
            Kind::Storage => "stores ",
            Kind::Fault => "FAULT  ",
            Kind::Connection => "link   ",
            Kind::Verdict => "BROKEN ",
        };
        let time = Clock(what.at_ms).to_string();
        let _ = writeln!(
            out,
            "{time:>12}  {mark}{}{to}: {}",
            HOST_NAMES[what.host], what.text
        );
    }
    let _ = match &report.finding {
        Some(finding) => writeln!(out, "{finding}"),
        None => writeln!(out, "no rule was broken"),
    };
    out
}
