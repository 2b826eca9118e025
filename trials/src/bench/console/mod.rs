//! The web console of a large cluster: how soon its first page is there, and what its live updates cost
//! the distributor that sends them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::StreamExt;
use pgtest::Postgres;
use reqwest::header::ACCEPT;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use wire::ShardNo;
use wire::membership::{Health, NodesAnswer};
use wire::routes;

use super::standard::catalog;
use super::standard::processes::Processes;
use super::{Bench, Bound, Figure, quantile};
use crate::fleet::{Fleet, Plan};
use crate::http;
use crate::torture::copies;

/// The first page.
const OVERVIEW: &str = "/";

/// The list of contents, whose pages the catalog answers.
const CONTENTS: &str = "/console/contents";

/// The events of the first page.
const LIVE: &str = "/console/live";

/// Within this the overview is there.
const OVERVIEW_MS_MAX: f64 = 200.0;

/// What all viewers together may cost, in percent of a core.
const VIEWERS_SHARE_MAX: f64 = 2.0;

/// How often pages are loaded.
const LOADS: usize = 200;

/// Times with viewers, and as many without, in turn: what else the machine does falls on both.
const TURNS: usize = 2;

/// How long all nodes together may take to get their shards.
const TOGETHER_TIME_MAX: Duration = Duration::from_secs(300);

/// Until what began or ended with the viewers is over.
const SETTLE: Duration = Duration::from_secs(5);

/// Longer than any measurement.
const VIEW_TIME_MAX: Duration = Duration::from_secs(3600);

/// What shall be measured.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Nodes on the board.
    pub nodes: u16,
    /// Rows of the catalog.
    pub rows: u64,
    /// Who look at the board at the same time.
    pub viewers: usize,
    /// How long each turn with or without viewers takes.
    pub turn: Duration,
}

/// The processor time of one turn, in percent of a core.
#[derive(Clone, Copy, Debug, Default)]
struct Shares {
    distributor: f64,
    database: f64,
}

/// Somebody who looks at the board. Dropped, the page is closed.
struct Viewer {
    seen: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts a PostgreSQL and that many nodes, fills the catalog, and measures.
///
/// # Errors
/// When a service does not start, or a page is not answered.
pub async fn run(bench: &Bench, settings: &Settings) -> anyhow::Result<Vec<Figure>> {
    let postgres = Postgres::start_durable()?;
    let database_url = postgres.fresh_database()?;
    let plan = Plan {
        folder: bench.folder.clone(),
        nodes: settings.nodes,
        database_url: Some(database_url.clone()),
        ..Plan::default()
    };
    let fleet = Fleet::start(&bench.binaries, &plan).await?;
    let whole = copies::sets_complete_within(&fleet, TOGETHER_TIME_MAX).await;
    whole.map_err(anyhow::Error::msg)?;
    let (nodes, shards) = board(fleet.url()).await?;
    catalog::fill(&database_url, &shards, settings.rows).await?;
    catalog::count(&database_url).await?;
    let distributor = fleet.service(0).context("it was just started")?;
    let processes = Processes {
        services: vec![distributor.process_id().context("it runs")?],
        storage: Vec::new(),
        database: postgres.process_id(),
    };
    let mut overview = loads(&format!("{}{OVERVIEW}", fleet.url())).await?;
    let mut contents = loads(&format!("{}{CONTENTS}", fleet.url())).await?;
    let mut figures = vec![
        Figure::plain("nodes that are up", nodes as f64, ""),
        Figure::plain("shards", shards.len() as f64, ""),
        Figure::plain("rows of the catalog", settings.rows as f64, ""),
        Figure::plain("overview p50", quantile(&mut overview, 0.5), "ms"),
        Figure::bound(
            "overview p99",
            quantile(&mut overview, 0.99),
            "ms",
            Bound::AtMost(OVERVIEW_MS_MAX),
        ),
        Figure::plain("contents p50", quantile(&mut contents, 0.5), "ms"),
        Figure::plain("contents p99", quantile(&mut contents, 0.99), "ms"),
    ];
    figures.extend(viewed(fleet.url(), &processes, settings).await?);
    fleet.stop().await?;
    Ok(figures)
}

/// How many nodes are up, and which shards there are.
async fn board(url: &str) -> anyhow::Result<(usize, Vec<ShardNo>)> {
    let answer: NodesAnswer =
        http::json(http::client()?.get(format!("{url}{}", routes::NODES))).await?;
    let nodes = answer
        .nodes
        .iter()
        .filter(|(name, _)| !name.is_distributor());
    let up = nodes.filter(|(_, entry)| entry.health == Health::Up);
    let shards = answer.shards.iter().map(|entry| entry.shard);
    Ok((up.count(), shards.collect()))
}

/// The milliseconds that a page takes, each time from the request to its last byte.
async fn loads(url: &str) -> anyhow::Result<Vec<f64>> {
    let client = http::client()?;
    let mut taken = Vec::with_capacity(LOADS);
    for _ in 0..LOADS {
        let begun = Instant::now();
        let answer = client.get(url).header(ACCEPT, "text/html").send().await?;
        let page = answer.error_for_status()?.bytes().await?;
        taken.push(begun.elapsed().as_secs_f64() * 1000.0);
        ensure!(page.ends_with(b"</html>"), "{url} is not a whole page");
    }
    Ok(taken)
}

/// What the distributor takes with and without viewers.
async fn viewed(
    url: &str,
    processes: &Processes,
    settings: &Settings,
) -> anyhow::Result<Vec<Figure>> {
    let (mut alone, mut beside, mut seen) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS {
        alone.push(turn(processes, settings.turn).await?);
        let viewers: Vec<Viewer> = (0..settings.viewers)
            .map(|_| Viewer::open(format!("{url}{LIVE}")))
            .collect::<anyhow::Result<_>>()?;
        beside.push(turn(processes, settings.turn).await?);
        seen.extend(
            viewers
                .iter()
                .map(|viewer| viewer.seen.load(Ordering::Relaxed)),
        );
    }
    let mean = |of: fn(&Shares) -> f64, turns: &[Shares]| {
        turns.iter().map(of).sum::<f64>() / turns.len() as f64
    };
    let distributor: fn(&Shares) -> f64 = |shares| shares.distributor;
    let (without, with) = (mean(distributor, &alone), mean(distributor, &beside));
    let least = seen.iter().min().copied().unwrap_or_default();
    let most = Bound::AtMost(VIEWERS_SHARE_MAX);
    Ok(vec![
        Figure::plain("viewers", settings.viewers as f64, ""),
        // Who sees nothing costs nothing.
        Figure::bound(
            "bytes that each of them saw, at least",
            least as f64,
            "",
            Bound::AtLeast(1.0),
        ),
        Figure::plain("distributor without viewers, of a core", without, "%"),
        Figure::plain("distributor with viewers, of a core", with, "%"),
        Figure::bound("live updates, of a core", with - without, "%", most),
        Figure::plain(
            "database with viewers, of a core",
            mean(|s| s.database, &beside),
            "%",
        ),
    ])
}

async fn turn(processes: &Processes, time: Duration) -> anyhow::Result<Shares> {
    sleep(SETTLE).await;
    let (before, begun) = (processes.times()?, Instant::now());
    sleep(time).await;
    let (taken, micros) = (
        processes.times()?.since(before),
        begun.elapsed().as_micros(),
    );
    let percent = |of: f64| 100.0 * of / micros as f64;
    Ok(Shares {
        distributor: percent(taken.services),
        database: percent(taken.database),
    })
}

impl Viewer {
    fn open(url: String) -> anyhow::Result<Self> {
        let client = http::blunt_client(VIEW_TIME_MAX)?;
        let seen = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            // Whoever is not answered has seen nothing, which the figures tell.
            let Ok(Ok(answer)) = timeout(SETTLE, client.get(url).send()).await else {
                return;
            };
            let mut events = answer.bytes_stream();
            while let Some(Ok(bytes)) = events.next().await {
                count.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            }
        });
        Ok(Viewer { seen, task })
    }
}
