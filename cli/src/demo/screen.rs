//! How the demonstration looks: at most 80 columns, coloured on a terminal.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use console::{measure_text_width, pad_str, style, truncate_str};

use crate::compare::{Comparison, Side};
use crate::names;
use crate::table::grouped;

/// Columns of every line.
const WIDTH: usize = 78;

/// Columns of a step's name.
const NAME_WIDTH: usize = 13;

/// Columns of a mailbox's name in the table.
const MAILBOX_WIDTH: usize = 30;

/// Prints steps as they are done, each with the time since the one before.
pub struct Screen<'a> {
    out: &'a mut dyn Write,
    begun: Instant,
    last: Instant,
}

impl<'a> Screen<'a> {
    /// Prints the title.
    pub fn new(out: &'a mut dyn Write) -> io::Result<Self> {
        writeln!(
            out,
            "{}  a mail store and its twin",
            style("mailtwin demo").bold().cyan()
        )?;
        writeln!(out)?;
        let begun = Instant::now();
        Ok(Screen {
            out,
            begun,
            last: begun,
        })
    }

    /// A step that is done.
    pub fn step(&mut self, name: &str, text: &str) -> io::Result<()> {
        let now = Instant::now();
        let time = shown(now.duration_since(self.last));
        self.last = now;
        let room = WIDTH - 3 - NAME_WIDTH - 1 - measure_text_width(&time);
        let text = pad_str(
            &truncate_str(text, room, "…"),
            room,
            console::Alignment::Left,
            None,
        )
        .into_owned();
        let name = pad_str(name, NAME_WIDTH, console::Alignment::Left, None).into_owned();
        writeln!(
            self.out,
            " {} {}{text} {}",
            style("✓").green().bold(),
            style(name).bold(),
            style(time).dim()
        )?;
        self.out.flush()
    }

    /// A line that belongs to the step before.
    pub fn more(&mut self, text: &str) -> io::Result<()> {
        let indent = " ".repeat(3 + NAME_WIDTH);
        writeln!(
            self.out,
            "{indent}{}",
            style(truncate_str(text, WIDTH - indent.len(), "…")).dim()
        )
    }

    /// The mailboxes in both stores.
    pub fn table(&mut self, found: &Comparison) -> io::Result<()> {
        let heading = line("MAILBOX", "MASTER  CRC", "REPLICA  CRC");
        writeln!(self.out, "\n   {}", style(heading.trim_end()).underlined())?;
        for row in &found.rows {
            let side = |side: &Option<Side>| {
                side.as_ref().map_or_else(
                    || "missing".to_owned(),
                    |side| format!("{:>6}  {:08x}", grouped(side.exists), side.crc.basic),
                )
            };
            let name = row
                .first
                .as_ref()
                .or(row.second.as_ref())
                .map(|side| match &row.user {
                    Some(user) => format!("{user}/{}", names::shown(user, &side.name)),
                    None => names::printable(&side.name.to_lossy()),
                });
            let text = line(&name.unwrap_or_default(), &side(&row.first), &side(&row.second));
            let mark = if row.equal {
                style("✓").green()
            } else {
                style("✗").red()
            };
            writeln!(self.out, "   {text} {}", mark.bold())?;
        }
        writeln!(self.out)
    }

    /// The last words.
    pub fn end(&mut self, found: &Comparison) -> io::Result<()> {
        let time = shown(self.begun.elapsed());
        if found.is_equal() {
            let verdict = style("The twins are equal").green().bold();
            return writeln!(
                self.out,
                " {verdict}, record by record, byte by byte. It took {}.",
                time.trim()
            );
        }
        writeln!(self.out, " {}:", style("The twins differ").red().bold())?;
        found
            .differences
            .iter()
            .try_for_each(|difference| writeln!(self.out, "   {difference}"))
    }
}

fn line(name: &str, master: &str, replica: &str) -> String {
    let pad = |text: &str, width| {
        pad_str(
            &truncate_str(text, width, "…"),
            width,
            console::Alignment::Left,
            None,
        )
        .into_owned()
    };
    format!(
        "{}  {}  {}",
        pad(name, MAILBOX_WIDTH),
        pad(master, 18),
        pad(replica, 18)
    )
}

fn shown(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1000.0;
    if millis < 1000.0 {
        format!("{millis:5.0} ms")
    } else {
        format!("{:6.2} s", millis / 1000.0)
    }
}
