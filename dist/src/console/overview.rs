//! The first page: the cluster in a sentence, its nodes, its last hours.

mod node;

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};
use wire::NodeName;
use wire::membership::{Health, NodeEntry, NodesAnswer, ServiceRole};
use wire::stats::{ClusterStats, NodeStats};

use super::chart::{Range, section};
use super::figures::{count, size};
use super::layout::prose;
use super::verdict::{Level, verdict};
use node::card;

pub(crate) use node::page as node_page;

/// What the page is made of: what the JSON API answers, and what this distributor knows beside.
pub(crate) struct Cluster {
    pub(crate) nodes: NodesAnswer,
    pub(crate) stats: ClusterStats,
    pub(crate) catalog_up: bool,
    /// Whether the coordinator answers; nobody asks it while the catalog is away.
    pub(crate) coordinator_up: bool,
    /// The silent nodes that hold something, if they are so many that no copies are made; else none.
    pub(crate) copying_held_by: BTreeSet<NodeName>,
    /// How far each node's clock is ahead of this distributor's, where that is known.
    pub(crate) clocks_ahead_s: BTreeMap<NodeName, f64>,
}

impl Cluster {
    /// What a node last said of itself; none while it does not answer.
    pub(super) fn stats_of(&self, node: &NodeName) -> Option<&NodeStats> {
        self.stats.nodes.get(node)?.as_ref()
    }
}

/// A part of a page that changes by itself: the id of its element, and the element.
pub(crate) type Fragment = (String, String);

/// The page.
pub(crate) fn overview(cluster: &Cluster, charts: &Markup, range: Range) -> Markup {
    html! {
        div data-live="/console/live" {
            (sentence(cluster))
            (figures(cluster))
            section aria-labelledby="nodes-title" {
                h2 #nodes-title { "Nodes" }
                (nodes(cluster))
            }
        }
        (section(None, charts, range))
    }
}

/// Every part that changes by itself.
pub(crate) fn fragments(cluster: &Cluster) -> Vec<Fragment> {
    let mut all = vec![
        ("verdict".to_owned(), sentence(cluster).into_string()),
        ("figures".to_owned(), figures(cluster).into_string()),
    ];
    for (name, entry) in storage_nodes(cluster) {
        let card = card(name, entry, cluster.stats_of(name));
        all.push((format!("node-{name}"), card.into_string()));
    }
    all
}

/// The grid of nodes: sent as a whole when a node comes or goes.
pub(crate) fn nodes(cluster: &Cluster) -> Markup {
    let none = storage_nodes(cluster).next().is_none();
    html! {
        div #nodes .nodes {
            @if none {
                div .empty {
                    p .lead { "No storage node yet" }
                    p { "A node appears here as soon as it says that it is there." }
                }
            }
            @for (name, entry) in storage_nodes(cluster) {
                (card(name, entry, cluster.stats_of(name)))
            }
        }
    }
}

fn storage_nodes(cluster: &Cluster) -> impl Iterator<Item = (&NodeName, &NodeEntry)> {
    let each = cluster.nodes.nodes.iter();
    each.filter(|(_, entry)| entry.role == ServiceRole::Node)
}

fn sentence(cluster: &Cluster) -> Markup {
    let verdict = verdict(cluster);
    let class = match verdict.level {
        Level::Well => "verdict well",
        Level::Warn => "verdict warn",
        Level::Bad => "verdict bad",
    };
    html! {
        div #verdict class=(class) role="status" {
            h1 { (verdict.sentence) }
            @if let Some(advice) = verdict.advice { p { (prose(advice)) } }
        }
    }
}

fn figures(cluster: &Cluster) -> Markup {
    let total = &cluster.stats.total;
    let all = storage_nodes(cluster).count() as u64;
    let up = storage_nodes(cluster).filter(|(_, entry)| entry.health == Health::Up);
    let up = up.count() as u64;
    html! {
        dl #figures .figures {
            div { dt { "Contents" } dd { (count(cluster.stats.contents_led)) } }
            div {
                dt { "Stored, with copies" }
                dd { (size(total.storage)) small { " of " (size(total.max_storage)) } }
            }
            div { dt { "Nodes up" } dd { (count(up)) small { " of " (count(all)) } } }
            div { dt { "Shards" } dd { (count(cluster.nodes.shards.len() as u64)) } }
            div { dt { "Not listed yet" } dd { (count(total.unlisted)) } }
        }
    }
}
