//! What the services of a cluster answer, each asked for itself.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use wire::NodeName;
use wire::content::ContentPage;
use wire::integrity::LostReport;
use wire::membership::{Draining, Health, NodeEntry, NodesAnswer, ServiceRole};
use wire::nodes_file::NodesFile;
use wire::placement::Place;
use wire::stats::NodeStats;

use crate::api::{Client, Clock, ReadyError, RequestError};
use crate::cli::copying::Stats;

/// The whole cluster, as it was found.
#[derive(Debug)]
pub(super) struct Examined {
    pub(super) distributors: Vec<Service<DistributorAnswers>>,
    pub(super) nodes: Vec<Service<NodeAnswers>>,
    /// What the first distributor that told says of the cluster.
    pub(super) cluster: Option<NodesAnswer>,
    /// Where an upload would go; none while no distributor answers.
    pub(super) placement: Option<Result<Place, RequestError>>,
}

/// One service.
#[derive(Debug)]
pub(super) struct Service<T> {
    pub(super) name: String,
    pub(super) url: String,
    /// Whether distributors hear it; none of one that the cluster does not know.
    pub(super) heard: Option<Health>,
    /// What is left on it, if it is to be emptied.
    pub(super) draining: Option<Draining>,
    /// What it said; an error when nobody answers there.
    pub(super) answers: Result<Answers<T>, RequestError>,
}

/// What every service says.
#[derive(Debug)]
pub(super) struct Answers<T> {
    pub(super) clock: Option<Clock>,
    pub(super) ready: Result<(), ReadyError>,
    pub(super) version: Result<String, RequestError>,
    pub(super) own: T,
}

/// What a distributor says beside.
#[derive(Debug)]
pub(super) struct DistributorAnswers {
    pub(super) nodes: Result<NodesAnswer, RequestError>,
    pub(super) catalog: Result<ContentPage, RequestError>,
}

/// What a node says beside.
#[derive(Debug)]
pub(super) struct NodeAnswers {
    pub(super) stats: Result<NodeStats, RequestError>,
    pub(super) lost: Result<LostReport, RequestError>,
}

/// A service that is to be asked.
struct Target {
    name: String,
    url: String,
    entry: Option<NodeEntry>,
}

impl Examined {
    /// Asks everybody who is known: by the command line, the file, and the distributors.
    pub(super) async fn ask(client: &Client, file: Option<&NodesFile>) -> Examined {
        let mut named: Vec<Target> = client
            .endpoints()
            .iter()
            .map(|endpoint| Target::unnamed(endpoint.as_str()))
            .collect();
        for (name, service) in file.iter().flat_map(|file| file.distributors()) {
            add(&mut named, name, &service.public_url(), None);
        }
        let first = join_all(named.into_iter().map(|target| distributor(client, target))).await;
        let told = first.iter().find_map(|asked| {
            let answers = asked.answers.as_ref().ok()?;
            Some((asked.url.clone(), answers.own.nodes.as_ref().ok()?.clone()))
        });
        let (teller, cluster) = told.unzip();
        let entries = cluster
            .as_ref()
            .map(|cluster| cluster.nodes.clone())
            .unwrap_or_default();
        let asked: Vec<String> = first.iter().map(|service| service.url.clone()).collect();
        let others = distributors_among(&entries, &asked);
        let others = join_all(others.into_iter().map(|target| distributor(client, target))).await;
        let nodes = storage_nodes(&entries, file);
        let nodes = join_all(nodes.into_iter().map(|target| node(client, target))).await;
        let placement = match teller {
            Some(url) => Some(client.placement(&url, 0).await),
            None => None,
        };
        let mut distributors: Vec<_> = first.into_iter().chain(others).collect();
        name_by_url(&mut distributors, &entries);
        Examined {
            distributors,
            nodes,
            cluster,
            placement,
        }
    }
}

impl Examined {
    /// What nodes said of themselves, by name, as far as they did.
    pub(super) fn stats(&self) -> Stats {
        let each = self.nodes.iter().filter_map(|service| {
            let told = service.answers.as_ref().ok()?.own.stats.as_ref().ok();
            Some((service.name.parse().ok()?, told.cloned()))
        });
        each.collect()
    }
}

impl Target {
    fn unnamed(url: &str) -> Self {
        Target {
            name: url.to_owned(),
            url: url.to_owned(),
            entry: None,
        }
    }
}

fn add(targets: &mut Vec<Target>, name: &NodeName, url: &str, entry: Option<&NodeEntry>) {
    if targets.iter().all(|target| target.url != url) {
        targets.push(Target {
            name: name.to_string(),
            url: url.to_owned(),
            entry: entry.cloned(),
        });
    }
}

/// The distributors that the cluster knows beside those that were asked.
fn distributors_among(entries: &BTreeMap<NodeName, NodeEntry>, asked: &[String]) -> Vec<Target> {
    let mut targets = Vec::new();
    for (name, entry) in entries {
        let url = base(entry);
        if entry.role == ServiceRole::Distributor && !asked.contains(&url) {
            add(&mut targets, name, &url, Some(entry));
        }
    }
    targets
}

/// The nodes that the cluster knows, and those that only the file names.
fn storage_nodes(entries: &BTreeMap<NodeName, NodeEntry>, file: Option<&NodesFile>) -> Vec<Target> {
    let mut targets = Vec::new();
    for (name, entry) in entries {
        if entry.role == ServiceRole::Node {
            add(&mut targets, name, &base(entry), Some(entry));
        }
    }
    for (name, service) in file.iter().flat_map(|file| file.storage_nodes()) {
        if !entries.contains_key(name) {
            add(&mut targets, name, &service.public_url(), None);
        }
    }
    targets
}

/// Distributors that were named by URL alone get the names that the cluster knows them by.
fn name_by_url(
    distributors: &mut [Service<DistributorAnswers>],
    entries: &BTreeMap<NodeName, NodeEntry>,
) {
    for service in distributors {
        let known = entries.iter().find(|(_, entry)| base(entry) == service.url);
        if let Some((name, entry)) = known {
            service.name = name.to_string();
            service.heard = Some(entry.health);
        }
    }
}

fn base(entry: &NodeEntry) -> String {
    entry.public_url.trim_end_matches('/').to_owned()
}

async fn distributor(client: &Client, target: Target) -> Service<DistributorAnswers> {
    let url = target.url.clone();
    let own = async {
        let (nodes, catalog) = tokio::join!(client.nodes_of(&url), client.catalog_of(&url));
        DistributorAnswers { nodes, catalog }
    };
    service(client, target, own).await
}

async fn node(client: &Client, target: Target) -> Service<NodeAnswers> {
    let url = target.url.clone();
    let own = async {
        let (stats, lost) = tokio::join!(client.stats_of(&url), client.lost_of(&url));
        NodeAnswers { stats, lost }
    };
    service(client, target, own).await
}

async fn service<T>(client: &Client, target: Target, own: impl Future<Output = T>) -> Service<T> {
    let Target { name, url, entry } = target;
    let answers = match client.clock(&url).await {
        Err(error) => Err(error),
        Ok(clock) => {
            let asked = tokio::join!(client.ready(&url), client.version_of(&url), own);
            let (ready, version, own) = asked;
            Ok(Answers {
                clock,
                ready,
                version,
                own,
            })
        }
    };
    Service {
        name,
        url,
        heard: entry.as_ref().map(|entry| entry.health),
        draining: entry.and_then(|entry| entry.draining),
        answers,
    }
}
