//! Points in time, in milliseconds; RFC 3339 in JSON.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Milliseconds since 1970-01-01T00:00:00Z; as text `2026-01-31T12:00:00.000Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, utoipa::ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-11-21T03:34:37.628Z")]
pub struct Timestamp(pub u64);

/// The last millisecond that RFC 3339 can write in every time zone: later ones are shown as this.
const MS_MAX: u64 = 253_402_207_199_999;

/// The text is not a time of RFC 3339 in 1970 or later.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a time is written like 2026-01-31T12:00:00.000Z, in 1970 or later")]
pub struct ParseTimestampError;

impl FromStr for Timestamp {
    type Err = ParseTimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let time: jiff::Timestamp = text.parse().map_err(|_| ParseTimestampError)?;
        u64::try_from(time.as_millisecond())
            .map(Timestamp)
            .map_err(|_| ParseTimestampError)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = i64::try_from(self.0.min(MS_MAX)).map_err(|_| fmt::Error)?;
        let time = jiff::Timestamp::from_millisecond(ms).map_err(|_| fmt::Error)?;
        write!(f, "{time:.3}")
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, every date that a client shows is wrong.
    #[test]
    fn writes_and_reads_rfc_3339() {
        let time = Timestamp(1_769_860_800_123);
        assert_eq!(time.to_string(), "2026-01-31T12:00:00.123Z");
        let json = serde_json::to_string(&time).expect("serialises");
        assert_eq!(
            serde_json::from_str::<Timestamp>(&json).expect("reads back"),
            time
        );
        assert_eq!(Timestamp(u64::MAX).to_string(), "9999-12-30T21:59:59.999Z");
    }
}
