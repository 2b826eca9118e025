//! The sizes of contents: one, or a range.

use std::fmt;
use std::str::FromStr;

use bytesize::ByteSize;
use rand::Rng;

/// From the least to the most, each as likely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    least: u64,
    most: u64,
}

/// A text is no size and no range of sizes.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a size like 1KiB, nor a range like 1KiB..64KiB")]
pub struct ParseSizesError(String);

impl Sizes {
    /// All of one size, in bytes.
    pub fn fixed(bytes: u64) -> Self {
        Sizes {
            least: bytes,
            most: bytes,
        }
    }

    /// The largest that can come.
    pub fn most(self) -> u64 {
        self.most
    }

    pub(super) fn draw(self, random: &mut impl Rng) -> u64 {
        if self.least == self.most {
            return self.least;
        }
        random.random_range(self.least..=self.most)
    }
}

impl FromStr for Sizes {
    type Err = ParseSizesError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || ParseSizesError(text.to_owned());
        let (least, most) = text.split_once("..").unwrap_or((text, text));
        let size = |text: &str| text.parse::<ByteSize>().map_err(|_| refused());
        let (least, most) = (size(least)?.as_u64(), size(most)?.as_u64());
        if least > most {
            return Err(refused());
        }
        Ok(Sizes { least, most })
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let iec = |bytes: u64| ByteSize::b(bytes).display().iec().to_string();
        write!(f, "{}", iec(self.least))?;
        if self.least < self.most {
            write!(f, "..{}", iec(self.most))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    // If this fails, contents of other sizes are measured than were asked for.
    #[test]
    fn sizes_are_read_and_drawn() {
        let mut random = SmallRng::seed_from_u64(1);
        let one: Sizes = "1KiB".parse().expect("a size");
        assert_eq!((one, one.draw(&mut random)), (Sizes::fixed(1024), 1024));
        assert_eq!(one.to_string(), "1.0 KiB");
        let range: Sizes = "10..12".parse().expect("a range");
        assert_eq!((range.most(), range.to_string()), (12, "10 B..12 B".into()));
        let drawn: std::collections::BTreeSet<u64> =
            (0..100).map(|_| range.draw(&mut random)).collect();
        assert_eq!(drawn, [10, 11, 12].into());
    }

    // If this fails, a typo on the command line measures something else.
    #[test]
    fn other_texts_are_refused() {
        for bad in ["", "x", "2KiB..1KiB", "1KiB..", "..1KiB", "1..2..3"] {
            assert!(bad.parse::<Sizes>().is_err(), "{bad:?}");
        }
    }
}
