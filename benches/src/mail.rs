//! Generated mail: sizes log-normal, bytes from a seed, the same on every machine.

use conformance::rng::Rng;

/// How big the generated messages are.
#[derive(Clone, Copy, Debug)]
pub enum Sizes {
    /// Log-normal, median about 4.1 kB, mean about 12 kB, at most 2 MB: ordinary mail.
    Ordinary,
    /// Every message a few hundred bytes: for counting records, not bytes.
    Tiny,
}

/// One message, number `n` of a series: CRLF lines, always the same for the same arguments.
pub fn message(series: u64, n: u64, sizes: Sizes) -> Vec<u8> {
    let mut rng = Rng::new(series.wrapping_mul(0x1000_0000_01b3) ^ n);
    let mut out = format!(
        "From: Writer {w} <writer{w}@example.org>\r\nTo: reader@example.org\r\nSubject: message {n} of series {series}\r\n\
         Date: Mon, 2 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{series}.{n}@example.org>\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=us-ascii\r\n\r\n",
        w = n % 97
    )
    .into_bytes();
    let target = match sizes {
        Sizes::Tiny => out.len() + 40,
        Sizes::Ordinary => {
            let normal = (-2.0 * unit(&mut rng).ln()).sqrt() * (std::f64::consts::TAU * unit(&mut rng)).cos();
            ((4_100.0f64.ln() + 1.47 * normal).exp() as usize).clamp(out.len() + 40, 2_000_000)
        }
    };
    const WORDS: [&[u8]; 16] = [
        b"mail ",
        b"replica ",
        b"the ",
        b"of ",
        b"and ",
        b"server ",
        b"message ",
        b"to ",
        b"quota ",
        b"from ",
        b"a ",
        b"sequence ",
        b"yesterday ",
        b"please ",
        b"regards ",
        b"meeting ",
    ];
    let mut line = 0;
    while out.len() + 2 < target {
        let bits = rng.next_u64();
        for shift in (0..64).step_by(4) {
            let word = WORDS[(bits >> shift & 15) as usize];
            out.extend_from_slice(word);
            line += word.len();
            if line > 68 {
                out.extend_from_slice(b"\r\n");
                line = 0;
            }
        }
    }
    out.truncate(target.max(2) - 2);
    out.extend_from_slice(b"\r\n");
    out
}

/// Uniform in (0, 1).
fn unit(rng: &mut Rng) -> f64 {
    ((rng.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_about_12_kb_and_the_bytes_repeat() {
        let total: usize = (0..4_000).map(|n| message(1, n, Sizes::Ordinary).len()).sum();
        let mean = total / 4_000;
        assert!((10_000..15_000).contains(&mean), "mean {mean}");
        assert_eq!(message(1, 7, Sizes::Ordinary), message(1, 7, Sizes::Ordinary));
        assert_ne!(message(1, 7, Sizes::Ordinary), message(2, 7, Sizes::Ordinary));
    }
}
