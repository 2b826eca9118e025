//! `GET` and `HEAD /retrieve/{id}`: contents on their way out.

mod disposition;
mod parts;
mod range;
mod stream;

use std::collections::VecDeque;
use std::sync::Arc;

use actix_web::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_RANGE, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, ETAG, LAST_MODIFIED, LOCATION, RANGE, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use rand::Rng;
use service::access::Need;
use store::{Content, OpenContent, ReadError};
use wire::{Code, ContentId, routes};

use super::error::ApiError;
use super::precondition::{self, Validators, Verdict};
use super::query::Query;
use super::{allow, content_id, frame};
use crate::driver::table::ReplicaView;
use crate::node::Node;
use crate::routing::Misrouted;
use disposition::Disposition;
use parts::Segment;
use range::Ranges;
use stream::{ContentBody, Unsent};

/// A content up to this size is answered in one piece.
const SMALL_BYTES: u64 = 256 * 1024;

/// The nodes that a reader was sent on from, because their copies are damaged.
const TRIED: &str = "tried";

/// Answers with a content, or with parts of it.
pub(super) async fn retrieve(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let node = frame::node(&request)?;
    allow(&node, &request, Need::Read)?;
    let id = content_id(&request)?;
    let query = Query::read(request.query_string())?;
    let replica = match node.find_reader(id).await {
        Ok(replica) => replica,
        Err(misrouted) => return elsewhere(misrouted, &request),
    };
    let content = match open(Arc::clone(&replica), id).await? {
        Ok(content) => content,
        Err(error) => return another_copy(&node, &request, &replica, (id, &query, error)),
    };
    if let Some(error) = content.known_damage()
        && let Ok(answer) = another_copy(&node, &request, &replica, (id, &query, error))
    {
        return Ok(answer);
    }
    let wanted = match Wanted::read(&query, content.content()) {
        // A follower may be behind: only the leader knows which version there is not.
        Err(error) if error.code == Code::NotFound && !replica.is_leading() => {
            return another_copy(&node, &request, &replica, (id, &query, ReadError::NotFound));
        }
        wanted => wanted?,
    };
    match deliver(&node, &request, content, &wanted).await {
        // Its bytes are not what they were, or the disk does not give them.
        Err(error) if matches!(error.code, Code::Damaged | Code::Internal) => {
            let unreadable = known_damage();
            another_copy(&node, &request, &replica, (id, &query, unreadable)).or(Err(error))
        }
        other => other,
    }
}

fn known_damage() -> ReadError {
    let what = "a record of it cannot be read".to_owned();
    ReadError::Damaged { what }
}

/// What a request wants beside the content.
struct Wanted {
    disposition: Disposition,
    /// The version was named, so the answer never changes.
    immutable: bool,
}

impl Wanted {
    fn read(query: &Query, content: &Content) -> Result<Self, ApiError> {
        let version = query.number("version")?;
        if version.is_some_and(|version| version != content.version) {
            let message = format!("the content is at version {}", content.version);
            return Err(ApiError::new(Code::NotFound, message));
        }
        let disposition = match query.flag("download")? {
            true => Disposition::Attachment,
            false => Disposition::Inline,
        };
        Ok(Wanted {
            disposition,
            immutable: version.is_some(),
        })
    }
}

/// A read at the wrong node is sent on.
pub(super) fn elsewhere(
    misrouted: Misrouted,
    request: &HttpRequest,
) -> Result<HttpResponse, ApiError> {
    match misrouted {
        Misrouted::Elsewhere(leader) => {
            let target = request
                .uri()
                .path_and_query()
                .map_or("/", |target| target.as_str());
            Ok(HttpResponse::TemporaryRedirect()
                .insert_header((LOCATION, format!("{leader}{target}")))
                .finish())
        }
        other => Err(ApiError::misrouted(other, Code::NotFound)),
    }
}

async fn open(
    replica: Arc<ReplicaView>,
    id: ContentId,
) -> Result<Result<Arc<OpenContent>, ReadError>, ApiError> {
    if let Some(opened) = replica.reader.open_cached(id).transpose() {
        return Ok(opened.map(Arc::new));
    }
    let opened = tokio::task::spawn_blocking(move || replica.reader.open(id)).await;
    let opened = opened.map_err(|error| ApiError::internal(&error))?;
    Ok(opened.map(Arc::new))
}

/// What cannot be read here may be readable elsewhere: what a follower does not know its leader
/// may know, and a damaged content has other copies. Each is asked once.
pub(super) fn another_copy(
    node: &Node,
    request: &HttpRequest,
    replica: &ReplicaView,
    (id, query, error): (ContentId, &Query, ReadError),
) -> Result<HttpResponse, ApiError> {
    match &error {
        ReadError::NotFound | ReadError::Deleted if !replica.is_leading() => {
            let tried = query.get(TRIED)?.unwrap_or_default();
            let leader = replica.record.as_ref().and_then(|r| r.leader.as_ref());
            let leader = leader.map(|leader| leader.member.node.as_str());
            // The leader cannot tell, because a record that may be this one's is damaged there.
            if leader.is_some_and(|leader| tried.split(',').any(|name| name == leader)) {
                let what = "its leader, which alone can tell, has damage".to_owned();
                return Err(ReadError::Damaged { what }.into());
            }
            elsewhere(node.misrouted(id), request)
        }
        ReadError::Damaged { .. } | ReadError::Disk(_) => {
            if let ReadError::Disk(error) = &error {
                tracing::error!(%id, %error, "a copy cannot be read");
            }
            let tried = query.get(TRIED)?.unwrap_or_default();
            let names: Vec<&str> = tried.split(',').collect();
            let Some(base) = node.other_copy(id, &names) else {
                return Err(error.into());
            };
            let mut target = format!("{}?{TRIED}={tried},{}", request.path(), node.name);
            for pair in request.query_string().split('&') {
                if !pair.is_empty() && !pair.starts_with(TRIED) {
                    target = format!("{target}&{pair}");
                }
            }
            let location = (LOCATION, format!("{base}{target}"));
            Ok(HttpResponse::TemporaryRedirect()
                .insert_header(location)
                .finish())
        }
        _ => Err(error.into()),
    }
}

async fn deliver(
    node: &Node,
    request: &HttpRequest,
    open: Arc<OpenContent>,
    wanted: &Wanted,
) -> Result<HttpResponse, ApiError> {
    let content = open.content();
    let validators = Validators {
        checksum: content.checksum,
        updated_ms: content.updated_ms,
        version: content.version,
    };
    match precondition::evaluate(request.headers(), &validators) {
        Verdict::Proceed => {}
        Verdict::NotModified => {
            let mut response = HttpResponse::NotModified();
            describe(&mut response, content, wanted, node);
            return Ok(response.finish());
        }
        Verdict::Failed => {
            let message = format!("the current version's hash is {}", content.checksum);
            return Err(ApiError::new(Code::PreconditionFailed, message));
        }
    }
    let layout = Layout::of(request, content, &validators)?;
    let mut response = HttpResponse::build(layout.status);
    describe(&mut response, content, wanted, node);
    response.insert_header((CONTENT_TYPE, layout.content_type));
    if let Some(range) = layout.content_range {
        response.insert_header((CONTENT_RANGE, range));
    }
    if request.method() == Method::HEAD {
        return Ok(response.body(Unsent(parts::length(&layout.segments))));
    }
    if let Some(part) = layout.small {
        let bytes = read_small(open, part).await?;
        node.metrics.bytes_out.inc_by(bytes.len() as u64);
        return Ok(response.body(bytes));
    }
    let metrics = Arc::clone(&node.metrics);
    Ok(response.body(ContentBody::new(open, metrics, layout.segments)))
}

/// The headers of every answer that has, or stands for, the content.
fn describe(response: &mut HttpResponseBuilder, content: &Content, wanted: &Wanted, node: &Node) {
    let cache = match (wanted.immutable, node.access.is_public()) {
        (true, true) => "public, max-age=31536000, immutable",
        (true, false) => "private, max-age=31536000, immutable",
        (false, _) => "no-cache",
    };
    response
        .insert_header((ETAG, precondition::etag(&content.checksum)))
        .insert_header((LAST_MODIFIED, precondition::http_date(content.updated_ms)))
        .insert_header((ACCEPT_RANGES, "bytes"))
        .insert_header((CACHE_CONTROL, cache))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((CONTENT_SECURITY_POLICY, "sandbox"))
        .insert_header((
            CONTENT_DISPOSITION,
            disposition::write(wanted.disposition, &content.filename),
        ))
        .insert_header((routes::VERSION_HEADER, content.version));
}

/// Which bytes an answer has, and how it calls them.
struct Layout {
    status: StatusCode,
    content_type: String,
    content_range: Option<String>,
    segments: VecDeque<Segment>,
    /// The one part that it has, if that is small.
    small: Option<std::ops::Range<u64>>,
}

impl Layout {
    fn of(
        request: &HttpRequest,
        content: &Content,
        validators: &Validators,
    ) -> Result<Self, ApiError> {
        // Ranges are defined for GET alone.
        let header = request
            .headers()
            .get(RANGE)
            .filter(|_| request.method() == Method::GET)
            .and_then(|value| value.to_str().ok());
        let ranges = match header {
            Some(header) if precondition::range_applies(request.headers(), validators) => {
                range::read(header, content.size)
            }
            _ => Ranges::Whole,
        };
        match ranges {
            Ranges::Whole => Ok(Layout::single(StatusCode::OK, 0..content.size, content)),
            Ranges::Unsatisfiable => Err(ApiError::unsatisfiable(content.size)),
            Ranges::Parts(parts) => match &parts[..] {
                [part] => {
                    let range = parts::content_range(part, content.size);
                    let layout = Layout::single(StatusCode::PARTIAL_CONTENT, part.clone(), content);
                    Ok(Layout {
                        content_range: Some(range),
                        ..layout
                    })
                }
                parts => Ok(Layout::several(parts, content)),
            },
        }
    }

    fn single(status: StatusCode, part: std::ops::Range<u64>, content: &Content) -> Self {
        Layout {
            status,
            content_type: content.content_type.clone(),
            content_range: None,
            small: Some(part.clone()).filter(|part| part.end - part.start <= SMALL_BYTES),
            segments: [Segment::Slice(part)].into(),
        }
    }

    fn several(parts: &[std::ops::Range<u64>], content: &Content) -> Self {
        let boundary = format!("{:032x}", rand::rng().random::<u128>());
        Layout {
            status: StatusCode::PARTIAL_CONTENT,
            content_type: format!("multipart/byteranges; boundary={boundary}"),
            content_range: None,
            segments: parts::byteranges(parts, content.size, &content.content_type, &boundary),
            small: None,
        }
    }
}

/// Reads a small part whole: at once if it is in the page cache, else on the blocking pool.
async fn read_small(
    content: Arc<OpenContent>,
    part: std::ops::Range<u64>,
) -> Result<Bytes, ApiError> {
    if let Some(bytes) = collect(&part, |offset, most| content.read_cached(offset, most))? {
        return Ok(bytes);
    }
    let read = move || collect(&part, |offset, most| content.read(offset, most).map(Some));
    let bytes = tokio::task::spawn_blocking(read).await;
    Ok(bytes
        .map_err(|error| ApiError::internal(&error))??
        .unwrap_or_default())
}

/// Reads a part piece by piece; none if a piece would have to be waited for.
fn collect(
    part: &std::ops::Range<u64>,
    read: impl Fn(u64, usize) -> Result<Option<Bytes>, ReadError>,
) -> Result<Option<Bytes>, ReadError> {
    let mut whole = Vec::new();
    let mut offset = part.start;
    while offset < part.end {
        let left = usize::try_from(part.end - offset).unwrap_or(usize::MAX);
        let Some(piece) = read(offset, left)? else {
            return Ok(None);
        };
        // Nearly always there is one piece, which goes as it is.
        if piece.len() == left && whole.is_empty() {
            return Ok(Some(piece));
        }
        offset += piece.len() as u64;
        whole.extend_from_slice(&piece);
    }
    Ok(Some(whole.into()))
}
