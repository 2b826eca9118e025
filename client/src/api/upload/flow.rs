//! Whether the body of an upload still moves, and for how long its answer is waited for.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};
use tokio::time::Instant;

use crate::api::STALL_MAX;
use crate::api::error::RequestError;

/// The bytes of an upload, from where they are read.
pub(in crate::api) type Pieces = BoxStream<'static, io::Result<Bytes>>;

/// How long a node that leads may take for its receipt once it was given the whole body. It waits for
/// disks then, its followers' too, and what lies in the network's buffers still has to arrive.
const RECEIPT_MAX: Duration = Duration::from_secs(60);

/// What the network is given at once: 16 KiB in [`STALL_MAX`] is about the slowest rate that a node
/// takes bodies at, so that a slow connection is not mistaken for one that stands still.
const STEP_BYTES: usize = 16 * 1024;

/// What a body waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// For a connection that takes its first bytes.
    Connection,
    /// For the network to take the next bytes.
    Network,
    /// For its source to give the next bytes: the network is ready.
    Source,
    /// For nothing more: the network took all of it, or gave up on it.
    Answer,
}

/// One body on its way; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Flow(Arc<Mutex<(Phase, Instant)>>);

impl Flow {
    /// A body of which nothing was taken yet.
    pub(super) fn new() -> Self {
        Flow(Arc::new(Mutex::new((Phase::Connection, Instant::now()))))
    }

    /// Passes a body on in small steps, and notes what becomes of it.
    pub(super) fn watch(&self, pieces: Pieces) -> Watched {
        Watched {
            flow: self.clone(),
            pieces,
            rest: Bytes::new(),
        }
    }

    /// The outcome of the exchange that sends the body, unless it stands still first.
    pub(super) async fn or_stalled<T>(
        &self,
        exchange: impl Future<Output = Result<T, RequestError>>,
        url: &str,
    ) -> Result<T, RequestError> {
        tokio::pin!(exchange);
        loop {
            let (phase, since) = *self.state();
            let (after, until) = match phase {
                Phase::Connection | Phase::Network => (STALL_MAX, since + STALL_MAX),
                // A slow source is no fault of the network's: look again later.
                Phase::Source => (STALL_MAX, Instant::now() + STALL_MAX),
                Phase::Answer => (RECEIPT_MAX, since + RECEIPT_MAX),
            };
            if let Ok(outcome) = tokio::time::timeout_at(until, &mut exchange).await {
                return outcome;
            }
            if phase != Phase::Source && *self.state() == (phase, since) {
                return Err(RequestError::Stalled {
                    url: url.to_owned(),
                    after,
                });
            }
        }
    }

    /// Waits until whoever the body was begun to be sent to has been silent for so long: it neither takes
    /// the next bytes nor answers. Tells since when.
    pub(super) async fn silence(&self, long: Duration) -> Instant {
        loop {
            let (phase, since) = *self.state();
            let until = match phase {
                Phase::Network | Phase::Answer if since.elapsed() >= long => return since,
                Phase::Network | Phase::Answer => since + long,
                Phase::Connection | Phase::Source => Instant::now() + long,
            };
            tokio::time::sleep_until(until).await;
        }
    }

    /// Whether nothing moved since then.
    pub(super) fn is_silent_since(&self, since: Instant) -> bool {
        self.state().1 == since
    }

    fn enter(&self, phase: Phase) {
        *self.state() = (phase, Instant::now());
    }

    fn state(&self) -> MutexGuard<'_, (Phase, Instant)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body that tells its [`Flow`] what becomes of it.
pub(super) struct Watched {
    flow: Flow,
    pieces: Pieces,
    rest: Bytes,
}

impl Stream for Watched {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while self.rest.is_empty() {
            match self.pieces.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(piece))) => self.rest = piece,
                Poll::Ready(end) => return Poll::Ready(end),
                Poll::Pending => {
                    self.flow.enter(Phase::Source);
                    return Poll::Pending;
                }
            }
        }
        self.flow.enter(Phase::Network);
        let step = STEP_BYTES.min(self.rest.len());
        Poll::Ready(Some(Ok(self.rest.split_to(step))))
    }
}

// The network drops a body when it took all of it: it need not ask for the end of one whose length
// it knows.
impl Drop for Watched {
    fn drop(&mut self) {
        self.flow.enter(Phase::Answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use reqwest::Method;
    use reqwest::header::CONTENT_LENGTH;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use crate::api::{Client, Options};

    const NEVER: Duration = Duration::from_secs(100_000);

    fn body(bytes: usize) -> Pieces {
        stream::iter([Ok(Bytes::from(vec![7; bytes]))]).boxed()
    }

    /// How long an exchange goes on before it counts as stalled, and what is said of it; none when
    /// it comes to its end.
    async fn stalls<F: Future<Output = ()>>(
        pieces: Pieces,
        exchange: impl FnOnce(Watched) -> F,
    ) -> Option<(Duration, Duration)> {
        let flow = Flow::new();
        let exchange = exchange(flow.watch(pieces));
        let begun = Instant::now();
        let exchange = async {
            exchange.await;
            Ok(())
        };
        match flow.or_stalled(exchange, "http://n").await {
            Ok(()) => None,
            Err(RequestError::Stalled { after, .. }) => Some((begun.elapsed(), after)),
            Err(error) => panic!("{error}"),
        }
    }

    // If this fails, a user waits for minutes before another node is tried, or for ever.
    #[tokio::test(start_paused = true)]
    async fn a_network_that_takes_nothing_is_noticed_after_its_time() {
        let never = stalls(body(100), |_body| tokio::time::sleep(NEVER)).await;
        assert_eq!(never, Some((RECEIPT_MAX, RECEIPT_MAX)), "dropped unread");
        let held = stalls(body(1 << 20), |mut body| async move {
            for _ in 0..3 {
                tokio::time::sleep(Duration::from_secs(10)).await;
                body.next().await.expect("more").expect("healthy");
            }
            tokio::time::sleep(NEVER).await;
        });
        let after = Duration::from_secs(30) + STALL_MAX;
        assert_eq!(held.await, Some((after, STALL_MAX)));
    }

    // If this fails, an upload over a slow line never comes to its end.
    #[tokio::test(start_paused = true)]
    async fn a_slow_network_is_waited_for_as_long_as_it_takes_something() {
        let slow = stalls(body(1 << 20), |mut body| async move {
            let mut taken = 0;
            while let Some(step) = body.next().await {
                taken += step.expect("healthy").len();
                tokio::time::sleep(STALL_MAX / 2).await;
            }
            assert_eq!(taken, 1 << 20);
        });
        assert_eq!(slow.await, None);
    }

    // If this fails, a pause of the program that writes to the client's standard input is taken for
    // a dead node.
    #[tokio::test(start_paused = true)]
    async fn a_slow_source_is_not_the_networks_fault() {
        let paused = stream::once(async {
            tokio::time::sleep(10 * STALL_MAX).await;
            Ok(Bytes::from_static(b"late"))
        });
        let read = stalls(paused.boxed(), |mut body| async move {
            assert_eq!(body.next().await.expect("more").expect("healthy"), "late");
            assert!(body.next().await.is_none());
        });
        assert_eq!(read.await, None);
        let paused = stream::once(async {
            tokio::time::sleep(10 * STALL_MAX).await;
            Ok(Bytes::from_static(b"late"))
        });
        let held = stalls(paused.boxed(), |mut body| async move {
            body.next().await.expect("more").expect("healthy");
            tokio::time::sleep(NEVER).await;
        });
        assert_eq!(held.await, Some((11 * STALL_MAX, STALL_MAX)));
    }

    // If this fails, it is asked who else leads while nothing was sent, or nothing is there to be sent.
    #[tokio::test(start_paused = true)]
    async fn only_who_was_sent_something_can_be_silent() {
        let long = Duration::from_secs(2);
        let flow = Flow::new();
        let silence = || tokio::time::timeout(10 * long, flow.silence(long));
        assert!(silence().await.is_err(), "there is no connection yet");
        let paused =
            stream::once(async { Ok(Bytes::from_static(b"all")) }).chain(stream::pending());
        let mut body = flow.watch(paused.boxed());
        body.next().await.expect("more").expect("healthy");
        let taken = Instant::now();
        let since = silence().await.expect("silent");
        assert_eq!((since, taken.elapsed()), (taken, long));
        assert!(flow.is_silent_since(since));
        let more = tokio::time::timeout(long, body.next()).await;
        assert!(more.is_err(), "there is no more");
        assert!(silence().await.is_err(), "the source is slow");
        drop(body);
        assert!(!flow.is_silent_since(since));
        assert!(silence().await.is_ok(), "it owes an answer");
    }

    // If this fails, an upload that a busy disk takes long to sync is sent once more.
    #[tokio::test(start_paused = true)]
    async fn a_receipt_may_take_longer_than_a_transfer_may_stand_still() {
        let synced = stalls(body(100), |mut body| async move {
            body.next().await.expect("one").expect("healthy");
            drop(body);
            tokio::time::sleep(RECEIPT_MAX - Duration::from_secs(1)).await;
        });
        assert_eq!(synced.await, None);
    }

    /// What an upload of so many bytes meets at a node that reads `read` bytes and then does nothing.
    async fn sent_to_a_silent_node(bytes: usize, read: usize) -> Duration {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let silent = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut left = read;
            let mut buffer = vec![0; 64 * 1024];
            while left > 0 {
                let most = left.min(buffer.len());
                let count = stream.read(&mut buffer[..most]).await.expect("healthy");
                assert!(count > 0, "the connection was closed");
                left -= count;
            }
            tokio::time::sleep(NEVER).await;
        });
        let options = Options::new(url.parse().expect("a base URL"));
        let client = Client::new(options).expect("a client");
        let request = client.request(Method::PUT, &url);
        let request = request.header(CONTENT_LENGTH, bytes);
        let outcome = client
            .send_body(request, &url, body(bytes), &Flow::new())
            .await;
        silent.abort();
        match outcome {
            Err(RequestError::Stalled { after, .. }) => after,
            other => panic!("{other:?}"),
        }
    }

    // If this fails, a node that stops reading holds an upload for ever, or one that still syncs is
    // given up on.
    #[tokio::test(start_paused = true)]
    async fn a_silent_node_is_given_up_on_by_what_it_owes() {
        for read in [0, 1 << 20] {
            let held = sent_to_a_silent_node(64 << 20, read).await;
            assert_eq!(held, STALL_MAX, "{read} bytes read");
        }
        for bytes in [0, 100, 3 << 20] {
            let whole = sent_to_a_silent_node(bytes, bytes).await;
            assert_eq!(whole, RECEIPT_MAX, "{bytes} bytes sent");
        }
    }

    // If this fails, an upload is damaged on its way.
    #[tokio::test]
    async fn the_steps_are_the_body() {
        let bytes: Vec<u8> = (0..50_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let pieces = [&bytes[..1], b"", &bytes[1..40_000], &bytes[40_000..]];
        let pieces = pieces.map(|piece| Ok(Bytes::copy_from_slice(piece)));
        let mut watched = Flow::new().watch(stream::iter(pieces).boxed());
        let mut steps = Vec::new();
        while let Some(step) = watched.next().await {
            steps.push(step.expect("healthy"));
        }
        assert!(steps.iter().all(|step| step.len() <= STEP_BYTES));
        assert_eq!(steps.concat(), bytes);
        let broken = stream::iter([Err(io::Error::other("gone"))]).boxed();
        let end = Flow::new().watch(broken).next().await;
        assert!(end.is_some_and(|end| end.is_err()));
    }
}
