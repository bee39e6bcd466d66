//! Raw DEFLATE (RFC 1951, no header) in both directions, as `COMPRESS DEFLATE` switches it on. [CS-COMP-2]

use std::sync::{Mutex, PoisonError};

use bytes::{Buf, Bytes};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// Bytes of one piece of output of either direction.
const PIECE_BYTES: usize = 64 * 1024;

/// Level of compression when nothing else is said: output an eighth larger than the library's default, half as fast again
/// (text, markup and base64 mixed).
pub const LEVEL_DEFAULT: u32 = 2;

/// How far deflated bytes may swell. [CS-COMP-6]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InflateLimits {
    /// Inflated bytes per deflated byte, over the whole connection.
    pub ratio_max: u64,
    /// Inflated bytes that are free of the ratio.
    pub free_bytes: u64,
}

impl InflateLimits {
    /// For peers that have not logged in: what protocol text reaches, and little of it.
    pub const STRANGER: InflateLimits = InflateLimits {
        ratio_max: 64,
        free_bytes: 64 * 1024,
    };
    /// For peers that have: deflate itself ends at 1,032, which a message of equal bytes comes near to.
    pub const TRUSTED: InflateLimits = InflateLimits {
        ratio_max: 1_040,
        free_bytes: 1024 * 1024,
    };
}

/// Why a stream cannot be inflated; both end the connection.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InflateError {
    /// No deflated data, such as plain bytes of a peer that is out of step.
    #[error("what the peer sends is no deflated data")]
    Corrupt,
    /// The stream says that it ends here.
    #[error("the peer ended the deflated stream")]
    Ended,
    /// More than [`InflateLimits`] allow.
    #[error("the peer's data inflates to more than {ratio_max} times its size")]
    Bomb {
        /// The limit.
        ratio_max: u64,
    },
}

/// One direction of sending.
pub struct Deflater {
    /// Made with the first bytes, and again after a rest.
    stream: Option<Compress>,
    level: Compression,
    unflushed: bool,
}

impl Deflater {
    /// A new stream; `level` from 1 (fast) to 9 (small).
    pub fn new(level: u32) -> Self {
        Deflater {
            stream: None,
            level: Compression::new(level.clamp(1, 9)),
            unflushed: false,
        }
    }

    /// Lends the memory of the stream (some 300 KiB) to others when a unit has ended. What comes next refers to nothing
    /// before it, which every inflater can read: it is as if nothing like it had been sent yet. [CS-COMP-7]
    pub fn rest(&mut self) {
        if !self.unflushed {
            give_back(self.level, self.stream.take());
        }
    }

    /// Takes plain bytes and gives pieces that are ready to send, if any.
    pub fn push(&mut self, plain: &[u8], mut ready: impl FnMut(Bytes)) {
        self.unflushed |= !plain.is_empty();
        self.run(plain, FlushCompress::None, &mut ready);
    }

    /// Ends a protocol unit: all that was pushed can be inflated from what was given out. Nothing for nothing.
    pub fn flush(&mut self, mut ready: impl FnMut(Bytes)) {
        if std::mem::take(&mut self.unflushed) {
            self.run(&[], FlushCompress::Sync, &mut ready);
        }
    }

    fn run(&mut self, mut plain: &[u8], flush: FlushCompress, ready: &mut dyn FnMut(Bytes)) {
        let level = self.level;
        let stream = self.stream.get_or_insert_with(|| lend(level));
        loop {
            let mut piece = Vec::with_capacity(piece_bytes(plain.len()));
            let before = stream.total_in();
            // With an output that has room the stream cannot fail; should it, it makes no progress and the loop ends.
            let progressed = stream.compress_vec(plain, &mut piece, flush).is_ok();
            plain = &plain[usize::try_from(stream.total_in() - before)
                .unwrap_or(plain.len())
                .min(plain.len())..];
            let full = piece.len() == piece.capacity();
            if !piece.is_empty() {
                ready(Bytes::from(piece));
            }
            if !progressed || (plain.is_empty() && !full) {
                return;
            }
        }
    }
}

impl Drop for Deflater {
    fn drop(&mut self) {
        give_back(self.level, self.stream.take());
    }
}

/// Streams that nobody uses at the moment. Freed and allocated again each time, blocks of this size leave a process's memory
/// full of holes: a thousand connections that had worked one after the other held 400 MB, and most of it was holes.
static SPARE: Mutex<Vec<(u32, Compress)>> = Mutex::new(Vec::new());

/// Streams that are kept; more are freed.
const SPARE_MAX: usize = 64;

/// A stream at its beginning.
fn lend(level: Compression) -> Compress {
    let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
    match spare.iter().rposition(|(known, _)| *known == level.level()) {
        Some(at) => spare.swap_remove(at).1,
        None => Compress::new(level, false),
    }
}

/// Keeps a stream for the next one who needs it.
fn give_back(level: Compression, stream: Option<Compress>) {
    let Some(mut stream) = stream else { return };
    stream.reset();
    let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
    if spare.len() < SPARE_MAX {
        spare.push((level.level(), stream));
    }
}

/// Room for the deflated form of so many bytes; never less than a flush needs.
fn piece_bytes(plain: usize) -> usize {
    (plain + 256).min(PIECE_BYTES)
}

/// One direction of receiving.
pub struct Inflater {
    stream: Decompress,
    limits: InflateLimits,
    waiting: Bytes,
    more_inside: bool,
}

impl Inflater {
    /// A new stream.
    pub fn new(limits: InflateLimits) -> Self {
        Inflater {
            stream: Decompress::new(false),
            limits,
            waiting: Bytes::new(),
            more_inside: false,
        }
    }

    /// Loosens or tightens the limits for what follows.
    pub fn set_limits(&mut self, limits: InflateLimits) {
        self.limits = limits;
    }

    /// Whether the last bytes were used up, so that [`Inflater::push`] may be called.
    pub fn is_drained(&self) -> bool {
        self.waiting.is_empty() && !self.more_inside
    }

    /// Takes deflated bytes. Call it only when drained; otherwise the new bytes go behind the old ones by a copy.
    pub fn push(&mut self, deflated: Bytes) {
        if self.waiting.is_empty() {
            self.waiting = deflated;
        } else {
            self.waiting = [&self.waiting[..], &deflated[..]].concat().into();
        }
    }

    /// The next plain bytes, at most 64 KiB; `None` when more deflated ones are needed.
    ///
    /// # Errors
    /// See [`InflateError`].
    pub fn next_piece(&mut self) -> Result<Option<Bytes>, InflateError> {
        if self.is_drained() {
            return Ok(None);
        }
        let mut piece = Vec::with_capacity(PIECE_BYTES.min(self.waiting.len() * 4 + 512));
        let before = self.stream.total_in();
        let status = self
            .stream
            .decompress_vec(&self.waiting, &mut piece, FlushDecompress::None);
        let used = usize::try_from(self.stream.total_in() - before).unwrap_or(usize::MAX);
        self.waiting.advance(used.min(self.waiting.len()));
        self.more_inside = piece.len() == piece.capacity();
        match status {
            Err(_) => return Err(InflateError::Corrupt),
            Ok(Status::StreamEnd) => return Err(InflateError::Ended),
            Ok(Status::Ok | Status::BufError) => {}
        }
        let allowed = self
            .stream
            .total_in()
            .saturating_mul(self.limits.ratio_max)
            .saturating_add(self.limits.free_bytes);
        if self.stream.total_out() > allowed {
            return Err(InflateError::Bomb {
                ratio_max: self.limits.ratio_max,
            });
        }
        if piece.is_empty() {
            if used == 0 && !self.waiting.is_empty() {
                return Err(InflateError::Corrupt);
            }
            return if self.is_drained() {
                Ok(None)
            } else {
                self.next_piece()
            };
        }
        Ok(Some(Bytes::from(piece)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn deflate(units: &[Vec<u8>], level: u32) -> Vec<u8> {
        let mut deflater = Deflater::new(level);
        let mut out = Vec::new();
        for unit in units {
            deflater.push(unit, |piece| out.extend_from_slice(&piece));
            deflater.flush(|piece| out.extend_from_slice(&piece));
        }
        out
    }

    fn inflate(deflated: &[u8], cut: usize, limits: InflateLimits) -> Result<Vec<u8>, InflateError> {
        let mut inflater = Inflater::new(limits);
        let mut out = Vec::new();
        for part in deflated.chunks(cut.max(1)) {
            inflater.push(Bytes::copy_from_slice(part));
            while let Some(piece) = inflater.next_piece()? {
                assert!(piece.len() <= PIECE_BYTES);
                out.extend_from_slice(&piece);
            }
            assert!(inflater.is_drained());
        }
        Ok(out)
    }

    proptest! {
        #[test]
        fn round_trip(units in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 0..8), cut in 1usize..500, level in 1u32..10) {
            let deflated = deflate(&units, level);
            prop_assert_eq!(inflate(&deflated, cut, InflateLimits::TRUSTED), Ok(units.concat()));
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 1usize..50) {
            let _ = inflate(&bytes, cut, InflateLimits::STRANGER);
        }
    }

    #[test]
    fn every_unit_can_be_read_at_once() {
        let mut deflater = Deflater::new(LEVEL_DEFAULT);
        let mut inflater = Inflater::new(InflateLimits::STRANGER);
        for unit in [&b"OK success\r\n"[..], b"NO x\r\n", b"", b"OK success\r\n"] {
            let mut pieces = Vec::new();
            deflater.push(unit, |piece| pieces.push(piece));
            deflater.flush(|piece| pieces.push(piece));
            if unit.is_empty() {
                assert!(pieces.is_empty(), "a flush of nothing sends nothing");
                continue;
            }
            let deflated = pieces.concat();
            assert_eq!(
                deflated[deflated.len() - 4..],
                [0, 0, 0xff, 0xff],
                "a sync flush ends the unit"
            );
            inflater.push(deflated.into());
            assert_eq!(inflater.next_piece(), Ok(Some(Bytes::copy_from_slice(unit))));
            assert_eq!(inflater.next_piece(), Ok(None));
        }
    }

    #[test]
    fn a_stream_goes_on_after_a_rest() {
        let mut deflater = Deflater::new(LEVEL_DEFAULT);
        let mut inflater = Inflater::new(InflateLimits::TRUSTED);
        let unit = b"APPLY MAILBOX %(UNIQUEID x) ".repeat(20);
        for n in 0..4 {
            let mut pieces = Vec::new();
            deflater.push(&unit, |piece| pieces.push(piece));
            deflater.rest();
            deflater.flush(|piece| pieces.push(piece));
            let deflated = pieces.concat();
            assert!(deflated.len() < unit.len(), "within a unit nothing is forgotten");
            inflater.push(deflated.into());
            assert_eq!(
                inflater.next_piece(),
                Ok(Some(Bytes::copy_from_slice(&unit))),
                "{n}"
            );
            deflater.rest();
        }
    }

    #[test]
    fn large_units_pass() {
        let unit: Vec<u8> = (0..3_000_000u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        assert_eq!(
            inflate(
                &deflate(std::slice::from_ref(&unit), 1),
                4096,
                InflateLimits::TRUSTED
            ),
            Ok(unit)
        );
    }

    #[test]
    fn bombs_are_refused_and_honest_zeros_are_not() {
        let zeros = deflate(&[vec![0; 8_000_000]], 9);
        assert_eq!(
            inflate(&zeros, 1000, InflateLimits::TRUSTED).map(|v| v.len()),
            Ok(8_000_000)
        );
        assert_eq!(
            inflate(&zeros, 1000, InflateLimits::STRANGER),
            Err(InflateError::Bomb { ratio_max: 64 })
        );
        let within = deflate(&[vec![0; 64 * 1024]], 9);
        assert_eq!(
            inflate(&within, 1000, InflateLimits::STRANGER).map(|v| v.len()),
            Ok(64 * 1024)
        );
    }

    #[test]
    fn plain_bytes_are_noticed() {
        assert_eq!(
            inflate(b"GET USER user1\r\n", 100, InflateLimits::STRANGER),
            Err(InflateError::Corrupt)
        );
    }

    #[test]
    fn an_ended_stream_is_noticed() {
        assert_eq!(
            inflate(&[0x03, 0x00], 100, InflateLimits::STRANGER),
            Err(InflateError::Ended)
        );
    }
}
