//! The deflate layer under its limits, held against the library on its own.

use bytes::Bytes;
use flate2::{Decompress, FlushDecompress};
use net::deflate::{Deflater, InflateError, InflateLimits, Inflater};

/// Bytes after which the reference stops inflating.
const REFERENCE_BYTES_MAX: usize = 8 << 20;

/// The first byte says what is done, the second the piece: any bytes are inflated, or deflated and inflated again.
pub fn deflate(input: &[u8]) {
    let [how, piece, rest @ ..] = input else {
        return;
    };
    let piece = usize::from(*piece) + 1;
    match how % 4 {
        0 => inflated(rest, piece, InflateLimits::STRANGER),
        1 => inflated(rest, piece, InflateLimits::TRUSTED),
        2 => inflated(
            rest,
            piece,
            InflateLimits {
                ratio_max: 1,
                free_bytes: 16,
            },
        ),
        _ => there_and_back(rest, piece),
    }
}

/// What came out before the end, and how it ended.
fn run(input: &[u8], piece: usize, limits: InflateLimits) -> (Vec<u8>, Result<(), InflateError>) {
    let mut inflater = Inflater::new(limits);
    let mut out = Vec::new();
    let mut taken = 0;
    for part in input.chunks(piece.max(1)) {
        inflater.push(Bytes::copy_from_slice(part));
        taken += part.len() as u64;
        loop {
            match inflater.next_piece() {
                Ok(None) => break,
                Ok(Some(bytes)) => {
                    assert!(!bytes.is_empty() && bytes.len() <= 64 * 1024);
                    out.extend_from_slice(&bytes);
                }
                Err(error) => return (out, Err(error)),
            }
            let allowed = taken * limits.ratio_max + limits.free_bytes;
            assert!(out.len() as u64 <= allowed, "{} bytes of {taken}", out.len());
        }
        assert!(inflater.is_drained(), "it asked for more");
    }
    (out, Ok(()))
}

fn inflated(input: &[u8], piece: usize, limits: InflateLimits) {
    let whole = run(input, input.len(), limits);
    let cut = run(input, piece, limits);
    let (reference, ended) = reference(input);
    for (out, result) in [&whole, &cut] {
        assert!(reference.starts_with(out), "inflates to something else");
        if result.is_ok() && reference.len() < REFERENCE_BYTES_MAX {
            assert_eq!(out.len(), reference.len(), "inflates to less");
            assert!(!ended, "goes on behind the end");
        }
    }
    // The ratio is looked at after each piece, so that a bomb may be noticed earlier or later; all else is equal.
    let is_bomb = |result: &Result<(), InflateError>| matches!(result, Err(InflateError::Bomb { .. }));
    if !is_bomb(&whole.1) && !is_bomb(&cut.1) {
        assert_eq!(whole.1, cut.1);
    }
}

/// What the library makes of it, and whether that is an end or an error.
fn reference(input: &[u8]) -> (Vec<u8>, bool) {
    let mut stream = Decompress::new(false);
    let mut out = Vec::with_capacity(64 * 1024);
    loop {
        out.reserve(64 * 1024);
        let (read, written) = (stream.total_in(), stream.total_out());
        let at = usize::try_from(read).unwrap_or(usize::MAX);
        let status = stream.decompress_vec(&input[at..], &mut out, FlushDecompress::None);
        match status {
            Err(_) | Ok(flate2::Status::StreamEnd) => return (out, true),
            Ok(_) => {}
        }
        let has_moved = stream.total_in() > read || stream.total_out() > written;
        if !has_moved || out.len() >= REFERENCE_BYTES_MAX {
            return (out, false);
        }
    }
}

/// Units are bytes up to a zero; after each the stream is flushed, and rests now and then.
fn there_and_back(input: &[u8], piece: usize) {
    let mut deflater = Deflater::new(piece as u32 % 11);
    let mut inflater = Inflater::new(InflateLimits::TRUSTED);
    for (number, unit) in input.split(|byte| *byte == 0).enumerate() {
        let mut sent = Vec::new();
        for part in unit.chunks(piece) {
            deflater.push(part, |bytes| sent.extend_from_slice(&bytes));
            if number % 3 == 1 {
                deflater.rest();
            }
        }
        deflater.flush(|bytes| sent.extend_from_slice(&bytes));
        if number % 3 == 2 {
            deflater.rest();
        }
        let mut got = Vec::new();
        for part in sent.chunks(piece) {
            inflater.push(Bytes::copy_from_slice(part));
            while let Some(bytes) = inflater.next_piece().expect("what was deflated can be inflated") {
                got.extend_from_slice(&bytes);
            }
        }
        assert_eq!(got, unit, "a unit that was flushed can be read");
    }
}
