//! Reads: a content's bytes as they come, resumed where a connection breaks off, checked at the end.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::time::Duration;

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

/// How long a copy may take to begin its answer while others that may be faster are not tried yet: a
/// node that hangs must not hold up a read that another one could serve.
const BEGIN_MAX: Duration = Duration::from_secs(3);

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
    /// Copies that failed since it was asked where they are.
    failed: usize,
    /// Copies that said that they have another version.
    differing: usize,
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
            failed: 0,
            differing: 0,
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
    /// come. When all copies have failed, it is asked again where they are: another node may lead by
    /// now. Cancelling loses no position.
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
            if error.code() == Some(Code::PreconditionFailed) {
                // One copy may be behind the others; all of them are not.
                self.differing += 1;
                if self.differing >= self.nodes.len() {
                    return Err(ReadError::Changed(self.item.row.id));
                }
                self.turn_to_another_copy();
                continue;
            }
            if error.remedy() == Remedy::GiveUp || !attempts.again(&error).await {
                return Err(error.into());
            }
            self.turn_to_another_copy();
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
        self.failed = 0;
        self.prefix.hasher.update(&bytes);
        self.prefix.bytes += bytes.len() as u64;
        Ok(Some(bytes))
    }

    async fn open(&mut self) -> Result<(), RequestError> {
        let (id, position) = (self.item.row.id, self.prefix.bytes);
        let node = self.copy().await?;
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
        let others = self.failed + 1 < self.nodes.len();
        let after = if others { BEGIN_MAX } else { STALL_MAX };
        let answered = tokio::time::timeout(after, sent).await;
        let response = answered.map_err(|_| RequestError::Stalled {
            url: self.url.clone(),
            after,
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

    /// The node to read from: the next one that is known, or, when all have failed, one that is named
    /// now.
    async fn copy(&mut self) -> Result<String, RequestError> {
        if self.failed >= self.nodes.len() {
            let asked = tokio::time::timeout(BEGIN_MAX, self.look_again()).await;
            match asked {
                Ok(Err(error)) if self.nodes.is_empty() => return Err(error),
                // Those that are known are as good.
                Ok(_) | Err(_) => self.failed = 0,
            }
        }
        // During a failover nobody may be named; somebody will.
        let none = || self.foreign(503, "no node is known to have this content".to_owned());
        let node = self.nodes.front().ok_or_else(none)?;
        Ok(node.trim_end_matches('/').to_owned())
    }

    /// Asks who has the content.
    async fn look_again(&mut self) -> Result<(), RequestError> {
        let (id, version) = (self.item.row.id, self.item.row.version);
        let item = self.client.info(id, Some(version)).await?;
        let named = item.uris.into_iter().filter(|uri| !uri.is_empty());
        let named: VecDeque<String> = named.collect();
        if !named.is_empty() {
            self.nodes = named;
        } else if !item.uri.is_empty() {
            self.nodes = [item.uri].into();
        }
        Ok(())
    }

    fn turn_to_another_copy(&mut self) {
        self.failed += 1;
        if !self.nodes.is_empty() {
            self.nodes.rotate_left(1);
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
