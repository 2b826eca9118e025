//! What the services rely on goes away for a while: uploads and reads must go on, and listing must
//! catch up.

mod crew;
pub mod restore;

use std::time::Duration;

use anyhow::ensure;
use clap::ValueEnum;
use tokio::time::{Instant, sleep};
use wire::routes;
use wire::stats::NodeStats;

use super::foreground::{Foreground, Kind, Load, Period};
use super::watch::Watch;
use super::{Bench, Bound, Figure};
use crate::fleet::{Fleet, Plan};
use crate::http;
use crate::servers::{Outage, Servers};
use crew::Crew;

/// The nodes of the cluster.
const NODES: u16 = 3;

/// Clients that upload, update, delete and read contents of all sizes as fast as they can, and remember
/// all of it: more would only fill a small machine.
const WORKERS: u64 = 1;

/// Before and after the outage.
const QUIET: Duration = Duration::from_secs(20);

/// What no client may have to wait for longer.
const PAUSE_S_MAX: f64 = 1.0;

/// How long listing may take to catch up.
const LISTED_TIME_MAX: Duration = Duration::from_secs(120);

/// Which server goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Victim {
    /// The catalog's database, which is the coordinator as well.
    Postgres,
    /// The coordinator; the catalog's database stays.
    Zookeeper,
}

/// Takes a server away for so long, under load.
///
/// # Errors
/// When a service does not start.
pub async fn run(
    bench: &Bench,
    (victim, outage): (Victim, Outage),
    time: Duration,
) -> anyhow::Result<Vec<Figure>> {
    let has_zookeeper = victim == Victim::Zookeeper;
    let mut servers = Servers::start("127.0.0.1", true, has_zookeeper).await?;
    let plan = Plan {
        folder: bench.folder.clone(),
        nodes: NODES,
        database_url: servers.database_url(),
        coordinator: servers.coordinator(),
        ..Plan::default()
    };
    let fleet = Fleet::start(&bench.binaries, &plan).await?;
    let crew = Crew::start(&fleet, WORKERS)?;
    let watch = Watch::start(fleet.url());
    let foreground = Foreground::start(fleet.url(), load());
    sleep(Duration::from_secs(5)).await;
    foreground.next_period();
    let usual = most_unlisted(&fleet, QUIET).await?;
    foreground.next_period();
    tokio::task::block_in_place(|| servers.take(usize::from(has_zookeeper), outage));
    sleep(time).await;
    let behind = unlisted(&fleet).await?;
    tokio::task::block_in_place(|| servers.give_back())?;
    foreground.next_period();
    let listed = caught_up(&fleet, usual).await?;
    sleep(QUIET.saturating_sub(listed)).await;
    let (periods, uploaded) = foreground.end().await?;
    let seen = watch.end().await?;
    let proof = crew.end(&fleet, uploaded).await?;
    fleet.stop().await?;
    let mut figures = of_periods(&periods);
    let none = Bound::AtMost(0.0);
    figures.extend([
        Figure::plain("not listed: most before", usual as f64, ""),
        Figure::plain("not listed: at the end of the outage", behind as f64, ""),
        Figure::plain("listing caught up after", listed.as_secs_f64(), "s"),
        Figure::bound("leader changes: epochs begun", seen.epochs as f64, "", none),
    ]);
    figures.extend(proof.figures());
    Ok(figures)
}

/// Small requests of every kind, 50 of each kind and client a second.
fn load() -> Load {
    Load {
        uploads: 4,
        reads: 4,
        questions: 2,
        every: Some(Duration::from_millis(20)),
        keep: None,
    }
}

fn of_periods(periods: &[Period]) -> Vec<Figure> {
    const NAMES: [[&str; 9]; 3] = [
        [
            "before: uploads",
            "before: upload p99",
            "before: longest upload",
            "before: longest gap between uploads",
            "before: read p99",
            "before: longest read",
            "before: longest gap between reads",
            "before: longest question",
            "before: attempts that failed",
        ],
        [
            "during: uploads",
            "during: upload p99",
            "during: longest upload",
            "during: longest gap between uploads",
            "during: read p99",
            "during: longest read",
            "during: longest gap between reads",
            "during: longest question",
            "during: attempts that failed",
        ],
        [
            "after: uploads",
            "after: upload p99",
            "after: longest upload",
            "after: longest gap between uploads",
            "after: read p99",
            "after: longest read",
            "after: longest gap between reads",
            "after: longest question",
            "after: attempts that failed",
        ],
    ];
    let told = periods[1..].iter().zip(NAMES);
    told.flat_map(|(period, names)| of_period(period, names))
        .collect()
}

fn of_period(period: &Period, names: [&'static str; 9]) -> [Figure; 9] {
    let (up, down, asked) = (
        period.of(Kind::Upload),
        period.of(Kind::Read),
        period.of(Kind::Question),
    );
    let pause = |name, time: Duration| {
        Figure::bound(name, time.as_secs_f64(), "s", Bound::AtMost(PAUSE_S_MAX))
    };
    let failures = up.failures + down.failures + asked.failures;
    [
        Figure::plain(names[0], period.rate(Kind::Upload), "/s"),
        Figure::plain(names[1], up.within_ms(0.99), "ms"),
        pause(names[2], up.longest),
        pause(names[3], up.gap),
        Figure::plain(names[4], down.within_ms(0.99), "ms"),
        pause(names[5], down.longest),
        pause(names[6], down.gap),
        Figure::plain(names[7], asked.longest.as_secs_f64(), "s"),
        Figure::plain(names[8], failures as f64, ""),
    ]
}

/// Committed changes that are not listed.
async fn unlisted(fleet: &Fleet) -> anyhow::Result<u64> {
    let client = http::client()?;
    let mut unlisted = 0;
    for node in fleet.node_urls() {
        let stats: NodeStats = http::json(client.get(format!("{node}{}", routes::STATS))).await?;
        unlisted += stats.unlisted;
    }
    Ok(unlisted)
}

/// The most of them within a time.
async fn most_unlisted(fleet: &Fleet, time: Duration) -> anyhow::Result<u64> {
    let begun = Instant::now();
    let mut most = 0;
    while begun.elapsed() < time {
        most = most.max(unlisted(fleet).await?);
        sleep(Duration::from_millis(50)).await;
    }
    Ok(most)
}

/// The time until there are no more of them than usual.
async fn caught_up(fleet: &Fleet, usual: u64) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    while unlisted(fleet).await? > usual {
        ensure!(
            begun.elapsed() < LISTED_TIME_MAX,
            "listing does not catch up"
        );
        sleep(Duration::from_millis(20)).await;
    }
    Ok(begun.elapsed())
}
