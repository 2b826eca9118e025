//! What a seed chooses for a whole run.

use store::Geometry;

/// What the contents of a run are like, and what shape of log shows the most with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Diet {
    /// Small contents only, in segments of a dozen: many are sealed, rewritten and joined.
    Small,
    /// Mostly small ones, and some in chunks.
    Mixed,
    /// Many whose payloads are given back in pages.
    Large,
}

/// The choices of one seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// How many steps it takes.
    pub(crate) steps: u64,
    pub(crate) diet: Diet,
    /// Whether the disk is small.
    pub(crate) full: bool,
    /// Whether a write or a sync fails some time.
    pub(crate) breaks: bool,
}

impl Plan {
    /// The plan of a seed.
    pub(crate) fn of(seed: u64) -> Plan {
        let (diet, steps) = match seed % 3 {
            0 => (Diet::Large, 70),
            1 => (Diet::Mixed, 70),
            _ => (Diet::Small, 140),
        };
        Plan {
            steps,
            diet,
            full: seed % 4 == 1,
            breaks: seed % 5 == 4,
        }
    }

    /// How the run goes on after its crash: shorter, and on a sound disk.
    pub(crate) fn afterwards(self) -> Plan {
        Plan {
            steps: self.steps / 3,
            breaks: false,
            ..self
        }
    }

    /// The sizes of the log.
    pub(crate) fn geometry(self) -> Geometry {
        let kib = |segment: u64, allocate: u64, reserve: u64| Geometry {
            segment_bytes: segment << 10,
            allocate_bytes: allocate << 10,
            reserve_bytes: reserve << 10,
        };
        match self.diet {
            Diet::Small => kib(16, 8, 4),
            Diet::Mixed => kib(64, 16, 8),
            Diet::Large => kib(256, 64, 8),
        }
    }
}
