//! What one client knows of its contents: what was acknowledged, and what may have happened.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use tokio::time::Instant;
use wire::{Checksum, ContentId};

/// Payloads from this size on are given back to the file system as soon as they are superseded.
const PUNCHED_FROM: u64 = 64 * 1024;

/// A content larger than this is stored in chunks of this size.
const CHUNK_BYTES: u64 = 1 << 20;

/// What one record takes beside its payload, at the most: its header, the checksums of a chunk's blocks,
/// and the metadata of a content of the load, which has no attributes.
pub const HEAD_BYTES: u64 = 1024;

/// What lies before and behind a payload that begins at a block, at the most; and what punching leaves
/// of it, since it gives back whole blocks only.
const ALIGNED_BYTES: u64 = 2 * 4096;

/// The bytes of one version, made anew from a seed whenever they are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// Decides every byte.
    pub seed: u64,
    /// How many.
    pub size: u64,
}

impl Made {
    /// All of them.
    pub fn make(self) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(self.size).unwrap_or(usize::MAX)];
        StdRng::seed_from_u64(self.seed).fill_bytes(&mut bytes);
        bytes
    }
}

/// One version of a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// 1, 2, 3…
    pub number: u64,
    /// In bytes.
    pub size: u64,
    /// Of its bytes.
    pub checksum: Checksum,
}

impl Version {
    /// The records that it is stored in.
    fn records(&self) -> u64 {
        match self.size.div_ceil(CHUNK_BYTES) {
            0 | 1 => 1,
            chunks => chunks + 1,
        }
    }

    /// What its records take on one copy as long as it is needed, at the most.
    pub fn bytes_max(&self) -> u64 {
        let aligned = if self.size < PUNCHED_FROM {
            0
        } else {
            ALIGNED_BYTES
        };
        self.size + self.records() * (HEAD_BYTES + aligned)
    }

    /// What lies dead of it on one copy once it is superseded, at the most, until its segment is
    /// rewritten.
    fn dead_bytes(&self) -> u64 {
        let last = match self.size % CHUNK_BYTES {
            0 if self.size > 0 => CHUNK_BYTES,
            rest => rest,
        };
        let whole = if last < PUNCHED_FROM { last } else { 0 };
        whole + self.records() * (HEAD_BYTES + ALIGNED_BYTES)
    }
}

/// A content, seen or expected: a version, or nothing (never stored, or deleted).
pub type State = Option<Version>;

/// How long a node of the clusters under load may be silent: the services' own default.
pub const SESSION: Duration = Duration::from_secs(3);

/// How far a read lies behind at the most. For less than a session from when a follower asked, it serves what
/// its leader had committed by then, or later. A read is sent before a copy decides to serve it, and a change
/// answered after its commit, so that their ways add nothing; what does is that the services count whole
/// milliseconds. The simulator allows as much.
pub const BEHIND_MAX: Duration = SESSION.saturating_add(Duration::from_millis(20));

/// What may be found of one content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expectation {
    /// The base URI of the node that led its shard when it was last heard of.
    pub node: String,
    /// What it was before, and until when, the latest last.
    pub former: Vec<(State, Instant)>,
    /// As the last answer said.
    pub certain: State,
    /// What a change would have made whose answer was lost.
    pub possible: Option<State>,
    /// Every version that was sent and may have been taken: no other bytes were ever this content's.
    pub sent: Vec<Version>,
    /// Whether it was used since it was last verified.
    pub touched: bool,
}

impl Expectation {
    /// Whether these bytes were ever sent under this number.
    pub fn knows(&self, version: &Version) -> bool {
        self.sent.contains(version)
    }

    /// Whether finding `seen` is in order.
    pub fn allows(&self, seen: State) -> bool {
        seen == self.certain || self.possible == Some(seen)
    }

    /// Whether a read that was sent at `sent` may have found `seen` at a follower.
    pub fn allowed(&self, seen: State, sent: Instant) -> bool {
        let recent = |until: Instant| sent.saturating_duration_since(until) < BEHIND_MAX;
        let mut former = self.former.iter();
        former.any(|(state, until)| *state == seen && recent(*until))
    }

    /// An acknowledged change made it this.
    pub fn become_certain(&mut self, state: State) {
        self.former.push((self.certain, Instant::now()));
        self.former
            .retain(|(_, until)| until.elapsed() < 2 * BEHIND_MAX);
        self.certain = state;
        self.possible = None;
    }

    /// Takes what was found for certain.
    pub fn settle(&mut self, seen: State) {
        self.certain = seen;
        self.possible = None;
        self.touched = false;
        self.former.clear();
    }
}

/// Everything that one client has done.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Every content ever tried, by id.
    pub contents: BTreeMap<ContentId, Expectation>,
    /// What may lie dead on each copy until segments are rewritten. It only grows.
    pub dead_bytes: u64,
}

impl Ledger {
    /// Notes that a version was superseded, or may have been; a delete leaves a record too.
    pub fn supersede(&mut self, version: State) {
        self.dead_bytes += version.map_or(HEAD_BYTES, |version| version.dead_bytes());
    }

    /// How many contents are not there, once everything is settled: never stored, or deleted.
    pub fn gone(&self) -> u64 {
        (self.contents.len() - self.live().count()) as u64
    }

    /// The contents that must be there, once everything is settled.
    pub fn live(&self) -> impl Iterator<Item = (&ContentId, &Version)> {
        self.contents
            .iter()
            .filter_map(|(id, expected)| Some((id, expected.certain.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(number: u64) -> State {
        Some(Version {
            number,
            size: 1,
            checksum: Checksum([7; 32]),
        })
    }

    // If this fails, a lost upload passes for one that was never acknowledged.
    #[test]
    fn only_unanswered_changes_leave_a_choice() {
        let mut expected = Expectation {
            node: String::new(),
            former: Vec::new(),
            certain: version(1),
            possible: None,
            sent: Vec::new(),
            touched: true,
        };
        assert!(expected.allows(version(1)));
        assert!(!expected.allows(None) && !expected.allows(version(2)));
        expected.possible = Some(None);
        assert!(expected.allows(version(1)) && expected.allows(None));
        assert!(!expected.allows(version(2)));
        expected.settle(None);
        assert!(expected.allows(None) && !expected.allows(version(1)));
    }

    // If this fails, an old version that is served for ever passes for one that is a little late.
    #[test]
    fn a_follower_may_be_behind_for_a_session() {
        let mut expected = Expectation {
            node: String::new(),
            former: Vec::new(),
            certain: version(1),
            possible: Some(version(2)),
            sent: Vec::new(),
            touched: true,
        };
        let before = Instant::now();
        expected.become_certain(version(2));
        assert!(expected.allows(version(2)) && !expected.allows(version(1)));
        assert!(expected.allowed(version(1), Instant::now()));
        assert!(!expected.allowed(version(3), Instant::now()));
        let after = |moment, ms| moment + Duration::from_millis(ms);
        assert!(expected.allowed(version(1), after(before, 2_900)));
        assert!(!expected.allowed(version(1), after(Instant::now(), 3_100)));
    }

    // If this fails, what lies dead on a disk is explained by more than there is, or by less.
    #[test]
    fn what_a_superseded_version_leaves_is_bounded() {
        let dead = |size| {
            let version = version(1).map(|version| Version { size, ..version });
            version.expect("is one").dead_bytes()
        };
        let head = HEAD_BYTES + ALIGNED_BYTES;
        assert_eq!(dead(0), head);
        assert_eq!(dead(1000), 1000 + head);
        assert_eq!(dead(PUNCHED_FROM), head, "is punched");
        assert_eq!(dead(CHUNK_BYTES), head);
        assert_eq!(dead(3 * CHUNK_BYTES), 4 * head, "three chunks and a commit");
        assert_eq!(dead(CHUNK_BYTES + 7), 7 + 3 * head, "the last one is small");
    }

    // If this fails, contents are compared with other bytes than were sent.
    #[test]
    fn bytes_are_made_again() {
        let bytes = Made {
            seed: 3,
            size: 100_001,
        };
        assert_eq!(bytes.make(), bytes.make());
        assert_eq!(bytes.make().len(), 100_001);
        assert_ne!(
            bytes.make(),
            Made {
                seed: 4,
                size: 100_001
            }
            .make()
        );
    }
}
