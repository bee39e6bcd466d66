//! One channel on the page.

use std::fmt::Write;

use super::plot;
use super::text::{Escaped, Message, ago, bytes, grouped};
use crate::health::{Level, span};
use crate::status::{ChannelStatus, Quarantined, State};
use crate::view::ChannelView;

/// The channel's section; `number` makes ids of its own.
pub fn draw(view: &ChannelView, number: usize, now_ms: u64) -> String {
    let mut html = String::new();
    let _ = write!(
        html,
        "<section class=\"card {}\" aria-labelledby=\"c{number}\"><header><div><h2 id=\"c{number}\">{}</h2>\
         <p class=\"replica\">{}</p></div>{}</header>",
        class(view.level),
        Escaped(view.title()),
        view.replica
            .as_deref()
            .map_or("no replica is configured".to_owned(), |replica| {
                format!(
                    "<span aria-hidden=\"true\">→ </span><span class=\"sr\">replicates to </span>{}",
                    Escaped(replica)
                )
            }),
        badge(view, now_ms),
    );
    if !view.problems.is_empty() {
        html.push_str("<ul class=\"problems\">");
        for problem in &view.problems {
            let _ = write!(
                html,
                "<li class=\"{}\">{}</li>",
                class(problem.level),
                Message(&problem.text)
            );
        }
        html.push_str("</ul>");
    }
    html.push_str(&figures(view, now_ms));
    if let Some(status) = &view.status {
        html.push_str(&plot::draw(&status.history, now_ms));
        html.push_str(&last_error(status, now_ms));
        html.push_str(&quarantine(view, status, number, now_ms));
        html.push_str(&totals(status, number, now_ms));
    }
    html.push_str("</section>");
    html
}

/// Class of a level, and the sign that says it without colour.
pub fn class(level: Level) -> &'static str {
    match level {
        Level::Fine => "fine",
        Level::Warning => "warning",
        Level::Trouble => "trouble",
    }
}

/// The sign of a level; hidden from screen readers, who get words.
pub fn sign(level: Level) -> &'static str {
    match level {
        Level::Fine => "<span class=\"sign\" aria-hidden=\"true\">✓</span>",
        Level::Warning => "<span class=\"sign\" aria-hidden=\"true\">!</span>",
        Level::Trouble => "<span class=\"sign\" aria-hidden=\"true\">✕</span>",
    }
}

fn badge(view: &ChannelView, now_ms: u64) -> String {
    let words = match &view.status {
        None => "no daemon".to_owned(),
        Some(_) if !view.running => "not running".to_owned(),
        Some(status) => match &status.state {
            State::Connecting => "connecting".to_owned(),
            State::Connected => "connected".to_owned(),
            State::Waiting { until_ms } => match until_ms.saturating_sub(now_ms) {
                0 => "trying again".to_owned(),
                ms => format!("tries again in {}", span(ms.max(1000))),
            },
            State::Stopping => "stopping".to_owned(),
            State::Stopped { .. } => "stopped".to_owned(),
        },
    };
    format!(
        "<p class=\"badge {}\">{}{words}</p>",
        class(view.level),
        sign(view.level)
    )
}

fn figures(view: &ChannelView, now_ms: u64) -> String {
    let mut html = String::from("<dl class=\"figures\">");
    let mut figure = |name: &str, value: String, below: String| {
        let below = if below.is_empty() {
            below
        } else {
            format!("<small>{below}</small>")
        };
        let _ = write!(html, "<div><dt>{name}</dt><dd>{value}{below}</dd></div>");
    };
    let lag = view.lag_ms.map_or("unknown".to_owned(), |ms| {
        if ms == 0 { "none".to_owned() } else { span(ms) }
    });
    figure("Lag", format!("<b class=\"lag\">{lag}</b>"), String::new());
    let queue = view.status.as_ref().map(|status| status.queue);
    let parts: Vec<String> = queue
        .into_iter()
        .flat_map(|queue| {
            [(queue.in_flight, "under way"), (queue.deferred, "put off")]
                .into_iter()
                .filter(|(number, _)| *number > 0)
                .map(|(number, what)| format!("{} {what}", grouped(number)))
        })
        .collect();
    figure(
        "Waiting",
        view.waiting.map_or("unknown".to_owned(), grouped),
        parts.join(", "),
    );
    figure("Quarantine", grouped(view.quarantined), String::new());
    if let Some(status) = &view.status {
        let workers = &status.workers;
        figure(
            "Connections",
            format!("{} of {}", workers.connected, workers.total),
            format!("{} at work", workers.busy),
        );
        let last = status
            .last_success_at_ms
            .map_or("never".to_owned(), |at_ms| ago(at_ms, now_ms));
        figure("Last change", last, String::new());
    }
    html.push_str("</dl>");
    html
}

fn last_error(status: &ChannelStatus, now_ms: u64) -> String {
    status.last_error.as_ref().map_or_else(String::new, |error| {
        format!(
            "<p class=\"error\"><b>Last error</b>, {}: <code>{}</code> {}</p>",
            ago(error.at_ms, now_ms),
            Escaped(&error.code),
            Message(&error.text)
        )
    })
}

fn quarantine(view: &ChannelView, status: &ChannelStatus, number: usize, now_ms: u64) -> String {
    if status.quarantine.is_empty() {
        return String::new();
    }
    let listed = status.quarantine.len() as u64;
    let more = match view.quarantined.saturating_sub(listed) {
        0 => String::new(),
        more => format!("<p class=\"more\">and {} more</p>", grouped(more)),
    };
    let mut html = format!(
        "<details id=\"q{number}\" open><summary>Quarantine ({})</summary><div class=\"wide\" tabindex=\"0\" role=\"region\" \
         aria-label=\"Quarantine of {}\"><table><thead><tr><th scope=\"col\">Change</th><th scope=\"col\">Since</th>\
         <th scope=\"col\">Tried</th><th scope=\"col\">Reason</th></tr></thead><tbody>",
        grouped(view.quarantined),
        Escaped(view.title()),
    );
    for Quarantined {
        action,
        since_ms,
        attempts,
        reason,
        ..
    } in &status.quarantine
    {
        let _ = write!(
            html,
            "<tr><td data-name=\"Change\"><code>{}</code></td><td data-name=\"Since\">{}</td><td data-name=\"Tried\">{}×</td>\
             <td data-name=\"Reason\">{}</td></tr>",
            Escaped(action),
            ago(*since_ms, now_ms),
            grouped(u64::from(*attempts)),
            Message(reason)
        );
    }
    let _ = write!(
        html,
        "</tbody></table></div>{more}<p class=\"hint\">Look with <code>mailtwin quarantine list</code>, \
        then <code>retry</code> or <code>drop</code>.</p></details>"
    );
    html
}

fn totals(status: &ChannelStatus, number: usize, now_ms: u64) -> String {
    let totals = &status.totals;
    let mut html =
        format!("<details id=\"t{number}\"><summary>Since the start</summary><dl class=\"totals\">");
    let mut row = |name: &str, value: String| {
        let _ = write!(html, "<div><dt>{name}</dt><dd>{value}</dd></div>");
    };
    row(
        "Started",
        format!("{}, process {}", ago(status.started_at_ms, now_ms), status.pid),
    );
    row("Changes replicated", grouped(totals.changes));
    row("Messages sent", grouped(totals.messages));
    row(
        "Bytes sent, received",
        format!("{}, {}", bytes(totals.bytes_sent), bytes(totals.bytes_received)),
    );
    row("Reconnects", grouped(totals.reconnects));
    for (code, number) in &totals.errors {
        row(
            &format!("Errors <code>{}</code>", Escaped(code)),
            grouped(*number),
        );
    }
    html.push_str("</dl></details>");
    html
}
