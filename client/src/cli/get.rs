//! `client get`: contents out of the cluster, into files or onto standard output.
//!
//! A file is written under the name of its part first, checked, synced and then renamed, so that a
//! file under its own name is always whole. An interrupted download leaves its part; the next one
//! of the same content into the same folder goes on from there.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::mpsc;
use wire::ContentId;
use wire::content::{ContentItem, ContentRow};

use crate::api::{Prefix, ReadError, Reading};
use crate::local::destination::Destination;
use crate::local::part::{Existing, Part, PartError, folder_of};
use crate::local::special::Special;
use crate::ui::{Ui, human};

use super::Session;
use super::failure::{Failure, Kind};
use super::transfers::{JOBS_DEFAULT, Progress, run_all};

/// How often a download begins anew because the content is updated under it.
const CHANGES_MAX: u32 = 5;

/// Pieces between the network and the disk.
const PIECES_AHEAD: usize = 16;

/// Download contents.
///
/// Prints a line for each, as it is done: its id, a tab, and the file's path. Files take the names
/// that contents are stored under, without any folders in them. What an interrupted download has
/// brought is kept beside its file as ID.HASH.part, and the next one goes on from there.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The contents.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<ContentId>,
    /// A file, a folder (one that exists, or with a slash at the end), a device or a pipe, or `-` for
    /// standard output; the current folder if not given.
    #[arg(long, short, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Replace files that exist (one named with -o is always replaced).
    #[arg(long, short)]
    force: bool,
    /// How many contents to download at once.
    #[arg(long, short, default_value_t = JOBS_DEFAULT, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
}

/// What one line of the command's output says.
#[derive(Serialize)]
struct Downloaded<'a> {
    /// Names of files need not be UTF-8, JSON must.
    path: Cow<'a, str>,
    #[serde(flatten)]
    row: &'a ContentRow,
    resumed_at: u64,
}

pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<(), Failure> {
    let destination = Destination::from_argument(arguments.output.as_deref());
    if arguments.ids.len() > 1 && !matches!(destination, Destination::Folder(_)) {
        return Err(
            Failure::new(Kind::Usage, "several contents need a folder to go to")
                .with_hint("-o FOLDER/ makes it if it is not there"),
        );
    }
    destination
        .prepare()
        .map_err(|error| Failure::new(Kind::Local, format!("cannot make the folder: {error}")))?;
    let existing = match (&destination, arguments.force) {
        (Destination::Folder(_), false) => Existing::Keep,
        _ => Existing::Replace,
    };
    let destination = &destination;
    let work = |id, progress| {
        let get = Get {
            session,
            id,
            destination,
            existing,
            progress,
        };
        async move { get.run().await.map_err(|failure| get.named(failure)) }
    };
    run_all(session, arguments.jobs, arguments.ids, work).await
}

/// One download.
struct Get<'a> {
    session: &'a Session,
    id: ContentId,
    destination: &'a Destination,
    existing: Existing,
    progress: Progress,
}

/// What bytes go to as they come, and cannot be taken back from.
#[derive(Clone)]
enum Stream {
    Stdout(Ui),
    Special(Special),
}

impl Stream {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self {
            Stream::Stdout(ui) => ui.write(bytes).map_err(Failure::from),
            Stream::Special(special) => {
                let written = special.write(bytes);
                written.map_err(|error| Failure::caused("", &error))
            }
        }
    }
}

/// How a reading ended.
type Read = Result<(), ReadError>;

/// Why one attempt ended: the content was updated, or for good.
enum Ended {
    Changed,
    Failed(Failure),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Ended::Failed(failure)
    }
}

impl Get<'_> {
    async fn run(&self) -> Result<(), Failure> {
        let mut item = self.look(None).await?;
        let stream = self.stream().await?;
        for _ in 0..CHANGES_MAX {
            self.progress.begin(&item.row.filename, Some(item.row.size));
            let newer = item.row.version + 1;
            let target = self
                .destination
                .target(&item.row.filename, &self.id.to_string());
            let ended = match &target {
                Some(target) => self.to_file(item, target).await,
                None => self.to_stream(item, stream.clone()).await,
            };
            match ended {
                Ok(()) => return Ok(()),
                Err(Ended::Failed(failure)) => return Err(failure),
                Err(Ended::Changed) => item = self.look(Some(newer)).await?,
            }
        }
        Err(Failure::new(
            Kind::Conflict,
            "it was updated again and again meanwhile",
        ))
    }

    fn named(&self, failure: Failure) -> Failure {
        if failure.kind == Kind::OutputClosed {
            return failure;
        }
        let mut causes = failure.causes;
        if !failure.message.is_empty() {
            causes.insert(0, failure.message);
        }
        Failure {
            message: format!("cannot get {}", self.id),
            causes,
            ..failure
        }
    }

    async fn look(&self, min_version: Option<u64>) -> Result<ContentItem, Failure> {
        let looked = self.session.client.info(self.id, min_version).await;
        looked.map_err(|error| Failure::caused("", &error))
    }

    /// Where the bytes go if not into a file, opened once: a pipe's reader takes its closing for the
    /// end.
    async fn stream(&self) -> Result<Stream, Failure> {
        match self.destination.clone() {
            Destination::Special(path) => {
                let open = move || Special::open(&path).map_err(|e| Failure::caused("", &e));
                Ok(Stream::Special(blocking(open).await?))
            }
            Destination::Stdout | Destination::File(_) | Destination::Folder(_) => {
                Ok(Stream::Stdout(self.session.ui.clone()))
            }
        }
    }

    async fn to_stream(&self, item: ContentItem, stream: Stream) -> Result<(), Ended> {
        let reading = self.session.client.read(item, Prefix::default());
        let (_, read) = self.copy(reading, stream, Stream::write).await?;
        match read {
            Ok(()) => Ok(()),
            // What was printed cannot be taken back; nothing printed yet can begin anew.
            Err(ReadError::Changed(_)) if self.progress.meter.bytes() == 0 => Err(Ended::Changed),
            Err(error) => Err(Failure::caused("", &error).into()),
        }
    }

    async fn to_file(&self, item: ContentItem, target: &Path) -> Result<(), Ended> {
        if self.existing == Existing::Keep && target.symlink_metadata().is_ok() {
            return Err(local(&PartError::Exists(target.to_owned())).into());
        }
        // Whoever stored the name does not decide that a device goes.
        if Special::is_at(target) {
            return Err(local(&PartError::Special(target.to_owned())).into());
        }
        let row = item.row.clone();
        let followed = self.destination.replaced(target);
        let file = followed.map_err(|source| {
            let (step, path) = ("follow the link", target.to_owned());
            local(&PartError::File { step, path, source })
        })?;
        let part = Part::open(folder_of(&file), self.id, row.checksum).map_err(|e| local(&e))?;
        let resumed = move || resumable(part, row.size).map_err(|e| local(&e));
        let (mut part, prefix) = blocking(resumed).await?;
        let mut resumed_at = prefix.bytes;
        let mut read;
        (part, read) = self
            .fill(part, self.session.client.read(item.clone(), prefix))
            .await?;
        if resumed_at > 0 && matches!(read, Err(ReadError::Mismatch { .. })) {
            self.session.ui.note(&format!(
                "{}: the part kept was damaged; begun anew",
                self.id
            ));
            resumed_at = 0;
            part.clear().map_err(|error| local(&error))?;
            let anew = self.session.client.read(item.clone(), Prefix::default());
            (part, read) = self.fill(part, anew).await?;
        }
        match read {
            Ok(()) => {}
            Err(ReadError::Changed(_)) => {
                part.discard().map_err(|error| local(&error))?;
                return Err(Ended::Changed);
            }
            Err(error) => return Err(given_up(part, &error).into()),
        }
        let existing = self.existing;
        blocking(move || part.finish(&file, existing).map_err(|e| local(&e))).await?;
        self.tell(target, &item.row, resumed_at)?;
        Ok(())
    }

    /// Writes what is read to the part, and gives it back whatever happened to the reading.
    async fn fill(&self, part: Part, reading: Reading) -> Result<(Part, Read), Failure> {
        self.copy(reading, part, |part, bytes| {
            part.append(bytes).map_err(|e| local(&e))
        })
        .await
    }

    /// Reads to the end while `write` runs on a thread of its own, which has `sink` meanwhile.
    async fn copy<S: Send + 'static>(
        &self,
        mut reading: Reading,
        mut sink: S,
        write: fn(&mut S, &[u8]) -> Result<(), Failure>,
    ) -> Result<(S, Read), Failure> {
        let (sender, mut receiver) = mpsc::channel::<Bytes>(PIECES_AHEAD);
        let writer = tokio::task::spawn_blocking(move || {
            while let Some(bytes) = receiver.blocking_recv() {
                write(&mut sink, &bytes)?;
            }
            Ok(sink)
        });
        self.progress.meter.set(reading.position());
        let read = loop {
            match reading.next().await {
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
                Ok(Some(bytes)) => {
                    self.progress.meter.add(bytes.len());
                    // The writer failed, which is told below.
                    if sender.send(bytes).await.is_err() {
                        break Ok(());
                    }
                }
            }
        };
        drop(sender);
        let written = writer.await.unwrap_or_else(|error| {
            Err(Failure::new(
                Kind::Failure,
                format!("the writing thread failed: {error}"),
            ))
        });
        Ok((written?, read))
    }

    fn tell(&self, target: &Path, row: &ContentRow, resumed_at: u64) -> Result<(), Failure> {
        let text = || format!("{}\t{}", row.id, target.display());
        self.session.ui.data(
            &Downloaded {
                path: target.to_string_lossy(),
                row,
                resumed_at,
            },
            text,
        )?;
        Ok(())
    }
}

/// What a part is good for: all that it holds, or nothing if that is more than there can be.
fn resumable(mut part: Part, size: u64) -> Result<(Part, Prefix), PartError> {
    if part.bytes() > size {
        part.clear()?;
    }
    let prefix = Prefix {
        hasher: part.hash()?,
        bytes: part.bytes(),
    };
    Ok((part, prefix))
}

/// The reading failed: what is here already is kept for the next time, unless it is wrong.
fn given_up(part: Part, error: &ReadError) -> Failure {
    let mut failure = Failure::caused("", error);
    if part.bytes() > 0 && !matches!(error, ReadError::Mismatch { .. }) {
        failure.hint = Some(format!(
            "{} are kept in {}; the same command goes on from there",
            human::size(part.bytes()),
            part.path().display()
        ));
    } else if let Err(error) = part.discard() {
        failure.causes.push(error.to_string());
    }
    failure
}

fn local(error: &PartError) -> Failure {
    let failure = Failure::caused("", error);
    match error {
        PartError::Exists(_) => failure.with_hint("--force replaces it; -o names another place"),
        PartError::Special(_) => failure.with_hint("-o names another place"),
        PartError::Busy(_) | PartError::File { .. } => failure,
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Failure::new(
            Kind::Failure,
            format!("a thread failed: {error}"),
        )),
    }
}
