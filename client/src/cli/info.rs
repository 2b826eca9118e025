//! `client info`: what is known of one content.

use wire::ContentId;
use wire::content::{ContentItem, Status};

use super::Session;
use super::failure::Failure;

/// Show what is known of a content.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The content.
    id: ContentId,
    /// Not older than this version.
    #[arg(long, value_name = "N")]
    min_version: Option<u64>,
}

pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<(), Failure> {
    let id = arguments.id;
    let looked = session.client.info(id, arguments.min_version).await;
    let item = looked.map_err(|error| Failure::caused(format!("cannot look up {id}"), &error))?;
    session.ui.data(&item, || text(&item))?;
    Ok(())
}

fn text(item: &ContentItem) -> String {
    let row = &item.row;
    let status = match item.status {
        Status::Ok => "OK",
        Status::Pending => "PENDING",
        Status::Unlistable => "UNLISTABLE",
    };
    let attributes = row.attributes.clone().map(serde_json::Value::Object);
    let lines = [
        ("id", Some(row.id.to_string())),
        ("name", Some(row.filename.clone())),
        ("size", Some(row.size.to_string())),
        ("type", Some(row.content_type.clone())),
        ("checksum", Some(row.checksum.to_string())),
        ("version", Some(row.version.to_string())),
        ("collection", row.collection.clone()),
        ("attributes", attributes.map(|object| object.to_string())),
        ("created", Some(row.created_date.to_string())),
        ("updated", Some(row.updated_date.to_string())),
        ("status", Some(status.to_owned())),
        ("url", Some(item.url.clone())),
    ];
    let shown = lines
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name:<11}{}", value?)));
    shown.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::content::ContentRow;
    use wire::{ShardNo, Timestamp};

    use crate::cli::bed::row;

    // If this fails, `info` hides what it was asked for.
    #[test]
    fn every_field_that_is_there_is_shown() {
        let row = ContentRow {
            id: ContentId::mint(ShardNo(1), 1, 1),
            attributes: serde_json::from_str(r#"{"a":1}"#).expect("an object"),
            created_date: Timestamp(1_769_860_800_123),
            updated_date: Timestamp(1_769_860_800_124),
            ..row()
        };
        let (uri, url) = ("http://n".to_owned(), "http://n/retrieve/1".to_owned());
        let item = ContentItem {
            row,
            status: Status::Pending,
            uri,
            url,
            uris: vec![],
        };
        let text = text(&item);
        for line in [
            "name       a.txt",
            "size       5",
            "version    2",
            "attributes {\"a\":1}",
            "created    2026-01-31T12:00:00.123Z",
            "status     PENDING",
            "url        http://n/retrieve/1",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line} in\n{text}");
        }
        assert!(!text.contains("collection"));
    }
}
