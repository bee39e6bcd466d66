//! Commands that are plain words. `[CS-CONN-12]` to `[CS-CONN-17]`

use crate::Text;
use crate::command::Command;
use crate::decode::head::is_tag;
use crate::fault::{Fault, Verb};

/// A line without its LF or CRLF.
pub(crate) fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// A command of words; `verb` is `None` for a tagged line.
///
/// # Errors
/// What is missing or too much: `[CS-CONN-20]` to `[CS-CONN-22]`.
pub(crate) fn words(verb: Option<Verb>, line: &[u8]) -> Result<Command, Fault> {
    let line = without_line_end(line);
    if line.contains(&b'\r') {
        return Err(Fault::ExtraArguments);
    }
    let mut words = line
        .split(|&byte| matches!(byte, b' ' | b'\t'))
        .filter(|word| !word.is_empty());
    let first = words.next().unwrap_or(b"");
    let bare = |command| {
        if first.len() == line.len() {
            Ok(command)
        } else {
            Err(Fault::ExtraArguments)
        }
    };
    match verb {
        Some(Verb::Noop) => bare(Command::Noop),
        Some(Verb::Exit) => bare(Command::Exit),
        Some(Verb::Restart) => bare(Command::Restart),
        Some(Verb::StartTls) => bare(Command::StartTls),
        Some(Verb::Authenticate) => {
            let mechanism = words.next().ok_or(Fault::MissingArgument)?;
            let initial = words.next().map(Text::copy_from);
            if !mechanism.iter().all(|&byte| in_mechanism(byte)) {
                return Err(Fault::InvalidMechanism);
            }
            end(words)?;
            Ok(Command::Authenticate {
                mechanism: Text::copy_from(mechanism),
                initial,
            })
        }
        Some(Verb::Compress) => {
            let algorithm = words.next().ok_or(Fault::MissingArgument)?;
            end(words)?;
            Ok(Command::Compress {
                algorithm: Text::copy_from(algorithm),
            })
        }
        Some(Verb::Get | Verb::Apply | Verb::Restore) => Err(Fault::MissingKeyword),
        None => {
            let second = words.next().unwrap_or(b"");
            let known = second.eq_ignore_ascii_case(b"CAPABILITY") || second.eq_ignore_ascii_case(b"LOGOUT");
            if !is_tag(first) || !known || words.next().is_some() {
                return Err(Fault::UnknownCommand);
            }
            Ok(Command::TaggedProbe {
                tag: Text::copy_from(first),
            })
        }
    }
}

fn end<'a>(mut words: impl Iterator<Item = &'a [u8]>) -> Result<(), Fault> {
    match words.next() {
        None => Ok(()),
        Some(_) => Err(Fault::ExtraArguments),
    }
}

/// An IMAP atom's bytes.
fn in_mechanism(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\')
}
