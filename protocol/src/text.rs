//! Byte strings of the protocol: names, user ids, values.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::ops::Deref;

/// A string of the protocol: any bytes, most often ASCII.
///
/// Cyrus promises no character set for what travels in strings, so nothing here assumes UTF-8. Well-known strings
/// (annotation entries, mostly) can be held without an allocation through [`Text::from_static`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text(Cow<'static, [u8]>);

impl Text {
    /// The empty string.
    pub const EMPTY: Text = Text(Cow::Borrowed(b""));

    /// A string known at compile time; costs no allocation.
    pub const fn from_static(bytes: &'static [u8]) -> Self {
        Text(Cow::Borrowed(bytes))
    }

    /// Copies `bytes`.
    pub fn copy_from(bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            Text::EMPTY
        } else {
            Text(Cow::Owned(bytes.to_vec()))
        }
    }

    /// The bytes as they are.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text as UTF-8 with replacement characters; for people, never for the wire.
    pub fn to_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    /// Takes the bytes out.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0.into_owned()
    }
}

impl Deref for Text {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for Text {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Text {
    fn from(bytes: Vec<u8>) -> Self {
        Text(Cow::Owned(bytes))
    }
}

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Self {
        Text::copy_from(bytes)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Text::copy_from(text.as_bytes())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Text(Cow::Owned(text.into_bytes()))
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_lossy())
    }
}
