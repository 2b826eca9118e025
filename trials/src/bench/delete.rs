//! How soon a large content's space is free after its delete.

use std::time::Duration;

use anyhow::ensure;
use tokio::time::{Instant, sleep};
use wire::content::Receipt;
use wire::routes;

use super::{Bench, Bound, Figure, stream};
use crate::fleet::{Fleet, Plan};
use crate::http;
use crate::torture::space::on_disk;

/// The time within which it must be free.
const FREE_AFTER_S_MAX: f64 = 5.0;

/// What may remain of a deleted content, in percent: the record of its delete, and an edge.
const REMAINS_PERCENT: u64 = 1;

/// Uploads a content of `size` bytes, deletes it, and waits until its space is free on disk.
///
/// # Errors
/// When a service does not start, or the space is not free within a minute.
pub async fn run(bench: &Bench, size: u64) -> anyhow::Result<Vec<Figure>> {
    let plan = Plan {
        folder: bench.folder.clone(),
        nodes: 1,
        database_url: bench.database_url.clone(),
        ..Plan::default()
    };
    let fleet = Fleet::start(&bench.binaries, &plan).await?;
    let client = stream::patient_client()?;
    let empty = on_disk(&fleet.data(1))?;
    let (receipt, node) = stream::upload(&client, fleet.url(), &stream::Body::new(size)).await?;
    let full = on_disk(&fleet.data(1))?;
    ensure!(
        full >= empty + size,
        "{size} bytes were stored and {} are on disk",
        full - empty
    );

    let begun = Instant::now();
    let _: Receipt = http::json(client.delete(routes::delete(&node, receipt.id))).await?;
    let answered = begun.elapsed().as_secs_f64();
    while on_disk(&fleet.data(1))? > full - size + size / 100 * REMAINS_PERCENT {
        ensure!(
            begun.elapsed() < Duration::from_secs(60),
            "the space is not free after a minute"
        );
        sleep(Duration::from_millis(10)).await;
    }
    let free = begun.elapsed().as_secs_f64();
    let left = on_disk(&fleet.data(1))?;
    fleet.stop().await?;
    let mib = |bytes: u64| bytes as f64 / (1 << 20) as f64;
    Ok(vec![
        Figure::plain("on disk with the content", mib(full), "MiB"),
        Figure::plain("on disk after its delete", mib(left), "MiB"),
        Figure::plain("delete answered after", answered, "s"),
        Figure::bound(
            "space free after",
            free,
            "s",
            Bound::AtMost(FREE_AFTER_S_MAX),
        ),
    ])
}
