//! What was pushed and not consumed.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

/// The pushed chunks in order, and the bytes of the unit that is being assembled across them.
#[derive(Debug, Default)]
pub(super) struct Input {
    /// Bytes of the current unit that came in earlier chunks.
    carry: BytesMut,
    current: Bytes,
    later: VecDeque<Bytes>,
}

impl Input {
    pub(super) fn push(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        if self.current.is_empty() && self.later.is_empty() {
            self.current = bytes;
        } else {
            self.later.push_back(bytes);
        }
    }

    /// The chunk to look at; empty only when nothing is left.
    pub(super) fn chunk(&mut self) -> &[u8] {
        if self.current.is_empty()
            && let Some(next) = self.later.pop_front()
        {
            self.current = next;
        }
        &self.current
    }

    /// Whether the current unit begins at the chunk's first byte.
    pub(super) fn unit_is_fresh(&self) -> bool {
        self.carry.is_empty()
    }

    /// Consumes bytes of the chunk that belong to no unit.
    pub(super) fn drop_bytes(&mut self, count: usize) {
        self.current.advance(count.min(self.current.len()));
    }

    /// Takes bytes of the chunk without copying them.
    pub(super) fn slice(&mut self, count: usize) -> Bytes {
        self.current.split_to(count.min(self.current.len()))
    }

    /// Moves bytes of the chunk into the unit, which goes on in a later chunk.
    pub(super) fn carry(&mut self, count: usize) {
        let part = self.slice(count);
        self.carry.extend_from_slice(&part);
    }

    /// Ends the unit with this many bytes of the chunk and takes it; copies only what lies across chunks.
    pub(super) fn take_unit(&mut self, count: usize) -> Bytes {
        if self.carry.is_empty() {
            return self.slice(count);
        }
        self.carry(count);
        std::mem::take(&mut self.carry).freeze()
    }

    /// Forgets the unit's bytes and gives their memory back.
    pub(super) fn drop_unit(&mut self) {
        self.carry = BytesMut::new();
    }

    /// Bytes of the current unit that came in earlier chunks.
    pub(super) fn carried(&self) -> &[u8] {
        &self.carry
    }

    pub(super) fn is_empty(&self) -> bool {
        self.carry.is_empty() && self.current.is_empty() && self.later.is_empty()
    }

    /// Everything, the unit's bytes first.
    pub(super) fn take_all(&mut self) -> Bytes {
        if self.carry.is_empty() && self.later.is_empty() {
            return std::mem::take(&mut self.current);
        }
        let mut all = std::mem::take(&mut self.carry);
        all.extend_from_slice(&std::mem::take(&mut self.current));
        for chunk in self.later.drain(..) {
            all.extend_from_slice(&chunk);
        }
        all.freeze()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::Input;

    #[test]
    fn a_unit_within_a_chunk_is_a_slice_of_it() {
        let mut input = Input::default();
        let pushed = Bytes::from_static(b"one two");
        input.push(pushed.clone());
        assert_eq!(input.chunk(), b"one two");
        let unit = input.take_unit(4);
        assert_eq!(unit.as_ptr(), pushed.as_ptr());
        assert_eq!(input.slice(3).as_ptr(), pushed[4..].as_ptr());
        assert!(input.is_empty());
    }

    #[test]
    fn a_unit_across_chunks_is_put_together() {
        let mut input = Input::default();
        for chunk in ["on", "e t", "", "wo"] {
            input.push(Bytes::from_static(chunk.as_bytes()));
        }
        input.carry(2);
        assert!(!input.unit_is_fresh());
        assert_eq!(input.chunk(), b"e t");
        assert_eq!(input.take_unit(2).as_ref(), b"one ");
        assert!(input.unit_is_fresh());
        input.carry(1);
        assert_eq!(input.take_all().as_ref(), b"two");
        assert!(input.is_empty());
    }
}
