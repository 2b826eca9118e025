//! The links between nodes that hold replicas of the same shards.
//!
//! Each pair of nodes has one link: an HTTP request whose two bodies stream at the same time, made
//! by the node whose name comes first. On it both say what their replicas say to each other, for
//! all shards, in the order in which it was said. A link ends when the connection breaks, or
//! nothing came over it for a while; both ends then begin anew.
//!
//! What is sent is decided by the disk thread; what comes in is verified here and handed to it. This
//! knows nothing of leaders, sets or commits.

mod accept;
mod dial;
mod inbox;
mod outbox;
mod pace;
pub mod source;
mod stream;
mod tail;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime;
use tokio::sync::watch;
use wire::NodeName;

pub use accept::Acceptor;
pub use inbox::Records;
pub(crate) use outbox::Way;
pub use outbox::{Outbox, Outgoing};
pub use pace::Pace;
pub use source::Source;

use crate::driver::Handle;
use crate::membership::heartbeat::Map;
use crate::metrics::Metrics;

/// Records in one packet, however small: a follower's disk thread takes them in one go.
const RECORDS_PER_PACKET_MAX: usize = 512;

/// How often each end of a link gives a sign of life.
const SIGN_OF_LIFE_EVERY: Duration = Duration::from_millis(250);

/// The header that names the node at the other end.
pub(crate) const NODE_HEADER: &str = "x-node";

/// What links are built from.
pub struct Parts {
    /// This node's name.
    pub name: NodeName,
    /// The key between services.
    pub cluster_key: Option<String>,
    /// The disk thread.
    pub handle: Handle,
    /// The shard map: whom to have a link with, and where they are.
    pub map: Map,
    /// How fast followers that catch up are served.
    pub pace: Arc<Pace>,
    /// Where traffic is counted.
    pub metrics: Arc<Metrics>,
}

/// The running links.
pub struct Links {
    acceptor: Acceptor,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

/// Why links could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartLinksError {
    /// No HTTP client.
    #[error(transparent)]
    Client(#[from] crate::membership::distributors::NewError),
    /// No thread or runtime.
    #[error("cannot start a thread")]
    Thread(#[from] std::io::Error),
}

/// What both ways of making a link share.
pub(crate) struct Exchange {
    name: NodeName,
    handle: Handle,
    pace: Arc<Pace>,
    metrics: Arc<Metrics>,
    runtime: runtime::Handle,
    numbers: AtomicU64,
    links: Mutex<BTreeMap<NodeName, Outbox>>,
}

impl Links {
    /// Starts to make links, as the shard map asks for them.
    ///
    /// # Errors
    /// When a thread or its client cannot be had.
    pub fn start(parts: Parts) -> Result<Links, StartLinksError> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let exchange = Arc::new(Exchange {
            name: parts.name,
            handle: parts.handle,
            pace: parts.pace,
            metrics: parts.metrics,
            runtime: runtime.handle().clone(),
            numbers: AtomicU64::new(1),
            links: Mutex::default(),
        });
        let dialer = dial::Dialer::new(
            Arc::clone(&exchange),
            parts.map,
            parts.cluster_key.as_deref(),
        )?;
        let (stop, stopped) = watch::channel(false);
        let thread = std::thread::Builder::new()
            .name("node-links".to_owned())
            .spawn(move || runtime.block_on(dialer.run(stopped)))?;
        Ok(Links {
            acceptor: Acceptor(exchange),
            stop,
            thread,
        })
    }

    /// Where the HTTP server takes the links that others make.
    pub fn acceptor(&self) -> Acceptor {
        self.acceptor.clone()
    }

    /// Ends all links, and makes no more.
    pub fn end(&self) {
        self.stop.send_replace(true);
        self.acceptor.0.end_all();
    }

    /// As [`Links::end`]; blocks until all is done.
    pub fn stop(self) {
        self.end();
        if self.thread.join().is_err() {
            tracing::error!("the thread of the links panicked");
        }
    }
}

impl Exchange {
    /// A link to a peer that is about to be made.
    fn prepare(&self, peer: &NodeName) -> Outbox {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let way = Way {
            runtime: self.runtime.clone(),
            pace: Arc::clone(&self.pace),
            metrics: Arc::clone(&self.metrics),
        };
        Outbox::new(peer.clone(), number, way)
    }

    /// Tells the distributors which links there are: to a shard whose members have none, uploads go only
    /// when there is no other.
    fn tell(&self, links: &BTreeMap<NodeName, Outbox>) {
        let peers = links.keys().cloned().collect();
        self.handle.presence().links_with(peers);
    }

    fn end_all(&self) {
        for outbox in self.lock().values() {
            outbox.end();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<NodeName, Outbox>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A link that was made; it ends when this is dropped.
struct LinkGuard {
    exchange: Arc<Exchange>,
    outbox: Outbox,
}

impl LinkGuard {
    /// A link begins; an earlier one to the same peer ends.
    fn begin(exchange: &Arc<Exchange>, outbox: &Outbox) -> LinkGuard {
        let peer = outbox.peer().clone();
        let mut links = exchange.lock();
        let earlier = links.insert(peer, outbox.clone());
        // Under the lock: the disk thread hears of links in the order in which they are kept here.
        exchange.handle.link_up(outbox);
        exchange.tell(&links);
        drop(links);
        if let Some(earlier) = earlier {
            earlier.end();
        }
        let beating = outbox.clone();
        exchange.runtime.spawn(async move {
            while !beating.has_ended() {
                beating.sign_of_life();
                tokio::time::sleep(SIGN_OF_LIFE_EVERY).await;
            }
        });
        LinkGuard {
            exchange: Arc::clone(exchange),
            outbox: outbox.clone(),
        }
    }
}

impl Drop for LinkGuard {
    fn drop(&mut self) {
        self.outbox.end();
        let mut links = self.exchange.lock();
        let present = links.get(self.outbox.peer()).map(Outbox::number);
        if present == Some(self.outbox.number()) {
            links.remove(self.outbox.peer());
            self.exchange.tell(&links);
        }
        self.exchange.handle.link_down(&self.outbox);
    }
}
