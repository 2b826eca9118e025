//! One content of gigabytes, up and down, with small uploads beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::Instant;
use wire::routes;

use super::stream::{self, Body};
use super::{Bench, Bound, Figure, MEBIBYTE, quantile};
use crate::fleet::{Fleet, Plan};

/// The most memory that a node may be resident with.
const RESIDENT_MIB_MAX: f64 = 128.0;

/// Small uploads whose latency is measured before the large one.
const QUIET_UPLOADS: usize = 300;

/// Uploads and downloads one content of `size` bytes on a cluster of one node.
///
/// # Errors
/// When a service does not start or a transfer fails.
pub async fn run(bench: &Bench, size: u64) -> anyhow::Result<Vec<Figure>> {
    let plan = Plan {
        folder: bench.folder.clone(),
        nodes: 1,
        database_url: bench.database_url.clone(),
        ..Plan::default()
    };
    let fleet = Fleet::start(&bench.binaries, &plan).await?;
    let client = stream::patient_client()?;
    let never = AtomicBool::new(false);
    let body = Body::new(size);
    let mut quiet = small_uploads(&client, fleet.url(), QUIET_UPLOADS, &never).await?;

    let done = Arc::new(AtomicBool::new(false));
    let beside = {
        let (url, done) = (fleet.url().to_owned(), Arc::clone(&done));
        std::thread::spawn(move || beside(&url, &done))
    };
    let begun = Instant::now();
    let (receipt, node) = stream::upload(&client, fleet.url(), &body).await?;
    let up = begun.elapsed().as_secs_f64();
    done.store(true, Ordering::Relaxed);
    let joined = tokio::task::spawn_blocking(move || beside.join()).await?;
    let mut busy = joined.map_err(|_| anyhow::anyhow!("the small uploads panicked"))??;

    let begun = Instant::now();
    let (got, checksum) = stream::download(&client, &routes::retrieve(&node, receipt.id)).await?;
    let down = begun.elapsed().as_secs_f64();
    let equal = got == size && checksum == receipt.checksum;
    let peak = fleet
        .service(1)
        .map(|node| node.memory("VmHWM"))
        .transpose()?
        .unwrap_or_default();
    fleet.stop().await?;

    let mib = size as f64 / MEBIBYTE;
    Ok(vec![
        Figure::plain("size", mib, "MiB"),
        Figure::plain("upload", mib / up, "MiB/s"),
        Figure::plain("download", mib / down, "MiB/s"),
        Figure::bound(
            "hash equal (1 is yes)",
            f64::from(u8::from(equal)),
            "",
            Bound::AtLeast(1.0),
        ),
        Figure::bound(
            "the node's peak resident memory",
            peak as f64 / MEBIBYTE,
            "MiB",
            Bound::AtMost(RESIDENT_MIB_MAX),
        ),
        Figure::plain("1 KiB upload alone, p50", quantile(&mut quiet, 0.5), "ms"),
        Figure::plain("1 KiB upload alone, p99", quantile(&mut quiet, 0.99), "ms"),
        Figure::plain(
            "1 KiB upload beside the large one, p50",
            quantile(&mut busy, 0.5),
            "ms",
        ),
        Figure::plain(
            "1 KiB upload beside the large one, p99",
            quantile(&mut busy, 0.99),
            "ms",
        ),
        Figure::plain("1 KiB uploads beside the large one", busy.len() as f64, ""),
    ])
}

/// Small uploads until it is done, on a thread and a connection of their own: they shall wait for
/// the node, and not for the one who sends the large body.
fn beside(dist: &str, done: &AtomicBool) -> anyhow::Result<Vec<f64>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let client = stream::patient_client()?;
        small_uploads(&client, dist, usize::MAX, done).await
    })
}

/// Uploads 1 KiB at a time, one after the other; gives each one's milliseconds.
async fn small_uploads(
    client: &reqwest::Client,
    dist: &str,
    count: usize,
    stop: &AtomicBool,
) -> anyhow::Result<Vec<f64>> {
    let mut taken = Vec::new();
    let small = Body::new(1024);
    while taken.len() < count && !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        stream::upload(client, dist, &small).await?;
        taken.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(taken)
}
