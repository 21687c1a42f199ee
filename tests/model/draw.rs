//! Chance that can be repeated: a small generator, and what is drawn from it.

/// Numbers that follow from a seed alone (xorshift64*).
#[derive(Debug)]
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        // Neighbouring seeds must not begin alike, and a state of 0 would stay so.
        let mut draw = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _ in 0..8 {
            draw.next();
        }
        draw
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11
    }

    /// A number less than `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    /// True once in `times`, on average.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of several.
    pub(crate) fn one_of<T: Copy>(&mut self, several: &[T]) -> T {
        several[self.below(several.len())]
    }

    /// A length: mostly short, at times over several pages, rarely over what one request of the kernel holds.
    fn length(&mut self) -> usize {
        match self.below(20) {
            0 => self.below(300_000),
            1..=3 => self.below(20_000),
            _ => self.below(60),
        }
    }

    /// A value: a JSON object, UTF-8 text, bytes that are no text, or nothing at all.
    pub(crate) fn value(&mut self) -> Vec<u8> {
        let (number, length) = (self.next() % 1000, self.length());
        match self.below(10) {
            0..=3 => {
                format!("{{\"n\": {number}, \"pad\": \"{}\"}}", "x".repeat(length)).into_bytes()
            }
            4..=6 => format!("text {number} {}", "\u{fc}".repeat(length / 2)).into_bytes(),
            7..=8 => (0..=length).map(|at| 0x80 | (at as u8).wrapping_mul(number as u8)).collect(),
            _ => Vec::new(),
        }
    }
}
