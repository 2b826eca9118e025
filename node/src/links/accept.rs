//! Taking the links that nodes with earlier names make.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use wire::NodeName;

use super::inbox;
use super::outbox::{Outbox, Outgoing};
use super::{Exchange, LinkGuard};

/// Takes links. Clones are the same.
#[derive(Clone)]
pub struct Acceptor(pub(super) Arc<Exchange>);

/// The receiving end of a link that was taken.
pub struct Hearing {
    exchange: Arc<Exchange>,
    outbox: Outbox,
    guard: LinkGuard,
}

impl Acceptor {
    /// Takes a link: what goes out on it, and what hears it.
    pub fn accept(&self, peer: &NodeName) -> (Outgoing, Hearing) {
        let exchange = Arc::clone(&self.0);
        let outbox = exchange.prepare(peer);
        let guard = LinkGuard::begin(&exchange, &outbox);
        tracing::info!(%peer, "linked");
        let outgoing = outbox.body();
        let hearing = Hearing {
            exchange,
            outbox,
            guard,
        };
        (outgoing, hearing)
    }

    /// This node's name.
    pub fn name(&self) -> &NodeName {
        &self.0.name
    }
}

impl Hearing {
    /// Hears everything that comes, until the link ends.
    pub async fn hear<E: std::fmt::Display>(
        self,
        body: impl Stream<Item = Result<Bytes, E>> + Unpin,
    ) {
        let Hearing {
            exchange,
            outbox,
            guard,
        } = self;
        if let Err(error) = inbox::hear(&outbox, &exchange.handle, body).await {
            tracing::info!(peer = %outbox.peer(), %error, "the link ended");
        }
        drop(guard);
    }
}
