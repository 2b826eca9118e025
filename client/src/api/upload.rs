//! Uploads: of what can be read again, with retries under one id; and of what cannot, as long as all
//! that was read of it is kept.

mod flow;
mod kept;
mod lead;

use std::io;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Method, RequestBuilder};
use wire::content::Receipt;
use wire::placement::Place;
use wire::{Checksum, Code, ContentId, ShardNo, routes};

use super::Client;
use super::error::RequestError;
use super::exchange::read_json;
use super::meter::Meter;
use super::retry::{Attempts, Remedy};
use super::source::{Source, SourceError};
use flow::Flow;
use kept::Kept;

pub(super) use flow::Pieces;
pub(super) use lead::Lately;

/// What is said of an upload beside its bytes. What is absent an update leaves as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The name it is stored under; its id if none.
    pub filename: Option<String>,
    /// Its media type; by the name's ending if none.
    pub content_type: Option<String>,
    /// The collection it joins.
    pub collection: Option<String>,
    /// The user's own attributes: the text of a JSON object.
    pub attributes: Option<String>,
}

/// One upload.
#[derive(Clone, Debug)]
pub struct Upload {
    /// The bytes.
    pub source: Source,
    /// What is said of them.
    pub metadata: Metadata,
}

/// Why an upload failed.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The bytes cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// No place to upload to.
    #[error("no place to upload to")]
    Place(#[source] RequestError),
    /// The node did not store it.
    #[error(transparent)]
    Store(RequestError),
    /// The node may have stored it; nobody answers for it now.
    #[error("whether {id} is stored is not known")]
    Uncertain {
        /// The id that it would be stored under.
        id: ContentId,
        /// The last failure.
        source: RequestError,
    },
    /// The node stored other bytes than those that were sent.
    #[error("{id} is stored with other bytes than were sent: {stored}, not {sent}")]
    Mismatch {
        /// The content.
        id: ContentId,
        /// The hash of what was read here.
        sent: Checksum,
        /// The hash in the receipt.
        stored: Checksum,
    },
}

impl Client {
    /// Uploads and returns the receipt, whose hash was compared with that of the bytes read.
    ///
    /// The hash is made while the bytes are sent, so none is sent along (`Repr-Digest`): a file is
    /// read once, and bytes that changed on their way are an error here ([`UploadError::Mismatch`]).
    ///
    /// Failures that may pass are retried. An attempt that may have been stored is repeated under
    /// its own id only, so that nothing is ever stored twice; one that certainly was not may go to
    /// another node under a new id. Dropping the future abandons the upload: nothing half-sent is
    /// ever visible, but a request that was sent whole may still be stored.
    ///
    /// # Errors
    /// When the bytes cannot be read, the cluster refuses, or patience ends.
    pub async fn upload(&self, upload: &Upload, meter: &Meter) -> Result<Receipt, UploadError> {
        let size = upload.source.size().await?;
        let mut target = Target::of(self.place(Some(size)).await.map_err(UploadError::Place)?);
        let mut attempts = self.attempts().reached();
        let mut uncertain = false;
        loop {
            let mut opened = upload.source.open(meter).await?;
            let request = self.request(Method::PUT, &target.url);
            let request = describe(request, &upload.metadata).header(CONTENT_LENGTH, opened.size);
            let (shard, body) = (target.id.shard(), opened.take_body());
            let sent = self.send_to_leader(request, &target.url, body, shard, &mut attempts);
            let error = match sent.await {
                Ok(receipt) => return verified(receipt, opened.checksum().await?),
                Err(error) => error,
            };
            if let Some(failure) = opened.failure() {
                return Err(failure.into());
            }
            uncertain |= error.may_have_changed();
            attempts.came_to(meter.bytes());
            let remedy = error.remedy();
            if remedy == Remedy::GiveUp || !attempts.again(&error).await {
                return Err(target.failed(error, uncertain));
            }
            target = self
                .next_target(target, &error, uncertain, Some(size))
                .await?;
        }
    }

    /// Uploads a stream of unknown length. It cannot be read again, but its first 8 MiB are kept: until more
    /// was read of it, failures are retried as those of [`Client::upload`].
    ///
    /// # Errors
    /// When the stream fails, the cluster refuses, the connection ends, or patience does.
    pub async fn upload_stream(
        &self,
        metadata: &Metadata,
        bytes: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
        meter: &Meter,
    ) -> Result<Receipt, UploadError> {
        let mut target = Target::of(self.place(None).await.map_err(UploadError::Place)?);
        let kept = Kept::new(bytes, meter);
        let mut attempts = self.attempts().reached();
        let mut uncertain = false;
        loop {
            let form = Form::new(metadata, target.id);
            let url = target.form_url();
            let request = self
                .request(Method::POST, &url)
                .header(CONTENT_TYPE, form.content_type());
            let body = form.body(kept.read()).boxed();
            let error = match self.send_body(request, &url, body, &Flow::new()).await {
                Ok(receipt) => return verified(receipt, kept.checksum()),
                Err(error) => error,
            };
            let repeatable = kept.end() && error.remedy() != Remedy::GiveUp;
            // A form that breaks off is never stored.
            if let Some(failure) = kept.failure() {
                return Err(failure.into());
            }
            uncertain |= error.may_have_changed();
            attempts.came_to(meter.bytes());
            if !repeatable || !attempts.again(&error).await {
                return Err(target.failed(error, uncertain));
            }
            target = self.next_target(target, &error, uncertain, None).await?;
        }
    }

    async fn next_target(
        &self,
        target: Target,
        error: &RequestError,
        uncertain: bool,
        size: Option<u64>,
    ) -> Result<Target, UploadError> {
        match error.remedy() {
            Remedy::Leader => {
                if let Some(leader) = error.leader() {
                    return Ok(target.at(leader));
                }
                Ok(self.leader_or_same(target).await)
            }
            // The id may be stored already: ask where it lives now, never for another one.
            Remedy::AnotherPlace | Remedy::Same if uncertain => {
                Ok(self.leader_or_same(target).await)
            }
            Remedy::AnotherPlace => self.another_place(size).await,
            // Nothing was stored: another shard has a leader now, this one may not for seconds.
            Remedy::Same if error.code() == Some(Code::NoLeader) => self.another_place(size).await,
            Remedy::Same | Remedy::GiveUp => Ok(target),
        }
    }

    async fn another_place(&self, size: Option<u64>) -> Result<Target, UploadError> {
        let place = self.place(size).await;
        place.map(Target::of).map_err(UploadError::Place)
    }

    async fn leader_or_same(&self, target: Target) -> Target {
        match self.leader(target.id.shard()).await {
            Ok(leader) => target.at(&leader),
            Err(_) => target,
        }
    }

    /// Sends a request with this body to whoever leads the shard and reads its receipt, for as long as
    /// something moves, or no other node is known to lead.
    pub(super) async fn send_to_leader(
        &self,
        request: RequestBuilder,
        url: &str,
        body: Pieces,
        shard: ShardNo,
        attempts: &mut Attempts<'_>,
    ) -> Result<Receipt, RequestError> {
        let flow = Flow::new();
        let sent = self.send_body(request, url, body, &flow);
        if attempts.has_left(url) {
            return sent.await;
        }
        tokio::select! {
            biased;
            outcome = sent => outcome,
            stalled = self.led_elsewhere(&flow, shard, url) => {
                attempts.leave(url);
                Err(stalled)
            }
        }
    }

    /// Sends a request with this body and reads its receipt, for as long as something moves.
    async fn send_body(
        &self,
        request: RequestBuilder,
        url: &str,
        body: Pieces,
        flow: &Flow,
    ) -> Result<Receipt, RequestError> {
        let request = request.body(reqwest::Body::wrap_stream(flow.watch(body)));
        let exchange = async { read_json(self.send(request, url).await?, url).await };
        flow.or_stalled(exchange, url).await
    }
}

/// Where one attempt goes.
struct Target {
    url: String,
    id: ContentId,
}

impl Target {
    fn of(place: Place) -> Self {
        Target {
            url: format!("{}/{}", place.uri.trim_end_matches('/'), place.id),
            id: place.id,
        }
    }

    fn at(self, leader: &str) -> Self {
        let url = routes::store(leader.trim_end_matches('/'), self.id);
        Target { url, id: self.id }
    }

    /// Where a form goes, which names the id itself.
    fn form_url(&self) -> String {
        let store = self.url.strip_suffix(&self.id.to_string());
        store.unwrap_or(&self.url).trim_end_matches('/').to_owned()
    }

    fn failed(self, error: RequestError, uncertain: bool) -> UploadError {
        if uncertain {
            UploadError::Uncertain {
                id: self.id,
                source: error,
            }
        } else {
            UploadError::Store(error)
        }
    }
}

/// Adds metadata to a request whose body is the bytes alone.
pub(super) fn describe(request: RequestBuilder, metadata: &Metadata) -> RequestBuilder {
    let mut query = Vec::new();
    query.extend(metadata.filename.as_deref().map(|name| ("filename", name)));
    query.extend(
        metadata
            .collection
            .as_deref()
            .map(|name| ("collection", name)),
    );
    query.extend(
        metadata
            .attributes
            .as_deref()
            .map(|text| ("attributes", text)),
    );
    let request = request.query(&query);
    match metadata.media_type() {
        Some(media_type) => request.header(CONTENT_TYPE, media_type),
        None => request,
    }
}

fn verified(receipt: Receipt, sent: Checksum) -> Result<Receipt, UploadError> {
    if receipt.checksum == sent {
        Ok(receipt)
    } else {
        Err(UploadError::Mismatch {
            id: receipt.id,
            sent,
            stored: receipt.checksum,
        })
    }
}

impl Metadata {
    /// The media type: the given one, or the one that the name's ending suggests.
    pub fn media_type(&self) -> Option<String> {
        let by_ending = |name: &String| mime_guess::from_path(name).first_or_octet_stream();
        let guess = || {
            self.filename
                .as_ref()
                .map(|name| by_ending(name).to_string())
        };
        self.content_type.clone().or_else(guess)
    }
}

/// A multipart body of one file, of which the length is not known beforehand.
struct Form {
    boundary: String,
    head: String,
}

impl Form {
    fn new(metadata: &Metadata, id: ContentId) -> Self {
        // 128 random bits: no content can be made to contain them.
        let boundary = format!("acequia-{:032x}", rand::random::<u128>());
        let mut head = String::new();
        let fields = [
            ("id", Some(id.to_string())),
            ("collection", metadata.collection.clone()),
            ("attributes", metadata.attributes.clone()),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                head += &format!(
                    "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
                );
            }
        }
        head += &format!("--{boundary}\r\nContent-Disposition: form-data; name=\"file\"");
        if let Some(name) = &metadata.filename {
            head += &format!("; filename=\"{}\"", quoted(name));
        }
        if let Some(media_type) = metadata.media_type() {
            head += &format!("\r\nContent-Type: {media_type}");
        }
        head += "\r\n\r\n";
        Form { boundary, head }
    }

    fn content_type(&self) -> String {
        format!("multipart/form-data; boundary={}", self.boundary)
    }

    fn body(
        self,
        file: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        let tail = format!("\r\n--{}--\r\n", self.boundary);
        let piece = |text: String| stream::once(async move { Ok(Bytes::from(text)) });
        piece(self.head).chain(file).chain(piece(tail))
    }
}

/// A file name inside quotes, as RFC 9110 quotes strings; control characters are refused before.
fn quoted(name: &str) -> String {
    name.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::ShardNo;

    fn id() -> ContentId {
        ContentId::mint(ShardNo(3), 1_769_860_800_123, 9)
    }

    fn named(filename: &str) -> Metadata {
        Metadata {
            filename: Some(filename.to_owned()),
            ..Metadata::default()
        }
    }

    // If this fails, standard input is refused as a malformed form, or stored under another name.
    #[tokio::test]
    async fn a_stream_becomes_one_form_with_the_id_first() {
        let mut metadata = named("a \"b\\c\".txt");
        metadata.collection = Some("docs".to_owned());
        let form = Form::new(&metadata, id());
        let boundary = form.boundary.clone();
        let file = stream::iter([
            Ok(Bytes::from_static(b"one")),
            Ok(Bytes::from_static(b"two")),
        ]);
        let pieces: Vec<_> = form
            .body(file)
            .map(|piece| piece.expect("a piece"))
            .collect()
            .await;
        let text = String::from_utf8(pieces.concat()).expect("text");
        let expected = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"id\"\r\n\r\n{}\r\n\
             --{boundary}\r\nContent-Disposition: form-data; name=\"collection\"\r\n\r\ndocs\r\n\
             --{boundary}\r\nContent-Disposition: form-data; name=\"file\"; \
             filename=\"a \\\"b\\\\c\\\".txt\"\r\nContent-Type: text/plain\r\n\r\n\
             onetwo\r\n--{boundary}--\r\n",
            id()
        );
        assert_eq!(text, expected);
    }

    // If this fails, browsers show stored pictures as garbage.
    #[test]
    fn the_media_type_is_the_given_one_or_the_ending_s() {
        assert_eq!(named("a.png").media_type().as_deref(), Some("image/png"));
        assert_eq!(Metadata::default().media_type(), None);
        let given = Metadata {
            content_type: Some("text/x".to_owned()),
            ..named("a.png")
        };
        assert_eq!(given.media_type().as_deref(), Some("text/x"));
    }

    // If this fails, bytes that were damaged on the way count as stored.
    #[test]
    fn a_receipt_for_other_bytes_is_an_error() {
        let receipt = Receipt {
            id: id(),
            message: String::new(),
            filename: "a".to_owned(),
            version: 1,
            size: 3,
            checksum: Checksum([1; 32]),
            nodes: vec![],
            degraded: false,
            status: wire::content::Status::Ok,
        };
        assert!(verified(receipt.clone(), Checksum([1; 32])).is_ok());
        assert!(matches!(
            verified(receipt, Checksum([2; 32])),
            Err(UploadError::Mismatch { .. })
        ));
    }
}
