//! Manual pages: what clap knows of a program, and what [`crate::pages`] adds.

use std::io;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use crate::pages::{self, Page};

/// System administration tools and daemons.
const SECTION: &str = "8";

/// Most bytes of a line of running text.
const LINE_BYTES: usize = 78;

/// File names with their texts, in order.
pub(crate) fn all() -> io::Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for program in crate::programs() {
        let mut program = program.disable_help_subcommand(true);
        program.build();
        found.push(page(&program)?);
        for command in program.get_subcommands().filter(|command| !command.is_hide_set()) {
            found.push(page(command)?);
        }
    }
    found.sort();
    Ok(found)
}

/// Name of a program, or of one of `mailtwin`'s commands, as its page has it.
fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

fn page(command: &Command) -> io::Result<(String, String)> {
    let name = name(command).to_owned();
    let page = pages::of(&name)
        .ok_or_else(|| io::Error::other(format!("`packaging::pages` has nothing about {name}")))?;
    let last = last_part(command);
    let shown = match page.synopsis {
        "" => with_usage(command),
        synopsis => command.clone().override_usage(synopsis),
    };
    let man = Man::new(shown)
        .title(name.to_uppercase())
        .section(SECTION)
        .date(pages::DATE)
        .source(concat!("mailtwin ", env!("CARGO_PKG_VERSION")))
        .manual("mailtwin");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    let mut more = Roff::new();
    for remark in &last.remarks {
        more.control("PP", []).text([roman(remark.as_str())]);
    }
    more.to_writer(&mut text)?;
    man.render_options_section(&mut text)?;
    if name == "mailtwin" {
        man.render_subcommands_section(&mut text)?;
    } else {
        nested(command, &mut text)?;
    }
    added(page, &last).to_writer(&mut text)?;
    let text = String::from_utf8(text).map_err(io::Error::other)?;
    Ok((format!("{name}.{SECTION}"), tidy(&text)))
}

/// Its usage as its help has it; all options in a row would say less.
fn with_usage(command: &Command) -> Command {
    let mut command = command.clone();
    let usage = command.render_usage().to_string();
    command.override_usage(usage.trim_start_matches("Usage:").trim().to_owned())
}

/// Commands of a command, which have no pages of their own.
fn nested(command: &Command, text: &mut Vec<u8>) -> io::Result<()> {
    let commands: Vec<&Command> = command.get_subcommands().collect();
    if commands.is_empty() {
        return Ok(());
    }
    Roff::new().control("SH", ["COMMANDS"]).to_writer(text)?;
    for command in commands {
        let man = Man::new(with_usage(command));
        let title = command.get_bin_name().unwrap_or_else(|| command.get_name());
        Roff::new().control("SS", [title]).to_writer(text)?;
        let mut part = Vec::new();
        man.render_synopsis_section(&mut part)?;
        Roff::new().control("PP", []).to_writer(&mut part)?;
        man.render_description_section(&mut part)?;
        man.render_options_section(&mut part)?;
        let part = String::from_utf8(part).map_err(io::Error::other)?;
        let lines = part.lines().filter(|line| !line.starts_with(".SH "));
        for line in lines {
            text.extend_from_slice(line.as_bytes());
            text.push(b'\n');
        }
    }
    Ok(())
}

/// The help's last part: remarks, a paragraph each, and lists, which have a heading and indented lines.
#[derive(Default)]
struct LastPart {
    remarks: Vec<String>,
    signals: Vec<(String, String)>,
    exit: Vec<(String, String)>,
}

fn last_part(command: &Command) -> LastPart {
    let help = command
        .get_after_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    let mut part = LastPart::default();
    for paragraph in help.split("\n\n") {
        let (head, lines) = paragraph.split_once('\n').unwrap_or((paragraph, ""));
        match head.trim() {
            "Signals:" => part.signals = items(lines),
            "Exit status:" => part.exit = items(lines),
            _ => {
                let words: Vec<&str> = paragraph.split_whitespace().collect();
                part.remarks.push(words.join(" "));
            }
        }
    }
    part.remarks.retain(|text| !text.is_empty());
    part
}

/// Terms with their meaning, two blanks between; a line that is indented further belongs to the one before it.
fn items(lines: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for line in lines.lines() {
        match (
            line.trim().split_once("  "),
            line.starts_with("    "),
            found.last_mut(),
        ) {
            (Some((term, meaning)), false, _) => found.push((term.to_owned(), meaning.trim().to_owned())),
            (_, _, Some((_, meaning))) => {
                meaning.push(' ');
                meaning.push_str(line.trim());
            }
            _ => {}
        }
    }
    for (_, meaning) in &mut found {
        *meaning = sentence(meaning);
    }
    found
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    let mut whole: String = first.into_iter().chain(letters).collect();
    if !whole.ends_with('.') {
        whole.push('.');
    }
    whole
}

fn added(page: &Page, last: &LastPart) -> Roff {
    let mut roff = Roff::new();
    let signals = last
        .signals
        .iter()
        .map(|(term, text)| (term.as_str(), text.as_str()));
    let signals: Vec<(&str, &str)> = page.signals.iter().copied().chain(signals).collect();
    list(&mut roff, "SIGNALS", &signals);
    list(&mut roff, "ENVIRONMENT", page.environment);
    list(&mut roff, "FILES", page.files);
    roff.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in &last.exit {
        item(&mut roff, bold(code.as_str()), meaning);
    }
    for (code, meaning) in page.exit {
        item(&mut roff, bold(code.to_string()), meaning);
    }
    roff.control("SH", ["EXAMPLES"]);
    for (number, (what, lines)) in page.examples.iter().enumerate() {
        if number > 0 {
            roff.control("PP", []);
        }
        roff.text([roman(*what)]);
        roff.control("PP", []).control("RS", ["4"]).control("nf", []);
        for line in lines.lines() {
            roff.text([roman(line)]);
        }
        roff.control("fi", []).control("RE", []);
    }
    roff.control("SH", ["SEE ALSO"]);
    let mut others: Vec<Inline> = Vec::new();
    for other in page.see_also {
        let (name, section) = other.split_once('(').unwrap_or((other, ""));
        if !others.is_empty() {
            others.push(roman(", "));
        }
        others.push(bold(name));
        others.push(roman(format!("({section}")));
    }
    roff.text(others);
    roff
}

fn list(roff: &mut Roff, title: &str, items: &[(&str, &str)]) {
    if items.is_empty() {
        return;
    }
    roff.control("SH", [title]);
    for (term, text) in items {
        item(roff, italic(*term), text);
    }
}

fn item(roff: &mut Roff, term: Inline, text: &str) {
    roff.control("TP", []).text([term]).text([roman(text)]);
}

/// What is in backticks becomes bold, one preamble is enough, and no line is longer than an editor's window.
fn tidy(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut preamble = false;
    let mut literal = false;
    let mut before = "";
    for line in text.lines().map(str::trim_end) {
        let again = line == ".br" && before == ".br";
        let known = preamble && (line.starts_with(".ie \\n(.g") || line.starts_with(".el .ds Aq"));
        if line.is_empty() || again || known {
            continue;
        }
        preamble |= line.starts_with(".el .ds Aq");
        literal = line == ".nf" || (literal && line != ".fi");
        if line.starts_with(['.', '\'']) {
            out.push_str(line);
            out.push('\n');
        } else {
            let line = marked(&line.replace("\\\\", "\\e"));
            // A literal line and the term of a list stay whole.
            let width = if literal || before == ".TP" {
                usize::MAX
            } else {
                LINE_BYTES
            };
            wrap(&line, width, &mut out);
        }
        before = line;
    }
    out
}

/// `word` as bold; a line with half a pair stays as it is.
fn marked(line: &str) -> String {
    if line.matches('`').count() % 2 == 1 {
        return line.to_owned();
    }
    let parts = line
        .split('`')
        .enumerate()
        .map(|(number, part)| match number % 2 {
            0 => part.to_owned(),
            _ => format!("\\fB{part}\\fR"),
        });
    parts.collect()
}

/// Breaks a line at blanks; what would begin with a control character is guarded.
fn wrap(line: &str, width: usize, out: &mut String) {
    let mut filled = 0;
    for word in line.split(' ') {
        if filled > 0 && filled + 1 + word.len() > width {
            out.push('\n');
            filled = 0;
            if word.starts_with(['.', '\'']) {
                out.push_str("\\&");
                filled = 2;
            }
        } else if filled > 0 {
            out.push(' ');
            filled += 1;
        }
        out.push_str(word);
        filled += word.len();
    }
    out.push('\n');
}
