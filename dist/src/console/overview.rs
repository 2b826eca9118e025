//! The first page: the cluster in a sentence, its nodes, its last hours.

use std::collections::BTreeMap;

use maud::{Markup, html};
use wire::NodeName;
use wire::membership::{Health, NodeEntry, NodesAnswer, ReplicaRole, ServiceRole};
use wire::stats::{ClusterStats, NodeStats};

use super::chart::Range;
use super::figures::{count, counted, percent, size, whole};
use super::layout::{Fullness, bar, prose};
use super::verdict::{Level, verdict};

/// What the page is made of: what the JSON API answers, and what this distributor knows beside.
pub(crate) struct Cluster {
    pub(crate) nodes: NodesAnswer,
    pub(crate) stats: ClusterStats,
    pub(crate) catalog_up: bool,
    /// Whether the coordinator answers; nobody asks it while the catalog is away.
    pub(crate) coordinator_up: bool,
    /// Whether so many nodes look dead that no copies are made.
    pub(crate) copying_held: bool,
    /// How far each node's clock is ahead of this distributor's, where that is known.
    pub(crate) clocks_ahead_s: BTreeMap<NodeName, f64>,
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
        section .history aria-labelledby="history-title" {
            div .row {
                h2 #history-title { "The last " (range.words()) }
                nav .ranges aria-label="How far back" {
                    @for each in Range::ALL {
                        a href={ "/?range=" (each.name()) "#history-title" }
                            aria-current=[(each == range).then_some("true")] { (each.name()) }
                    }
                }
            }
            div #charts data-refresh={ "/console/charts?range=" (range.name()) } { (charts) }
        }
    }
}

/// Every part that changes by itself.
pub(crate) fn fragments(cluster: &Cluster) -> Vec<Fragment> {
    let mut all = vec![
        ("verdict".to_owned(), sentence(cluster).into_string()),
        ("figures".to_owned(), figures(cluster).into_string()),
    ];
    for (name, entry) in storage_nodes(cluster) {
        let stats = cluster.stats.nodes.get(name).and_then(Option::as_ref);
        let card = node(name.as_str(), entry, stats);
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
                (node(name.as_str(), entry, cluster.stats.nodes.get(name).and_then(Option::as_ref)))
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

fn node(name: &str, entry: &NodeEntry, stats: Option<&NodeStats>) -> Markup {
    let led = entry
        .shards
        .iter()
        .filter(|shard| shard.role == ReplicaRole::Leader);
    let led = led.count() as u64;
    let followed = entry.shards.len() as u64 - led;
    html! {
        article id={ "node-" (name) } .node .down[entry.health == Health::Down] {
            header {
                h3 { (name) }
                span .state { (state(entry)) }
            }
            @match stats {
                Some(stats) => (load(stats)),
                None => p .silent {
                    "It does not answer. Other copies serve what it keeps, where there are some."
                },
            }
            footer {
                span { "leads " (count(led)) ", mirrors " (counted(followed, "shard")) }
                span { (entry.host) ":" (entry.port) }
            }
        }
    }
}

fn state(entry: &NodeEntry) -> &'static str {
    match (entry.health, &entry.draining) {
        (Health::Down, _) => "down",
        (Health::Up, Some(_)) => "draining",
        (Health::Up, None) => "up",
    }
}

fn load(stats: &NodeStats) -> Markup {
    let used = stats.memory_total.saturating_sub(stats.memory_available);
    let memory = percent(used as f64, stats.memory_total as f64);
    let most = size(stats.max_storage);
    html! {
        dl .loads {
            (line("Storage", stats.storagep, &html! { (size(stats.storage)) small { " of " (most) } }))
            (line("Processor", stats.cpu, &html! { (whole(stats.cpu)) " %" }))
            (line("Memory", memory, &html! { (whole(memory)) " %" }))
        }
        p .counts {
            (counted(stats.contents, "content")) ", "
            (counted(stats.uploads_in_flight, "upload")) " under way"
            @if stats.damaged > 0 { ", " strong { (count(stats.damaged)) " damaged" } }
        }
    }
}

fn line(name: &str, share: f64, value: &Markup) -> Markup {
    let fullness = match name {
        "Storage" => Fullness::Alarming,
        _ => Fullness::Fine,
    };
    html! {
        div {
            dt { (name) }
            dd { (value) }
            (bar(share.clamp(0.0, 100.0), name, fullness))
        }
    }
}
