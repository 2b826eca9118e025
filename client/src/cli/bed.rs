//! A content, and what nodes say of it, for tests of several commands.

use wire::content::ContentRow;
use wire::integrity::Verified;
use wire::{Checksum, Code, ContentId, ErrorBody, Lsn, ShardNo, Timestamp};

use crate::api::RequestError;

/// A service's refusal.
pub(super) fn refused(code: Code) -> RequestError {
    RequestError::Refused {
        url: "http://127.0.0.1:8001/x".to_owned(),
        body: Box::new(ErrorBody::new(code, "no", "r-1")),
        retry_after: None,
    }
}

/// A content of shard 1, in its second version.
pub(super) fn row() -> ContentRow {
    ContentRow {
        id: ContentId::mint(ShardNo(1), 1_769_860_800_000, 1),
        filename: "a.txt".to_owned(),
        size: 5,
        content_type: "text/plain".to_owned(),
        checksum: Checksum([7; 32]),
        version: 2,
        collection: None,
        attributes: None,
        created_date: Timestamp(1_769_860_800_100),
        updated_date: Timestamp(1_769_860_900_000),
    }
}

/// What a node that read it again says of it; changed so.
pub(super) fn verified(change: impl FnOnce(&mut Verified)) -> Verified {
    let row = row();
    let mut verified = Verified {
        id: row.id,
        version: row.version,
        size: row.size,
        checksum: row.checksum,
        lsn: Lsn(9),
        ok: true,
    };
    change(&mut verified);
    verified
}
