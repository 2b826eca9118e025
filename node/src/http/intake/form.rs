//! Uploads as `multipart/form-data`, one file or many.
//!
//! A file is committed only when the boundary after it was read: a body that is cut short leaves
//! nothing of its last file. Commits run while the next file is received.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use actix_multipart::{Field, Multipart, MultipartError};
use actix_web::error::PayloadError;
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::{HttpMessage, HttpRequest};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use tokio::task::JoinHandle;
use wire::content::Receipt;
use wire::limits::{ATTRIBUTES_BYTES_MAX, FILES_PER_REQUEST_MAX, REFUSED_BODY_BYTES_MAX};
use wire::{Checksum, Code, ContentId};

use super::body::{self, Body};
use super::names::Names;
use super::part_lengths::{CLAIMED, Renaming};
use super::target::{self, Intent, Target};
use crate::driver::command::Wait;
use crate::driver::upload::{Described, Expected, Upload};
use crate::http::error::ApiError;
use crate::http::frame;
use crate::http::query::Query;
use crate::node::Node;

/// Commits of one request that run at once, of small files: enough to share a sync, a round to the
/// followers and a transaction of the catalog, few enough that some dozens of forms leave room for other
/// uploads.
const COMMITS_MAX: usize = 32;

/// Bytes that these may hold; some commits run whatever they hold, as large files are on disk by then.
const COMMITTING_BYTES_MAX: u64 = 4 << 20;

/// Commits that run at once whatever they hold.
const COMMITS_ALWAYS: usize = 8;

/// A field that is not a file: an id, a name, attributes with their quotes.
const FIELD_BYTES_MAX: usize = ATTRIBUTES_BYTES_MAX + 1024;

/// What became of each file of a form, in order.
pub(in crate::http) type Outcomes = Vec<Result<Receipt, ApiError>>;

/// A form that is being read.
pub(in crate::http) struct Form {
    node: Arc<Node>,
    request: HttpRequest,
    intent: Intent,
    wait: Wait,
    /// The content that the path names.
    named: Option<ContentId>,
    /// What the fields said of the files after them.
    id: Option<ContentId>,
    collection: Option<String>,
    attributes: Option<String>,
    files: usize,
    /// The last file, until the boundary after it was read.
    received: Option<Received>,
    commits: Commits,
    outcomes: Outcomes,
}

/// Why a form is not read to its end.
enum Stop {
    /// The last outcome says it already.
    Told,
    /// This is the outcome of the file that it happened in.
    Because(ApiError),
}

impl From<ApiError> for Stop {
    fn from(error: ApiError) -> Self {
        Stop::Because(error)
    }
}

struct Received {
    id: ContentId,
    upload: Upload,
    checksum: Checksum,
    described: Described,
}

impl Form {
    /// A form that makes contents or replaces one; `id` is that of the path, for the first file.
    ///
    /// # Errors
    /// When the request's query cannot be read.
    pub(in crate::http) fn new(
        node: &Arc<Node>,
        request: &HttpRequest,
        intent: Intent,
        id: Option<ContentId>,
    ) -> Result<Self, ApiError> {
        let query = Query::read(request.query_string())?;
        Ok(Form {
            node: Arc::clone(node),
            request: request.clone(),
            intent,
            wait: target::wait(&query)?,
            named: id,
            id,
            collection: query.get("collection")?.map(str::to_owned),
            attributes: None,
            files: 0,
            received: None,
            commits: Commits::default(),
            outcomes: Vec::new(),
        })
    }

    /// Reads the form to its end. A file's own failure is its outcome, and the next one is read;
    /// when nothing more can be read of the form, that is the outcome of the file it happened in.
    ///
    /// # Errors
    /// When the form has no file, or breaks before its first.
    pub(in crate::http) async fn receive(mut self, body: Body) -> Result<Outcomes, ApiError> {
        let body = Rc::new(RefCell::new(body));
        let stream = Shared::new(&body, &self.request);
        let mut parts = Multipart::new(self.request.headers(), stream);
        let end = self.read(&mut parts).await;
        drop(parts);
        if end.is_err() {
            self.received = None;
            if let Some(body) = Rc::into_inner(body) {
                body.into_inner().drain().await;
            }
        }
        self.await_all().await;
        match end {
            Ok(()) if self.files == 0 => {
                Err(ApiError::new(Code::NoFile, "the form has no field `file`"))
            }
            Ok(()) | Err(Stop::Told) => Ok(self.outcomes),
            Err(Stop::Because(error)) if self.outcomes.is_empty() => Err(error),
            Err(Stop::Because(error)) => {
                self.outcomes.push(Err(error));
                Ok(self.outcomes)
            }
        }
    }

    async fn read(&mut self, parts: &mut Multipart) -> Result<(), Stop> {
        while let Some(field) = parts.next().await {
            let mut field = field.map_err(broken)?;
            self.commit_received().await;
            match field.name() {
                Some("file") => self.read_file(&mut field).await?,
                _ => self.read_field(&mut field).await?,
            }
        }
        self.commit_received().await;
        Ok(())
    }

    /// Takes what a field says of the files after it.
    async fn read_field(&mut self, field: &mut Field) -> Result<(), ApiError> {
        match field.name() {
            Some("id") => self.read_id(&text(field, "id").await?)?,
            Some("collection") => self.collection = Some(text(field, "collection").await?),
            Some("attributes") => self.attributes = Some(text(field, "attributes").await?),
            // A form may hold what is not for us, such as its button.
            _ => drop(text(field, "a field").await?),
        }
        Ok(())
    }

    fn read_id(&mut self, text: &str) -> Result<(), ApiError> {
        let id = text.parse()?;
        if self.named.is_some_and(|named| named != id) {
            let message = "the field `id` names another content than the path";
            return Err(ApiError::malformed(message));
        }
        self.id = Some(id);
        Ok(())
    }

    async fn read_file(&mut self, field: &mut Field) -> Result<(), Stop> {
        self.files += 1;
        let most = match self.intent {
            Intent::Create => FILES_PER_REQUEST_MAX,
            Intent::Replace => 1,
        };
        if self.files > most {
            let message = format!("this request takes at most {most} files");
            return Err(ApiError::malformed(message).into());
        }
        match self.store_file(field).await {
            Ok(received) => self.received = Some(received),
            Err(error) if ends_the_form(error.code) => return Err(error.into()),
            Err(error) => {
                // Outcomes are in the order of the files.
                self.await_all().await;
                self.outcomes.push(Err(error));
                skip(field).await?;
            }
        }
        Ok(())
    }

    async fn store_file(&mut self, field: &mut Field) -> Result<Received, ApiError> {
        let id = match (self.id.take(), self.intent) {
            (Some(id), _) => id,
            (None, Intent::Create) => self.node.mint().ok_or_else(|| {
                ApiError::new(
                    Code::NoLeader,
                    "no shard here takes new content at this moment",
                )
            })?,
            (None, Intent::Replace) => {
                return Err(ApiError::malformed("a field `id` must precede the file"));
            }
        };
        let target = Target::settle(&self.node, self.intent, id, self.request.headers()).await?;
        let names = Names {
            collection: self.collection.clone(),
            attributes: self.attributes.clone(),
            ..Names::of_headers(field.headers())?
        };
        let described = names.describe(&id, target.replaced.as_ref())?;
        let claimed = claimed(field)?;
        let expected = Expected {
            length: claimed.or_else(|| self.announced()),
            ..Expected::default()
        };
        let mut upload = Upload::begin(&self.node.handle, id, target.how, &expected)?;
        while let Some(piece) = field.next().await {
            upload.push(&piece.map_err(broken)?).await?;
        }
        if claimed.is_some_and(|claimed| claimed != upload.size()) {
            let message = "a part's length is another one than its header says";
            return Err(ApiError::new(Code::MalformedMultipart, message));
        }
        let checksum = upload.end(&expected).await?;
        Ok(Received {
            id,
            upload,
            checksum,
            described,
        })
    }

    /// How long the file will be, about, when it claims nothing itself: the whole request for the
    /// first file, which is right when it is the only one.
    fn announced(&self) -> Option<u64> {
        let header = self.request.headers().get(CONTENT_LENGTH);
        let length = header.filter(|_| self.files == 1)?;
        length.to_str().ok()?.parse().ok()
    }

    /// The boundary after the last file was read: the file is whole, and may become visible.
    async fn commit_received(&mut self) {
        let Some(received) = self.received.take() else {
            return;
        };
        let size = received.upload.size();
        while !self.commits.have_room(size)
            && let Some(outcome) = self.commits.oldest().await
        {
            self.outcomes.push(outcome);
        }
        let (node, request) = (Arc::clone(&self.node), self.request.clone());
        let (intent, wait) = (self.intent, self.wait);
        let commit = actix_web::rt::spawn(async move {
            let Received {
                id,
                upload,
                checksum,
                described,
            } = received;
            let ack = upload.commit(checksum, described, wait).await;
            match ack {
                Ok(ack) => Ok(frame::receipt(
                    &node,
                    &request,
                    id,
                    ack,
                    target::done(intent),
                )),
                Err(failure) => Err(ApiError::refused(&node, id, failure).await),
            }
        });
        self.commits.push(commit, size);
    }

    async fn await_all(&mut self) {
        while let Some(outcome) = self.commits.oldest().await {
            self.outcomes.push(outcome);
        }
    }
}

/// Commits that run, in the order of their files.
#[derive(Default)]
struct Commits {
    running: VecDeque<(Commit, u64)>,
    bytes: u64,
}

type Commit = JoinHandle<Result<Receipt, ApiError>>;

impl Commits {
    fn have_room(&self, size: u64) -> bool {
        let count = self.running.len();
        let is_little = self.bytes.saturating_add(size) <= COMMITTING_BYTES_MAX;
        count < COMMITS_ALWAYS || (count < COMMITS_MAX && is_little)
    }

    fn push(&mut self, commit: Commit, size: u64) {
        self.bytes = self.bytes.saturating_add(size);
        self.running.push_back((commit, size));
    }

    /// Waits for the oldest; none if none runs.
    async fn oldest(&mut self) -> Option<Result<Receipt, ApiError>> {
        let (commit, size) = self.running.pop_front()?;
        self.bytes = self.bytes.saturating_sub(size);
        let outcome = commit.await;
        Some(outcome.unwrap_or_else(|error| Err(ApiError::internal(&error))))
    }
}

/// Whether a file's failure is the whole request's: the connection is in trouble, or every other
/// file would meet the same.
fn ends_the_form(code: Code) -> bool {
    matches!(
        code,
        Code::MalformedMultipart
            | Code::BodyCutShort
            | Code::TooSlow
            | Code::TooLarge
            | Code::StorageFull
            | Code::Overloaded
            | Code::NoLeader
            | Code::Uncertain
            | Code::Internal
    )
}

/// Reads a field that is not a file.
async fn text(field: &mut Field, name: &str) -> Result<String, ApiError> {
    let mut bytes = BytesMut::new();
    while let Some(piece) = field.next().await {
        let piece = piece.map_err(broken)?;
        if bytes.len() + piece.len() > FIELD_BYTES_MAX {
            let message = format!("{name} has at most {FIELD_BYTES_MAX} bytes");
            return Err(ApiError::new(Code::TooLarge, message));
        }
        bytes.extend_from_slice(&piece);
    }
    String::from_utf8(bytes.into()).map_err(|_| ApiError::malformed(format!("{name} is not UTF-8")))
}

/// Drops the rest of a refused file, so that the next one can be read. When that cannot be reached,
/// there is nothing more to say: the file has its outcome, and whether another follows is not known.
async fn skip(field: &mut Field) -> Result<(), Stop> {
    let mut dropped = 0;
    while let Some(piece) = field.next().await {
        dropped += piece.map_err(|_| Stop::Told)?.len();
        if dropped > REFUSED_BODY_BYTES_MAX {
            return Err(Stop::Told);
        }
    }
    Ok(())
}

/// A body on its way to the parser, that can still be drained when the parser has given up on it.
struct Shared {
    body: Rc<RefCell<Body>>,
    renaming: Renaming,
    ended: bool,
}

impl Shared {
    fn new(body: &Rc<RefCell<Body>>, request: &HttpRequest) -> Self {
        let kind = request.mime_type().ok().flatten();
        let boundary = kind.as_ref().and_then(|kind| kind.get_param("boundary"));
        Shared {
            body: Rc::clone(body),
            renaming: Renaming::new(boundary.map(|boundary| boundary.as_str())),
            ended: false,
        }
    }
}

impl Stream for Shared {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while !self.ended {
            let next = ready!(Pin::new(&mut *self.body.borrow_mut()).poll_next(cx));
            let passed = match next {
                Some(Ok(piece)) => self.renaming.push(&piece),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    self.ended = true;
                    self.renaming.end()
                }
            };
            if !passed.is_empty() {
                return Poll::Ready(Some(Ok(passed)));
            }
        }
        Poll::Ready(None)
    }
}

/// The length that a part claims for itself.
fn claimed(field: &Field) -> Result<Option<u64>, ApiError> {
    let Some(claim) = field.headers().get(CLAIMED) else {
        return Ok(None);
    };
    let length = claim
        .to_str()
        .ok()
        .and_then(|text| text.trim().parse().ok());
    let malformed = || ApiError::new(Code::MalformedMultipart, "a part's length is no number");
    length.map(Some).ok_or_else(malformed)
}

fn broken(error: MultipartError) -> ApiError {
    match error {
        MultipartError::Payload(error) => body::broken(error),
        error => ApiError::new(
            Code::MalformedMultipart,
            format!("the form is broken: {error}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commits(count: usize, size: u64) -> Commits {
        let mut commits = Commits::default();
        for _ in 0..count {
            assert!(commits.have_room(size), "{}", commits.running.len());
            let refused = || Err(ApiError::malformed("only for a test"));
            commits.push(actix_web::rt::spawn(async move { refused() }), size);
        }
        commits
    }

    // If this fails, the files of a form wait for each other's syncs, or a form holds whatever is sent
    // in memory.
    #[actix_web::test]
    async fn many_small_files_commit_at_once_and_few_large_ones() {
        let mut small = commits(COMMITS_MAX, 1024);
        assert!(!small.have_room(1));
        assert!(small.oldest().await.is_some());
        assert!(small.have_room(1024));

        let mut large = commits(COMMITS_ALWAYS, COMMITTING_BYTES_MAX);
        assert!(!large.have_room(1));
        for _ in 0..COMMITS_ALWAYS {
            assert!(large.oldest().await.is_some());
        }
        assert!(large.oldest().await.is_none());
        assert_eq!(large.bytes, 0);
    }
}
