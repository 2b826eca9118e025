//! `client update`: a new version of a content.

use std::path::PathBuf;

use wire::name::check_file_name;
use wire::{Checksum, ContentId};

use crate::api::{Condition, Source, Upload};

use super::Session;
use super::failure::{Failure, Kind};
use super::transfers::{Progress, run_all};
use super::upload::Described;

/// Replace a content's bytes by a file's.
///
/// Prints its id, its new version and its name, with tabs between. It keeps its name, type and attributes, except those that are given.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The content.
    id: ContentId,
    /// The file with the new bytes.
    file: PathBuf,
    /// The new name; it keeps the one it has if not given.
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    described: Described,
    /// Only if the content's checksum is still this one (`blake3:…`, as `info` shows it).
    #[arg(long, value_name = "CHECKSUM")]
    if_match: Option<Checksum>,
}

pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<(), Failure> {
    let Arguments {
        id,
        file,
        name,
        described,
        if_match,
    } = arguments;
    if let Some(name) = &name {
        check_file_name(name).map_err(|error| Failure::new(Kind::Usage, error.to_string()))?;
    }
    let condition = if_match.map_or(Condition::Any, Condition::Only);
    let upload = Upload {
        source: Source::File(file),
        metadata: described.named(name),
    };
    let work = |upload, progress| update(session, id, upload, condition, progress);
    run_all(session, 1, vec![upload], work).await
}

async fn update(
    session: &Session,
    id: ContentId,
    upload: Upload,
    condition: Condition,
    progress: Progress,
) -> Result<(), Failure> {
    progress.begin(&id.to_string(), upload.source.size().await.ok());
    let updated = session
        .client
        .update(id, &upload, condition, &progress.meter)
        .await;
    let receipt =
        updated.map_err(|error| Failure::caused(format!("cannot update {id}"), &error))?;
    let text = || format!("{}\t{}\t{}", receipt.id, receipt.version, receipt.filename);
    session.ui.data(&receipt, text)?;
    Ok(())
}
