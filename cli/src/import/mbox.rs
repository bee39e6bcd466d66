//! mbox files, one message after the other.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use protocol::{Flags, SystemFlags, Text};

use super::body::Builder;
use super::{Sink, Sorted, date, eml};
use crate::failure::{Exit, Failure, Result};

/// Bytes of a line looked at at once; a longer one comes in pieces.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// Bytes of a header kept for its `Status` and `Date` lines.
const HEADER_BYTES_MAX: usize = 256 << 10;

/// Appends every message of the file. A message begins with a `From ` line at the file's start or behind an empty line,
/// when it carries a date; one `>` is taken off lines such as `>From `. `Status`, `X-Status` and `X-Keywords` give the
/// flags, and stay in the message.
pub fn import(path: &Path, mailbox: &Text, sink: &mut Sink<'_, '_>) -> Result<()> {
    let failed = |error: std::io::Error| Failure::file(path, &error);
    let file = File::open(path).map_err(failed)?;
    let changed = eml::modified(&file);
    let mut reader = Reader::new(file);
    let mut found = reader.next();
    if !matches!(found, Err(Broken::NoMbox)) {
        sink.mailbox(mailbox)?;
    }
    loop {
        match found {
            Ok(Some(Found::Message(message))) => sink.message(message.sorted(changed))?,
            Ok(Some(Found::Internal)) => {}
            Ok(None) => return Ok(()),
            Err(Broken::Read(error)) => return Err(failed(error)),
            Err(Broken::NoMbox) => {
                let text = format!(
                    "{} is no mbox: it does not begin with a line `From ...`",
                    path.display()
                );
                return Err(Failure::new(Exit::Data, text));
            }
        }
        found = reader.next();
    }
}

enum Broken {
    NoMbox,
    Read(std::io::Error),
}

impl From<std::io::Error> for Broken {
    fn from(error: std::io::Error) -> Self {
        Broken::Read(error)
    }
}

enum Found {
    Message(Message),
    /// The pseudo-message in which some programs keep notes of their own.
    Internal,
}

struct Message {
    date: Option<i64>,
    header: Vec<u8>,
    body: super::Body,
}

impl Message {
    fn sorted(self, fallback: i64) -> Sorted {
        let internaldate = self
            .date
            .or_else(|| eml::header_date(&self.header[..]))
            .unwrap_or(fallback);
        Sorted {
            body: self.body,
            internaldate,
            flags: flags(&self.header),
        }
    }
}

struct Reader<R> {
    lines: BufReader<R>,
    piece: Vec<u8>,
    /// The date in the `From ` line that was read ahead; `None` before the first one and behind the last message.
    next: Option<Option<i64>>,
    begun: bool,
}

impl<R: Read> Reader<R> {
    fn new(file: R) -> Self {
        Reader {
            lines: BufReader::with_capacity(1 << 17, file),
            piece: Vec::new(),
            next: None,
            begun: false,
        }
    }

    fn next(&mut self) -> std::result::Result<Option<Found>, Broken> {
        if !self.begun {
            self.begun = true;
            self.first()?;
        }
        let Some(date) = self.next.take() else {
            return Ok(None);
        };
        let mut builder = Builder::default();
        let mut header = Vec::new();
        let (mut in_header, mut line_start, mut after_empty) = (true, true, false);
        // The empty line before the next `From ` line separates and belongs to no message, unless it ends the header.
        let mut held: Option<Vec<u8>> = None;
        while self.read_piece()? {
            let at_start = std::mem::replace(&mut line_start, self.piece.ends_with(b"\n"));
            if at_start
                && after_empty
                && let Some(date) = from_line(&self.piece)
            {
                self.next = Some(Some(date));
                break;
            }
            if let Some(empty) = held.take() {
                builder.push(&empty)?;
            }
            after_empty = at_start && matches!(&self.piece[..], b"\n" | b"\r\n");
            if after_empty && !in_header {
                held = Some(self.piece.clone());
                continue;
            }
            in_header &= !after_empty;
            if in_header && header.len() < HEADER_BYTES_MAX {
                header.extend_from_slice(&self.piece);
            }
            let quoted = at_start && is_quoted_from(&self.piece);
            builder.push(&self.piece[usize::from(quoted)..])?;
        }
        if is_internal(&header) {
            return Ok(Some(Found::Internal));
        }
        Ok(Some(Found::Message(Message {
            date,
            header,
            body: builder.finish()?,
        })))
    }

    fn first(&mut self) -> std::result::Result<(), Broken> {
        while self.read_piece()? {
            if matches!(&self.piece[..], b"\n" | b"\r\n") {
                continue;
            }
            if !self.piece.starts_with(b"From ") {
                return Err(Broken::NoMbox);
            }
            self.next = Some(from_line(&self.piece));
            return Ok(());
        }
        Ok(())
    }

    /// A line, or a piece of a long one.
    fn read_piece(&mut self) -> std::io::Result<bool> {
        self.piece.clear();
        Ok((&mut self.lines)
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut self.piece)?
            > 0)
    }
}

fn from_line(line: &[u8]) -> Option<i64> {
    line.starts_with(b"From ")
        .then(|| date::of_from_line(&String::from_utf8_lossy(line)))?
}

fn is_quoted_from(line: &[u8]) -> bool {
    let quotes = line.iter().take_while(|&&b| b == b'>').count();
    quotes > 0 && line[quotes..].starts_with(b"From ")
}

fn is_internal(header: &[u8]) -> bool {
    let noted = value(header, "X-IMAP").or_else(|| value(header, "X-IMAPbase"));
    noted.is_some()
        && value(header, "Subject").is_some_and(|subject| subject.contains("FOLDER INTERNAL DATA"))
}

/// The value of a header line.
fn value(header: &[u8], name: &str) -> Option<String> {
    let lines = header.split(|&b| b == b'\n').map(String::from_utf8_lossy);
    let mut values = lines.filter_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    });
    values.next()
}

fn flags(header: &[u8]) -> Flags {
    let letters =
        value(header, "Status").unwrap_or_default() + &value(header, "X-Status").unwrap_or_default();
    let mut flags = Flags::default();
    for letter in letters.chars() {
        let flag = match letter {
            'R' => SystemFlags::SEEN,
            'A' => SystemFlags::ANSWERED,
            'F' => SystemFlags::FLAGGED,
            'D' => SystemFlags::DELETED,
            'T' => SystemFlags::DRAFT,
            _ => SystemFlags::NONE,
        };
        flags.system = flags.system.with(flag);
    }
    let keywords = value(header, "X-Keywords").unwrap_or_default();
    flags.keywords = keywords
        .split([' ', ','])
        .filter(|k| !k.is_empty())
        .map(Text::from)
        .collect();
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Shown {
        text: String,
        date: Option<i64>,
        flags: Flags,
    }

    fn read(text: &[u8]) -> Vec<Shown> {
        let mut reader = Reader::new(text);
        let mut all = Vec::new();
        while let Some(found) = reader.next().unwrap_or_else(|_| panic!("an mbox")) {
            let Found::Message(message) = found else { continue };
            let date = message.date;
            let sorted = message.sorted(-7);
            let mut bytes = Vec::new();
            sorted
                .body
                .pieces(|piece| {
                    bytes.extend_from_slice(&piece);
                    Ok::<(), std::io::Error>(())
                })
                .unwrap();
            all.push(Shown {
                text: String::from_utf8(bytes).unwrap(),
                date,
                flags: sorted.flags,
            });
        }
        all
    }

    fn texts(text: &[u8]) -> Vec<String> {
        read(text).into_iter().map(|m| m.text).collect()
    }

    const FROM: &str = "From jane@example.org Sun Sep  9 01:46:40 2001\n";

    #[test]
    fn messages_end_where_the_next_begins() {
        let mbox =
            format!("{FROM}Subject: a\n\nfirst\n\n{FROM}Subject: b\n\nsecond\n\n\n{FROM}Subject: c\n\n");
        let expected = [
            "Subject: a\r\n\r\nfirst\r\n",
            "Subject: b\r\n\r\nsecond\r\n\r\n",
            "Subject: c\r\n\r\n",
        ];
        assert_eq!(texts(mbox.as_bytes()), expected);
        assert!(
            read(mbox.as_bytes())
                .iter()
                .all(|m| m.date == Some(1_000_000_000))
        );
        let crlf = mbox.replace('\n', "\r\n");
        assert_eq!(texts(crlf.as_bytes()), expected);
    }

    #[test]
    fn from_inside_a_message_begins_none() {
        let body = "Subject: a\n\nquiet\nFrom jane@example.org Sun Sep  9 01:46:40 2001\n\nFrom now on\n>From me\n>>From you\n>Fromage\n";
        let mbox = format!("{FROM}{body}");
        let expected = body
            .replace(">From me", "From me")
            .replace(">>From", ">From")
            .replace('\n', "\r\n");
        assert_eq!(texts(mbox.as_bytes()), [expected]);
    }

    #[test]
    fn odd_files() {
        assert!(texts(b"").is_empty());
        assert!(texts(b"\n\n").is_empty());
        assert!(matches!(
            Reader::new(&b"Subject: a\n\n"[..]).next(),
            Err(Broken::NoMbox)
        ));
        assert_eq!(
            texts(b"From nobody\nSubject: a"),
            ["Subject: a"],
            "no date, no end of line"
        );
        assert_eq!(texts(FROM.as_bytes()), [""]);
        let empty_first = format!("{FROM}\n{FROM}Subject: b\n\nx\n");
        assert_eq!(texts(empty_first.as_bytes()).len(), 2);
        let long = format!("{FROM}Subject: a\n\n{}\nFrom x\n", "y".repeat(300_000));
        assert_eq!(texts(long.as_bytes())[0].len(), 14 + 300_002 + 8);
    }

    #[test]
    fn a_long_line_is_no_place_to_begin() {
        // Behind 64 KiB of one line stands what would be a `From ` line at the start of one.
        let mbox = format!("{FROM}Subject: a\n\n\n{}{FROM}end\n", "y".repeat(1 << 16));
        assert_eq!(texts(mbox.as_bytes()).len(), 1);
    }

    #[test]
    fn status_lines_are_flags() {
        let mbox = format!(
            "{FROM}Status: RO\nX-Status: AFDT\nX-Keywords: work, $Junk\nSubject: x\n\nStatus: no header\n"
        );
        let flags = &read(mbox.as_bytes())[0].flags;
        let all = SystemFlags::ALL
            .iter()
            .fold(SystemFlags::NONE, |sum, (flag, _)| sum.with(*flag));
        assert_eq!(flags.system, all.without(SystemFlags::EXPUNGED));
        assert_eq!(flags.keywords, [Text::from("work"), Text::from("$Junk")]);
    }

    #[test]
    fn internal_messages_are_no_mail() {
        let mbox = format!(
            "{FROM}Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 1 2\n\nnotes\n\n{FROM}Subject: b\n\nx\n"
        );
        assert_eq!(texts(mbox.as_bytes()), ["Subject: b\r\n\r\nx\r\n"]);
    }
}
