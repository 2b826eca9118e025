//! `client delete`: contents out of the cluster.

use wire::{Checksum, ContentId};

use super::Session;
use super::failure::{Failure, Kind};
use super::transfers::{JOBS_DEFAULT, run_all};

/// Delete contents.
///
/// Prints the id of each, a line each.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The contents.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<ContentId>,
    /// Only if the content's checksum is still this one (`blake3:…`; one content only).
    #[arg(long, value_name = "CHECKSUM")]
    if_match: Option<Checksum>,
    /// How many contents to delete at once.
    #[arg(long, short, default_value_t = JOBS_DEFAULT, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
}

pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<(), Failure> {
    let only = arguments.if_match;
    if only.is_some() && arguments.ids.len() > 1 {
        return Err(Failure::new(
            Kind::Usage,
            "--if-match goes with one content only",
        ));
    }
    run_all(session, arguments.jobs, arguments.ids, |id, _| {
        delete(session, id, only)
    })
    .await
}

async fn delete(session: &Session, id: ContentId, only: Option<Checksum>) -> Result<(), Failure> {
    let deleted = session.client.delete(id, only).await;
    let receipt =
        deleted.map_err(|error| Failure::caused(format!("cannot delete {id}"), &error))?;
    session.ui.data(&receipt, || receipt.id.to_string())?;
    Ok(())
}
