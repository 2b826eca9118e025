//! Every bound that two processes share, each with its reason.

use std::time::Duration;

/// A file name, in bytes of UTF-8: long enough for any file system's, short enough for an index.
pub const FILE_NAME_BYTES_MAX: usize = 1024;

/// A content type, in bytes: RFC 6838 names are at most 127 + 1 + 127, parameters beside them.
pub const CONTENT_TYPE_BYTES_MAX: usize = 255;

/// A content's attributes as JSON text, in bytes.
pub const ATTRIBUTES_BYTES_MAX: usize = 8 * 1024;

/// A collection's name, in bytes.
pub const COLLECTION_BYTES_MAX: usize = 63;

/// A node's name, in bytes: that of a DNS label, so that it can also be its host name.
pub const NODE_NAME_BYTES_MAX: usize = 63;

/// How long ago the id of a new content may have been minted. Delete records live longer
/// ([`DELETE_RECORD_LIFE_MS`]), so a retry cannot bring back what was deleted.
pub const ID_AGE_MS_MAX: u64 = 24 * 60 * 60 * 1000;

/// How far ahead of ours the clock that minted a new id may be.
pub const ID_AHEAD_MS_MAX: u64 = 5 * 60 * 1000;

/// How long a delete record is kept: 7 days, seven times [`ID_AGE_MS_MAX`].
pub const DELETE_RECORD_LIFE_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// The unit of payload verification: one CRC-32C for each 64 KiB.
pub const BLOCK_BYTES: usize = 64 * 1024;

/// The largest payload of one record; a larger content is uploaded in chunks of this size.
pub const CHUNK_BYTES_MAX: usize = 1024 * 1024;

/// The largest content: its commit record names up to 2^20 chunks, in 16 MiB.
pub const CONTENT_BYTES_MAX: u64 = (CHUNK_BYTES_MAX as u64) << 20;

/// The files of one multipart upload.
pub const FILES_PER_REQUEST_MAX: usize = 1000;

/// The ids that one `GET /store?count=` hands out.
pub const PLACES_PER_REQUEST_MAX: usize = 1000;

/// The rows of one listing page.
pub const PAGE_ROWS_MAX: usize = 1000;

/// The rows of one listing page when the request names no limit.
pub const PAGE_ROWS_DEFAULT: usize = 100;

/// The operations that one `POST /content` carries, over all its shards.
pub const LISTING_OPERATIONS_MAX: usize = 4096;

/// The body of one `POST /content`, in bytes.
pub const LISTING_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The body of a JSON request of a client, in bytes: attributes, a name and room around them.
pub const JSON_BYTES_MAX: usize = 64 * 1024;

/// What a refused request may still send before its connection is closed.
pub const REFUSED_BODY_BYTES_MAX: usize = 1024 * 1024;

/// How long a refused request may still send before its connection is closed.
pub const REFUSED_BODY_TIME_MAX: Duration = Duration::from_secs(2);

/// How long an upload's answer waits for its listing before it says `PENDING`.
pub const LISTING_WAIT: Duration = Duration::from_millis(250);

/// How many replicas each shard has where nobody says otherwise.
pub const COPIES_DEFAULT: u8 = 2;

/// The most replicas of a shard: each upload crosses the network so often, less one.
pub const COPIES_MAX: u8 = 5;

/// A shard is closed to new content when its log reaches this size.
pub const SHARD_BYTES_MAX: u64 = 64 << 30;

/// Above this share of the storage, in percent, people are told to think of more room.
pub const STORAGE_PERCENT_TOLD: f64 = 80.0;

/// Above this share of the storage, in percent, a node takes no new content by placement.
pub const STORAGE_PERCENT_PLACED_MAX: f64 = 90.0;

/// Above this share of the storage, in percent, a node answers 507 to new content.
pub const STORAGE_PERCENT_STORED_MAX: f64 = 95.0;

/// With no more than this share of the room left that placement gives away, in percent, a node is full, and is
/// given no copies: what is left is soon gone, and larger uploads do not fit already.
pub const ROOM_PERCENT_MIN: u64 = 2;

/// How long a node may be silent before it counts as dead (a session).
pub const SESSION_DEFAULT: Duration = Duration::from_secs(3);

/// The shortest session: its heartbeats, six in each, survive a busy moment of the machine.
pub const SESSION_MIN: Duration = Duration::from_millis(500);

/// The longest: nobody waits longer for another leader.
pub const SESSION_MAX: Duration = Duration::from_secs(60);
