//! The stage of these tests: large enough for some large contents in a segment.

use store::Geometry;
pub(crate) use store::stage::{
    Stage, body, contents, dir, new_content, quarantined, read_all, segments,
};

/// The log id of every log that a test calls its own.
pub(crate) const LOG: u64 = 0x0acc_1a1d_0acc_1a1d;

pub(crate) const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Small enough that a test fills a segment, large enough for some large contents.
pub(crate) const GEOMETRY: Geometry = Geometry {
    segment_bytes: 1 << 20,
    allocate_bytes: 128 << 10,
    reserve_bytes: 64 << 10,
};

/// A new log in its first epoch.
pub(crate) fn stage() -> Stage {
    Stage::of(LOG, GEOMETRY)
}

/// A new log without a record.
pub(crate) fn bare_stage() -> Stage {
    Stage::bare(LOG, GEOMETRY)
}
