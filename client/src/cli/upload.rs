//! `client upload`: files, folders and standard input into the cluster.
//!
//! A file can be read again, so its upload is retried under one id. Standard input cannot: up to
//! [`STDIN_KEPT_BYTES`] are kept in memory and retried like a file; a longer one is streamed, as a
//! form without a length, and a failure ends it once more than that was read. Nothing is spooled to the disk.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use serde::Serialize;
use tokio::io::AsyncReadExt;
use wire::content::Receipt;
use wire::name::{check_attributes, check_collection, check_content_type, check_file_name};

use crate::api::{Metadata, Source, Upload, UploadError};
use crate::local::walk::{Folders, Found, WalkError, walk};

use super::failure::{Caused, Failure, Kind};
use super::transfers::{JOBS_DEFAULT, Progress, run_rest};
use super::{Session, report};

/// Standard input up to this length is kept, so that it can be retried.
const STDIN_KEPT_BYTES: usize = 8 * 1024 * 1024;

/// What is read from standard input at once.
const STDIN_PIECE_BYTES: usize = 256 * 1024;

/// Upload files.
///
/// Prints a line for each, as it is stored: its id, a tab, and its name.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Files, folders with -r, or `-` for standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Upload all files below folders, named by folder and path.
    #[arg(long, short)]
    recursive: bool,
    /// Store the file under this name (one file only; needed for standard input).
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    described: Described,
    /// How many files to upload at once.
    #[arg(long, short, default_value_t = JOBS_DEFAULT, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
}

/// What can be said of an upload.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Described {
    /// The media type; by the name's ending if not given.
    #[arg(long = "type", value_name = "TYPE", value_parser = checked(check_content_type))]
    content_type: Option<String>,
    /// The collection that it joins.
    #[arg(long, value_parser = checked(check_collection))]
    collection: Option<String>,
    /// Your own attributes: a JSON object.
    #[arg(long, value_name = "JSON", value_parser = checked(check_attributes))]
    attributes: Option<String>,
}

/// A parser of arguments that keeps what a check of the cluster's vocabulary lets through.
fn checked<E: std::error::Error + Send + Sync + 'static>(
    check: fn(&str) -> Result<(), E>,
) -> impl Fn(&str) -> Result<String, E> + Clone + Send + Sync + 'static {
    move |text| check(text).map(|()| text.to_owned())
}

impl Described {
    /// All metadata of an upload under this name.
    pub(super) fn named(&self, filename: Option<String>) -> Metadata {
        Metadata {
            filename,
            content_type: self.content_type.clone(),
            collection: self.collection.clone(),
            attributes: self.attributes.clone(),
        }
    }
}

/// What one line of the command's output says.
#[derive(Serialize)]
struct Uploaded<'a> {
    /// Names of files need not be UTF-8, JSON must.
    path: Cow<'a, str>,
    #[serde(flatten)]
    receipt: &'a Receipt,
}

/// Something to upload.
enum Input {
    File(Found),
    Stdin(String),
}

pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<(), Failure> {
    let (inputs, refused) = inputs(session, &arguments)?;
    let described = &arguments.described;
    let work = |input, progress| upload_one(session, described, input, progress);
    run_rest(session, arguments.jobs, inputs, refused, work).await
}

/// What the command line stands for, and what of it cannot be uploaded, which was told already.
fn inputs(session: &Session, arguments: &Arguments) -> Result<(Vec<Input>, Vec<Failure>), Failure> {
    let folders = if arguments.recursive {
        Folders::Walk
    } else {
        Folders::Refuse
    };
    if let Some(name) = &arguments.name {
        check_file_name(name).map_err(|error| Failure::new(Kind::Usage, error.to_string()))?;
        if arguments.files.len() > 1 || arguments.recursive {
            return Err(Failure::new(Kind::Usage, "--name can name one file only"));
        }
    }
    let (mut inputs, mut refused) = (Vec::new(), Vec::new());
    for path in &arguments.files {
        if path == Path::new("-") {
            let name = arguments.name.clone().ok_or_else(|| {
                Failure::new(Kind::Usage, "standard input has no name")
                    .with_hint("--name gives it one")
            })?;
            inputs.push(Input::Stdin(name));
            continue;
        }
        for item in walk(path, folders) {
            match (item, &arguments.name) {
                (Ok(found), Some(name)) => {
                    inputs.push(Input::File(Found {
                        name: name.clone(),
                        ..found
                    }));
                }
                (Ok(found), None) => inputs.push(Input::File(found)),
                (Err(WalkError::Name { path, .. } | WalkError::NotUtf8(path)), Some(name)) => {
                    let name = name.clone();
                    inputs.push(Input::File(Found { path, name }));
                }
                (Err(error), _) => {
                    let failure = refusal(&error);
                    report(&session.ui, &failure);
                    refused.push(failure);
                }
            }
        }
    }
    Ok((inputs, refused))
}

fn refusal(error: &WalkError) -> Failure {
    let failure = Failure::caused("cannot upload", error);
    match error {
        WalkError::Folder(_) => failure.with_hint("-r uploads all that is in it"),
        WalkError::Name { .. } | WalkError::NotUtf8(_) => {
            failure.with_hint("--name gives it another name")
        }
        WalkError::Read { .. } | WalkError::Other(_) => failure,
    }
}

async fn upload_one(
    session: &Session,
    described: &Described,
    input: Input,
    progress: Progress,
) -> Result<(), Failure> {
    let (path, uploaded) = match input {
        Input::File(found) => {
            let source = Source::File(found.path.clone());
            let metadata = described.named(Some(found.name));
            (
                found.path,
                upload(session, Upload { source, metadata }, &progress).await,
            )
        }
        Input::Stdin(name) => (
            PathBuf::from("-"),
            upload_stdin(session, described.named(Some(name)), &progress).await,
        ),
    };
    let receipt = uploaded.map_err(|failure| Failure {
        message: format!("cannot upload {}", path.display()),
        ..failure
    })?;
    if receipt.degraded {
        session.ui.note(&format!(
            "{}: stored on fewer nodes than it should be",
            receipt.id
        ));
    }
    let text = || format!("{}\t{}", receipt.id, receipt.filename);
    session.ui.data(
        &Uploaded {
            path: path.to_string_lossy(),
            receipt: &receipt,
        },
        text,
    )?;
    Ok(())
}

async fn upload(
    session: &Session,
    upload: Upload,
    progress: &Progress,
) -> Result<Receipt, Failure> {
    let size = upload.source.size().await.ok();
    progress.begin(upload.metadata.filename.as_deref().unwrap_or("-"), size);
    session
        .client
        .upload(&upload, &progress.meter)
        .await
        .map_err(|error| failed(&error))
}

async fn upload_stdin(
    session: &Session,
    metadata: Metadata,
    progress: &Progress,
) -> Result<Receipt, Failure> {
    let mut stdin = tokio::io::stdin();
    let mut kept = BytesMut::with_capacity(STDIN_PIECE_BYTES);
    loop {
        let read = stdin.read_buf(&mut kept).await.map_err(|error| {
            Failure::new(Kind::Local, format!("cannot read standard input: {error}"))
        })?;
        if read == 0 {
            let source = Source::Memory(kept.freeze());
            return upload(session, Upload { source, metadata }, progress).await;
        }
        if kept.len() >= STDIN_KEPT_BYTES {
            break;
        }
        kept.reserve(STDIN_PIECE_BYTES);
    }
    progress.begin(metadata.filename.as_deref().unwrap_or("-"), None);
    let first = stream::once(async move { Ok(kept.freeze()) });
    let all = first.chain(pieces(stdin));
    let sent = session
        .client
        .upload_stream(&metadata, all, &progress.meter)
        .await;
    sent.map_err(|error| match error {
        UploadError::Source(_) => failed(&error),
        _ => failed(&error).with_hint(
            "a stream of more than 8 MiB cannot be sent again by itself; \
             run the command once more, or upload a file",
        ),
    })
}

fn pieces(stdin: tokio::io::Stdin) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::unfold(Some(stdin), |stdin| async {
        let mut stdin = stdin?;
        let mut piece = BytesMut::with_capacity(STDIN_PIECE_BYTES);
        match stdin.read_buf(&mut piece).await {
            Ok(0) => None,
            Ok(_) => Some((Ok(piece.freeze()), Some(stdin))),
            Err(error) => Some((Err(error), None)),
        }
    })
}

fn failed<E: Caused + std::error::Error>(error: &E) -> Failure {
    Failure::caused("cannot upload", error)
}
