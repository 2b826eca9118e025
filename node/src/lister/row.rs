//! A content of the store as a row of the catalog.

use store::Content;
use wire::Timestamp;
use wire::content::ContentRow;

/// The row of a content.
///
/// Attributes were checked to be a JSON object before they were stored; should they not read back
/// as one, the row has none, and that is logged.
pub fn row(content: Content) -> ContentRow {
    let attributes = content.attributes.and_then(|text| match serde_json::from_str(&text) {
        Ok(attributes) => Some(attributes),
        Err(error) => {
            tracing::error!(id = %content.id, %error, "stored attributes are not a JSON object");
            None
        }
    });
    ContentRow {
        id: content.id,
        filename: content.filename,
        size: content.size,
        content_type: content.content_type,
        checksum: content.checksum,
        version: content.version,
        collection: content.collection,
        attributes,
        created_date: Timestamp(content.created_ms),
        updated_date: Timestamp(content.updated_ms),
    }
}
