//! A record's metadata: tagged fields in ascending order of tags.
//!
//! ```text
//! 0  1  tag
//! 1  1  zero
//! 2  2  length of the value, little-endian
//! 4  …  value
//! ```
//!
//! Tags: 1 file name, 2 content type, 3 collection, 4 attributes (JSON), 5 checksum (BLAKE3, 32
//! bytes), 6 created (milliseconds), 7 creating upload (size, 8 bytes; checksum, 32), 8 base
//! (checksum of the version before, 32). A reader skips tags that it does not know.

use wire::Checksum;

use super::head::u64_at;

/// What a record says of its content beside its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Metadata {
    pub(crate) filename: String,
    pub(crate) content_type: String,
    pub(crate) collection: Option<String>,
    /// A JSON object, as text.
    pub(crate) attributes: Option<String>,
    pub(crate) checksum: Checksum,
    pub(crate) created_ms: u64,
    /// Size and checksum of version 1: a retry of the creating upload is told by them.
    pub(crate) creation: (u64, Checksum),
    /// The checksum of the version before: a retry of an update is told by it.
    pub(crate) base: Option<Checksum>,
}

/// Why metadata that passed its checksum cannot be read: a version wrote it that this one does not
/// understand.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("metadata: the field of tag {tag} is missing or malformed")]
pub struct DecodeMetadataError {
    /// The first field that is wrong.
    pub tag: u8,
}

const FILENAME: u8 = 1;
const CONTENT_TYPE: u8 = 2;
const COLLECTION: u8 = 3;
const ATTRIBUTES: u8 = 4;
const CHECKSUM: u8 = 5;
const CREATED: u8 = 6;
const CREATION: u8 = 7;
const BASE: u8 = 8;

const FIELD_HEADER_BYTES: usize = 4;

impl Metadata {
    /// Writes the fields.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(160 + self.filename.len() + self.content_type.len());
        put(&mut out, FILENAME, self.filename.as_bytes());
        put(&mut out, CONTENT_TYPE, self.content_type.as_bytes());
        if let Some(collection) = &self.collection {
            put(&mut out, COLLECTION, collection.as_bytes());
        }
        if let Some(attributes) = &self.attributes {
            put(&mut out, ATTRIBUTES, attributes.as_bytes());
        }
        put(&mut out, CHECKSUM, &self.checksum.0);
        put(&mut out, CREATED, &self.created_ms.to_le_bytes());
        let mut creation = [0; 40];
        creation[..8].copy_from_slice(&self.creation.0.to_le_bytes());
        creation[8..].copy_from_slice(&self.creation.1.0);
        put(&mut out, CREATION, &creation);
        if let Some(base) = &self.base {
            put(&mut out, BASE, &base.0);
        }
        out
    }

    /// Reads the fields back.
    ///
    /// # Errors
    /// When a field is missing, of the wrong length, or not UTF-8.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Metadata, DecodeMetadataError> {
        let fields = Fields::split(bytes)?;
        let creation = fields.required(CREATION)?;
        let creation_checksum = creation.get(8..).unwrap_or_default();
        Ok(Metadata {
            filename: text(FILENAME, fields.required(FILENAME)?)?,
            content_type: text(CONTENT_TYPE, fields.required(CONTENT_TYPE)?)?,
            collection: fields
                .get(COLLECTION)
                .map(|v| text(COLLECTION, v))
                .transpose()?,
            attributes: fields
                .get(ATTRIBUTES)
                .map(|v| text(ATTRIBUTES, v))
                .transpose()?,
            checksum: checksum(CHECKSUM, fields.required(CHECKSUM)?)?,
            created_ms: number(CREATED, fields.required(CREATED)?)?,
            creation: (
                number(CREATION, creation.get(..8).unwrap_or_default())?,
                checksum(CREATION, creation_checksum)?,
            ),
            base: fields.get(BASE).map(|v| checksum(BASE, v)).transpose()?,
        })
    }
}

fn put(out: &mut Vec<u8>, tag: u8, value: &[u8]) {
    let bytes = u16::try_from(value.len()).expect("every value is bounded below 64 KiB");
    out.extend_from_slice(&[tag, 0]);
    out.extend_from_slice(&bytes.to_le_bytes());
    out.extend_from_slice(value);
}

struct Fields<'a>([Option<&'a [u8]>; BASE as usize + 1]);

impl<'a> Fields<'a> {
    fn split(mut bytes: &'a [u8]) -> Result<Self, DecodeMetadataError> {
        let mut fields = [None; BASE as usize + 1];
        let mut last = 0;
        while let Some((&header, rest)) = bytes.split_first_chunk::<FIELD_HEADER_BYTES>() {
            let tag = header[0];
            let length = usize::from(u16::from_le_bytes([header[2], header[3]]));
            if tag <= last || header[1] != 0 || rest.len() < length {
                return Err(DecodeMetadataError { tag });
            }
            let (value, rest) = rest.split_at(length);
            if let Some(field) = fields.get_mut(usize::from(tag)) {
                *field = Some(value);
            }
            last = tag;
            bytes = rest;
        }
        if bytes.is_empty() {
            Ok(Fields(fields))
        } else {
            Err(DecodeMetadataError { tag: last })
        }
    }

    fn get(&self, tag: u8) -> Option<&'a [u8]> {
        self.0[usize::from(tag)]
    }

    fn required(&self, tag: u8) -> Result<&'a [u8], DecodeMetadataError> {
        self.get(tag).ok_or(DecodeMetadataError { tag })
    }
}

fn text(tag: u8, value: &[u8]) -> Result<String, DecodeMetadataError> {
    String::from_utf8(value.to_vec()).map_err(|_| DecodeMetadataError { tag })
}

fn checksum(tag: u8, value: &[u8]) -> Result<Checksum, DecodeMetadataError> {
    value
        .try_into()
        .map(Checksum)
        .map_err(|_| DecodeMetadataError { tag })
}

fn number(tag: u8, value: &[u8]) -> Result<u64, DecodeMetadataError> {
    if value.len() == 8 {
        Ok(u64_at(value, 0))
    } else {
        Err(DecodeMetadataError { tag })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    fn example() -> Metadata {
        Metadata {
            filename: "été.png".to_owned(),
            content_type: "image/png".to_owned(),
            collection: Some("site".to_owned()),
            attributes: Some(r#"{"a":1}"#.to_owned()),
            checksum: Checksum([1; 32]),
            created_ms: 1_700_000_000_000,
            creation: (77, Checksum([2; 32])),
            base: Some(Checksum([3; 32])),
        }
    }

    // If this fails, contents lose their names.
    #[test]
    fn round_trip() {
        let full = example();
        assert_eq!(Metadata::decode(&full.encode()), Ok(full.clone()));
        let bare = Metadata {
            collection: None,
            attributes: None,
            base: None,
            ..full
        };
        assert_eq!(Metadata::decode(&bare.encode()), Ok(bare));
    }

    // If this fails, a truncated record is taken for a whole one.
    #[test]
    fn every_truncation_is_refused_or_drops_whole_optional_fields() {
        let bytes = example().encode();
        for length in 0..bytes.len() {
            if let Ok(metadata) = Metadata::decode(&bytes[..length]) {
                assert_eq!(
                    metadata,
                    Metadata {
                        base: None,
                        ..example()
                    }
                );
            }
        }
    }

    // If this fails, logs cannot be read by the version before.
    #[test]
    fn an_unknown_field_is_skipped() {
        let mut bytes = example().encode();
        put(&mut bytes, 200, b"from the future");
        assert_eq!(Metadata::decode(&bytes), Ok(example()));
    }

    proptest! {
        // If this fails, a damaged record crashes the node.
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(metadata) = Metadata::decode(&bytes) {
                prop_assert_eq!(Metadata::decode(&metadata.encode()), Ok(metadata));
            }
        }
    }
}
