//! `client list`: what the catalog holds.

use wire::ContentId;
use wire::name::check_collection;

use crate::api::Filter;

use super::Session;
use super::failure::Failure;

/// List contents, the oldest first.
///
/// Prints a line for each: id, size in bytes, date of the last change and name, with tabs between.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only contents of this name; with a `*` at the end, of every name that begins so.
    #[arg(long, value_name = "NAME")]
    filename: Option<String>,
    /// Only contents of this collection.
    #[arg(long, value_parser = |text: &str| check_collection(text).map(|()| text.to_owned()))]
    collection: Option<String>,
    /// Only contents after this one.
    #[arg(long, value_name = "ID")]
    after: Option<ContentId>,
    /// At most so many; all if not given.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<(), Failure> {
    let Arguments {
        filename,
        collection,
        after,
        limit,
    } = arguments;
    let filter = Filter {
        filename,
        collection,
        after,
    };
    let mut listing = session.client.list(filter, limit.unwrap_or(u64::MAX));
    let failed = |error| Failure::caused("cannot list", &error);
    while let Some(item) = listing.next().await.map_err(failed)? {
        let row = &item.row;
        session.ui.data(&item, || {
            format!(
                "{}\t{}\t{}\t{}",
                row.id, row.size, row.updated_date, row.filename
            )
        })?;
    }
    Ok(())
}
