//! One node: its card on the first page, and the page with its last hours.

use maud::{Markup, html};
use wire::NodeName;
use wire::membership::{Health, NodeEntry, ReplicaRole};
use wire::stats::NodeStats;

use super::{Cluster, storage_nodes};
use crate::console::chart::{Range, section};
use crate::console::figures::{count, counted, percent, size, whole};
use crate::console::layout::{Fullness, bar};

/// The page of a node; none if there is no such one.
pub(crate) fn page(
    cluster: &Cluster,
    node: &NodeName,
    charts: &Markup,
    range: Range,
) -> Option<Markup> {
    let (name, entry) = storage_nodes(cluster).find(|(name, _)| *name == node)?;
    Some(html! {
        p .crumbs { a href="/" { "Overview" } }
        h1 { (name) }
        div .nodes .alone data-live="/console/live" {
            (card(name, entry, cluster.stats_of(name)))
        }
        (section(Some(name), charts, range))
    })
}

/// What a node is doing: on the first page and on its own.
pub(super) fn card(name: &NodeName, entry: &NodeEntry, stats: Option<&NodeStats>) -> Markup {
    let led = entry
        .shards
        .iter()
        .filter(|shard| shard.role == ReplicaRole::Leader);
    let led = led.count() as u64;
    let followed = entry.shards.len() as u64 - led;
    let is_down = entry.health == Health::Down;
    let drains = !is_down && entry.draining.is_some();
    html! {
        article id={ "node-" (name) } .node .down[is_down] .draining[drains] {
            header {
                h3 { a href={ "/console/nodes/" (name) } { (name) } }
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
