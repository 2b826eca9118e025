//! How many replicas each shard shall have.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::{COPIES_DEFAULT, COPIES_MAX};

/// A number of copies, from 1 to [`COPIES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "u8")]
pub struct Copies(u8);

/// A number of copies that cannot be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("copies: `{0}` is not a number from 1 to {COPIES_MAX}")]
pub struct RefuseCopies(String);

impl Copies {
    /// One copy.
    pub const ONE: Copies = Copies(1);

    /// The number.
    pub fn get(self) -> u8 {
        self.0
    }

    /// As many as by default, but not more than there are nodes to hold them.
    pub fn default_on(nodes: u16) -> Copies {
        let nodes = u8::try_from(nodes).unwrap_or(u8::MAX).max(1);
        Copies(COPIES_DEFAULT.min(nodes))
    }
}

impl Default for Copies {
    fn default() -> Self {
        Copies(COPIES_DEFAULT)
    }
}

impl From<Copies> for u8 {
    fn from(copies: Copies) -> u8 {
        copies.0
    }
}

impl TryFrom<i64> for Copies {
    type Error = RefuseCopies;

    fn try_from(number: i64) -> Result<Self, RefuseCopies> {
        u8::try_from(number)
            .ok()
            .filter(|number| (1..=COPIES_MAX).contains(number))
            .map(Copies)
            .ok_or_else(|| RefuseCopies(number.to_string()))
    }
}

impl FromStr for Copies {
    type Err = RefuseCopies;

    fn from_str(text: &str) -> Result<Self, RefuseCopies> {
        let number: i64 = text.parse().map_err(|_| RefuseCopies(text.to_owned()))?;
        number.try_into()
    }
}

impl fmt::Display for Copies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a typo makes a cluster that keeps no copy, or more than it has nodes for.
    #[test]
    fn one_to_five_are_taken() {
        for good in 1..=5 {
            let copies: Copies = good.to_string().parse().expect("is taken");
            assert_eq!(copies.get(), good);
        }
        for bad in ["0", "6", "-1", "300", "two", ""] {
            let error = bad.parse::<Copies>().expect_err(bad).to_string();
            assert_eq!(
                error,
                format!("copies: `{bad}` is not a number from 1 to 5")
            );
        }
    }

    // If this fails, a small cluster waits for copies that no node can hold.
    #[test]
    fn the_default_is_never_more_than_the_nodes() {
        assert_eq!(Copies::default_on(1), Copies::ONE);
        assert_eq!(Copies::default_on(0), Copies::ONE);
        assert_eq!(Copies::default_on(1000), Copies::default());
    }
}
