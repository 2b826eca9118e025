//! The operation log.

use maud::{Markup, html};
use wire::operation::{Operation, OperationKind};

use super::figures::{second, size};

/// The page; its rows come by themselves.
pub(crate) fn operations(rows: &[Operation]) -> Markup {
    html! {
        h1 { "Operation log" }
        p .intro { "What was committed, in all shards, the newest first. It comes by itself." }
        div .scroll data-log="/console/log/live" {
            table .log {
                thead {
                    tr {
                        th scope="col" { "Time (UTC)" }
                        th scope="col" { "What" }
                        th scope="col" { "Content" }
                        th scope="col" .number { "Size" }
                        th scope="col" .wide .number { "Version" }
                        th scope="col" .wide .number { "Shard, record" }
                    }
                }
                tbody #operations aria-live="off" { @for row in rows { (operation(row)) } }
            }
        }
        p #quiet .note hidden[!rows.is_empty()] { "Nothing has happened yet. An upload would be seen here at once." }
    }
}

/// One row.
pub(crate) fn operation(operation: &Operation) -> Markup {
    let (class, what) = match operation.operation {
        OperationKind::Upload => ("well", "upload"),
        OperationKind::Update => ("calm", "update"),
        OperationKind::Describe => ("calm", "describe"),
        OperationKind::Delete => ("bad", "delete"),
        OperationKind::Epoch => ("quiet", "new leader"),
    };
    html! {
        tr data-record={ (operation.shard) "-" (operation.lsn) } {
            td { time datetime=(operation.time) { (second(operation.time)) } }
            td { span class={ "tag " (class) } { (what) } }
            td {
                @match operation.id {
                    Some(id) if operation.operation != OperationKind::Delete => {
                        a href={ "/console/contents/" (id) } { code { (id) } }
                    },
                    Some(id) => code { (id) },
                    None => span .note { "epoch " (operation.epoch) },
                }
            }
            td .number { @if let Some(bytes) = operation.size { (size(bytes)) } }
            td .wide .number { @if let Some(version) = operation.version { (version) } }
            td .wide .number { (operation.shard) ", " (operation.lsn) }
        }
    }
}
