//! The list of quarantined entries of a channel, in a file that people can read. [CS-LOG-34]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use engine::rolling::Quarantined;
use protocol::synclog::{Unprintable, parse_line};

use crate::LogError;
use crate::files::{if_there, replace};

const HEAD: &str = "# since_ms\tlogged_ms\tattempts\tnext_try_ms\treason\taction\n";

/// The file and what it holds.
#[derive(Debug)]
pub(crate) struct List {
    path: PathBuf,
    held: Vec<Quarantined>,
}

impl List {
    /// Reads the list; lines that cannot be read are answered beside it.
    pub(crate) fn load(directory: &Path) -> Result<(List, Vec<Vec<u8>>), LogError> {
        let path = directory.join("mailtwin-quarantine");
        let bytes = if_there(fs::read(&path))
            .map_err(LogError::io("read", &path))?
            .unwrap_or_default();
        let (mut held, mut odd) = (Vec::new(), Vec::new());
        for line in bytes.split(|&byte| byte == b'\n') {
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            match read(line) {
                Some(entry) => held.push(entry),
                None => odd.push(line.to_vec()),
            }
        }
        Ok((List { path, held }, odd))
    }

    pub(crate) fn held(&self) -> &[Quarantined] {
        &self.held
    }

    /// Writes the list anew when it is another one.
    pub(crate) fn write(&mut self, entries: Vec<Quarantined>) -> Result<(), LogError> {
        if entries == self.held {
            return Ok(());
        }
        let mut bytes = HEAD.as_bytes().to_vec();
        for entry in &entries {
            print(entry, &mut bytes)?;
        }
        replace(&self.path, &bytes, None)?;
        self.held = entries;
        Ok(())
    }
}

fn print(entry: &Quarantined, out: &mut Vec<u8>) -> Result<(), Unprintable> {
    let mut head = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        head,
        "{}\t{}\t{}\t{}\t",
        entry.since_ms, entry.logged_at_ms, entry.attempts, entry.next_try_ms
    );
    let reason: String = entry
        .reason
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let start = out.len();
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(reason.as_bytes());
    out.push(b'\t');
    let printed = entry.action.print(out);
    if printed.is_err() {
        out.truncate(start);
    }
    printed
}

fn read(line: &[u8]) -> Option<Quarantined> {
    let mut fields = line.splitn(6, |&byte| byte == b'\t');
    let mut number = || std::str::from_utf8(fields.next()?).ok()?.parse::<u64>().ok();
    let (since_ms, logged_at_ms, attempts, next_try_ms) = (number()?, number()?, number()?, number()?);
    let reason = String::from_utf8_lossy(fields.next()?).into_owned();
    Some(Quarantined {
        action: parse_line(fields.next()?).ok()??,
        logged_at_ms,
        since_ms,
        attempts: u32::try_from(attempts).ok()?,
        reason,
        next_try_ms,
    })
}
