//! The page for people: one file, no other resource, drawn here and refreshed by a script of some lines.

mod card;
mod plot;
mod server;
#[cfg(test)]
mod tests;
mod text;

use std::fmt::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::health::Level;
use crate::serving::ServerStatus;
use crate::view::ChannelView;
use text::Utc;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// The page, ready to be filled.
#[derive(Debug)]
pub struct Page {
    policy: String,
}

impl Default for Page {
    fn default() -> Self {
        Page::new()
    }
}

impl Page {
    /// Prepares it.
    pub fn new() -> Self {
        let hash = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
        Page {
            policy: format!(
                "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; base-uri 'none'; \
                 form-action 'none'; frame-ancestors 'none'",
                hash(STYLE),
                hash(SCRIPT)
            ),
        }
    }

    /// What a browser may do with it: this style, this script, and asking the same server again.
    pub fn content_security_policy(&self) -> &str {
        &self.policy
    }

    /// All channels, the troubled ones first, else in their order.
    pub fn render(&self, channels: &[ChannelView], now_ms: u64) -> String {
        let mut channels: Vec<&ChannelView> = channels.iter().collect();
        channels.sort_by_key(|view| std::cmp::Reverse(view.level));
        let worst = channels.first().map_or(Level::Fine, |view| view.level);
        let mut cards = String::from("<div class=\"cards\">");
        for (number, view) in channels.iter().enumerate() {
            cards.push_str(&card::draw(view, number, now_ms));
        }
        cards.push_str("</div>");
        frame("mailtwin replication", worst, &verdict(&channels), &cards, now_ms)
    }

    /// A server that takes what others replicate.
    pub fn render_server(&self, status: &ServerStatus, now_ms: u64) -> String {
        let card = format!("<div class=\"cards\">{}</div>", server::draw(status, now_ms));
        frame(
            "mailtwin replica",
            Level::Fine,
            "The server is running",
            &card,
            now_ms,
        )
    }
}

/// The page around its cards.
fn frame(heading: &str, worst: Level, verdict: &str, cards: &str, now_ms: u64) -> String {
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <meta name=\"color-scheme\" content=\"light dark\"><title>{} mailtwin</title><style>{STYLE}</style>\
         <noscript><meta http-equiv=\"refresh\" content=\"30\"></noscript></head><body><main><header class=\"top {}\">\
         <h1>{heading}</h1><p class=\"verdict\" role=\"status\">{}{verdict}</p></header>{cards}",
        title_sign(worst),
        card::class(worst),
        card::sign(worst),
    );
    let _ = writeln!(
        html,
        "</main><footer><p id=\"as-of\">As of <time datetime=\"{}\">{}</time></p><button id=\"pause\" type=\"button\" \
         hidden>Stop refreshing</button><nav><a href=\"status.json\">JSON</a> <a href=\"metrics\">Metrics</a></nav></footer>\
         <script>{SCRIPT}</script></body></html>",
        Utc(now_ms, 'T', "Z"),
        Utc(now_ms, ' ', " UTC"),
    );
    html
}

/// For the tab.
fn title_sign(level: Level) -> &'static str {
    match level {
        Level::Fine => "✓",
        Level::Warning => "!",
        Level::Trouble => "✕",
    }
}

fn verdict(channels: &[&ChannelView]) -> String {
    let count = |level| channels.iter().filter(|view| view.level == level).count();
    let (trouble, warning) = (count(Level::Trouble), count(Level::Warning));
    let fine = channels.len() - trouble - warning;
    match (channels.len(), trouble, warning) {
        (0, _, _) => "No channel is configured".to_owned(),
        (1, 0, 0) => "The channel is fine".to_owned(),
        (all, 0, 0) => format!("All {all} channels are fine"),
        _ => {
            let parts = [(trouble, "in trouble"), (warning, "to look at"), (fine, "fine")];
            let parts: Vec<String> = parts
                .into_iter()
                .filter(|(number, _)| *number > 0)
                .map(|(number, what)| format!("{number} {what}"))
                .collect();
            parts.join(", ")
        }
    }
}
