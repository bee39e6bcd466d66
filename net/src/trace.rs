//! The protocol as it goes over the wire, for people (`-v -v`): without passwords, and without message bodies.

use std::sync::{Arc, Mutex, PoisonError};

use engine::flow::Now;

/// Bytes of one line shown at most; the rest is counted.
const LINE_BYTES_SHOWN: usize = 4096;

/// Who said it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// We did; shown as `>`.
    Sent,
    /// The peer did; shown as `<`.
    Received,
}

/// Takes finished lines of the trace, each with its mark and line end.
pub type TraceSink = Arc<dyn Fn(&str) + Send + Sync>;

/// One connection's trace; clones write to the same one.
#[derive(Clone)]
pub struct Trace {
    state: Arc<Mutex<State>>,
    sink: TraceSink,
}

struct State {
    sent: Scanner,
    received: Scanner,
    /// Between AUTHENTICATE and its final reply nothing is shown but words without content.
    authenticating: bool,
}

impl Trace {
    /// Writes to `sink`.
    pub fn new(sink: TraceSink) -> Self {
        let state = State {
            sent: Scanner::default(),
            received: Scanner::default(),
            authenticating: false,
        };
        Trace {
            state: Arc::new(Mutex::new(state)),
            sink,
        }
    }

    /// Notes bytes as they go by, cut anywhere.
    pub fn note(&self, now: Now, direction: Direction, bytes: &[u8]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State {
            sent,
            received,
            authenticating,
        } = &mut *state;
        let (scanner, mark) = match direction {
            Direction::Sent => (sent, '>'),
            Direction::Received => (received, '<'),
        };
        scanner.scan(bytes, |line| {
            let shown = conceal(line, direction, authenticating);
            (self.sink)(&format!("{mark}{}{mark}{shown}\n", now.0));
        });
    }
}

/// Hides what an authentication says.
fn conceal(line: &str, direction: Direction, authenticating: &mut bool) -> String {
    let mut words = line.split(' ');
    let first = words.next().unwrap_or_default();
    if first.eq_ignore_ascii_case("AUTHENTICATE") {
        *authenticating = true;
        return format!("{first} {} ...", words.next().unwrap_or_default());
    }
    if !*authenticating {
        return line.to_owned();
    }
    let challenge = first == "+";
    let theirs = ["OK", "NO", "BAD", "BYE", "*"].contains(&first);
    if theirs && (direction == Direction::Received || first != "*") {
        *authenticating = false;
        return line.to_owned();
    }
    if challenge {
        "+ ...".to_owned()
    } else {
        "...".to_owned()
    }
}

/// Finds lines, and steps over the bodies of files.
#[derive(Default)]
struct Scanner {
    line: Vec<u8>,
    cut: usize,
    body: u64,
}

impl Scanner {
    fn scan(&mut self, mut bytes: &[u8], mut show: impl FnMut(&str)) {
        while !bytes.is_empty() {
            if self.body > 0 {
                let skipped = usize::try_from(self.body).unwrap_or(usize::MAX).min(bytes.len());
                self.body -= skipped as u64;
                bytes = &bytes[skipped..];
                continue;
            }
            let (line, rest, ended) = match bytes.iter().position(|&b| b == b'\n') {
                Some(at) => (&bytes[..at], &bytes[at + 1..], true),
                None => (bytes, &[][..], false),
            };
            self.take(line);
            bytes = rest;
            if ended {
                self.end(&mut show);
            }
        }
    }

    fn take(&mut self, part: &[u8]) {
        let room = LINE_BYTES_SHOWN.saturating_sub(self.line.len()).min(part.len());
        self.line.extend_from_slice(&part[..room]);
        // The tail of a cut line is kept beside it, since a file header may stand there.
        self.cut += part.len() - room;
        if room < part.len() {
            self.keep_tail(&part[room..]);
        }
    }

    /// Keeps the last bytes of a long line behind the shown part.
    fn keep_tail(&mut self, part: &[u8]) {
        const TAIL_BYTES: usize = 512;
        self.line
            .extend_from_slice(&part[part.len().saturating_sub(TAIL_BYTES)..]);
        let excess = self.line.len().saturating_sub(LINE_BYTES_SHOWN + TAIL_BYTES);
        self.line.drain(LINE_BYTES_SHOWN..LINE_BYTES_SHOWN + excess);
    }

    fn end(&mut self, show: &mut impl FnMut(&str)) {
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        self.body = file_size(line).unwrap_or(0);
        let shown = &line[..line.len().min(LINE_BYTES_SHOWN)];
        let mut text = shown
            .escape_ascii()
            .to_string()
            .replace("\\\"", "\"")
            .replace("\\'", "'")
            .replace("\\\\", "\\");
        if self.cut > 0 {
            text.push_str(&format!(" ... ({} bytes more)", self.cut));
        }
        if self.body > 0 {
            text.push_str(&format!(" <{} bytes>", self.body));
        }
        show(&text);
        self.line.clear();
        self.cut = 0;
    }
}

/// The size in a file's header, `%{PARTITION GUID SIZE}`, at the end of a line.
fn file_size(line: &[u8]) -> Option<u64> {
    let inner = line.strip_suffix(b"}")?;
    let open = inner.windows(2).rposition(|pair| pair == b"%{")?;
    let mut words = inner[open + 2..].rsplit(|&b| b == b' ');
    let size = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
    words.next()?;
    words.next().map(|_| size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(parts: &[(Direction, &[u8])], cut: usize) -> String {
        let shown = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&shown);
        let trace = Trace::new(Arc::new(move |line| {
            sink.lock().expect("no panic").push_str(line)
        }));
        for (direction, bytes) in parts {
            bytes
                .chunks(cut)
                .for_each(|part| trace.note(Now(1_700_000_000), *direction, part));
        }
        shown.lock().expect("no panic").clone()
    }

    const SESSION: &[(Direction, &[u8])] = &[
        (Direction::Received, b"* SASL PLAIN\r\n* OK far Cyrus sync server 3.6.1\r\n"),
        (Direction::Sent, b"AUTHENTICATE PLAIN AHJlcGwAc2VjcmV0\r\n"),
        (Direction::Received, b"OK Success (no protection)\r\n"),
        (Direction::Sent, b"AUTHENTICATE SCRAM-SHA-1\r\n"),
        (Direction::Received, b"+ \r\n"),
        (Direction::Sent, b"biwsbj11\r\n"),
        (Direction::Received, b"NO authentication failure\r\n"),
        (Direction::Sent, b"APPLY MESSAGE (%{default da39a3ee5e6b4b0d3255bfef95601890afd80709 12}\r\nSubject: x\r\n %{default 00 3}\r\nabc)\r\n"),
        (Direction::Received, b"OK success\r\n"),
    ];

    #[test]
    fn passwords_and_bodies_are_left_out() {
        let shown = trace(SESSION, usize::MAX);
        insta::assert_snapshot!(shown, @r"
        <1700000000<* SASL PLAIN
        <1700000000<* OK far Cyrus sync server 3.6.1
        >1700000000>AUTHENTICATE PLAIN ...
        <1700000000<OK Success (no protection)
        >1700000000>AUTHENTICATE SCRAM-SHA-1 ...
        <1700000000<+ ...
        >1700000000>...
        <1700000000<NO authentication failure
        >1700000000>APPLY MESSAGE (%{default da39a3ee5e6b4b0d3255bfef95601890afd80709 12} <12 bytes>
        >1700000000> %{default 00 3} <3 bytes>
        >1700000000>)
        <1700000000<OK success
        ");
        for cut in 1..30 {
            assert_eq!(trace(SESSION, cut), shown, "cut into pieces of {cut}");
        }
    }

    #[test]
    fn long_lines_are_cut_and_their_file_still_found() {
        let mut line = vec![b'x'; 10_000];
        line.extend_from_slice(b" %{default 00 5}\r\nab\ncdOK y\r\n");
        for cut in [1, 7, 5000, usize::MAX] {
            let shown = trace(&[(Direction::Sent, &line)], cut);
            assert!(
                shown.ends_with(" ... (5921 bytes more) <5 bytes>\n>1700000000>OK y\n"),
                "{cut}: {}",
                &shown[4000..]
            );
        }
    }
}
