//! Content ids: UUIDv8 that name their shard.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +---------------------------------------------------------------+
//! |              milliseconds since 1970, high 32 bits            |
//! +-------------------------------+-------+-----------------------+
//! |      milliseconds, low 16     | ver 8 |   shard, high 12 bits |
//! +---+-------+-------------------+-------+-----------------------+
//! |1 0| shard |              random, high 26 bits                 |
//! |   | low 4 |                                                   |
//! +---+-------+---------------------------------------------------+
//! |                      random, low 32 bits                      |
//! +---------------------------------------------------------------+
//! ```
//!
//! Ids sort by time. They are not secrets: access is by policy.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::limits::{ID_AGE_MS_MAX, ID_AHEAD_MS_MAX};
use crate::position::ShardNo;

const TIME_BITS: u32 = 48;
const RANDOM_BITS: u32 = 58;
const VERSION: u128 = 8;
const VARIANT: u128 = 0b10;

/// The name of one content, for all its versions and for ever.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, utoipa::ToSchema)]
#[schema(value_type = String, format = Uuid, example = "01a1fc2b-96da-8000-8630-5262874386d8")]
pub struct ContentId(Uuid);

/// Why a text is not a content id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParseIdError {
    /// Not the 36 characters of a hyphenated UUID.
    #[error("an id is a UUID of 36 characters, like 01943e3f-0000-8001-9000-000000000000")]
    Malformed,
    /// A UUID, but of another version: it names no shard.
    #[error("an id is a UUID of version 8, as GET /store hands them out; this one is version {0}")]
    Version(usize),
}

/// Why an id that is not stored yet may not name a new content.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RefuseNewId {
    /// Minted too long ago: a late retry could bring back what was deleted since.
    #[error("the id was minted {0} ms ago; a new content needs an id minted within 24 hours")]
    TooOld(u64),
    /// Minted by a clock that is ahead of ours.
    #[error("the id was minted {0} ms in the future; check the clocks")]
    TooNew(u64),
}

impl ContentId {
    /// Mints an id for `shard` from a time in milliseconds (48 bits) and 58 random bits.
    pub fn mint(shard: ShardNo, time_ms: u64, random: u64) -> Self {
        let time = u128::from(time_ms) & ((1 << TIME_BITS) - 1);
        let shard = u128::from(shard.0);
        let random = u128::from(random) & ((1 << RANDOM_BITS) - 1);
        let value = time << 80
            | VERSION << 76
            | (shard >> 4) << 64
            | VARIANT << 62
            | (shard & 0xf) << RANDOM_BITS
            | random;
        ContentId(Uuid::from_u128(value))
    }

    /// Reads an id from its 16 bytes.
    ///
    /// # Errors
    /// When the bytes are not a UUID of version 8 and the RFC 9562 variant.
    pub fn from_bytes(bytes: [u8; 16]) -> Result<Self, ParseIdError> {
        Self::from_uuid(Uuid::from_bytes(bytes))
    }

    /// Reads an id from a UUID.
    ///
    /// # Errors
    /// When it is not of version 8 and the RFC 9562 variant.
    pub fn from_uuid(uuid: Uuid) -> Result<Self, ParseIdError> {
        if uuid.get_variant() != uuid::Variant::RFC4122 {
            return Err(ParseIdError::Malformed);
        }
        match uuid.get_version_num() {
            8 => Ok(ContentId(uuid)),
            other => Err(ParseIdError::Version(other)),
        }
    }

    /// The id as a UUID.
    pub fn uuid(self) -> Uuid {
        self.0
    }

    /// The id's 16 bytes, most significant first.
    pub fn bytes(self) -> [u8; 16] {
        *self.0.as_bytes()
    }

    /// The shard that this content lives in.
    pub fn shard(self) -> ShardNo {
        let value = self.0.as_u128();
        let high = (value >> 64) & 0xfff;
        let low = (value >> RANDOM_BITS) & 0xf;
        ShardNo((high << 4 | low) as u16)
    }

    /// When the id was minted, in milliseconds since 1970.
    pub fn time_ms(self) -> u64 {
        (self.0.as_u128() >> 80) as u64
    }

    /// Checks that the id may name a content that does not exist yet.
    ///
    /// # Errors
    /// When the id's time lies outside −24 h … +5 min of `now_ms`.
    pub fn check_new(self, now_ms: u64) -> Result<(), RefuseNewId> {
        let age = now_ms.saturating_sub(self.time_ms());
        let ahead = self.time_ms().saturating_sub(now_ms);
        if age > ID_AGE_MS_MAX {
            Err(RefuseNewId::TooOld(age))
        } else if ahead > ID_AHEAD_MS_MAX {
            Err(RefuseNewId::TooNew(ahead))
        } else {
            Ok(())
        }
    }
}

impl FromStr for ContentId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Uuid::try_parse also takes braces, URNs and no hyphens; one id has one spelling here.
        if text.len() != 36 {
            return Err(ParseIdError::Malformed);
        }
        let uuid = Uuid::try_parse(text).map_err(|_| ParseIdError::Malformed)?;
        Self::from_uuid(uuid)
    }
}

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for ContentId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ContentId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let uuid = Uuid::deserialize(deserializer)?;
        Self::from_uuid(uuid).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    proptest! {
        // If this fails, a content is looked for in the wrong shard.
        #[test]
        fn an_id_gives_back_what_it_was_minted_from(
            shard in any::<u16>(), time in 0_u64..(1 << 48), random in any::<u64>(),
        ) {
            let id = ContentId::mint(ShardNo(shard), time, random);
            prop_assert_eq!(id.shard(), ShardNo(shard));
            prop_assert_eq!(id.time_ms(), time);
            prop_assert_eq!(id.to_string().parse::<ContentId>(), Ok(id));
            prop_assert_eq!(ContentId::from_bytes(id.bytes()), Ok(id));
        }

        // If this fails, listing by id is no longer listing by time.
        #[test]
        fn ids_sort_by_time(a in 0_u64..(1 << 48), b in 0_u64..(1 << 48), random in any::<u64>()) {
            let (first, second) =
                (ContentId::mint(ShardNo(9), a, random), ContentId::mint(ShardNo(1), b, !random));
            prop_assert!(a == b || (a < b) == (first < second));
        }

        // If this fails, a hostile id crashes a service.
        #[test]
        fn any_text_is_parsed_or_refused(text in ".{0,40}") {
            if let Ok(id) = text.parse::<ContentId>() {
                prop_assert_eq!(id.to_string(), text.to_lowercase());
            }
        }
    }

    // If this fails, ids of other systems are taken for ours.
    #[test]
    fn other_uuids_are_refused() {
        assert_eq!(
            "c9a646d3-9c61-4cb7-bfcd-ee2522c8f633".parse::<ContentId>(),
            Err(ParseIdError::Version(4))
        );
        assert_eq!(
            "c9a646d39c614cb7bfcdee2522c8f633".parse(),
            Err::<ContentId, _>(ParseIdError::Malformed)
        );
        assert_eq!(
            "01943e3f-0000-8001-1000-000000000000".parse(),
            Err::<ContentId, _>(ParseIdError::Malformed)
        );
    }

    // If this fails, a late retry brings back a deleted content.
    #[test]
    fn a_new_id_must_be_fresh() {
        let day = 24 * 60 * 60 * 1000;
        let id = ContentId::mint(ShardNo(1), 10 * day, 7);
        assert_eq!(id.check_new(11 * day), Ok(()));
        assert_eq!(
            id.check_new(11 * day + 1),
            Err(RefuseNewId::TooOld(day + 1))
        );
        assert_eq!(id.check_new(10 * day - 5 * 60 * 1000), Ok(()));
        assert_eq!(
            id.check_new(10 * day - 300_001),
            Err(RefuseNewId::TooNew(300_001))
        );
    }
}
