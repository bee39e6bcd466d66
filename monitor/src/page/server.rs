//! A server on the page.

use std::fmt::Write;

use super::text::{Escaped, ago, bytes, grouped};
use crate::serving::ServerStatus;

/// The server's section.
pub fn draw(status: &ServerStatus, now_ms: u64) -> String {
    let listens = status.listens.join(", ");
    let mut html = format!(
        "<section class=\"card fine\" aria-labelledby=\"server\"><header><div><h2 id=\"server\">{}</h2>\
         <p class=\"replica\">listens on {}</p></div></header>",
        Escaped(&status.program),
        Escaped(&listens),
    );
    html.push_str(&figures(status, now_ms));
    if let Some(error) = &status.last_error {
        let about = error
            .about
            .as_ref()
            .map_or_else(String::new, |about| format!(" ({})", Escaped(about)));
        let _ = write!(
            html,
            "<p class=\"error\"><b>Last refusal</b>, {}{about}: <code>{}</code> {}</p>",
            ago(error.at_ms, now_ms),
            Escaped(error.code),
            Escaped(&error.text)
        );
    }
    html.push_str(&totals(status, now_ms));
    html.push_str("</section>");
    html
}

fn figures(status: &ServerStatus, now_ms: u64) -> String {
    let mut html = String::from("<dl class=\"figures\">");
    let mut figure = |name: &str, value: String, below: String| {
        let _ = write!(
            html,
            "<div><dt>{name}</dt><dd>{value}<small>{below}</small></dd></div>"
        );
    };
    figure(
        "Connections",
        format!("<b class=\"lag\">{}</b>", grouped(status.open)),
        format!("of {} at most", grouped(status.open_max)),
    );
    figure(
        "At work",
        grouped(status.busy),
        format!("of {} at most", grouped(status.busy_max)),
    );
    let last = status
        .last_command_at_ms
        .map_or("never".to_owned(), |at_ms| ago(at_ms, now_ms));
    figure("Last command", last, String::new());
    let refused: u64 = status.logins.values().map(|logins| logins.refused).sum();
    figure("Logins refused", grouped(refused), String::new());
    html.push_str("</dl>");
    html
}

fn totals(status: &ServerStatus, now_ms: u64) -> String {
    let mut html =
        String::from("<details id=\"totals\" open><summary>Since the start</summary><dl class=\"totals\">");
    let mut row = |name: &str, value: String| {
        let _ = write!(html, "<div><dt>{name}</dt><dd>{value}</dd></div>");
    };
    row(
        "Started",
        format!("{}, process {}", ago(status.started_at_ms, now_ms), status.pid),
    );
    row("Connections", grouped(status.connections));
    for (mechanism, logins) in &status.logins {
        row(
            &format!("Logins by {}: accepted, refused", Escaped(mechanism)),
            format!("{}, {}", grouped(logins.accepted), grouped(logins.refused)),
        );
    }
    row(
        "Messages received",
        format!("{}, {}", grouped(status.messages), bytes(status.message_bytes)),
    );
    row("Records written", grouped(status.records));
    row(
        "Bytes received, sent",
        format!("{}, {}", bytes(status.bytes_received), bytes(status.bytes_sent)),
    );
    for (command, number) in &status.commands {
        row(
            &format!("Commands <code>{}</code>", Escaped(command)),
            grouped(*number),
        );
    }
    for (code, number) in &status.errors {
        row(
            &format!("Errors <code>{}</code>", Escaped(code)),
            grouped(*number),
        );
    }
    html.push_str("</dl></details>");
    html
}
