//! A request's body as a stream that ends when it is too slow, and that a refusal can drain.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use actix_web::error::PayloadError;
use actix_web::{HttpMessage, HttpRequest, web};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use tokio::time::Sleep;
use wire::Code;
use wire::limits::{REFUSED_BODY_BYTES_MAX, REFUSED_BODY_TIME_MAX};

use super::pace::{Pace, TooSlow};
use crate::http::error::ApiError;
use crate::http::frame::BodyEnded;
use crate::metrics::Metrics;

/// The body of one request.
pub(in crate::http) struct Body {
    payload: web::Payload,
    request: HttpRequest,
    metrics: Arc<Metrics>,
    pace: Pace,
    timer: Option<Pin<Box<Sleep>>>,
    waiting_since: Option<Instant>,
    ended: bool,
}

impl Body {
    pub(in crate::http) fn new(
        payload: web::Payload,
        request: &HttpRequest,
        metrics: Arc<Metrics>,
    ) -> Self {
        Body {
            payload,
            request: request.clone(),
            metrics,
            pace: Pace::default(),
            timer: None,
            waiting_since: None,
            ended: false,
        }
    }

    /// The next piece; none at the end.
    pub(in crate::http) async fn piece(&mut self) -> Result<Option<Bytes>, ApiError> {
        self.next().await.transpose().map_err(broken)
    }

    /// The whole body, if it is at most `most` bytes.
    pub(in crate::http) async fn whole(&mut self, most: usize) -> Result<Bytes, ApiError> {
        let mut whole = BytesMut::new();
        while let Some(piece) = self.piece().await? {
            if whole.len() + piece.len() > most {
                return Err(ApiError::new(
                    Code::TooLarge,
                    format!("this request's body has at most {most} bytes"),
                ));
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }

    /// Reads and drops what a refused request still sends, within bounds, so that its sender
    /// comes to read the answer.
    pub(in crate::http) async fn drain(&mut self) {
        let mut dropped = 0;
        let drain = async {
            while dropped < REFUSED_BODY_BYTES_MAX
                && let Some(Ok(piece)) = self.next().await
            {
                dropped += piece.len();
            }
        };
        if tokio::time::timeout(REFUSED_BODY_TIME_MAX, drain)
            .await
            .is_err()
        {
            tracing::debug!("a refused request still sends");
        }
    }

    /// Waits for the payload; gives `Pending` as long as it may still be waited for.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<TooSlow> {
        loop {
            let now = Instant::now();
            let since = *self.waiting_since.get_or_insert(now);
            let until = tokio::time::Instant::from_std(since + self.pace.patience());
            let timer = match &mut self.timer {
                Some(timer) => {
                    if timer.deadline() != until {
                        timer.as_mut().reset(until);
                    }
                    timer
                }
                None => self.timer.insert(Box::pin(tokio::time::sleep_until(until))),
            };
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.waiting_since = None;
            if let Err(slow) = self.pace.came(0, self.pace.patience()) {
                return Poll::Ready(slow);
            }
        }
    }

    fn received(&mut self, bytes: usize) -> Result<(), TooSlow> {
        self.metrics.bytes_in.inc_by(bytes as u64);
        match self.waiting_since.take() {
            Some(since) => self.pace.came(bytes, since.elapsed()),
            None => self.pace.came(bytes, std::time::Duration::ZERO),
        }
    }

    fn end(&mut self) {
        self.ended = true;
        self.request.extensions_mut().insert(BodyEnded);
    }
}

impl Stream for Body {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        match Pin::new(&mut self.payload).poll_next(cx) {
            Poll::Ready(Some(Ok(piece))) => match self.received(piece.len()) {
                Ok(()) => Poll::Ready(Some(Ok(piece))),
                Err(slow) => Poll::Ready(Some(Err(slow.into()))),
            },
            Poll::Ready(None) => {
                self.end();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error))),
            Poll::Pending => self.wait(cx).map(|slow| Some(Err(slow.into()))),
        }
    }
}

// The multipart parser passes on nothing but payload errors, so slowness travels as one.
impl From<TooSlow> for PayloadError {
    fn from(_: TooSlow) -> Self {
        PayloadError::Io(std::io::ErrorKind::TimedOut.into())
    }
}

/// What a body's failure is to its sender.
pub(super) fn broken(error: PayloadError) -> ApiError {
    match error {
        PayloadError::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => ApiError::new(
            Code::TooSlow,
            "the body came slower than 1 KiB/s, or paused for 5 minutes",
        ),
        PayloadError::Overflow => ApiError::new(Code::TooLarge, "the body is too large"),
        _ => ApiError::new(Code::BodyCutShort, "the body ended before its length"),
    }
}
