//! Which operations a load is made of.

use std::fmt;
use std::str::FromStr;

use rand::Rng;

/// One kind of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// `PUT /store/{id}`, or `POST /store` of several files.
    Upload,
    /// `GET /retrieve/{id}`.
    Get,
    /// `PUT /update/{id}`.
    Update,
    /// `DELETE /delete/{id}`.
    Delete,
    /// The distributor's `GET /content/{id}`.
    Metadata,
    /// The distributor's `GET /content`, a page behind a random id.
    List,
}

impl Operation {
    /// All there are.
    pub const ALL: [Operation; 6] = [
        Operation::Upload,
        Operation::Get,
        Operation::Update,
        Operation::Delete,
        Operation::Metadata,
        Operation::List,
    ];

    /// Its name in reports and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Upload => "upload",
            Operation::Get => "get",
            Operation::Update => "update",
            Operation::Delete => "delete",
            Operation::Metadata => "metadata",
            Operation::List => "list",
        }
    }

    /// Whether it works on contents that were there before.
    pub fn needs_contents(self) -> bool {
        self != Operation::Upload
    }
}

/// Operations and their weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix(Vec<(Operation, u32)>);

impl Mix {
    /// One operation alone.
    pub fn only(operation: Operation) -> Self {
        Mix(vec![(operation, 1)])
    }

    /// The operation, where it is one alone.
    pub fn alone(&self) -> Option<Operation> {
        match self.0[..] {
            [(operation, _)] => Some(operation),
            _ => None,
        }
    }

    /// Whether any operation works on contents that were there before.
    pub fn needs_contents(&self) -> bool {
        self.0
            .iter()
            .any(|(operation, _)| operation.needs_contents())
    }

    /// Its name in reports.
    pub fn name(&self) -> &'static str {
        self.alone().map_or("mixed", Operation::name)
    }

    /// The next operation, by the weights.
    pub(super) fn draw(&self, random: &mut impl Rng) -> Operation {
        if let Some(operation) = self.alone() {
            return operation;
        }
        let total: u32 = self.0.iter().map(|(_, weight)| weight).sum();
        let mut left = random.random_range(0..total);
        for &(operation, weight) in &self.0 {
            match left.checked_sub(weight) {
                Some(rest) => left = rest,
                None => return operation,
            }
        }
        unreachable!("a number below the sum of all weights lies within one of them")
    }
}

/// A text is no mix.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a mix like get=70,upload=20,update=5,delete=5")]
pub struct ParseMixError(String);

impl FromStr for Mix {
    type Err = ParseMixError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || ParseMixError(text.to_owned());
        let mut parts: Vec<(Operation, u32)> = Vec::new();
        for part in text.split(',') {
            let (name, weight) = part.split_once('=').ok_or_else(refused)?;
            let mut all = Operation::ALL.into_iter();
            let operation = all.find(|o| o.name() == name).ok_or_else(refused)?;
            // Percent or parts; small enough that no sum overflows.
            let weight: u16 = weight.parse().map_err(|_| refused())?;
            if weight == 0 || parts.iter().any(|&(known, _)| known == operation) {
                return Err(refused());
            }
            parts.push((operation, weight.into()));
        }
        Ok(Mix(parts))
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (operation, weight)) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(f, "{comma}{}={weight}", operation.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    // If this fails, a mixed load is made of other operations than it was asked for.
    #[test]
    fn operations_come_by_their_weights() {
        let mix: Mix = "get=70,upload=30".parse().expect("a mix");
        assert_eq!(mix.to_string(), "get=70,upload=30");
        assert_eq!((mix.alone(), mix.name()), (None, "mixed"));
        let mut random = SmallRng::seed_from_u64(1);
        let draws = (0..10_000).map(|_| mix.draw(&mut random));
        let reads = draws.filter(|&drawn| drawn == Operation::Get).count();
        assert!((6_800..7_200).contains(&reads), "{reads}");
        let only = Mix::only(Operation::Delete);
        assert_eq!(only.draw(&mut random), Operation::Delete);
        assert_eq!(only.name(), "delete");
    }

    // If this fails, a typo measures something else.
    #[test]
    fn other_texts_are_refused() {
        for bad in [
            "",
            "get",
            "get=0",
            "get=1,get=2",
            "read=1",
            "get=70000",
            "get=1,",
        ] {
            assert!(bad.parse::<Mix>().is_err(), "{bad:?}");
        }
    }

    // If this fails, some load is made without the contents that it works on.
    #[test]
    fn only_uploads_need_nothing() {
        assert!(!Mix::only(Operation::Upload).needs_contents());
        for text in ["get=1", "upload=1,delete=1"] {
            assert!(
                text.parse::<Mix>().expect("a mix").needs_contents(),
                "{text}"
            );
        }
    }
}
