//! The BLAKE3 hash that names a content's bytes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const PREFIX: &str = "blake3:";

/// A BLAKE3 hash of 32 bytes; as text `blake3:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, utoipa::ToSchema)]
#[schema(value_type = String, pattern = "^blake3:[0-9a-f]{64}$")]
pub struct Checksum(pub [u8; 32]);

/// The text is not `blake3:` and 64 hexadecimal digits.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a checksum is `blake3:` and 64 hexadecimal digits")]
pub struct ParseChecksumError;

impl Checksum {
    /// The 64 hexadecimal digits alone, as an ETag holds them.
    pub fn hex(&self) -> String {
        // Without the formatting machinery: every listed row passes here.
        let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
        let mut text = String::with_capacity(64);
        for byte in self.0 {
            text.push(digit(byte >> 4));
            text.push(digit(byte & 0xf));
        }
        text
    }

    /// Reads the 64 hexadecimal digits alone.
    ///
    /// # Errors
    /// When the text is anything else.
    pub fn from_hex(text: &str) -> Result<Self, ParseChecksumError> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(ParseChecksumError);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Ok(Checksum(bytes))
    }
}

fn nibble(digit: u8) -> Result<u8, ParseChecksumError> {
    let value = char::from(digit).to_digit(16).ok_or(ParseChecksumError)?;
    u8::try_from(value).map_err(|_| ParseChecksumError)
}

impl FromStr for Checksum {
    type Err = ParseChecksumError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::from_hex(text.strip_prefix(PREFIX).ok_or(ParseChecksumError)?)
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.hex())
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Checksum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Checksum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    proptest! {
        // If this fails, a client cannot compare what it has with what is stored.
        #[test]
        fn text_and_bytes_agree(bytes in any::<[u8; 32]>()) {
            let checksum = Checksum(bytes);
            prop_assert_eq!(checksum.to_string().parse(), Ok(checksum));
        }

        // If this fails, a hostile header crashes a service.
        #[test]
        fn any_text_is_parsed_or_refused(text in ".{0,80}") {
            if let Ok(checksum) = text.parse::<Checksum>() {
                prop_assert_eq!(checksum.to_string(), text.to_lowercase());
            }
        }
    }
}
