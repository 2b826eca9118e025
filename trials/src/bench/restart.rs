//! How soon a node with very many small contents serves again, and what its index takes.

use std::process::Stdio;

use anyhow::{Context, ensure};
use tokio::process::Command;
use tokio::time::Instant;
use wire::content::ContentPage;
use wire::routes;

use super::{Bench, Bound, Figure};
use crate::fleet::{Fleet, Plan};
use crate::http;
use crate::service::Service;

/// Serving again within this time.
const SERVING_AFTER_S_MAX: f64 = 2.0;

/// The most memory that the index may take for one content.
const INDEX_BYTES_MAX: f64 = 64.0;

/// A content in these measurements: small, so that the index is what counts.
const CONTENT_BYTES: u64 = 64;

/// The node's place in the fleet.
const NODE: usize = 1;

/// Fills one node with `contents` small contents and restarts it, after a clean stop and after
/// `kill -9`.
///
/// The index grows in steps, each doubling it when it is 7/8 full: its worst load factor is just
/// after such a step, so memory is measured there too, at the last step below `contents`.
///
/// # Errors
/// When a service does not start or an upload fails.
pub async fn run(bench: &Bench, contents: u64) -> anyhow::Result<Vec<Figure>> {
    let plan = Plan {
        folder: bench.folder.clone(),
        nodes: 1,
        database_url: bench.database_url.clone(),
        ..Plan::default()
    };
    let mut fleet = Fleet::start(&bench.binaries, &plan).await?;
    let (_, empty) = restart(&mut fleet, None).await?;

    let worst = worst_load_factor(contents);
    fill(bench, &fleet, worst).await?;
    let (_, at_worst) = restart(&mut fleet, Some(worst)).await?;
    fill(bench, &fleet, contents - worst).await?;
    let filled = resident(&fleet)?;
    let (serving, full) = restart(&mut fleet, Some(contents)).await?;
    let client = http::client()?;
    let page: ContentPage =
        http::json(client.get(format!("{}{}?limit=1", fleet.url(), routes::CONTENT))).await?;
    ensure!(page.items.len() == 1, "the catalog lists nothing");
    fleet.stop().await?;

    let each = |bytes: u64, count: u64| bytes.saturating_sub(empty) as f64 / count as f64;
    let mib = |bytes: u64| bytes as f64 / (1 << 20) as f64;
    let index = Bound::AtMost(INDEX_BYTES_MAX);
    Ok(vec![
        Figure::plain("contents", contents as f64, ""),
        Figure::bound(
            "serving after kill -9",
            serving,
            "s",
            Bound::AtMost(SERVING_AFTER_S_MAX),
        ),
        Figure::plain("resident, empty", mib(empty), "MiB"),
        Figure::plain("resident, filled, before the restart", mib(filled), "MiB"),
        Figure::plain("resident, restarted", mib(full), "MiB"),
        Figure::bound("memory a content", each(full, contents), "bytes", index),
        Figure::plain("contents at the worst load factor", worst as f64, ""),
        Figure::bound(
            "memory a content, worst load factor",
            each(at_worst, worst),
            "bytes",
            index,
        ),
    ])
}

/// The tables that the index is split into by hash (`store::index`). Each doubles by itself.
const TABLES: u64 = 256;

/// About the fewest contents, at most `contents`, for which all tables of the index have doubled for the last
/// time: each when it holds one more than 7/8 of a power of two, and those with the fewest entries hold three
/// standard deviations less than the mean.
fn worst_load_factor(contents: u64) -> u64 {
    let at = |power: u32| {
        let full = (1_u64 << power) / 8 * 7 + 1;
        TABLES * (full + 3 * full.isqrt())
    };
    (4..48)
        .map(at)
        .take_while(|&count| count <= contents)
        .last()
        .unwrap_or(contents)
}

/// Kills the node and starts it again; gives the seconds until it serves what it held before, and
/// its resident memory then.
async fn restart(fleet: &mut Fleet, contents: Option<u64>) -> anyhow::Result<(f64, u64)> {
    let client = http::client()?;
    fleet.kill(NODE).await?;
    let begun = Instant::now();
    fleet.spawn(NODE)?;
    fleet.together().await?;
    let serving = begun.elapsed().as_secs_f64();
    let url = format!(
        "{}{}",
        fleet.node_urls().next().context("one node")?,
        routes::STATS
    );
    let stats: wire::stats::NodeStats = http::json(client.get(url)).await?;
    if let Some(contents) = contents {
        ensure!(
            stats.contents == contents,
            "{} of {contents} contents are there",
            stats.contents
        );
    }
    Ok((serving, resident(fleet)?))
}

fn resident(fleet: &Fleet) -> anyhow::Result<u64> {
    fleet
        .service(NODE)
        .map(|node: &Service| node.memory("VmRSS"))
        .context("the node runs")?
}

async fn fill(bench: &Bench, fleet: &Fleet, count: u64) -> anyhow::Result<()> {
    let status = Command::new(bench.binaries.path("client")?)
        .args([
            "--url",
            fleet.url(),
            "bench",
            "upload",
            "--concurrency",
            "32",
        ])
        .args([
            "--size",
            &CONTENT_BYTES.to_string(),
            "--count",
            &count.to_string(),
        ])
        .stdout(Stdio::null())
        .status()
        .await?;
    ensure!(status.success(), "uploading {count} contents failed");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, the index is measured where it is at its best.
    #[test]
    fn the_worst_load_factor_is_just_after_a_doubling() {
        assert_eq!(worst_load_factor(1_000_000), 963_072);
        assert_eq!(worst_load_factor(963_072), 963_072);
        assert_eq!(worst_load_factor(963_071), 491_264);
        assert_eq!(worst_load_factor(1_000), 1_000);
    }
}
