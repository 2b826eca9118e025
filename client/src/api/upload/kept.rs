//! A stream that cannot be read again, and its beginning, which is kept: what nobody took of it can
//! be sent elsewhere.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use wire::Checksum;

use super::Pieces;
use crate::api::meter::Meter;
use crate::api::source::{Broken, SourceError};

/// So much of a stream is kept; the piece that reaches it is kept too, however long it is.
const KEPT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A stream on its way to a node; clones share it.
#[derive(Clone)]
pub(super) struct Kept(Arc<Mutex<State>>);

struct State {
    rest: Pieces,
    /// All that was read, unless it was too much.
    beginning: Vec<Bytes>,
    bytes: usize,
    is_whole: bool,
    hasher: blake3::Hasher,
    meter: Meter,
    broken: Broken,
    /// Counts the readings: only the last one goes on.
    turn: u64,
}

impl Kept {
    /// A stream of which nothing was read yet.
    pub(super) fn new(
        stream: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
        meter: &Meter,
    ) -> Self {
        Kept(Arc::new(Mutex::new(State {
            rest: stream.fuse().boxed(),
            beginning: Vec::new(),
            bytes: 0,
            is_whole: true,
            hasher: blake3::Hasher::new(),
            meter: meter.clone(),
            broken: Broken::default(),
            turn: 0,
        })))
    }

    /// Begins a reading, from the first byte: the first one, or one after [`Kept::end`] said that it can.
    pub(super) fn read(&self) -> Pieces {
        let (kept, mut at) = (self.clone(), 0);
        let state = self.state();
        state.meter.set(0);
        let turn = state.turn;
        stream::poll_fn(move |cx| kept.state().poll(turn, &mut at, cx)).boxed()
    }

    /// Ends the reading, whoever still holds it: a connection may go on to send what was refused. Says
    /// whether all that was read can be read again.
    pub(super) fn end(&self) -> bool {
        let mut state = self.state();
        state.turn += 1;
        state.is_whole
    }

    /// Why the stream broke off, if it did.
    pub(super) fn failure(&self) -> Option<SourceError> {
        self.state().broken.take().map(SourceError::Stream)
    }

    /// The hash of all that was read.
    pub(super) fn checksum(&self) -> Checksum {
        Checksum(self.state().hasher.finalize().into())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The piece behind those that a reading was given already, `at` of them.
    fn poll(
        &mut self,
        turn: u64,
        at: &mut usize,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Bytes>>> {
        if turn != self.turn {
            return Poll::Ready(Some(Err(io::ErrorKind::BrokenPipe.into())));
        }
        let piece = match self.beginning.get(*at) {
            Some(kept) => kept.clone(),
            None => match ready!(self.rest.poll_next_unpin(cx)) {
                Some(Ok(piece)) => self.keep(piece),
                Some(Err(error)) => {
                    self.broken.note(&error);
                    return Poll::Ready(Some(Err(error)));
                }
                None => return Poll::Ready(None),
            },
        };
        *at += 1;
        self.meter.add(piece.len());
        Poll::Ready(Some(Ok(piece)))
    }

    fn keep(&mut self, piece: Bytes) -> Bytes {
        self.hasher.update(&piece);
        self.is_whole &= self.bytes < KEPT_BYTES_MAX;
        if self.is_whole {
            self.bytes += piece.len();
            self.beginning.push(piece.clone());
        } else {
            self.beginning = Vec::new();
        }
        piece
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(bytes: usize) -> Vec<Bytes> {
        let piece = |n: u8| Bytes::from(vec![n; bytes]);
        (0..10).map(piece).collect()
    }

    fn kept(pieces: &[Bytes]) -> Kept {
        let pieces: Vec<_> = pieces.iter().cloned().map(Ok).collect();
        Kept::new(stream::iter(pieces), &Meter::default())
    }

    async fn all(reading: &mut Pieces) -> Vec<Bytes> {
        reading.map(|piece| piece.expect("healthy")).collect().await
    }

    // If this fails, a stream that is sent to a second node lacks pieces there, or has some twice.
    #[tokio::test]
    async fn only_the_last_reading_goes_on() {
        let pieces = pieces(10);
        let kept = kept(&pieces);
        let mut first = kept.read();
        for piece in &pieces[..3] {
            assert_eq!(first.next().await.expect("more").expect("healthy"), piece);
        }
        assert!(kept.end());
        let ended = first.next().await.expect("an end");
        assert_eq!(ended.expect_err("ended").kind(), io::ErrorKind::BrokenPipe);
        assert!(kept.failure().is_none(), "the stream is healthy");
        assert_eq!(all(&mut kept.read()).await, pieces);
        assert_eq!(kept.state().meter.bytes(), 100);
        assert!(kept.end());
        assert_eq!(all(&mut kept.read()).await, pieces, "to its end");
        let hash = blake3::hash(&pieces.concat());
        assert_eq!(kept.checksum(), Checksum(hash.into()));
    }

    // If this fails, a long stream fills the memory, or is stored without its beginning.
    #[tokio::test]
    async fn no_more_is_kept_than_the_beginning() {
        let pieces = pieces(1 << 20);
        let kept = kept(&pieces);
        let mut reading = kept.read();
        for _ in 0..8 {
            reading.next().await.expect("more").expect("healthy");
        }
        assert!(kept.end(), "8 MiB");
        assert_eq!(all(&mut kept.read()).await, pieces);
        assert!(!kept.end() && kept.state().beginning.is_empty());
    }
}
