//! Seeded chance. It knows one number, its state, and gives the same draws for the same seed on
//! every machine.

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// A generator whose draws follow from `seed` alone.
    pub fn new(seed: u64) -> Self {
        Random { state: seed }
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`. Panics when `bound` is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "there is no number below zero");
        self.bits() % bound
    }

    /// A number in `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "the range {low}..={high} is empty");
        match (high - low).checked_add(1) {
            Some(width) => low + self.below(width),
            None => self.bits(),
        }
    }

    /// True `parts` times out of `whole`.
    pub fn chance(&mut self, parts: u64, whole: u64) -> bool {
        self.below(whole) < parts
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    // If this fails, a crash that lost a user's content cannot be replayed from its seed.
    #[test]
    fn the_draws_are_those_of_the_published_generator() {
        let mut random = Random::new(1_234_567);
        let draws: Vec<u64> = (0..3).map(|_| random.bits()).collect();
        assert_eq!(
            draws,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }

    // If this fails, parts of a file never take part in simulated crashes.
    #[test]
    fn ranges_are_reached_from_end_to_end() {
        let mut random = Random::new(7);
        let draws: Vec<u64> = (0..200).map(|_| random.between(3, 6)).collect();
        for wanted in 3..=6 {
            assert!(draws.contains(&wanted), "{wanted} was never drawn");
        }
        assert!(draws.iter().all(|draw| (3..=6).contains(draw)));
        assert_eq!(random.between(5, 5), 5);
    }
}
