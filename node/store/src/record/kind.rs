//! The kinds of records.

/// What a record is. The numbers are part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// A whole content of at most `CHUNK_BYTES_MAX`.
    Put = 1,
    /// A part of a larger content.
    Chunk = 2,
    /// Closes a chunked upload; its payload is the lsns of the chunks.
    Commit = 3,
    /// Ends a chunked upload without a content.
    Abort = 4,
    /// Changes a content's metadata.
    Describe = 5,
    /// Ends a content.
    Delete = 6,
    /// The first record of an epoch; never compacted.
    Epoch = 7,
}

impl Kind {
    /// Every kind there is.
    pub const ALL: [Kind; 7] = [
        Kind::Put,
        Kind::Chunk,
        Kind::Commit,
        Kind::Abort,
        Kind::Describe,
        Kind::Delete,
        Kind::Epoch,
    ];

    /// The kind of this number; none for numbers that this version does not know (8 `bind`,
    /// 9 `unbind` and 10 `part` are reserved).
    pub fn from_number(number: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| *kind as u8 == number)
    }

    /// Whether the record gives a content its bytes.
    pub fn is_data(self) -> bool {
        matches!(self, Kind::Put | Kind::Commit)
    }
}
