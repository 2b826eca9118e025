//! What is stored under an id, and what changes it. No bytes of the format here.

use wire::{Checksum, ContentId, Lsn};

use crate::record::metadata::Metadata;

/// What an upload says of the content it brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewContent {
    /// The name it is stored under.
    pub filename: String,
    /// Its media type.
    pub content_type: String,
    /// The collection it belongs to.
    pub collection: Option<String>,
    /// The user's own attributes, a JSON object as text.
    pub attributes: Option<String>,
    /// In bytes.
    pub size: u64,
    /// The BLAKE3 hash of all its bytes.
    pub checksum: Checksum,
}

/// All metadata of a content at one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Its id.
    pub id: ContentId,
    /// 1 for the first upload, one more for each update.
    pub version: u64,
    /// The name it is stored under.
    pub filename: String,
    /// Its media type.
    pub content_type: String,
    /// The collection it belongs to.
    pub collection: Option<String>,
    /// The user's own attributes, a JSON object as text.
    pub attributes: Option<String>,
    /// In bytes.
    pub size: u64,
    /// The BLAKE3 hash of all its bytes.
    pub checksum: Checksum,
    /// When version 1 was stored, in milliseconds since 1970.
    pub created_ms: u64,
    /// When this version, or its metadata, was stored, in milliseconds since 1970.
    pub updated_ms: u64,
    /// The size of version 1.
    pub created_size: u64,
    /// The hash of version 1.
    pub created_checksum: Checksum,
    /// The hash of the version before; none for version 1.
    pub base_checksum: Option<Checksum>,
}

/// Whether an upload makes a content or replaces one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// A new content; repeated with the same bytes, it is the same upload.
    Create,
    /// The next version of an existing one.
    Update {
        /// The hash that the current version must have.
        if_match: Option<Checksum>,
    },
}

/// A change of metadata; what is none stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Describe {
    /// The new file name.
    pub filename: Option<String>,
    /// The new media type.
    pub content_type: Option<String>,
    /// The new attributes, replacing all of the old; a JSON object as text.
    pub attributes: Option<String>,
}

/// A change that was appended. It is durable and visible when the commit reaches `lsn`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The record that made the change.
    pub lsn: Lsn,
    /// The version that it made; for a delete, the version that it ended.
    pub version: u64,
    /// In bytes.
    pub size: u64,
    /// The hash of the content's bytes.
    pub checksum: Checksum,
    /// The name the content is stored under.
    pub filename: String,
    /// Whether an earlier request had made this very change; nothing was appended now.
    pub repeated: bool,
}

impl Content {
    /// The first version of a content.
    pub(crate) fn first(id: ContentId, new: NewContent, time_ms: u64) -> Content {
        Content {
            id,
            version: 1,
            created_size: new.size,
            created_checksum: new.checksum,
            base_checksum: None,
            filename: new.filename,
            content_type: new.content_type,
            collection: new.collection,
            attributes: new.attributes,
            size: new.size,
            checksum: new.checksum,
            created_ms: time_ms,
            updated_ms: time_ms,
        }
    }

    /// The version after this one. Collection and attributes stay unless the upload brings others.
    pub(crate) fn next(&self, new: NewContent, time_ms: u64) -> Content {
        Content {
            version: self.version + 1,
            base_checksum: Some(self.checksum),
            filename: new.filename,
            content_type: new.content_type,
            collection: new.collection.or_else(|| self.collection.clone()),
            attributes: new.attributes.or_else(|| self.attributes.clone()),
            size: new.size,
            checksum: new.checksum,
            updated_ms: time_ms,
            ..self.clone()
        }
    }

    /// Whether an upload brings no other metadata.
    pub(crate) fn is_described_by(&self, new: &NewContent) -> bool {
        let is_same = |new: &Option<String>, own: &Option<String>| new.is_none() || new == own;
        (&new.filename, &new.content_type) == (&self.filename, &self.content_type)
            && is_same(&new.collection, &self.collection)
            && is_same(&new.attributes, &self.attributes)
    }

    /// The same version under other metadata.
    pub(crate) fn described(&self, change: Describe, time_ms: u64) -> Content {
        Content {
            filename: change.filename.unwrap_or_else(|| self.filename.clone()),
            content_type: change
                .content_type
                .unwrap_or_else(|| self.content_type.clone()),
            attributes: change.attributes.or_else(|| self.attributes.clone()),
            updated_ms: time_ms,
            ..self.clone()
        }
    }

    pub(crate) fn metadata(&self) -> Metadata {
        Metadata {
            filename: self.filename.clone(),
            content_type: self.content_type.clone(),
            collection: self.collection.clone(),
            attributes: self.attributes.clone(),
            checksum: self.checksum,
            created_ms: self.created_ms,
            creation: (self.created_size, self.created_checksum),
            base: self.base_checksum,
        }
    }

    pub(crate) fn outcome(&self, lsn: Lsn, repeated: bool) -> Outcome {
        Outcome {
            lsn,
            version: self.version,
            size: self.size,
            checksum: self.checksum,
            filename: self.filename.clone(),
            repeated,
        }
    }
}
