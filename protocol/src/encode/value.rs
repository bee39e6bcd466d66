//! Single values as every Cyrus accepts them.

use bytes::{BufMut, BytesMut};

use super::LiteralStyle;

/// Longest string, in bytes, that is printed as an atom or quoted.
const QUOTABLE_BYTES_MAX: usize = 1023;

const ATOM: u8 = 1;
const QUOTED: u8 = 2;

/// For every byte whether it may stand in an atom and in a quoted string.
static SAFE: [u8; 256] = safe_table();

const fn safe_table() -> [u8; 256] {
    let mut table = [0u8; 256];
    let mut byte = 0usize;
    while byte < 256 {
        let b = byte as u8;
        let quoted = b != 0 && b < 0x80 && !matches!(b, b'\r' | b'\n' | b'"' | b'%' | b'\\');
        let atom = quoted && b >= 0x1f && b != 0x7f && !matches!(b, b' ' | b'{' | b'(' | b')' | b'*');
        table[byte] = if atom {
            ATOM | QUOTED
        } else if quoted {
            QUOTED
        } else {
            0
        };
        byte += 1;
    }
    table
}

/// A string as atom, quoted or literal, never with a backslash escape. `[CS-DLIST-16]`
pub(super) fn string(out: &mut BytesMut, style: LiteralStyle, bytes: &[u8]) {
    if bytes.is_empty() {
        out.put_slice(b"\"\"");
        return;
    }
    let safe = if bytes.len() <= QUOTABLE_BYTES_MAX {
        bytes
            .iter()
            .fold(ATOM | QUOTED, |all, &byte| all & SAFE[usize::from(byte)])
    } else {
        0
    };
    if safe & ATOM != 0 && bytes != b"NIL" {
        out.put_slice(bytes);
    } else if safe & QUOTED != 0 {
        out.put_u8(b'"');
        out.put_slice(bytes);
        out.put_u8(b'"');
    } else {
        out.put_u8(b'{');
        unsigned(out, bytes.len() as u64);
        out.put_slice(match style {
            LiteralStyle::Client => b"+}\r\n",
            LiteralStyle::Server => b"}\r\n",
        });
        out.put_slice(bytes);
    }
}

/// A string, or `NIL` for none.
pub(super) fn nstring(out: &mut BytesMut, style: LiteralStyle, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => string(out, style, bytes),
        None => out.put_slice(b"NIL"),
    }
}

/// Decimal digits.
pub(super) fn unsigned(out: &mut BytesMut, mut number: u64) {
    let mut digits = [0u8; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.put_slice(&digits[start..]);
}

/// Decimal digits with a minus sign below zero.
pub(super) fn signed(out: &mut BytesMut, number: i64) {
    if number < 0 {
        out.put_u8(b'-');
    }
    unsigned(out, number.unsigned_abs());
}
