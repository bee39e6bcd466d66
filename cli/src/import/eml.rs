//! Message files.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use protocol::{Flags, Text};

use super::{Body, Sink, Sorted, date};
use crate::failure::{Exit, Failure, Result};

/// Bytes of a header that are searched for its date.
const HEADER_BYTES_MAX: u64 = 256 << 10;

/// The files that a path names: itself, or those directly in it, by name. Files that begin with a dot are left out.
pub fn files(path: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error: &std::io::Error| Failure::file(path, error);
    if !path.metadata().map_err(|e| failed(&e))?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in path.read_dir().map_err(|e| failed(&e))? {
        let entry = entry.map_err(|e| failed(&e))?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") && entry.path().is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// Appends each file as a message. Its internal date is that of its `Date` header, else the file's own time.
pub fn import(files: &[PathBuf], mailbox: &Text, sink: &mut Sink<'_, '_>) -> Result<()> {
    sink.mailbox(mailbox)?;
    for path in files {
        match read(path) {
            Ok(message) => sink.message(message)?,
            Err(failure) if failure.exit == Exit::Io && files.len() == 1 => return Err(failure),
            Err(failure) => sink.skip(&failure.text),
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Sorted> {
    let failed = |error: std::io::Error| Failure::file(path, &error);
    let mut file = File::open(path).map_err(failed)?;
    let dated = header_date(&file);
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let internaldate = dated.unwrap_or_else(|| modified(&file));
    Ok(Sorted {
        body: Body::read(file).map_err(failed)?,
        internaldate,
        flags: Flags::default(),
    })
}

/// Seconds since the epoch at which the file was changed; 0 when the system does not say.
pub fn modified(file: &File) -> i64 {
    let time = file.metadata().and_then(|m| m.modified()).unwrap_or(UNIX_EPOCH);
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
        Err(before) => {
            // Rounded down, as everywhere.
            let early = before.duration();
            -i64::try_from(early.as_secs()).unwrap_or(i64::MAX) - i64::from(early.subsec_nanos() > 0)
        }
    }
}

/// The date in the header of the message that is read, if it has one.
pub fn header_date(from: impl Read) -> Option<i64> {
    let mut lines = BufReader::new(from.take(HEADER_BYTES_MAX));
    let mut line = Vec::new();
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line).ok()? == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if text.is_empty() {
            return None;
        }
        if let Some((name, value)) = text.split_once(':')
            && name.eq_ignore_ascii_case("date")
        {
            return date::of_header(value);
        }
    }
}
