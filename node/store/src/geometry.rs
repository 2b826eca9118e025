//! The sizes that shape a log. One set is right for all; tests use smaller ones.

/// Sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// A segment is sealed before it grows beyond this. 256 MiB: large enough that a log of 64 GiB
    /// has a few hundred files, small enough to be rewritten in the background.
    pub segment_bytes: u64,
    /// How far ahead of the end space is reserved at a time. 8 MiB: rarely enough to cost nothing,
    /// small enough to leave room on a small disk.
    pub allocate_bytes: u64,
    /// What new content leaves of the reserved space, so that deletes, aborts and epochs work on a
    /// full disk: some thousands of them.
    pub reserve_bytes: u64,
}

impl Geometry {
    /// The sizes of every log outside of tests.
    pub const DEFAULT: Geometry = Geometry {
        segment_bytes: 256 << 20,
        allocate_bytes: 8 << 20,
        reserve_bytes: 1 << 20,
    };
}
