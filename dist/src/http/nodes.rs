//! `GET /nodes`, `GET /stats`, `POST /nodes/{name}/heartbeat`.

mod draining;
pub(super) mod history;
pub(super) mod orders;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Payload};
use wire::limits::LISTING_BYTES_MAX;
use wire::membership::{
    Health, Heartbeat, HeartbeatAnswer, NodeEntry, NodesAnswer, ServiceRole, ShardEntry,
};
use wire::shard::ShardRecord;
use wire::stats::{ClusterStats, NodeStats};
use wire::{Code, NodeName, ShardNo};

use super::body;
use super::error::{ApiError, wrong_cluster};
use super::policy::host_and_port;
use crate::app::Shared;
use crate::controller::Seen;
use crate::members::View;

/// Every service of the cluster, and every shard.
pub(super) async fn nodes(shared: Data<Shared>) -> HttpResponse {
    HttpResponse::Ok().json(answer(&shared))
}

/// What `GET /nodes` answers.
pub(super) fn answer(shared: &Shared) -> NodesAnswer {
    Look::now(shared).services(shared)
}

/// What `GET /nodes` and `GET /stats` answer at one moment; what shards are, only the first tells.
pub(super) fn answer_with_figures(shared: &Shared) -> (NodesAnswer, ClusterStats) {
    let look = Look::now(shared);
    (look.services(shared), look.figures(shared))
}

/// Every service by name, as it is known at this moment.
fn all_entries(shared: &Shared) -> BTreeMap<NodeName, NodeEntry> {
    let look = Look::now(shared);
    entries(shared, look.view(), look.now)
}

/// Records and nodes at one moment: both are many, and copied as rarely as can be.
struct Look {
    now: Instant,
    records: BTreeMap<ShardNo, ShardRecord>,
    nodes: BTreeMap<NodeName, Seen>,
}

impl Look {
    fn now(shared: &Shared) -> Self {
        let now = Instant::now();
        Look {
            now,
            records: shared.members.records(),
            nodes: shared.members.seen(now),
        }
    }

    fn view(&self) -> View<'_> {
        View {
            records: &self.records,
            nodes: &self.nodes,
        }
    }

    fn services(&self, shared: &Shared) -> NodesAnswer {
        NodesAnswer {
            cluster: shared.identity.cluster,
            copies: Some(shared.controller.copies()),
            coordinator: Some(shared.controller.hears_register()),
            nodes: entries(shared, self.view(), self.now),
            shards: self.shards(shared),
            rebalancing: shared.members.is_rebalancing(),
        }
    }

    fn shards(&self, shared: &Shared) -> Vec<ShardEntry> {
        self.view().shards(&shared.waiting_shards())
    }

    /// Every node's statistics, and their sums, without shards.
    fn figures(&self, shared: &Shared) -> ClusterStats {
        let views = shared.members.nodes(self.now);
        let total = total(views.iter().filter_map(|view| view.stats.as_ref()));
        let stats = views.into_iter().map(|view| (view.name, view.stats));
        ClusterStats {
            nodes: stats.collect(),
            total,
            contents_led: self.view().contents(),
            shards: Vec::new(),
        }
    }
}

fn entries(shared: &Shared, view: View<'_>, now: Instant) -> BTreeMap<NodeName, NodeEntry> {
    let distributor = |url: &str, health| entry(url, ServiceRole::Distributor, health);
    let others = shared.members.distributors(now).into_iter();
    let mut nodes: BTreeMap<NodeName, NodeEntry> = others
        .map(|(name, address, health)| (name, distributor(&address.public_url, health)))
        .collect();
    let own = distributor(&shared.public_url.get(), Health::Up);
    nodes.insert(shared.name.clone(), own);
    let draining = shared.members.draining();
    let all = match draining.is_empty() {
        true => Vec::new(),
        false => view.shards(&BTreeSet::new()),
    };
    for node in shared.members.nodes(now) {
        let shards = view.replicas_on(&node.name);
        let left = || draining::left(&all, &node.name, &draining, shared.controller.copies());
        let bare = entry(&node.address.public_url, ServiceRole::Node, node.health);
        let entry = NodeEntry {
            draining: node.draining.then(left),
            shards,
            ..bare
        };
        nodes.insert(node.name, entry);
    }
    nodes
}

/// Every node's statistics, their sums, and every shard.
pub(super) async fn stats(shared: Data<Shared>) -> HttpResponse {
    let look = Look::now(&shared);
    HttpResponse::Ok().json(ClusterStats {
        shards: look.shards(&shared),
        ..look.figures(&shared)
    })
}

/// Takes a node's sign of life.
pub(super) async fn heartbeat(
    shared: Data<Shared>,
    path: Path<String>,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let heartbeat: Heartbeat = body::json(payload, LISTING_BYTES_MAX).await?;
    let name: NodeName = path.parse()?;
    admit(&shared, &name, &heartbeat)?;
    let heard = shared.members.hear(&name, &heartbeat, Instant::now());
    if heard.process {
        shared.poller.watch(&name);
    }
    if heard.decide {
        shared.controller.heard().await;
    }
    let snapshot = shared.members.snapshot();
    let differs = heartbeat.map_version != snapshot.version;
    Ok(HttpResponse::Ok().json(HeartbeatAnswer {
        cluster: shared.identity.cluster,
        session_ms: u64::try_from(shared.session.as_millis()).unwrap_or(u64::MAX),
        map_version: snapshot.version,
        map: differs.then(|| snapshot.map.clone()),
        want_records: shared.controller.wants_records(&heartbeat),
    }))
}

fn admit(shared: &Shared, name: &NodeName, heartbeat: &Heartbeat) -> Result<(), ApiError> {
    if name.is_distributor() {
        return Err(ApiError::malformed(format!(
            "`{name}` is the name of a distributor"
        )));
    }
    for url in [&heartbeat.internal_url, &heartbeat.public_url] {
        if host_and_port(url).is_none() {
            return Err(ApiError::malformed(format!(
                "`{url}` is not a base URI like http://node1:8001"
            )));
        }
    }
    if shared.members.is_removed(name, heartbeat.incarnation) {
        let message = format!("{name} was removed from the cluster; start it anew to let it back");
        return Err(ApiError::new(Code::NodeRemoved, message));
    }
    let ours = shared.identity.cluster;
    if let Some(its) = heartbeat.cluster.filter(|its| *its != ours) {
        shared.warn_of_wrong_cluster(name, its);
        return Err(wrong_cluster(name, its, ours));
    }
    if let Some(url) = shared.members.other(name, heartbeat, Instant::now()) {
        let message = format!("another process is alive under the name {name}, at {url}");
        return Err(ApiError::new(Code::NameTaken, message));
    }
    shared.admit(name);
    Ok(())
}

fn entry(public_url: &str, role: ServiceRole, health: Health) -> NodeEntry {
    let (host, port) = host_and_port(public_url).unwrap_or_default();
    NodeEntry {
        host,
        port,
        public_url: public_url.to_owned(),
        role,
        health,
        shards: Vec::new(),
        draining: None,
    }
}

fn total<'a>(all: impl Iterator<Item = &'a NodeStats>) -> NodeStats {
    let mut sum = NodeStats {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..NodeStats::default()
    };
    let mut nodes = 0_u32;
    for stats in all {
        nodes += 1;
        sum.memory += stats.memory;
        sum.storage += stats.storage;
        sum.max_storage += stats.max_storage;
        sum.cpu += stats.cpu;
        sum.memory_available += stats.memory_available;
        sum.memory_total += stats.memory_total;
        sum.disk_free += stats.disk_free;
        sum.uploads_in_flight += stats.uploads_in_flight;
        sum.bytes_promised += stats.bytes_promised;
        sum.shards_led += stats.shards_led;
        sum.shards_open += stats.shards_open;
        sum.contents += stats.contents;
        sum.space.add(&stats.space);
        sum.unlisted += stats.unlisted;
        sum.damaged += stats.damaged;
        sum.traffic.add(&stats.traffic);
        sum.uptime_s = sum.uptime_s.max(stats.uptime_s);
    }
    if nodes > 0 {
        sum.cpu /= f64::from(nodes);
    }
    if sum.max_storage > 0 {
        sum.storagep = sum.storage as f64 * 100.0 / sum.max_storage as f64;
    }
    sum
}
