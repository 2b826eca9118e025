//! Reads: a content's bytes as they come, resumed where a connection breaks off, checked at the end.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use reqwest::header::{CONTENT_RANGE, IF_MATCH, RANGE};
use reqwest::{Response, StatusCode};
use wire::content::ContentItem;
use wire::{Checksum, Code, ContentId, routes};

use super::catalog::etag;
use super::error::RequestError;
use super::exchange::lost;
use super::retry::Remedy;
use super::{Client, STALL_MAX};

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No node gives the bytes.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The content has another version by now: look it up again, with a `min_version`.
    #[error("{0} was updated meanwhile")]
    Changed(ContentId),
    /// The bytes are not those that were stored.
    #[error("{id} came with other bytes than are stored: {found}, not {stored}")]
    Mismatch {
        /// The content.
        id: ContentId,
        /// The hash in the catalog.
        stored: Checksum,
        /// The hash of what came.
        found: Checksum,
    },
}

/// What is here already of a content: the hash state and the number of its first bytes.
#[derive(Clone, Debug, Default)]
pub struct Prefix {
    /// The hash of these bytes, not finished.
    pub hasher: blake3::Hasher,
    /// Their number.
    pub bytes: u64,
}

type Pieces = Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>;

/// A read under way.
pub struct Reading {
    client: Client,
    item: ContentItem,
    nodes: VecDeque<String>,
    url: String,
    pieces: Option<Pieces>,
    prefix: Prefix,
    skip: u64,
    begun: bool,
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading")
            .field("id", &self.item.row.id)
            .field("url", &self.url)
            .field("position", &self.prefix.bytes)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Reads the version that `item` describes, after the bytes that are here already. Nothing is
    /// sent before the first [`Reading::next`].
    pub fn read(&self, item: ContentItem, prefix: Prefix) -> Reading {
        let mut nodes: VecDeque<String> = item.uris.iter().cloned().collect();
        if !item.uri.is_empty() && !nodes.contains(&item.uri) {
            nodes.push_front(item.uri.clone());
        }
        let client = self.clone();
        let (url, pieces, skip, begun) = (String::new(), None, 0, false);
        Reading {
            client,
            item,
            nodes,
            url,
            pieces,
            prefix,
            skip,
            begun,
        }
    }
}

impl Reading {
    /// How many bytes of the content are known.
    pub fn position(&self) -> u64 {
        self.prefix.bytes
    }

    /// The next bytes; none at the end, after the hash of the whole was compared. A connection
    /// that breaks off is resumed by range, at another copy if there is one, for as long as bytes
    /// come. Cancelling loses no position.
    ///
    /// # Errors
    /// When no copy can be read, the content was updated meanwhile, or the hash differs.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        let client = self.client.clone();
        let mut attempts = client.attempts().reached();
        while !self.is_complete() {
            let error = match self.piece().await {
                Ok(Some(bytes)) => return Ok(Some(bytes)),
                Ok(None) => continue,
                Err(error) => error,
            };
            self.pieces = None;
            let changed = Some(Code::PreconditionFailed);
            if error.code() == changed {
                return Err(ReadError::Changed(self.item.row.id));
            }
            if error.remedy() == Remedy::GiveUp || !attempts.again(&error).await {
                return Err(error.into());
            }
            self.turn_to_another_copy().await;
        }
        self.verify()
    }

    fn is_complete(&self) -> bool {
        self.prefix.bytes == self.item.row.size && (self.begun || self.prefix.bytes > 0)
    }

    fn verify(&self) -> Result<Option<Bytes>, ReadError> {
        let found = Checksum(self.prefix.hasher.finalize().into());
        let (id, stored) = (self.item.row.id, self.item.row.checksum);
        if found == stored {
            Ok(None)
        } else {
            Err(ReadError::Mismatch { id, stored, found })
        }
    }

    /// The next bytes of the open connection, opening one first where there is none; none when
    /// what came had been here before, or when a new connection is open.
    async fn piece(&mut self) -> Result<Option<Bytes>, RequestError> {
        let Some(pieces) = &mut self.pieces else {
            self.open().await?;
            return Ok(None);
        };
        let stalled = || RequestError::Stalled {
            url: self.url.clone(),
            after: STALL_MAX,
        };
        let next = tokio::time::timeout(STALL_MAX, pieces.next())
            .await
            .map_err(|_| stalled())?;
        let mut bytes = match next {
            Some(Ok(bytes)) => bytes,
            Some(Err(source)) => return Err(lost(source, &self.url)),
            None => return Err(self.foreign(200, "the body ended before its length".to_owned())),
        };
        let known = usize::try_from(self.skip)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        self.skip -= known as u64;
        let mut bytes = bytes.split_off(known);
        let left = self.item.row.size - self.prefix.bytes;
        bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        if bytes.is_empty() {
            return Ok(None);
        }
        self.prefix.hasher.update(&bytes);
        self.prefix.bytes += bytes.len() as u64;
        Ok(Some(bytes))
    }

    async fn open(&mut self) -> Result<(), RequestError> {
        let (id, position) = (self.item.row.id, self.prefix.bytes);
        let node = match self.nodes.front() {
            Some(node) => node.trim_end_matches('/').to_owned(),
            None => self.any_node().await?,
        };
        self.url = routes::retrieve(&node, id);
        let tag = etag(self.item.row.checksum);
        let client = self.client.clone();
        let sent = client.send_read(&self.url, |request| {
            let request = request.header(IF_MATCH, &tag);
            if position == 0 {
                request
            } else {
                request.header(RANGE, format!("bytes={position}-"))
            }
        });
        let response =
            tokio::time::timeout(STALL_MAX, sent)
                .await
                .map_err(|_| RequestError::Stalled {
                    url: self.url.clone(),
                    after: STALL_MAX,
                })??;
        self.skip = match begins_at(&response) {
            Some(start) if start <= position => position - start,
            _ => {
                let detail = format!("a range from {position} was asked for, another one came");
                return Err(self.foreign(response.status().as_u16(), detail));
            }
        };
        self.pieces = Some(response.bytes_stream().boxed());
        self.begun = true;
        Ok(())
    }

    /// A node to ask when the catalog named none: the shard's leader, by the shard map.
    async fn any_node(&mut self) -> Result<String, RequestError> {
        let (id, version) = (self.item.row.id, self.item.row.version);
        let item = self.client.info(id, Some(version)).await?;
        let nodes = item.uris.into_iter().chain([item.uri]);
        self.nodes = nodes.filter(|uri| !uri.is_empty()).collect();
        let none = || self.foreign(200, "no node is known to have this content".to_owned());
        self.nodes
            .front()
            .map(|uri| uri.trim_end_matches('/').to_owned())
            .ok_or_else(none)
    }

    async fn turn_to_another_copy(&mut self) {
        if self.nodes.len() > 1 {
            self.nodes.rotate_left(1);
        } else {
            // The only copy that was known: ask again who has one. The same answer is as good.
            self.nodes.clear();
        }
    }

    fn foreign(&self, status: u16, detail: String) -> RequestError {
        RequestError::Foreign {
            url: self.url.clone(),
            status,
            detail,
        }
    }
}

/// The content's byte that an answer's body begins with; none when it can't be told.
fn begins_at(response: &Response) -> Option<u64> {
    if response.status() == StatusCode::PARTIAL_CONTENT {
        parse_content_range(response.headers().get(CONTENT_RANGE)?.to_str().ok()?)
    } else {
        Some(0)
    }
}

/// The first byte of `bytes FIRST-LAST/SIZE`.
fn parse_content_range(text: &str) -> Option<u64> {
    let (first, rest) = text.strip_prefix("bytes ")?.split_once('-')?;
    let (last, _size) = rest.split_once('/')?;
    let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
    (first <= last).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a resumed download is put together from the wrong pieces.
    #[test]
    fn content_ranges_are_read_or_refused() {
        assert_eq!(parse_content_range("bytes 5-9/10"), Some(5));
        assert_eq!(parse_content_range("bytes 0-0/*"), Some(0));
        for bad in [
            "",
            "bytes 9-5/10",
            "bytes */10",
            "items 1-2/3",
            "bytes 1-2",
            "bytes x-2/3",
        ] {
            assert_eq!(parse_content_range(bad), None, "{bad:?}");
        }
    }
}
