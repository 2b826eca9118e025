//! Doubted contents that were hashed again: in vain, or not to the end. It hashes nothing itself.

use std::collections::BTreeSet;
use std::time::Instant;

use store::Damage;
use wire::{ContentId, ShardNo};

use super::attempts::Attempts;

/// What came of hashing doubted contents again.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    /// Their bytes are not those of their hash still.
    in_vain: BTreeSet<ContentId>,
    /// They could not be read to the end.
    attempts: Attempts<ContentId>,
}

impl Doubts {
    /// Forgets, of this shard, what is not doubted as it was. A new doubt, be it of another version, begins
    /// with records that are to be compared; and what could not be read is written again first.
    pub(super) fn keep(&mut self, shard: ShardNo, damage: &Damage) {
        let compared = compared(damage);
        let is_wanted = |id: &ContentId| id.shard() != shard || compared.contains(id);
        self.in_vain.retain(is_wanted);
        self.attempts.keep(is_wanted);
    }

    /// The contents that are to be hashed now.
    pub(super) fn due(&self, damage: &Damage, now: Instant) -> BTreeSet<ContentId> {
        let mut due = compared(damage);
        due.retain(|id| !self.in_vain.contains(id) && self.attempts.is_due(*id, now));
        due
    }

    /// A content was hashed, and is not right.
    pub(super) fn in_vain(&mut self, id: ContentId) {
        self.in_vain.insert(id);
    }

    /// A content could not be hashed to its end. Whether that is to be told.
    pub(super) fn failed(&mut self, id: ContentId, now: Instant) -> bool {
        self.attempts.tried(id, now)
    }
}

/// Doubted contents of which all records can be read, and are as another replica has them.
fn compared(damage: &Damage) -> BTreeSet<ContentId> {
    let compared = damage.doubted.iter().filter(|c| c.records.is_empty());
    let mut compared: BTreeSet<ContentId> = compared.map(|c| c.content).collect();
    for damaged in &damage.contents {
        compared.remove(&damaged.content);
    }
    compared
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use store::DamagedContent;
    use wire::Lsn;

    use super::*;

    const SHARD: ShardNo = ShardNo(1);

    fn id(n: u64) -> ContentId {
        ContentId::mint(SHARD, 1, n)
    }

    fn content(n: u64, records: &[u64]) -> DamagedContent {
        DamagedContent {
            content: id(n),
            records: records.iter().copied().map(Lsn).collect(),
        }
    }

    /// One content is doubted; these records of it are to be compared.
    fn doubted(records: &[u64]) -> Damage {
        Damage {
            doubted: vec![content(1, records)],
            ..Damage::default()
        }
    }

    /// What a round finds to hash.
    fn round(doubts: &mut Doubts, damage: &Damage) -> Vec<ContentId> {
        doubts.keep(SHARD, damage);
        doubts.due(damage, Instant::now()).into_iter().collect()
    }

    // If this fails, a content that was wrong once stays damaged until a restart although it is right again,
    // or one that is wrong everywhere is read and told of all the time.
    #[test]
    fn each_doubt_is_hashed_once() {
        let mut doubts = Doubts::default();
        assert_eq!(round(&mut doubts, &doubted(&[7])), []);
        assert_eq!(round(&mut doubts, &doubted(&[])), [id(1)]);
        doubts.in_vain(id(1));
        assert_eq!(round(&mut doubts, &doubted(&[])), []);
        doubts.keep(ShardNo(2), &Damage::default());
        assert_eq!(round(&mut doubts, &doubted(&[])), [], "another shard's");

        // Replaced, and the new version doubted, before or after a round with no damage at all.
        assert_eq!(round(&mut doubts, &doubted(&[8])), []);
        assert_eq!(round(&mut doubts, &doubted(&[])), [id(1)]);
        doubts.in_vain(id(1));
        assert_eq!(round(&mut doubts, &Damage::default()), []);
        assert_eq!(round(&mut doubts, &doubted(&[])), [id(1)]);
    }

    // If this fails, a content is hashed that cannot be read, or not after its records were written again.
    #[test]
    fn what_cannot_be_read_is_repaired_first() {
        let mut doubts = Doubts::default();
        doubts.in_vain(id(1));
        let mut damage = doubted(&[]);
        damage.contents.push(content(1, &[7]));
        assert_eq!(round(&mut doubts, &damage), []);
        assert_eq!(round(&mut doubts, &doubted(&[])), [id(1)]);
    }

    // If this fails, a content whose bytes are right stays damaged because the disk failed once, or a disk
    // that fails is read all the time.
    #[test]
    fn what_could_not_be_hashed_is_hashed_later() {
        let mut doubts = Doubts::default();
        let damage = doubted(&[]);
        let now = Instant::now();
        let told: Vec<bool> = (0..6).map(|_| doubts.failed(id(1), now)).collect();
        assert_eq!(told.iter().filter(|told| **told).count(), 1);
        assert_eq!(round(&mut doubts, &damage), [], "not at once");
        let later = now + Duration::from_secs(256);
        assert_eq!(doubts.due(&damage, later), BTreeSet::from([id(1)]));
        assert_eq!(round(&mut doubts, &Damage::default()), []);
        assert_eq!(round(&mut doubts, &damage), [id(1)], "a new doubt");
    }
}
