//! A message on its way in: line ends made right, hashed, held in memory when small and in a temporary file when not.

use std::io::{self, Read, Seek, SeekFrom, Write};

use bytes::Bytes;
use protocol::Guid;
use tempfile::SpooledTempFile;

use crate::hash::Hasher;

/// Bytes of a message held in memory; larger ones wait in a temporary file.
const MEMORY_BYTES_MAX: usize = 1 << 20;

/// Bytes hashed and written at once.
const PENDING_BYTES_MAX: usize = 1 << 16;

/// A complete message.
#[derive(Debug)]
pub struct Body {
    /// SHA-1 of the bytes.
    pub guid: Guid,
    /// Their number.
    pub size: u64,
    file: SpooledTempFile,
}

impl Body {
    /// Reads a whole message. When its first line ends with LF alone, every lone LF becomes CRLF; else the bytes stay
    /// as they are.
    pub fn read(mut from: impl Read) -> io::Result<Body> {
        let mut builder = Builder::default();
        let mut buffer = vec![0; 1 << 16];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => return builder.finish(),
                Ok(n) => builder.push(&buffer[..n])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The bytes from the beginning, for a look into them.
    pub fn reader(&mut self) -> io::Result<impl Read + '_> {
        self.file.seek(SeekFrom::Start(0))?;
        Ok(&mut self.file)
    }

    /// Hands the bytes to `work` in pieces.
    pub fn pieces<E: From<io::Error>>(
        mut self,
        mut work: impl FnMut(Bytes) -> Result<(), E>,
    ) -> Result<(), E> {
        self.file.seek(SeekFrom::Start(0))?;
        loop {
            let mut piece = Vec::new();
            (&mut self.file)
                .take(MEMORY_BYTES_MAX as u64)
                .read_to_end(&mut piece)?;
            if piece.is_empty() {
                return Ok(());
            }
            work(Bytes::from(piece))?;
        }
    }
}

/// Builds a [`Body`] out of pieces.
pub struct Builder {
    hasher: Hasher,
    size: u64,
    file: SpooledTempFile,
    /// What is not hashed and written yet: lines are short, and a write each would be slow.
    pending: Vec<u8>,
    /// Whether lone LFs become CRLF; unknown until the first LF.
    convert: Option<bool>,
    after_cr: bool,
}

impl Default for Builder {
    fn default() -> Self {
        Builder {
            hasher: Hasher::default(),
            size: 0,
            file: SpooledTempFile::new(MEMORY_BYTES_MAX),
            pending: Vec::new(),
            convert: None,
            after_cr: false,
        }
    }
}

impl Builder {
    /// The next bytes as they are in the file.
    pub fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut from = 0;
        for at in memchr::memchr_iter(b'\n', bytes) {
            let after_cr = if at == 0 {
                self.after_cr
            } else {
                bytes[at - 1] == b'\r'
            };
            if *self.convert.get_or_insert(!after_cr) && !after_cr {
                self.pending.extend_from_slice(&bytes[from..at]);
                self.pending.push(b'\r');
                from = at;
            }
        }
        self.pending.extend_from_slice(&bytes[from..]);
        if let Some(&last) = bytes.last() {
            self.after_cr = last == b'\r';
        }
        if self.pending.len() >= PENDING_BYTES_MAX {
            self.write()
        } else {
            Ok(())
        }
    }

    /// The message is complete.
    pub fn finish(mut self) -> io::Result<Body> {
        self.write()?;
        Ok(Body {
            guid: self.hasher.finish(),
            size: self.size,
            file: self.file,
        })
    }

    fn write(&mut self) -> io::Result<()> {
        self.hasher.update(&self.pending);
        self.size += self.pending.len() as u64;
        self.file.write_all(&self.pending)?;
        self.pending.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn built(pieces: &[&[u8]]) -> Vec<u8> {
        let mut builder = Builder::default();
        pieces.iter().for_each(|piece| builder.push(piece).unwrap());
        let body = builder.finish().unwrap();
        let (guid, size, mut out) = (body.guid, body.size, Vec::new());
        body.pieces(|piece| {
            out.extend_from_slice(&piece);
            Ok::<(), io::Error>(())
        })
        .unwrap();
        assert_eq!((guid, size), (crate::hash::guid_of(&out), out.len() as u64));
        out
    }

    #[test]
    fn line_ends() {
        assert_eq!(built(&[b"a\nb\n"]), b"a\r\nb\r\n");
        assert_eq!(
            built(&[b"a\r\nb\nc"]),
            b"a\r\nb\nc",
            "a message with CRLF keeps its bare LF"
        );
        assert_eq!(built(&[b"a\nb\r\nc\r"]), b"a\r\nb\r\nc\r");
        assert_eq!(built(&[b"a\r", b"\nb\n"]), b"a\r\nb\n");
        assert_eq!(built(&[b"a\nb\r", b"\n"]), b"a\r\nb\r\n");
        assert_eq!(built(&[b"\n"]), b"\r\n");
        assert_eq!(built(&[]), b"");
    }

    #[test]
    fn large_ones_come_back_too() {
        let large = vec![b'x'; MEMORY_BYTES_MAX * 3 + 7];
        assert_eq!(built(&[&large]), large);
    }

    proptest! {
        #[test]
        fn cuts_make_no_difference(text in "[ab\r\n]{0,40}", cuts in proptest::collection::vec(0usize..41, 0..5)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|w| &text.as_bytes()[w[0]..w[1]]).collect();
            prop_assert_eq!(built(&pieces), built(&[text.as_bytes()]));
        }
    }
}
