//! Making links: to every node with a later name that holds a replica of one of this node's shards.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Body, Client};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use wire::membership::ShardMap;
use wire::{NodeName, routes};

use super::inbox::{self, LinkError};
use super::{Exchange, LinkGuard, NODE_HEADER};
use crate::membership::distributors::{NewError, key_headers};
use crate::membership::heartbeat::Map;

/// How often the shard map is looked at for peers.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A peer that could not be reached, or whose link broke, is tried again after so long.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// How long a connection may take.
const CONNECT_TIME_MAX: Duration = Duration::from_millis(500);

/// How long a peer may take to begin its answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(1);

/// Makes links, and keeps them.
pub(super) struct Dialer {
    exchange: Arc<Exchange>,
    map: Map,
    client: Client,
    dialed: BTreeMap<NodeName, (String, JoinHandle<()>)>,
}

impl Dialer {
    pub(super) fn new(
        exchange: Arc<Exchange>,
        map: Map,
        cluster_key: Option<&str>,
    ) -> Result<Dialer, NewError> {
        let mut headers = key_headers(cluster_key)?;
        let name = HeaderValue::from_str(exchange.name.as_str()).map_err(|_| NewError::Key)?;
        headers.insert(HeaderName::from_static(NODE_HEADER), name);
        let client = Client::builder()
            .default_headers(headers)
            .connect_timeout(CONNECT_TIME_MAX)
            .pool_max_idle_per_host(0)
            .tcp_nodelay(true)
            .http1_only()
            .no_proxy()
            .build()?;
        Ok(Dialer {
            exchange,
            map,
            client,
            dialed: BTreeMap::new(),
        })
    }

    /// Keeps links until the node stops.
    pub(super) async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        while !*stopped.borrow() {
            self.look();
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                _ = stopped.changed() => {}
            }
        }
        for (_, (_, task)) in self.dialed {
            task.abort();
        }
    }

    /// One task for each peer; another address means another task.
    fn look(&mut self) {
        let wanted = peers(&self.map.read().map, &self.exchange.name);
        self.dialed.retain(|name, (url, task)| {
            let stays = wanted.get(name) == Some(url);
            if !stays {
                task.abort();
            }
            stays
        });
        for (name, url) in wanted {
            let exchange = Arc::clone(&self.exchange);
            let client = self.client.clone();
            let peer = name.clone();
            self.dialed.entry(name).or_insert_with(|| {
                let dialing = dial(exchange, client, peer, routes::link(&url));
                (url, tokio::spawn(dialing))
            });
        }
    }
}

/// Whom to make links to, and where they are.
fn peers(map: &ShardMap, me: &NodeName) -> BTreeMap<NodeName, String> {
    let mine = map
        .shards
        .iter()
        .filter(|record| record.member_on(me).is_some());
    let others = mine.flat_map(|record| &record.replicas);
    let later = others.filter(|member| member.node > *me);
    later
        .filter_map(|member| {
            let address = map.nodes.get(&member.node)?;
            Some((member.node.clone(), address.internal_url.clone()))
        })
        .collect()
}

async fn dial(exchange: Arc<Exchange>, client: Client, peer: NodeName, url: String) {
    let mut told = false;
    loop {
        match link(&exchange, &client, &peer, &url).await {
            Ok(()) => told = false,
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::info!(%peer, %error, "no link");
                }
            }
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

/// One link, from its beginning to its end.
async fn link(
    exchange: &Arc<Exchange>,
    client: &Client,
    peer: &NodeName,
    url: &str,
) -> Result<(), LinkError> {
    let broken = |error: reqwest::Error| LinkError::Broken(error.to_string());
    let outbox = exchange.prepare(peer);
    let request = client.post(url).body(Body::wrap_stream(outbox.body()));
    let answer = tokio::time::timeout(ANSWER_TIME_MAX, request.send()).await;
    let answer = answer.map_err(|_| LinkError::Silent)?.map_err(broken)?;
    let answer = answer.error_for_status().map_err(broken)?;
    let named = answer.headers().get(NODE_HEADER);
    if named.and_then(|name| name.to_str().ok()) != Some(peer.as_str()) {
        return Err(LinkError::Stranger);
    }
    let guard = LinkGuard::begin(exchange, &outbox);
    tracing::info!(%peer, "linked");
    let heard = inbox::hear(&outbox, &exchange.handle, answer.bytes_stream()).await;
    drop(guard);
    heard
}
