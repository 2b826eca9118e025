//! A TCP proxy between the distributor and its database that cuts, or stalls.

use crate::support::free_port;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What the proxy does with bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Forward,
    /// Keeps connections and passes nothing on, as a network that lost its way.
    Stall,
}

/// A proxy before one port of 127.0.0.1.
pub(crate) struct ChaosProxy {
    port: u16,
    behind: u16,
    mood: watch::Sender<Mood>,
    /// The next so many answers are swallowed, and their connections cut.
    swallow: Arc<AtomicUsize>,
    task: Option<JoinHandle<()>>,
}

impl ChaosProxy {
    pub(crate) async fn before(behind: u16) -> Self {
        let (mood, _) = watch::channel(Mood::Forward);
        let mut proxy = ChaosProxy {
            port: free_port(),
            behind,
            mood,
            swallow: Arc::default(),
            task: None,
        };
        proxy.restore().await;
        proxy
    }

    /// The same database through the proxy.
    pub(crate) fn through(&self, url: &str) -> String {
        url.replace(&format!(":{}", self.behind), &format!(":{}", self.port))
    }

    /// Cuts all connections and refuses new ones.
    pub(crate) async fn cut(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            assert!(task.await.is_err(), "an aborted task gives no result");
        }
    }

    /// Passes nothing on any more, in silence.
    pub(crate) fn stall(&self) {
        self.mood.send_replace(Mood::Stall);
    }

    /// Lets the next request through, and swallows its answer together with the connection.
    pub(crate) fn swallow_next_answer(&self) {
        self.swallow.store(1, Ordering::SeqCst);
    }

    /// Whether the answer that was to be swallowed has been.
    pub(crate) fn has_swallowed(&self) -> bool {
        self.swallow.load(Ordering::SeqCst) == 0
    }

    /// Works as if nothing had happened.
    pub(crate) async fn restore(&mut self) {
        self.cut().await;
        self.mood.send_replace(Mood::Forward);
        let listener = TcpListener::bind(("127.0.0.1", self.port))
            .await
            .expect("a port");
        self.port = listener.local_addr().expect("an address").port();
        let (behind, mood, swallow) = (self.behind, self.mood.clone(), Arc::clone(&self.swallow));
        self.task = Some(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", behind)).await else {
                    continue;
                };
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                connections.spawn(forward(from_client, to_server, mood.subscribe(), None));
                let swallow = Some(Arc::clone(&swallow));
                connections.spawn(forward(from_server, to_client, mood.subscribe(), swallow));
            }
        }));
    }
}

async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut mood: watch::Receiver<Mood>,
    swallow: Option<Arc<AtomicUsize>>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count) = from.read(&mut buffer).await {
        if mood.wait_for(|mood| *mood == Mood::Forward).await.is_err() || count == 0 {
            return;
        }
        let take_one = |left: usize| left.checked_sub(1);
        if let Some(swallow) = &swallow
            && swallow
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take_one)
                .is_ok()
        {
            return;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
