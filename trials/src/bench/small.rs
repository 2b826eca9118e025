//! Small contents on a whole cluster in one process: uploads that are durable and listed, reads.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Deserialize;
use tokio::process::Command;
use tokio::time::{Instant, sleep};
use wire::routes;

use super::{Bench, Bound, Figure, probe};
use crate::fleet::{free_row_of_ports, nodes_up};
use crate::http;
use crate::service::{Recipe, Service};

/// The nodes of the cluster that is measured.
const NODES: u16 = 3;

/// Uploads at the same time.
const CONCURRENCY: u32 = 16;

/// The uploads a second that are asked for, unless disk and database are too slow for them.
const UPLOADS_MIN: f64 = 5_000.0;

/// The reads a second that are asked for.
const READS_MIN: f64 = 30_000.0;

/// What one upload may take beside a sync and a commit.
const OWN_MS: f64 = 0.3;

/// The share of what the probes allow that must be reached.
const SHARE: f64 = 0.6;

/// What `client bench --json` prints, as far as it is used here.
#[derive(Debug, Deserialize)]
struct Measured {
    operations_per_s: f64,
    latency_ms: Latency,
    pending: u64,
    errors: BTreeMap<String, u64>,
}

#[derive(Debug, Deserialize)]
struct Latency {
    p50: f64,
    p99: f64,
}

/// Waits until there is a place for uploads: a leader whose copies are in sync.
///
/// # Errors
/// When there is none within half a minute.
pub(crate) async fn takes_uploads(client: &reqwest::Client, url: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let place = client.get(format!("{url}{}", routes::STORE)).send().await?;
        if place.status().is_success() {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "no node takes uploads");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Measures uploads and reads of 1 KiB for `seconds` each, with probes of disk and database before
/// and after.
///
/// # Errors
/// When the cluster does not start or the client fails.
pub async fn run(bench: &Bench, seconds: u32) -> anyhow::Result<Vec<Figure>> {
    let before = probes(bench).await?;
    let recipe = recipe(bench)?;
    let url = recipe.url.clone();
    let mut cluster = Service::spawn(recipe)?;
    let client = http::client()?;
    cluster.ready(&client).await?;
    nodes_up(&client, &url, NODES.into()).await?;
    takes_uploads(&client, &url).await?;
    let up = measure(bench, &url, "upload", seconds).await?;
    let down = measure(bench, &url, "get", seconds).await?;
    let resident = cluster.memory("VmRSS")?;
    cluster.stop().await?;
    let after = probes(bench).await?;

    for (what, measured) in [("upload", &up), ("read", &down)] {
        for (code, count) in &measured.errors {
            eprintln!("{what}: {count} failed with {code}");
        }
    }
    let (sync, commit) = ((before.0 + after.0) / 2.0, (before.1 + after.1) / 2.0);
    let allowed = allowed_uploads(sync, commit);
    let errors = |measured: &Measured| measured.errors.values().sum::<u64>() as f64;
    Ok(vec![
        Figure::plain("t_sync: 4 KiB append and fdatasync", sync, "ms"),
        Figure::plain("t_commit: one database commit", commit, "ms"),
        Figure::bound(
            "uploads of 1 KiB, durable and listed",
            up.operations_per_s,
            "/s",
            Bound::AtLeast(allowed),
        ),
        Figure::plain("upload p50", up.latency_ms.p50, "ms"),
        Figure::plain("upload p99", up.latency_ms.p99, "ms"),
        Figure::bound(
            "uploads answered PENDING",
            up.pending as f64,
            "",
            Bound::AtMost(0.0),
        ),
        Figure::bound("upload errors", errors(&up), "", Bound::AtMost(0.0)),
        Figure::bound(
            "reads of 1 KiB",
            down.operations_per_s,
            "/s",
            Bound::AtLeast(READS_MIN),
        ),
        Figure::plain("read p50", down.latency_ms.p50, "ms"),
        Figure::plain("read p99", down.latency_ms.p99, "ms"),
        Figure::bound("read errors", errors(&down), "", Bound::AtMost(0.0)),
        Figure::plain(
            "resident memory of the cluster",
            resident as f64 / (1 << 20) as f64,
            "MiB",
        ),
    ])
}

/// What must be reached: 5,000 a second, or less where a sync and a commit take their time.
pub(crate) fn allowed_uploads(sync_ms: f64, commit_ms: f64) -> f64 {
    let each_s = (sync_ms + commit_ms + OWN_MS) / 1000.0;
    UPLOADS_MIN.min(SHARE * f64::from(CONCURRENCY) / each_s)
}

async fn probes(bench: &Bench) -> anyhow::Result<(f64, f64)> {
    let sync = probe::sync_ms(&bench.folder)?;
    let commit = probe::commit_ms(&bench.folder, bench.database_url.as_deref()).await?;
    Ok((sync, commit))
}

fn recipe(bench: &Bench) -> anyhow::Result<Recipe> {
    // The distributor's port and three more after it.
    let port = free_row_of_ports(NODES + 1)?;
    let mut arguments = vec!["--port".to_owned(), port.to_string(), "--data".to_owned()];
    arguments.push(bench.folder.join("data").display().to_string());
    if let Some(url) = &bench.database_url {
        arguments.extend(["--database-url".to_owned(), url.clone()]);
    }
    Ok(Recipe {
        name: "cluster".to_owned(),
        program: bench.binaries.path("cluster")?,
        environment: Vec::new(),
        arguments,
        url: format!("http://127.0.0.1:{port}"),
        folder: bench.folder.clone(),
        log: bench.folder.join("cluster.log"),
    })
}

async fn measure(bench: &Bench, url: &str, what: &str, seconds: u32) -> anyhow::Result<Measured> {
    let client: &Path = &bench.binaries.path("client")?;
    let output = Command::new(client)
        .args(["--url", url, "--json", "bench", what, "--size", "1KiB"])
        .args([
            "--concurrency",
            &CONCURRENCY.to_string(),
            "--duration",
            &format!("{seconds}s"),
        ])
        .stderr(Stdio::inherit())
        .output()
        .await?;
    ensure!(output.status.success(), "`client bench {what}` failed");
    let text = String::from_utf8(output.stdout)?;
    let last = text
        .lines()
        .last()
        .context("`client bench` printed nothing")?;
    Ok(serde_json::from_str(last)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a slow disk is taken for a slow program, or the other way round.
    #[test]
    fn the_bound_follows_the_disk_and_ends_at_5000() {
        assert_eq!(allowed_uploads(0.1, 0.1), 5_000.0);
        let slow = allowed_uploads(2.0, 1.7);
        assert!((slow - 0.6 * 16.0 / 0.004).abs() < 1e-6, "{slow}");
    }
}
