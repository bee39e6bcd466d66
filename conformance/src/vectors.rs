//! The test vectors and recorded sessions of `spec/`, read from the files.

use crate::{Error, Result};
use base64::Engine as _;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A recorded session: file name and bytes.
pub type Session = (String, Vec<u8>);

fn spec() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec")
}

/// The JSON lines of a file below `spec/`.
pub fn lines(name: &str) -> Result<Vec<Value>> {
    let path = spec().join(name);
    let text = std::fs::read_to_string(&path).map_err(Error::io(format!("reading {}", path.display())))?;
    let parse = |line: &str| {
        serde_json::from_str(line).map_err(|error| Error::Unreadable(format!("{}: {error}", path.display())))
    };
    text.lines().filter(|line| !line.is_empty()).map(parse).collect()
}

/// What the clients sent between login and `EXIT` in each recorded session without deflate.
pub fn client_sides() -> Result<Vec<Session>> {
    let mut names = Vec::new();
    for version in entries(&spec().join("sessions"))? {
        if version.is_dir() {
            names.extend(entries(&version)?);
        }
    }
    names.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    names.sort();
    let mut sessions = Vec::new();
    for path in names {
        let name = path.display().to_string();
        let bytes = client_side(&lines(&name)?)?;
        let deflated = bytes.windows(8).any(|window| window == b"COMPRESS");
        if !bytes.is_empty() && !deflated {
            sessions.push((name, bytes));
        }
    }
    Ok(sessions)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = std::fs::read_dir(folder).map_err(Error::io(format!("listing {}", folder.display())))?;
    Ok(read.flatten().map(|entry| entry.path()).collect())
}

fn client_side(events: &[Value]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for event in events.iter().filter(|event| event["dir"] == "C") {
        let mut sent = Vec::new();
        for part in event["line"].as_array().into_iter().flatten() {
            sent.extend(match part {
                Value::String(escaped) => unescape(escaped),
                // A literal or a file: an object whose only value is base64.
                other => decode(other.as_object().and_then(|object| object.values().next()))?,
            });
        }
        if !sent.starts_with(b"AUTHENTICATE") && !sent.starts_with(b"EXIT") {
            bytes.extend(sent);
        }
    }
    Ok(bytes)
}

/// The bytes of a base64 value.
pub fn decode(value: Option<&Value>) -> Result<Vec<u8>> {
    let text = value
        .and_then(Value::as_str)
        .ok_or_else(|| Error::Unreadable("no base64 text".into()))?;
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .map_err(|error| Error::Unreadable(error.to_string()))
}

/// The notation for bytes in these files: `\xNN` and `\\`, all else as it is.
pub fn unescape(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after
            .get(1..3)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let value = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let skip = match (byte, after.first(), value) {
            (b'\\', Some(b'x'), Some(value)) => {
                bytes.push(value);
                3
            }
            (b'\\', Some(b'\\'), _) => {
                bytes.push(b'\\');
                1
            }
            _ => {
                bytes.push(byte);
                0
            }
        };
        rest = &after[skip..];
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unescapes() {
        assert_eq!(unescape(r"a\\b\x0d\x00\\xff"), b"a\\b\r\0\\xff");
    }

    #[test]
    fn every_recorded_session_has_commands() {
        let sessions = client_sides().expect("sessions");
        assert!(sessions.len() >= 20, "{}", sessions.len());
        for (name, bytes) in sessions {
            assert!(bytes.ends_with(b"\r\n"), "{name}");
        }
    }
}
