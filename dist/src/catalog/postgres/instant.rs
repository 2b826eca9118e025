//! A `timestamptz`, as its eight bytes say it: the server need not compute with it.

use sqlx::error::BoxDynError;
use sqlx::postgres::{PgTypeInfo, PgValueFormat, PgValueRef, Postgres};

/// Microseconds from 1970-01-01 to 2000-01-01, both in UTC, where PostgreSQL begins to count.
const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;

/// Milliseconds since 1970-01-01 in UTC; what is between two of them belongs to the nearer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instant(pub(super) i64);

impl Instant {
    /// From microseconds since PostgreSQL's own beginning. Its infinities are not in range.
    fn of_micros(since_2000_us: i64) -> Option<Instant> {
        if since_2000_us == i64::MAX || since_2000_us == i64::MIN {
            return None;
        }
        let us = since_2000_us.checked_add(POSTGRES_EPOCH_US)?;
        Some(Instant(us.checked_add(500)?.div_euclid(1000)))
    }
}

impl sqlx::Type<Postgres> for Instant {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("timestamptz")
    }
}

impl sqlx::Decode<'_, Postgres> for Instant {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        if value.format() != PgValueFormat::Binary {
            return Err("a timestamp came as text".into());
        }
        let bytes: [u8; 8] = value.as_bytes()?.try_into()?;
        Instant::of_micros(i64::from_be_bytes(bytes))
            .ok_or_else(|| "a timestamp is out of range".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, contents are shown with dates that they never had.
    #[test]
    fn dates_are_those_of_the_database() {
        let ms = |us| Instant::of_micros(us).map(|Instant(ms)| ms);
        assert_eq!(ms(0), Some(946_684_800_000));
        assert_eq!(ms(-POSTGRES_EPOCH_US), Some(0));
        assert_eq!(ms(1_499), Some(946_684_800_001));
        assert_eq!(ms(1_500), Some(946_684_800_002));
        assert_eq!(ms(-POSTGRES_EPOCH_US - 400), Some(0));
        assert_eq!(ms(-POSTGRES_EPOCH_US - 600), Some(-1));
    }

    // If this fails, a row that somebody changed by hand breaks the distributor.
    #[test]
    fn infinity_is_no_date() {
        for us in [i64::MAX, i64::MIN, i64::MAX - 1] {
            assert_eq!(Instant::of_micros(us), None, "{us}");
        }
    }
}
