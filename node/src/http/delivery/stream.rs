//! A content's bytes on their way out, verified piece by piece.
//!
//! What is in the page cache is read where it is needed. What would wait for the disk is read on
//! the blocking pool, one piece ahead of what is being sent. A piece that cannot be verified ends
//! the connection: nothing unverified leaves, and the client sees that bytes are missing.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;
use store::{OpenContent, ReadError};
use tokio::task::JoinHandle;

use super::parts::{self, Segment};
use crate::metrics::Metrics;

/// One piece. Large enough that a disk reads at its full rate, small enough that a thousand
/// downloads fit into the memory of a small machine.
const PIECE_BYTES: usize = 256 * 1024;

/// The body of an answer.
pub(super) struct ContentBody {
    content: Arc<OpenContent>,
    metrics: Arc<Metrics>,
    segments: VecDeque<Segment>,
    length: u64,
    ahead: Option<JoinHandle<Result<Bytes, ReadError>>>,
}

/// The body that `HEAD` is told of, by its length. The server polls a body of any length to its end,
/// also where none of it is sent: that must not read the content.
pub(super) struct Unsent(pub(super) u64);

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub(super) enum StreamError {
    #[error("a content could not be read to its end")]
    Read(#[from] ReadError),
    #[error("a read did not end")]
    Task(#[from] tokio::task::JoinError),
}

impl ContentBody {
    pub(super) fn new(
        content: Arc<OpenContent>,
        metrics: Arc<Metrics>,
        segments: VecDeque<Segment>,
    ) -> Self {
        let length = parts::length(&segments);
        ContentBody {
            content,
            metrics,
            segments,
            length,
            ahead: None,
        }
    }

    /// The first slice with bytes left to send.
    fn slice(&mut self) -> Option<(u64, usize)> {
        self.segments.iter().find_map(|segment| match segment {
            Segment::Slice(slice) if !slice.is_empty() => Some((slice.start, piece_of(slice))),
            Segment::Slice(_) | Segment::Text(_) => None,
        })
    }

    fn read_ahead(&mut self) {
        if let Some((offset, most)) = self.slice() {
            let content = Arc::clone(&self.content);
            self.ahead = Some(tokio::task::spawn_blocking(move || {
                content.read(offset, most)
            }));
        }
    }

    /// The next piece of the slice at the front.
    fn poll_slice(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, StreamError>> {
        let piece = match &mut self.ahead {
            Some(ahead) => {
                let piece = ready!(Pin::new(ahead).poll(cx));
                self.ahead = None;
                let piece = piece??;
                self.sent(piece.len());
                self.read_ahead();
                piece
            }
            None => {
                let Some((offset, most)) = self.slice() else {
                    return Poll::Ready(Ok(Bytes::new()));
                };
                match self.content.read_cached(offset, most)? {
                    Some(piece) => {
                        self.sent(piece.len());
                        piece
                    }
                    None => {
                        self.read_ahead();
                        return self.poll_slice(cx);
                    }
                }
            }
        };
        Poll::Ready(Ok(piece))
    }

    fn sent(&mut self, bytes: usize) {
        self.metrics.bytes_out.inc_by(bytes as u64);
        if let Some(Segment::Slice(slice)) = self.segments.front_mut() {
            slice.start += bytes as u64;
        }
    }
}

fn piece_of(slice: &std::ops::Range<u64>) -> usize {
    usize::try_from(slice.end - slice.start).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES))
}

impl MessageBody for ContentBody {
    type Error = StreamError;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.length)
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        loop {
            match self.segments.front() {
                None => return Poll::Ready(None),
                Some(Segment::Slice(slice)) if slice.is_empty() => {
                    self.segments.pop_front();
                }
                Some(Segment::Slice(_)) => {
                    let piece = ready!(self.poll_slice(cx));
                    if let Err(error) = &piece {
                        let id = self.content.content().id;
                        tracing::error!(%id, error = error as &dyn std::error::Error, "broke off");
                    }
                    return Poll::Ready(Some(piece));
                }
                Some(Segment::Text(_)) => {
                    if let Some(Segment::Text(text)) = self.segments.pop_front() {
                        return Poll::Ready(Some(Ok(text)));
                    }
                }
            }
        }
    }
}

impl MessageBody for Unsent {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.0)
    }

    fn poll_next(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Poll::Ready(None)
    }
}
