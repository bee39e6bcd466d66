//! A run as a page: a sequence diagram, one self-contained file.

use std::fmt::Write as _;

use crate::plan::{HOST_NAMES, Plan};
use crate::report::{Clock, Report};
use crate::trace::{Happened, Kind};

const STYLE: &str = include_str!("story.css");
/// Height of a row in pixels.
const ROW: usize = 26;
/// Width of a server's lane.
const LANE: usize = 300;
/// Where the first lane is.
const LEFT: usize = 110;

/// A run as a page.
pub fn html(plan: &Plan, report: &Report, happened: &[Happened]) -> String {
    let width = LEFT + LANE * plan.hosts;
    let height = ROW * (happened.len() + 3);
    let mut out = String::new();
    let finding = report.finding.as_ref().map(ToString::to_string);
    let title = format!("seed {}", plan.seed);
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title}</title><style>{STYLE}</style></head><body><header><h1>{title}</h1><p class=\"{}\">{}</p></header>",
        if finding.is_some() { "broken" } else { "fine" },
        escape(&finding.unwrap_or_else(|| "No rule was broken.".to_owned()))
    );
    let _ = write!(
        out,
        "<div class=\"scroll\"><svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" aria-label=\"What happened, in order of time\"><defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" orient=\"auto-start-reverse\"><path d=\"M0 0 L8 4 L0 8z\"/></marker></defs>"
    );
    for (host, name) in HOST_NAMES.iter().enumerate().take(plan.hosts) {
        let x = lane(host);
        let _ = write!(
            out,
            "<text class=\"host\" x=\"{x}\" y=\"18\">{}</text><line class=\"lane\" x1=\"{x}\" y1=\"28\" x2=\"{x}\" y2=\"{height}\"/>",
            name
        );
    }
    for (row, what) in happened.iter().enumerate() {
        one(&mut out, what, ROW * (row + 2), plan.hosts);
    }
    out.push_str("</svg></div></body></html>\n");
    out
}

fn lane(host: usize) -> usize {
    LEFT + LANE * host + LANE / 2
}

fn one(out: &mut String, what: &Happened, y: usize, hosts: usize) {
    let x = lane(what.host);
    let class = match what.kind {
        Kind::Client => "client",
        Kind::Message => "message",
        Kind::Storage => "storage",
        Kind::Fault => "fault",
        Kind::Connection => "connection",
        Kind::Verdict => "verdict",
    };
    let full = escape(&what.text);
    let _ = write!(
        out,
        "<g class=\"{class}\"><title>{full}</title><text class=\"time\" x=\"4\" y=\"{}\">{}</text>",
        y + 4,
        Clock(what.at_ms)
    );
    let short = |most: usize| {
        let cut: String = what.text.chars().take(most).collect();
        let more = if what.text.chars().count() > most {
            "…"
        } else {
            ""
        };
        escape(&format!("{cut}{more}"))
    };
    let _ = match (what.kind, what.to.filter(|to| *to != what.host)) {
        (Kind::Verdict, _) => write!(
            out,
            "<text x=\"{LEFT}\" y=\"{}\">{}</text>",
            y + 4,
            short(45 * hosts)
        ),
        (_, Some(to)) => {
            let (from, to) = (x, lane(to));
            let middle = from.min(to) + from.abs_diff(to) / 2;
            write!(
                out,
                "<line x1=\"{from}\" y1=\"{y}\" x2=\"{to}\" y2=\"{y}\" marker-end=\"url(#tip)\"/><text class=\"over\" x=\"{middle}\" y=\"{}\">{}</text>",
                y - 4,
                short(42 * from.abs_diff(to) / LANE)
            )
        }
        (_, None) => write!(
            out,
            "<circle cx=\"{x}\" cy=\"{y}\" r=\"4\"/><text x=\"{}\" y=\"{}\">{}</text>",
            x + 9,
            y + 4,
            short(if what.host + 1 == hosts { 20 } else { 42 })
        ),
    };
    out.push_str("</g>");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
