//! Values that a machine has for its owner, until the owner takes them.

use std::collections::VecDeque;

/// Values kept of one kind; the oldest go first when nobody takes them.
pub const HELD_MAX: usize = 16_384;

/// A bounded queue of values for the owner.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held<T> {
    items: VecDeque<T>,
    /// Values that were given up because nobody took them in time.
    pub lost: u64,
}

impl<T> Default for Held<T> {
    fn default() -> Self {
        Held {
            items: VecDeque::new(),
            lost: 0,
        }
    }
}

impl<T> Held<T> {
    /// Adds one; beyond [`HELD_MAX`] the oldest is given up and counted.
    pub fn push(&mut self, item: T) {
        if self.items.len() >= HELD_MAX {
            self.items.pop_front();
            self.lost += 1;
        }
        self.items.push_back(item);
    }

    /// Takes all, oldest first.
    pub fn take(&mut self) -> Vec<T> {
        std::mem::take(&mut self.items).into()
    }

    /// Those not taken yet, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter()
    }

    /// How many are not taken yet.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is nothing to take.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_takes_is_bounded_and_counted() {
        let mut held = Held::default();
        (0..HELD_MAX + 3).for_each(|n| held.push(n));
        assert_eq!((held.len(), held.lost), (HELD_MAX, 3));
        assert_eq!(held.iter().next(), Some(&3));
        assert_eq!(held.take().len(), HELD_MAX);
        assert!(held.is_empty());
    }
}
