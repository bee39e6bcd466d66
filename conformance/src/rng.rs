//! A seeded generator, so that every run can be repeated from its printed seed.

/// SplitMix64: small, good enough for choosing moments and bytes, and the same on every machine.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// Starts the sequence that belongs to `seed`.
    pub fn new(seed: u64) -> Self {
        Rng(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..limit`; 0 when `limit` is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        if limit == 0 {
            return 0;
        }
        (self.next_u64() % limit as u64) as usize
    }

    /// `count` bytes, each taken from `alphabet`.
    pub fn bytes(&mut self, count: usize, alphabet: &[u8]) -> Vec<u8> {
        (0..count).map(|_| alphabet[self.below(alphabet.len())]).collect()
    }
}

/// The seed of this run: the environment variable `MAILTWIN_SEED`, else `default`.
pub fn seed(default: u64) -> u64 {
    std::env::var("MAILTWIN_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}
