//! Full load for long: nobody loses a leader or a session because there is much to do.

use std::time::Duration;

use anyhow::Context;
use tokio::time::sleep;
use wire::routes;

use super::foreground::{Foreground, Kind, Load, Period};
use super::watch::{Seen, Watch};
use super::{Bench, Bound, Figure};
use crate::fleet::{Fleet, Plan};
use crate::http;
use crate::torture::copies;

/// The nodes of the cluster that is measured.
const NODES: u16 = 3;

/// Uploads at the same time, and reads.
const CONCURRENCY: usize = 64;

/// Contents that each uploader keeps: some 130,000 together, so that the disk does not fill up.
const KEEP: usize = 2_000;

/// What is told of at once.
const SLICE: Duration = Duration::from_secs(300);

/// A request in a hundred may take so many times as long as half of them, while logs are compacted and read
/// through.
const P99_OF_P50_MAX: f64 = 10.0;

/// What must not happen.
const NONE: Bound = Bound::AtMost(0.0);

/// Until everyone has begun.
const WARM_UP: Duration = Duration::from_secs(5);

/// Loads a cluster for so long with as much as it takes, and prints each slice as it ends.
///
/// # Errors
/// When a service does not start.
pub async fn run(bench: &Bench, time: Duration) -> anyhow::Result<Vec<Figure>> {
    let plan = Plan {
        folder: bench.folder.clone(),
        nodes: NODES,
        database_url: bench.database_url.clone(),
        ..Plan::default()
    };
    let fleet = Fleet::start(&bench.binaries, &plan).await?;
    copies::sets_complete(&fleet)
        .await
        .map_err(anyhow::Error::msg)?;
    let watch = Watch::start(fleet.url());
    let uploads = Load {
        uploads: CONCURRENCY,
        reads: CONCURRENCY,
        keep: Some(KEEP),
        ..Load::default()
    };
    let foreground = Foreground::start(fleet.url(), uploads);
    sleep(WARM_UP).await;
    foreground.next_period();
    let mut left = time;
    while !left.is_zero() {
        let slice = left.min(SLICE);
        scrub_all(&fleet).await?;
        sleep(slice).await;
        left -= slice;
        foreground.next_period();
        if let Some(last) = foreground.periods().last() {
            eprintln!("{}", told(last));
        }
    }
    let (periods, _) = foreground.end().await?;
    let seen = watch.end().await?;
    fleet.stop().await?;
    let measured = &periods[1..periods.len() - 1];
    let mut figures = vec![Figure::plain("minutes", time.as_secs_f64() / 60.0, "")];
    figures.extend(of_load(measured));
    figures.extend(of_cluster(&seen));
    figures.extend(tails(measured));
    Ok(figures)
}

fn of_load(measured: &[Period]) -> Vec<Figure> {
    let sum = |count: fn(&Period) -> u64| measured.iter().map(count).sum::<u64>() as f64;
    let failures = |period: &Period| {
        let kinds = [Kind::Upload, Kind::Read, Kind::Delete];
        kinds
            .iter()
            .map(|kind| period.of(*kind).failures)
            .sum::<u64>()
    };
    vec![
        Figure::plain("uploads of 1 KiB", sum(|p| p.of(Kind::Upload).count), ""),
        Figure::plain("reads of 1 KiB", sum(|p| p.of(Kind::Read).count), ""),
        Figure::plain("deletes", sum(|p| p.of(Kind::Delete).count), ""),
        Figure::bound("attempts that failed", sum(failures), "", NONE),
    ]
}

fn of_cluster(seen: &Seen) -> Vec<Figure> {
    vec![
        Figure::plain("looks at the cluster", seen.looks as f64, ""),
        Figure::bound("looks without an answer", seen.unanswered as f64, "", NONE),
        Figure::bound("leader changes: epochs begun", seen.epochs as f64, "", NONE),
        Figure::bound("changes of shard records", seen.changes as f64, "", NONE),
        Figure::bound(
            "sessions lost: nodes seen down",
            seen.downs as f64,
            "",
            NONE,
        ),
    ]
}

/// How the slowest of a hundred compare with half of them, in the worst slice.
fn tails(measured: &[Period]) -> [Figure; 3] {
    let tail = |kind| {
        let tails = measured.iter().map(|period| {
            let tally = period.of(kind);
            tally.within_ms(0.99) / tally.within_ms(0.5).max(f64::MIN_POSITIVE)
        });
        tails.fold(0.0, f64::max)
    };
    let named = [
        ("uploads: p99 of p50, in the worst slice", Kind::Upload),
        ("reads: p99 of p50, in the worst slice", Kind::Read),
        ("deletes: p99 of p50, in the worst slice", Kind::Delete),
    ];
    named
        .map(|(name, kind)| Figure::bound(name, tail(kind), "times", Bound::AtMost(P99_OF_P50_MAX)))
}

/// Has every node read through all that it keeps, beside the load.
async fn scrub_all(fleet: &Fleet) -> anyhow::Result<()> {
    let client = http::client()?;
    for node in fleet.node_urls() {
        let begun = client
            .post(format!("{node}{}", routes::SCRUB))
            .send()
            .await?;
        begun.error_for_status().context("no scrub begins")?;
    }
    Ok(())
}

fn told(slice: &Period) -> String {
    let of = |kind| {
        let tally = slice.of(kind);
        format!(
            "{:.0}/s p50 {:.2} ms p99 {:.2} ms longest {:.0} ms",
            slice.rate(kind),
            tally.within_ms(0.5),
            tally.within_ms(0.99),
            tally.longest.as_secs_f64() * 1000.0
        )
    };
    let seconds = slice.ended.duration_since(slice.begun).as_secs();
    format!(
        "{seconds} s: uploads {}; reads {}; deletes {}",
        of(Kind::Upload),
        of(Kind::Read),
        of(Kind::Delete)
    )
}
