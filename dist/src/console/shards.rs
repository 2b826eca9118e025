//! Shards and their mirrors.

use maud::{Markup, html};
use wire::membership::{Health, NodesAnswer, ReplicaRole, ShardEntry, ShardReplica};

use super::figures::{count, counted, size};
use super::layout::empty;

/// The page.
pub(crate) fn shards(nodes: &NodesAnswer) -> Markup {
    html! {
        h1 { "Shards and mirrors" }
        p .intro {
            "A shard is one log. Its leader puts changes in order; a change is acknowledged when every "
            "copy in sync has it on its disk."
        }
        div data-live="/console/shards/live" { (table(nodes)) }
    }
}

/// The part that changes by itself.
pub(crate) fn table(nodes: &NodesAnswer) -> Markup {
    html! {
        div #shards {
            @if nodes.shards.is_empty() {
                (empty("No shard yet", &html! { "The first ones are made when a storage node comes." }))
            } @else {
                div .scroll role="region" aria-label="Shards" tabindex="0" {
                    table {
                        thead {
                            tr {
                                th scope="col" { "Shard" }
                                th scope="col" { "State" }
                                th scope="col" .wide .number { "Contents" }
                                th scope="col" .wide .number { "Size" }
                                th scope="col" .wide .number { "Epoch" }
                                th scope="col" { "Copies" }
                            }
                        }
                        tbody { @for shard in &nodes.shards { (row(shard, nodes)) } }
                    }
                }
            }
        }
    }
}

fn row(shard: &ShardEntry, nodes: &NodesAnswer) -> Markup {
    let (class, state) = state(shard);
    html! {
        tr {
            th scope="row" { (shard.shard) }
            td { span class={ "tag " (class) } { (state) } }
            td .wide .number { (count(shard.contents)) }
            td .wide .number { (size(shard.bytes)) }
            td .wide .number { (shard.epoch) }
            td {
                ul .copies {
                    @for replica in &shard.replicas { li { (copy(replica, is_down(nodes, replica))) } }
                }
            }
        }
    }
}

fn is_down(nodes: &NodesAnswer, replica: &ShardReplica) -> bool {
    let entry = nodes.nodes.get(&replica.node);
    entry.is_none_or(|entry| entry.health == Health::Down)
}

/// One copy: where it is, its part, and how far it is behind.
pub(crate) fn copy(replica: &ShardReplica, down: bool) -> Markup {
    let class = match (down, replica.in_sync) {
        (true, _) => "copy down",
        (false, true) => "copy",
        (false, false) => "copy behind",
    };
    html! {
        span class=(class) {
            b { (replica.node) }
            @if replica.role == ReplicaRole::Leader { " leads" } @else { " mirrors" }
            span .lag { (lag(replica, down)) }
        }
    }
}

fn lag(replica: &ShardReplica, down: bool) -> String {
    match (down, replica.progress.lag, replica.in_sync) {
        (true, _, _) => "does not answer".to_owned(),
        (_, _, _) if replica.progress.halted => "its log failed".to_owned(),
        (false, Some(0) | None, true) => "in sync".to_owned(),
        (false, Some(lag), true) => format!("in sync, {lag} to go"),
        (false, Some(lag), false) => format!("{} behind", counted(lag, "record")),
        (false, None, false) => "not in sync".to_owned(),
    }
}

fn state(shard: &ShardEntry) -> (&'static str, &'static str) {
    use wire::shard::ShardState;
    match shard {
        shard if shard.waits => ("bad", "waits"),
        shard if shard.leader.is_none() => ("bad", "no leader"),
        shard if shard.degraded => ("warn", "degraded"),
        shard if shard.state == ShardState::Closed => ("quiet", "closed"),
        _ => ("well", "open"),
    }
}
