//! Standard output is data, standard error is talk.

use std::io::{self, ErrorKind, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use net::shown::tame;
use serde::Serialize;

use crate::failure::{Exit, Failure, Result};

/// Writes to standard output; a reader that went away (`| head`) is no failure. What could work on a terminal is made
/// visible, for names come from other machines. [CS-NAME-9]
pub fn to_stdout(work: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let mut out = Tame(io::BufWriter::with_capacity(1 << 16, io::stdout().lock()));
    match work(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Io, format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes what was stored to standard output, byte for byte: a script, for whoever asked for just that.
pub fn stored_to_stdout(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Io, format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints a value as JSON.
pub fn print_json(value: &impl Serialize) -> Result<()> {
    to_stdout(|out| {
        serde_json::to_writer_pretty(&mut *out, value).map_err(io::Error::from)?;
        writeln!(out)
    })
}

/// Tells the operator something; nothing depends on its being read.
pub fn note(text: &str) -> Result<()> {
    let _ = writeln!(Tame(io::stderr().lock()), "mailtwin: {text}");
    Ok(())
}

/// Passes text on with control characters, line ends and tabs excepted, as JSON writes them (`\\u001b`).
struct Tame<W>(W);

impl<W: Write> Write for Tame<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.0.write_all(tame(text).as_bytes())?,
            Err(_) => self.0.write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A bar on standard error when that is a terminal, else nothing. `total` 0 is unknown.
pub fn progress(total: u64, what: &'static str) -> ProgressBar {
    let target = if io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target((total > 0).then_some(total), target);
    let template = if total > 0 {
        "{msg} {wide_bar} {human_pos}/{human_len} {prefix} {per_sec} {eta}"
    } else {
        "{spinner} {msg} {human_pos} {prefix} {per_sec}"
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.with_prefix(what)
}
