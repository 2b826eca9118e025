//! Leaders are killed under load: how long until their shards take writes again, and what uploads to
//! the other shards notice of it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use rand::Rng;
use tokio::time::{Instant, sleep};
use wire::membership::NodesAnswer;
use wire::{ShardNo, routes};

use super::{Bench, Bound, Figure, failed, quantile, spread};
use crate::fleet::{Fleet, Plan};
use crate::http;
use crate::load::tally::Tally;
use crate::load::writes::Writes;
use crate::load::{Load, library};
use crate::torture::copies;

const NODES: u16 = 3;

/// Users that only upload, one after the other. Whoever was uploading to a shard of the killed node waits
/// with it: enough of them that some were not.
const UPLOADERS: u64 = 8;

/// Users that do everything.
const USERS: u64 = 4;

/// What a failover may take beside the session, in seconds, for 99 of 100.
const BESIDE_SESSION_S: f64 = 1.0;

/// How long no new upload may be acknowledged after a kill: they go to other shards.
const NO_UPLOAD_MS_MAX: f64 = 1_000.0;

/// A shard that takes no writes for so long will not any more.
const FAILOVER_TIME_MAX: Duration = Duration::from_secs(60);

/// Undisturbed load after each failover.
const QUIET: Duration = Duration::from_millis(300);

/// What was seen.
#[derive(Default)]
struct Seen {
    kills: u32,
    /// For each shard whose leader was killed, in milliseconds.
    failovers: Vec<f64>,
    /// For each kill, in milliseconds.
    upload_gaps: Vec<f64>,
}

/// Who works during the measurement.
struct Users {
    load: Load,
    writes: Arc<Writes>,
    uploads: Arc<Tally>,
    others: Arc<Tally>,
}

/// Kills as many leaders, one after the other, in a cluster with this session in seconds.
///
/// # Errors
/// When a service does not start, or a shard does not take writes again.
pub async fn run(bench: &Bench, kills: u32, session: f64) -> anyhow::Result<Vec<Figure>> {
    let plan = Plan {
        folder: bench.folder.clone(),
        nodes: NODES,
        database_url: bench.database_url.clone(),
        session: Some(Duration::from_secs_f64(session)),
        ..Plan::default()
    };
    let mut fleet = Fleet::start(&bench.binaries, &plan).await?;
    copies::sets_complete(&fleet)
        .await
        .map_err(|why| anyhow!(why))?;
    let mut users = Users::start(&fleet)?;
    let mut seen = Seen::default();
    while seen.kills < kills {
        copies::sets_complete(&fleet)
            .await
            .map_err(|why| anyhow!(why))?;
        kill_one(&mut fleet, &mut users, &mut seen).await?;
    }
    users.load.end().await?;
    fleet.stop().await?;
    Ok(figures(seen, session, &users.uploads, &users.others))
}

impl Users {
    fn start(fleet: &Fleet) -> anyhow::Result<Self> {
        let mut users = Users {
            load: Load::default(),
            writes: Arc::default(),
            uploads: Arc::default(),
            others: Arc::default(),
        };
        for seed in 0..UPLOADERS {
            let (client, tally) = (library::client(&[fleet.url()])?, Arc::clone(&users.uploads));
            let user = |go_on| library::upload_only(client, seed, tally, go_on);
            users.load.add(user);
        }
        for seed in UPLOADERS..UPLOADERS + USERS {
            let (client, tally) = (library::client(&[fleet.url()])?, Arc::clone(&users.others));
            let user = |go_on| library::everything(client, seed, tally, go_on);
            users.load.add(user);
        }
        Ok(users)
    }
}

async fn kill_one(fleet: &mut Fleet, users: &mut Users, seen: &mut Seen) -> anyhow::Result<()> {
    let answer = nodes(fleet.url()).await?;
    let leaders: Vec<(usize, Vec<ShardNo>)> = fleet
        .node_places()
        .map(|place| (place, led_by(&answer, fleet.name(place))))
        .filter(|(_, led)| !led.is_empty())
        .collect();
    ensure!(!leaders.is_empty(), "nobody leads");
    let drawn = rand::rng().random_range(0..leaders.len());
    let (victim, led) = &leaders[drawn];
    for entry in &answer.shards {
        users
            .writes
            .watch(entry.shard, &[fleet.url()], &mut users.load)?;
    }
    sleep(QUIET).await;
    let killed = Instant::now();
    fleet.kill(*victim).await?;
    seen.kills += 1;
    for shard in led {
        let again = writes_again(&users.writes, *shard, killed).await?;
        seen.failovers.push((again - killed).as_secs_f64() * 1e3);
    }
    sleep(QUIET).await;
    let gap = users.uploads.longest_gap(killed, Instant::now());
    seen.upload_gaps.push(gap.as_secs_f64() * 1e3);
    fleet.spawn(*victim)?;
    fleet.together().await
}

async fn writes_again(writes: &Writes, shard: ShardNo, killed: Instant) -> anyhow::Result<Instant> {
    loop {
        if let Some(again) = writes.first_after(shard, killed) {
            return Ok(again);
        }
        ensure!(
            killed.elapsed() < FAILOVER_TIME_MAX,
            "shard {shard} takes no writes"
        );
        sleep(Duration::from_millis(5)).await;
    }
}

pub(super) async fn nodes(dist: &str) -> anyhow::Result<NodesAnswer> {
    let asked = http::client()?.get(format!("{dist}{}", routes::NODES));
    http::json(asked).await.context("cannot ask who leads")
}

/// The shards that a node leads with another one in sync.
pub(super) fn led_by(answer: &NodesAnswer, node: &str) -> Vec<ShardNo> {
    let is_led = |leader: &wire::NodeName| leader.as_str() == node;
    let led = answer.shards.iter();
    led.filter(|entry| entry.leader.as_ref().is_some_and(is_led) && entry.in_sync.len() > 1)
        .map(|entry| entry.shard)
        .collect()
}

fn figures(mut seen: Seen, session: f64, uploads: &Tally, others: &Tally) -> Vec<Figure> {
    let took = |tally: &Tally| -> Vec<f64> {
        let done = tally.done().into_iter();
        done.map(|done| done.took().as_secs_f64() * 1e3).collect()
    };
    let most = (session + BESIDE_SESSION_S) * 1e3;
    let p99 = quantile(&mut seen.failovers, 0.99);
    let mut figures = vec![
        Figure::plain("leader processes killed", f64::from(seen.kills), ""),
        Figure::plain(
            "shards that lost their leader",
            seen.failovers.len() as f64,
            "",
        ),
        Figure::plain(
            "writes go on after: p50",
            quantile(&mut seen.failovers, 0.5),
            "ms",
        ),
        Figure::bound("writes go on after: p99", p99, "ms", Bound::AtMost(most)),
        Figure::plain(
            "writes go on after: longest",
            quantile(&mut seen.failovers, 1.0),
            "ms",
        ),
    ];
    let gaps = [
        "no new upload after a kill for: p50",
        "no new upload after a kill for: p99",
        "no new upload after a kill for: longest",
    ];
    figures.extend(spread(gaps, &mut seen.upload_gaps, Some(NO_UPLOAD_MS_MAX)));
    let waits = [
        "an upload took: p50",
        "an upload took: p99",
        "an upload took: longest",
    ];
    figures.extend(spread(waits, &mut took(uploads), None));
    let waits = [
        "another request took: p50",
        "another request took: p99",
        "another request took: longest",
    ];
    figures.extend(spread(waits, &mut took(others), None));
    figures.push(failed("failed uploads", uploads));
    figures.push(failed("failed other requests", others));
    figures
}
