//! Server-sent events: one text for all who watch.

use std::convert::Infallible;
use std::sync::Mutex;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::Bytes;
use futures_util::stream;
use tokio::sync::broadcast::{Receiver, Sender, error::RecvError};
use tokio::time::timeout;
use wire::Code;

use super::pages::guard;
use crate::http::error::ApiError;

/// Events that a slow watcher may be behind; then he is cut off, comes again, and begins anew.
const BEHIND_MAX: usize = 16;

/// Watchers of one feed: more are an accident, or an attack.
const WATCHERS_MAX: usize = 1000;

/// So long without an event a comment is sent, so that nobody on the way cuts the connection.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// What is sent to everyone who watches.
pub(super) struct Feed {
    /// None once the service ends.
    sender: Mutex<Option<Sender<Bytes>>>,
}

impl Default for Feed {
    fn default() -> Self {
        Feed {
            sender: Mutex::new(Some(Sender::new(BEHIND_MAX))),
        }
    }
}

impl Feed {
    /// Whether anybody watches: nothing is made for nobody.
    pub(super) fn is_watched(&self) -> bool {
        self.with(|sender| sender.receiver_count() > 0)
            .unwrap_or(false)
    }

    /// Sends an event to all; who has just gone is not missed.
    pub(super) fn send(&self, data: &str) {
        self.with(|sender| sender.send(event(data)).ok());
    }

    /// Ends all watching.
    pub(super) fn close(&self) {
        self.sender
            .lock()
            .expect("no thread panics while it holds the sender")
            .take();
    }

    /// Begins to watch: first this, then every event.
    pub(super) fn watch(&self, first: &str) -> Result<HttpResponse, ApiError> {
        let many = || ApiError::new(Code::Overloaded, "too many watch this already");
        let receiver = self
            .with(|sender| (sender.receiver_count() < WATCHERS_MAX).then(|| sender.subscribe()))
            .flatten()
            .ok_or_else(many)?;
        let state = (Some(event(first)), receiver);
        let events = stream::unfold(state, |(first, mut receiver)| async move {
            let bytes = match first {
                Some(first) => first,
                None => next(&mut receiver).await?,
            };
            Some((Ok::<Bytes, Infallible>(bytes), (None, receiver)))
        });
        let mut response = HttpResponse::Ok();
        guard(&mut response);
        Ok(response
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .insert_header(("x-accel-buffering", "no"))
            .content_type("text/event-stream")
            .streaming(events))
    }

    fn with<T>(&self, act: impl FnOnce(&Sender<Bytes>) -> T) -> Option<T> {
        let sender = self
            .sender
            .lock()
            .expect("no thread panics while it holds the sender");
        sender.as_ref().map(act)
    }
}

async fn next(receiver: &mut Receiver<Bytes>) -> Option<Bytes> {
    match timeout(SILENCE_MAX, receiver.recv()).await {
        Ok(Ok(event)) => Some(event),
        Ok(Err(RecvError::Closed | RecvError::Lagged(_))) => None,
        Err(_) => Some(Bytes::from_static(b":\n\n")),
    }
}

fn event(data: &str) -> Bytes {
    let mut text = String::with_capacity(data.len() + 16);
    for line in data.split('\n') {
        text.push_str("data: ");
        text.push_str(line);
        text.push('\n');
    }
    text.push('\n');
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a line break in a text ends an event early, and pages show half of it.
    #[test]
    fn an_event_ends_with_an_empty_line_alone() {
        assert_eq!(event("a\nb"), "data: a\ndata: b\n\n");
        assert_eq!(event(""), "data: \n\n");
    }

    // If this fails, a service waits for those who watch when it is told to stop.
    #[tokio::test]
    async fn who_watches_is_let_go_at_the_end() {
        let feed = Feed::default();
        assert!(!feed.is_watched());
        let mut receiver = feed.with(Sender::subscribe).expect("is open");
        assert!(feed.is_watched());
        feed.send("x");
        assert_eq!(
            next(&mut receiver).await.as_deref(),
            Some(&b"data: x\n\n"[..])
        );
        feed.close();
        assert_eq!(next(&mut receiver).await, None);
        assert!(feed.watch("x").is_err() && !feed.is_watched());
    }
}
