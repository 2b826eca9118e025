//! What pages show of this moment: sampled once for all who watch, and only while somebody does.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use actix_web::web::Data;
use maud::Markup;
use tokio::sync::Mutex;
use wire::NodeName;

use super::feed::Feed;
use super::operations::{Recent, Tail};
use super::pages::cluster;
use crate::app::Shared;
use crate::console::chart::Range;
use crate::console::overview::{self as pages, Cluster, Fragment};
use crate::console::shards as mirrors;
use crate::http::error::ApiError;
use crate::http::nodes;

/// Nodes are asked for their statistics as often.
const EVERY: Duration = Duration::from_secs(1);

/// Everything that is sent to watchers, and what is drawn for all of them.
#[derive(Default)]
pub(crate) struct Live {
    overview: Feed,
    shards: Feed,
    pub(super) operations: Feed,
    pub(super) recent: Recent,
    pub(super) charts: Charts,
}

impl Live {
    /// Ends all watching, so that the service can end.
    pub(crate) fn close(&self) {
        for feed in [&self.overview, &self.shards, &self.operations] {
            feed.close();
        }
    }
}

/// Samples for ever, what is watched. A leader that is slow to tell its log delays no page.
pub(crate) async fn sample(shared: &Shared) {
    tokio::join!(sample_pages(shared), sample_operations(shared));
}

async fn sample_pages(shared: &Shared) {
    let live = &shared.live;
    let (mut nodes_before, mut shards_before) = (None, None);
    let mut tick = every();
    loop {
        tick.tick().await;
        nodes_before = match live.overview.is_watched() {
            true => Some(send_overview(shared, nodes_before.as_deref())),
            false => None,
        };
        shards_before = match live.shards.is_watched() {
            true => Some(send_shards(shared, shards_before.as_deref())),
            false => None,
        };
    }
}

async fn sample_operations(shared: &Shared) {
    let mut tail = Tail::default();
    let mut tick = every();
    loop {
        tick.tick().await;
        match shared.live.operations.is_watched() {
            true => tail.follow(shared).await,
            false => tail = Tail::default(),
        }
    }
}

fn every() -> tokio::time::Interval {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    tick
}

fn send_overview(shared: &Shared, before: Option<&[Fragment]>) -> Vec<Fragment> {
    let cluster = cluster(shared);
    let now = pages::fragments(&cluster);
    let changed = changes(before.unwrap_or_default(), &now, &cluster);
    if !changed.is_empty() {
        shared.live.overview.send(&encode(&changed));
    }
    now
}

fn send_shards(shared: &Shared, before: Option<&str>) -> String {
    let now = mirrors::table(&nodes::answer(shared)).into_string();
    if before != Some(&now) {
        let fragment = ("shards".to_owned(), now.clone());
        shared.live.shards.send(&encode(&[fragment]));
    }
    now
}

/// The parts that changed; all of them when nodes came or went.
fn changes(before: &[Fragment], now: &[Fragment], cluster: &Cluster) -> Vec<Fragment> {
    let ids = |all: &[Fragment]| all.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>();
    if ids(before) != ids(now) {
        return whole(now, cluster);
    }
    let pairs = now.iter().zip(before);
    let changed = pairs.filter(|(now, before)| now != before);
    changed.map(|(now, _)| now.clone()).collect()
}

/// Everything, with the nodes as one part.
fn whole(now: &[Fragment], cluster: &Cluster) -> Vec<Fragment> {
    let others = now.iter().filter(|(id, _)| !id.starts_with("node-"));
    let nodes = ("nodes".to_owned(), pages::nodes(cluster).into_string());
    others.cloned().chain([nodes]).collect()
}

fn encode(fragments: &[Fragment]) -> String {
    serde_json::to_string(fragments).expect("texts are always JSON")
}

/// Watches the overview.
pub(super) async fn overview(shared: Data<Shared>) -> Result<HttpResponse, ApiError> {
    let cluster = cluster(&shared);
    let now = pages::fragments(&cluster);
    shared.live.overview.watch(&encode(&whole(&now, &cluster)))
}

/// Watches the shards.
pub(super) async fn shards(shared: Data<Shared>) -> Result<HttpResponse, ApiError> {
    let now = mirrors::table(&nodes::answer(&shared)).into_string();
    shared
        .live
        .shards
        .watch(&encode(&[("shards".to_owned(), now)]))
}

/// Charts are as old as this at most; everyone who asks within gets the same drawing.
const CHARTS_AGE_MAX: Duration = Duration::from_secs(5);

/// Whose charts, and how far back; none for the cluster's.
pub(super) type Wanted = (Option<NodeName>, Range);

/// The last drawings of everything that somebody looks at.
#[derive(Default)]
pub(super) struct Charts {
    drawn: Mutex<BTreeMap<Wanted, (Instant, Markup)>>,
}

impl Charts {
    /// The drawing, made anew if it is too old. Only one is made at a time.
    pub(super) async fn get(
        &self,
        wanted: Wanted,
        draw: impl AsyncFnOnce() -> Result<Markup, ApiError>,
    ) -> Result<Markup, ApiError> {
        let mut drawn = self.drawn.lock().await;
        drawn.retain(|_, (at, _)| at.elapsed() < CHARTS_AGE_MAX);
        if let Some((_, charts)) = drawn.get(&wanted) {
            return Ok(charts.clone());
        }
        let charts = draw().await?;
        drawn.insert(wanted, (Instant::now(), charts.clone()));
        Ok(charts)
    }
}
