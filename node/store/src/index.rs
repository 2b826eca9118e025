//! The index: id → where its records are. Only committed records are in it.
//!
//! An entry is 16 bytes: a keyed hash of the id, and a place. The id itself stands in the record,
//! and is compared there on reading. The table is split by hash into parts that grow one by one,
//! so that neither the time nor the memory of growing is ever that of the whole. At the worst
//! load factor of a part (7/16, just after it doubled) an entry takes 17 ÷ 7/16 = 38.9 bytes.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::{PoisonError, RwLock};

use hashbrown::HashTable;

use crate::record::kind::Kind;
use crate::record::layout::ALIGN;

const PARTS: usize = 256;

/// Where a record is: segment number, start, and what kind of record it is.
///
/// ```text
/// 63…62  kind: 0 put, 1 commit, 2 describe, 3 delete
/// 61…30  segment number
/// 29… 0  start in the segment, in units of 8 bytes
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place(u64);

const START_BITS: u32 = 30;
const NUMBER_BITS: u32 = 32;
const KINDS: [Kind; 4] = [Kind::Put, Kind::Commit, Kind::Describe, Kind::Delete];

impl Place {
    /// A record that starts here, in bytes, or behind it has no place.
    pub(crate) const START_END: u64 = ALIGN << START_BITS;

    pub(crate) fn new(kind: Kind, segment: u32, start: u64) -> Place {
        let kind = KINDS
            .iter()
            .position(|k| *k == kind)
            .expect("only these kinds are indexed");
        assert!(start < Place::START_END, "a segment is below 8 GiB");
        let start = start / ALIGN;
        Place(
            (kind as u64) << (START_BITS + NUMBER_BITS) | u64::from(segment) << START_BITS | start,
        )
    }

    pub(crate) fn kind(self) -> Kind {
        KINDS[(self.0 >> (START_BITS + NUMBER_BITS)) as usize]
    }

    pub(crate) fn segment(self) -> u32 {
        (self.0 >> START_BITS) as u32
    }

    pub(crate) fn start(self) -> u64 {
        (self.0 & ((1 << START_BITS) - 1)) * ALIGN
    }
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u64,
    place: Place,
}

/// The places of an id: rarely more than one, and then its data and its metadata.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    first: Option<Place>,
    rest: Vec<Place>,
}

impl Places {
    fn push(&mut self, place: Place) {
        match self.first {
            None => self.first = Some(place),
            Some(_) => self.rest.push(place),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Place> + Clone {
        self.first.into_iter().chain(self.rest.iter().copied())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }
}

/// The table. Readers and the one writer share it.
#[derive(Debug)]
pub(crate) struct Index {
    hasher: RandomState,
    parts: Vec<RwLock<HashTable<Slot>>>,
}

impl Index {
    pub(crate) fn new() -> Index {
        // The hash is keyed, so that nobody can choose ids that collide.
        Index {
            hasher: RandomState::new(),
            parts: (0..PARTS).map(|_| RwLock::default()).collect(),
        }
    }

    fn part(&self, hash: u64) -> &RwLock<HashTable<Slot>> {
        // The table itself uses the lowest and the top seven bits.
        &self.parts[(hash >> 48) as usize % PARTS]
    }

    /// The places of all records whose id has the hash of this one: the id must be compared.
    pub(crate) fn find(&self, id: &[u8; 16]) -> Places {
        let hash = self.hasher.hash_one(id);
        let part = self
            .part(hash)
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let mut places = Places::default();
        for slot in part.iter_hash(hash).filter(|slot| slot.hash == hash) {
            places.push(slot.place);
        }
        places
    }

    /// Whether this place is still in the index.
    pub(crate) fn contains(&self, id: &[u8; 16], place: Place) -> bool {
        self.find(id).iter().any(|found| found == place)
    }

    /// Whether any place is between these bytes of a segment. Looks at all places that there are.
    pub(crate) fn leads_into(&self, segment: u32, bytes: Range<u64>) -> bool {
        let is_there = |slot: &Slot| {
            let place = slot.place;
            place.segment() == segment && bytes.contains(&place.start())
        };
        self.parts.iter().any(|part| {
            let part = part.read().unwrap_or_else(PoisonError::into_inner);
            part.iter().any(is_there)
        })
    }

    pub(crate) fn insert(&self, id: &[u8; 16], place: Place) {
        let hash = self.hasher.hash_one(id);
        let mut part = self
            .part(hash)
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        part.insert_unique(hash, Slot { hash, place }, |slot| slot.hash);
    }

    /// Takes a place out; returns whether it was there.
    pub(crate) fn remove(&self, id: &[u8; 16], place: Place) -> bool {
        let hash = self.hasher.hash_one(id);
        let mut part = self
            .part(hash)
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        match part.find_entry(hash, |slot| slot.hash == hash && slot.place == place) {
            Ok(entry) => {
                entry.remove();
                true
            }
            Err(_) => false,
        }
    }

    /// Replaces a place by the one its record was moved to; returns whether it was there.
    pub(crate) fn relocate(&self, id: &[u8; 16], from: Place, to: Place) -> bool {
        let hash = self.hasher.hash_one(id);
        let mut part = self
            .part(hash)
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        match part.find_mut(hash, |slot| slot.hash == hash && slot.place == from) {
            Some(slot) => {
                slot.place = to;
                true
            }
            None => false,
        }
    }

    /// What the tables take, in bytes.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.parts
            .iter()
            .map(|part| {
                part.read()
                    .unwrap_or_else(PoisonError::into_inner)
                    .allocation_size() as u64
            })
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> [u8; 16] {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&n.to_be_bytes());
        id
    }

    // If this fails, contents are looked for in the wrong place.
    #[test]
    fn a_place_gives_back_its_parts() {
        for (kind, segment, start) in [
            (Kind::Put, 0, 4096),
            (Kind::Delete, u32::MAX, 8 * ((1 << 30) - 1)),
            (Kind::Commit, 7, 8),
        ] {
            let place = Place::new(kind, segment, start);
            assert_eq!(
                (place.kind(), place.segment(), place.start()),
                (kind, segment, start)
            );
        }
    }

    // If this fails, an update or a delete leaves the old content visible.
    #[test]
    fn what_is_inserted_is_found_moved_and_removed() {
        let index = Index::new();
        let (put, moved) = (
            Place::new(Kind::Put, 1, 4096),
            Place::new(Kind::Put, 2, 8192),
        );
        let describe = Place::new(Kind::Describe, 1, 5000);
        index.insert(&id(1), put);
        index.insert(&id(1), describe);
        assert_eq!(index.find(&id(1)).iter().count(), 2);
        assert!(index.find(&id(2)).is_empty());
        assert!(index.relocate(&id(1), put, moved) && !index.relocate(&id(1), put, moved));
        assert!(index.contains(&id(1), moved) && !index.contains(&id(1), put));
        let leads_into = |bytes| index.leads_into(2, bytes);
        assert!(leads_into(8192..8193) && !leads_into(0..8192) && !leads_into(8193..9999));
        assert!(!index.leads_into(3, 0..9999));
        assert!(index.remove(&id(1), moved) && !index.remove(&id(1), moved));
        assert_eq!(index.find(&id(1)).iter().collect::<Vec<_>>(), [describe]);
    }

    // If this fails, a node with many small contents needs more memory than its operator planned.
    #[test]
    fn an_entry_takes_at_most_64_bytes_at_any_load_factor() {
        let index = Index::new();
        let mut worst: f64 = 0.0;
        for n in 0..200_000_u64 {
            index.insert(&id(n), Place::new(Kind::Put, 0, n * 8));
            if n > 20_000 && n % 500 == 0 {
                worst = worst.max(index.memory_bytes() as f64 / n as f64);
            }
        }
        assert!(worst <= 64.0, "{worst} bytes an entry");
    }
}
