//! Nodes that catch up and copies that are made anew: how much crosses the network, how fast, and
//! what those feel who upload and read meanwhile.

mod stock;

use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::time::{Instant, sleep};
use wire::membership::{Health, NodeRemoved, NodesAnswer};
use wire::{NodeName, routes};

use super::foreground::Kind::{Read, Upload};
use super::foreground::{Foreground, Load, Period};
use super::{Bench, Bound, Figure, MEBIBYTE};
use crate::fleet::{Fleet, Plan};
use crate::http;
use crate::torture::copies;
use crate::torture::space::on_disk;
use stock::Stock;

/// Two copies on three nodes: each two share a shard.
const NODES: u16 = 3;

/// The node that something happens to.
const VICTIM: usize = 3;

/// How long all copies may take to come together.
const TOGETHER_TIME_MAX: Duration = Duration::from_secs(600);

/// Until the file system has come to rest after what was written and given back.
const SETTLE: Duration = Duration::from_secs(10);

/// How long the foreground is measured alone.
const QUIET: Duration = Duration::from_secs(20);

/// More than what was missed may come over the link: heads of records, signs of life.
const EXTRA_PERCENT_MAX: f64 = 5.0;

/// How many times longer the slowest of a hundred small requests may take while copies are made.
const P99_TIMES_MAX: f64 = 3.0;

/// What is done.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the cluster holds, counted once.
    pub size: u64,
    /// What the follower misses, counted once.
    pub missed: u64,
    /// `CATCH_UP_RATE`; none for the default.
    pub rate: Option<String>,
}

/// A follower that was away catches up; then a node is gone for good, and its copies are made anew.
///
/// # Errors
/// When a service does not start or a request fails for long.
pub async fn run(bench: &Bench, settings: &Settings) -> anyhow::Result<Vec<Figure>> {
    let plan = Plan {
        folder: bench.folder.clone(),
        nodes: NODES,
        database_url: bench.database_url.clone(),
        node_settings: settings
            .rate
            .iter()
            .map(|rate| ("CATCH_UP_RATE", rate.clone()))
            .collect(),
        ..Plan::default()
    };
    let mut fleet = Fleet::start(&bench.binaries, &plan).await?;
    complete(&fleet).await?;
    let mut stock = Stock::new()?;
    let filled = stock.fill(fleet.url(), settings.size).await?;
    let mut figures = vec![
        Figure::plain(
            "contents, counted once",
            stock.bytes() as f64 / MEBIBYTE,
            "MiB",
        ),
        Figure::plain("uploaded with", mib_per_s(stock.bytes(), filled), "MiB/s"),
    ];
    figures.extend(catch_up(&mut fleet, &mut stock, settings.missed).await?);
    figures.extend(re_mirror(&mut fleet).await?);
    fleet.stop().await?;
    Ok(figures)
}

/// A follower is stopped, misses updates of what it holds, and starts again.
async fn catch_up(
    fleet: &mut Fleet,
    stock: &mut Stock,
    missed: u64,
) -> anyhow::Result<Vec<Figure>> {
    let held = shards_on(fleet, VICTIM).await?;
    fleet.stop_one(VICTIM).await?;
    let missed = stock.update(fleet.url(), missed, &held).await?;
    let begun = Instant::now();
    fleet.spawn(VICTIM)?;
    fleet.together().await?;
    let serving = begun.elapsed();
    complete(fleet).await?;
    let together = begun.elapsed();
    let received = link_bytes(fleet, VICTIM).await?;
    let most = missed as f64 / MEBIBYTE * (1.0 + EXTRA_PERCENT_MAX / 100.0);
    Ok(vec![
        Figure::plain("catch-up: missed", missed as f64 / MEBIBYTE, "MiB"),
        Figure::bound(
            "catch-up: came over its links",
            received as f64 / MEBIBYTE,
            "MiB",
            Bound::AtMost(most),
        ),
        Figure::plain("catch-up: serving after", serving.as_secs_f64(), "s"),
        Figure::plain("catch-up: all in sync after", together.as_secs_f64(), "s"),
        Figure::plain("catch-up: rate", mib_per_s(missed, together), "MiB/s"),
    ])
}

/// A node dies, and its disk with it; it is removed by force, so that nobody waits for it. Its folder
/// stays until the end: on a file system that it shares with the others, its delete would be measured.
async fn re_mirror(fleet: &mut Fleet) -> anyhow::Result<Vec<Figure>> {
    let lost = on_disk(&fleet.data(VICTIM))?;
    let load = Load {
        uploads: 4,
        reads: 4,
        every: Some(Duration::from_millis(20)),
        ..Load::default()
    };
    let foreground = Foreground::start(fleet.url(), load);
    sleep(SETTLE).await;
    foreground.next_period();
    sleep(QUIET).await;
    foreground.next_period();
    fleet.kill(VICTIM).await?;
    is_replaced(fleet, VICTIM).await?;
    // What could not be sent meanwhile is late, and not for the copies.
    sleep(SETTLE).await;
    remove(fleet, VICTIM).await?;
    foreground.next_period();
    let before = all_link_bytes(fleet).await?;
    let begun = Instant::now();
    complete(fleet).await?;
    let together = begun.elapsed();
    let copied = all_link_bytes(fleet).await? - before;
    let (periods, _) = foreground.end().await?;
    let mut figures = vec![
        Figure::plain(
            "re-mirror: the lost node held",
            lost as f64 / MEBIBYTE,
            "MiB",
        ),
        Figure::plain(
            "re-mirror: came over links",
            copied as f64 / MEBIBYTE,
            "MiB",
        ),
        Figure::plain("re-mirror: all copies after", together.as_secs_f64(), "s"),
        Figure::plain(
            "re-mirror: rate",
            copied as f64 / 1e6 / together.as_secs_f64(),
            "MB/s",
        ),
    ];
    figures.extend(compared(&periods));
    Ok(figures)
}

/// The foreground alone, and while copies are made.
fn compared(periods: &[Period]) -> Vec<Figure> {
    let (alone, during) = (&periods[1], &periods[3]);
    let p = |period: &Period, kind, share| period.of(kind).within_ms(share);
    let bound = |kind| Bound::AtMost(P99_TIMES_MAX * p(alone, kind, 0.99));
    let failed = during.of(Upload).failures + during.of(Read).failures;
    vec![
        Figure::plain("1 KiB upload alone, p50", p(alone, Upload, 0.5), "ms"),
        Figure::plain("1 KiB upload alone, p99", p(alone, Upload, 0.99), "ms"),
        Figure::plain("1 KiB upload beside, p50", p(during, Upload, 0.5), "ms"),
        Figure::bound(
            "1 KiB upload beside, p99",
            p(during, Upload, 0.99),
            "ms",
            bound(Upload),
        ),
        Figure::plain("1 KiB upload beside, longest", p(during, Upload, 1.0), "ms"),
        Figure::plain("1 KiB read alone, p50", p(alone, Read, 0.5), "ms"),
        Figure::plain("1 KiB read alone, p99", p(alone, Read, 0.99), "ms"),
        Figure::plain("1 KiB read beside, p50", p(during, Read, 0.5), "ms"),
        Figure::bound(
            "1 KiB read beside, p99",
            p(during, Read, 0.99),
            "ms",
            bound(Read),
        ),
        Figure::plain("1 KiB read beside, longest", p(during, Read, 1.0), "ms"),
        Figure::plain("attempts that failed beside", failed as f64, ""),
    ]
}

fn mib_per_s(bytes: u64, time: Duration) -> f64 {
    bytes as f64 / MEBIBYTE / time.as_secs_f64()
}

async fn complete(fleet: &Fleet) -> anyhow::Result<()> {
    copies::sets_complete_within(fleet, TOGETHER_TIME_MAX)
        .await
        .map_err(anyhow::Error::msg)
}

async fn nodes(fleet: &Fleet) -> anyhow::Result<NodesAnswer> {
    http::json(http::client()?.get(format!("{}{}", fleet.url(), routes::NODES))).await
}

async fn shards_on(fleet: &Fleet, place: usize) -> anyhow::Result<Vec<wire::ShardNo>> {
    let name: NodeName = fleet.name(place).parse()?;
    let answer = nodes(fleet).await?;
    let entry = answer.nodes.get(&name).context("the node is known")?;
    Ok(entry.shards.iter().map(|shard| shard.shard).collect())
}

/// Waits until a node is taken for dead, and others lead.
async fn is_replaced(fleet: &Fleet, place: usize) -> anyhow::Result<()> {
    let name: NodeName = fleet.name(place).parse()?;
    let begun = Instant::now();
    loop {
        let answer = nodes(fleet).await?;
        let is_led = answer.shards.iter().all(|shard| {
            let leader = shard.leader.as_ref();
            leader.is_some_and(|leader| *leader != name)
        });
        let health = answer.nodes.get(&name).map(|entry| entry.health);
        if health == Some(Health::Down) && is_led {
            return Ok(());
        }
        ensure!(
            begun.elapsed() < Duration::from_secs(30),
            "{name} still leads"
        );
        sleep(Duration::from_millis(50)).await;
    }
}

/// Has the cluster forget a node.
async fn remove(fleet: &Fleet, place: usize) -> anyhow::Result<()> {
    let name: NodeName = fleet.name(place).parse()?;
    let url = format!("{}?force=true", routes::node(fleet.url(), &name));
    let _: NodeRemoved = http::json(http::client()?.delete(url)).await?;
    Ok(())
}

/// What came over a node's links since its process started.
async fn link_bytes(fleet: &Fleet, place: usize) -> anyhow::Result<u64> {
    const NAME: &str = "acequia_node_link_received_bytes_total ";
    let url = fleet.node_urls().nth(place - 1).context("a node")?;
    let asked = http::client()?.get(format!("{url}{}", routes::METRICS));
    let text = asked.send().await?.text().await?;
    let line = text.lines().find_map(|line| line.strip_prefix(NAME));
    Ok(line.context("links are counted")?.trim().parse()?)
}

async fn all_link_bytes(fleet: &Fleet) -> anyhow::Result<u64> {
    let mut all = 0;
    for place in (1..fleet.size()).filter(|place| fleet.service(*place).is_some()) {
        all += link_bytes(fleet, place).await?;
    }
    Ok(all)
}
