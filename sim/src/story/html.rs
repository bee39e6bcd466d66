//! A run as a page: what is planned, what happened as a sequence diagram, which rule was broken. One self-contained file
//! without scripts, that fits any width and both colour schemes.

use std::fmt::Write as _;

use crate::plan::{HOST_NAMES, Plan};
use crate::report::{Clock, Report, Verdict};
use crate::trace::{Happened, Kind};

const STYLE: &str = include_str!("story.css");
/// Characters of one thing that are shown at once; the rest opens at a touch.
const SHOWN_CHARS: usize = 160;

/// A run as a page.
pub fn html(plan: &Plan, report: &Report, happened: &[Happened]) -> String {
    let mut out = String::new();
    let title = format!("Seed {}, profile {:?}", plan.seed, plan.profile);
    // Writing to a string cannot fail, here and below.
    let _ = write!(
        out,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title}</title><style>{STYLE}</style></head><body><header><h1>{title}</h1>"
    );
    verdict(&mut out, report);
    planned(&mut out, plan);
    out.push_str(LEGEND);
    out.push_str("</header>");
    let _ = write!(
        out,
        "<main style=\"--hosts:{}\"><div class=\"row names\"><span></span>",
        plan.hosts
    );
    for name in HOST_NAMES.iter().take(plan.hosts) {
        let _ = write!(out, "<b>{name}</b>");
    }
    out.push_str("</div><div class=\"lanes\" aria-hidden=\"true\"><span></span>");
    out.push_str(&"<i></i>".repeat(plan.hosts));
    out.push_str("</div>");
    for group in groups(happened) {
        row(&mut out, &group);
    }
    out.push_str("</main></body></html>\n");
    out
}

const LEGEND: &str = "<p class=\"legend\"><span class=\"client\">a client</span> <span class=\"storage\">storage</span> \
    <span class=\"fault\">a fault</span> <span class=\"message\">bytes sent</span> <span class=\"connection\">a connection or task begins or ends</span></p>";

fn verdict(out: &mut String, report: &Report) {
    let Some(finding) = &report.finding else {
        out.push_str("<p class=\"fine\">No rule was broken.</p>");
        return;
    };
    let kind = match finding.verdict {
        Verdict::Safety => "Safety: something was that must never be",
        Verdict::Liveness => "Liveness: something did not come about",
        Verdict::Crash => "Crash",
        Verdict::Harness => "Harness: the simulator does not understand",
    };
    let _ = write!(
        out,
        "<div class=\"broken\"><p>{kind}</p><h2>Broken: {}</h2><p>{}</p><p><a href=\"#broken\">at {}</a></p></div>",
        escape(&finding.rule),
        escape(&finding.text),
        Clock(finding.at_ms)
    );
}

/// Who replicates to whom, and the plan's steps.
fn planned(out: &mut String, plan: &Plan) {
    let links = plan.links.iter().map(|link| {
        let how = if link.rolling { "rolling" } else { "by hand" };
        format!("{} → {} ({how})", HOST_NAMES[link.from], HOST_NAMES[link.to])
    });
    let _ = write!(
        out,
        "<p>{}</p><details open><summary>The plan: {} steps</summary><ol>",
        links.collect::<Vec<_>>().join(", "),
        plan.steps.len()
    );
    for step in &plan.steps {
        let class = if step.what.is_fault() {
            " class=\"fault\""
        } else {
            ""
        };
        let _ = write!(
            out,
            "<li{class}><time>{}</time> <b>{}</b> {}</li>",
            Clock(step.at_ms),
            HOST_NAMES[step.host],
            escape(&step.what.told(&plan.links))
        );
    }
    out.push_str("</ol></details>");
}

/// Things of one kind that happened at one place and time, one behind the other.
fn groups(happened: &[Happened]) -> Vec<Vec<&Happened>> {
    let mut groups: Vec<Vec<&Happened>> = Vec::new();
    for what in happened {
        let place = |what: &Happened| (what.at_ms, what.host, what.to, what.kind);
        match groups.last_mut() {
            Some(group) if group.last().is_some_and(|last| place(last) == place(what)) => group.push(what),
            _ => groups.push(vec![what]),
        }
    }
    groups
}

fn row(out: &mut String, group: &[&Happened]) {
    let Some(first) = group.first() else { return };
    let class = match first.kind {
        Kind::Client => "client",
        Kind::Message => "message",
        Kind::Storage => "storage",
        Kind::Fault => "fault",
        Kind::Connection => "connection",
        Kind::Verdict => "verdict",
    };
    let id = if first.kind == Kind::Verdict {
        " id=\"broken\""
    } else {
        ""
    };
    let _ = write!(
        out,
        "<div class=\"row {class}\"{id}><time>{}</time>",
        Clock(first.at_ms)
    );
    // Columns of a grid count from 1; the style knows whether one of them is the time's.
    let (from, to) = (first.host + 1, first.to.unwrap_or(first.host) + 1);
    let _ = if first.kind == Kind::Verdict {
        write!(out, "<div class=\"all\">")
    } else if from == to {
        write!(out, "<div class=\"at\" style=\"--from:{from}\">")
    } else {
        let (left, right) = (from.min(to), from.max(to));
        let side = if from < to { "right" } else { "left" };
        write!(
            out,
            "<div class=\"way {side}\" style=\"--from:{left};--to:{};--span:{}\">",
            right + 1,
            right - left + 1
        )
    };
    for what in group {
        shown(out, &what.text);
    }
    out.push_str("</div></div>");
}

/// A text; what is long opens at a touch.
fn shown(out: &mut String, text: &str) {
    if text.chars().count() <= SHOWN_CHARS {
        let _ = write!(out, "<p>{}</p>", escape(text));
        return;
    }
    let cut: String = text.chars().take(SHOWN_CHARS * 3 / 4).collect();
    let _ = write!(
        out,
        "<details><summary>{}…</summary>{}</details>",
        escape(&cut),
        escape(text)
    );
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
