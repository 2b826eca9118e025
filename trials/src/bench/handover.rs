//! Nodes are stopped and drained under load: how long a write to one of their shards waits.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, ensure};
use client::api::Client;
use tokio::time::{Instant, sleep};
use wire::{NodeName, ShardNo};

use super::failover::{led_by, nodes};
use super::{Bench, Bound, Figure, failed, quantile, spread};
use crate::fleet::{Fleet, Plan};
use crate::load::tally::Tally;
use crate::load::writes::Writes;
use crate::load::{Load, library};
use crate::torture::copies;

const NODES: u16 = 3;

const USERS: u64 = 4;

/// So long nothing is stopped before each stop, to tell a wait for the disk from one for a handover.
const CALM: Duration = Duration::from_secs(1);

/// The longest that a write may wait because of a handover.
const WAIT_MS_MAX: f64 = 100.0;

/// A leadership is laid down and taken up within this.
const TIME_MAX: Duration = Duration::from_secs(60);

/// The waits of writes, in milliseconds, one for each shard and time.
#[derive(Default)]
struct Waits {
    /// Of all shards, while nothing is stopped.
    calm: Vec<f64>,
    /// Of shards whose leader was stopped.
    stops: Vec<f64>,
    /// Of shards of which a follower was.
    departures: Vec<f64>,
    drains: Vec<f64>,
    /// Of shards that came back to who was stopped, or only saw it return.
    returns: Vec<f64>,
}

struct Scene {
    fleet: Fleet,
    client: Client,
    writes: Arc<Writes>,
    load: Load,
    waits: Waits,
}

/// Stops and drains each node so often, in a cluster with this session in seconds.
///
/// # Errors
/// When a service does not start or stop, or nobody takes a shard over.
pub async fn run(bench: &Bench, rounds: u32, session: f64) -> anyhow::Result<Vec<Figure>> {
    let plan = Plan {
        folder: bench.folder.clone(),
        nodes: NODES,
        database_url: bench.database_url.clone(),
        session: Some(Duration::from_secs_f64(session)),
        ..Plan::default()
    };
    let fleet = Fleet::start(&bench.binaries, &plan).await?;
    let tally: Arc<Tally> = Arc::default();
    let mut scene = Scene {
        client: library::client(&[fleet.url()])?,
        fleet,
        writes: Arc::default(),
        load: Load::default(),
        waits: Waits::default(),
    };
    for seed in 0..USERS {
        let (client, tally) = (scene.client.clone(), Arc::clone(&tally));
        let user = |go_on| library::everything(client, seed, tally, go_on);
        scene.load.add(user);
    }
    for _ in 0..rounds {
        for place in scene.fleet.node_places() {
            scene.stop(place).await?;
        }
        for place in scene.fleet.node_places() {
            scene.drain(place).await?;
        }
    }
    scene.load.end().await?;
    scene.fleet.stop().await?;
    Ok(figures(scene.waits, &scene.writes, &tally))
}

impl Scene {
    /// SIGTERM, and a start; then the shards come back by themselves.
    async fn stop(&mut self, place: usize) -> anyhow::Result<()> {
        let led = self.settled(place).await?;
        let all = self.shards().await?;
        let begun = Instant::now();
        self.fleet.stop_one(place).await?;
        let (left, others): (Vec<ShardNo>, Vec<ShardNo>) =
            all.iter().partition(|shard| led.contains(shard));
        let waits = self.waits_of(&left, begun).await?;
        self.waits.stops.extend(waits);
        let waits = self.waits_of(&others, begun).await?;
        self.waits.departures.extend(waits);
        let begun = Instant::now();
        self.fleet.spawn(place)?;
        self.fleet.together().await?;
        self.leads(place, |now| now >= led.len()).await?;
        let waits = self.waits_of(&all, begun).await?;
        self.waits.returns.extend(waits);
        Ok(())
    }

    async fn drain(&mut self, place: usize) -> anyhow::Result<()> {
        let led = self.settled(place).await?;
        let node: NodeName = self.fleet.name(place).parse()?;
        let begun = Instant::now();
        self.client.drain(&node).await?;
        self.leads(place, |now| now == 0).await?;
        let waits = self.waits_of(&led, begun).await?;
        self.waits.drains.extend(waits);
        self.client.undrain(&node).await?;
        Ok(())
    }

    /// Waits until all copies are in sync and this node leads; gives what it leads.
    async fn settled(&mut self, place: usize) -> anyhow::Result<Vec<ShardNo>> {
        copies::sets_complete(&self.fleet)
            .await
            .map_err(|why| anyhow!(why))?;
        self.leads(place, |now| now > 0).await?;
        let answer = nodes(self.fleet.url()).await?;
        for entry in &answer.shards {
            let urls = [self.fleet.url()];
            self.writes.watch(entry.shard, &urls, &mut self.load)?;
        }
        let (all, begun) = (self.shards().await?, Instant::now());
        sleep(CALM).await;
        let waits = self.waits_of(&all, begun).await?;
        self.waits.calm.extend(waits);
        Ok(led_by(&answer, self.fleet.name(place)))
    }

    async fn shards(&self) -> anyhow::Result<Vec<ShardNo>> {
        let answer = nodes(self.fleet.url()).await?;
        Ok(answer.shards.iter().map(|entry| entry.shard).collect())
    }

    async fn leads(&self, place: usize, enough: impl Fn(usize) -> bool) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let answer = nodes(self.fleet.url()).await?;
            if enough(led_by(&answer, self.fleet.name(place)).len()) {
                return Ok(());
            }
            let name = self.fleet.name(place);
            ensure!(
                begun.elapsed() < TIME_MAX,
                "the shards of {name} do not change hands"
            );
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// The longest wait of a write to each of these shards since `begun`: of those that have ended, once
    /// one has that was sent only now.
    async fn waits_of(&self, shards: &[ShardNo], begun: Instant) -> anyhow::Result<Vec<f64>> {
        let now = Instant::now();
        for shard in shards {
            while self.writes.first_after(*shard, now).is_none() {
                ensure!(now.elapsed() < TIME_MAX, "nobody writes to shard {shard}");
                sleep(Duration::from_millis(5)).await;
            }
        }
        let longest = |shard: &ShardNo| self.writes.longest(*shard, begun, Instant::now());
        let waits = shards.iter().map(longest);
        Ok(waits.map(|wait| wait.as_secs_f64() * 1e3).collect())
    }
}

macro_rules! waits {
    ($when:literal) => {
        [
            concat!("longest wait ", $when, ": p50"),
            concat!("longest wait ", $when, ": p99"),
            concat!("longest wait ", $when, ": longest"),
        ]
    };
}

fn figures(mut waits: Waits, writes: &Writes, tally: &Tally) -> Vec<Figure> {
    let mut all = writes.all_ms();
    let mut figures = vec![
        Figure::plain("a write takes: p50", quantile(&mut all, 0.5), "ms"),
        Figure::plain("a write takes: p99", quantile(&mut all, 0.99), "ms"),
        Figure::plain("stops, times shards", waits.stops.len() as f64, ""),
        Figure::plain("drains, times shards led", waits.drains.len() as f64, ""),
    ];
    let calm = &mut waits.calm;
    figures.extend(spread(waits!("with nothing stopped"), calm, None));
    for (names, samples) in [
        (waits!("in a stop"), &mut waits.stops),
        (waits!("in a follower's stop"), &mut waits.departures),
        (waits!("in a return"), &mut waits.returns),
        (waits!("in a drain"), &mut waits.drains),
    ] {
        figures.extend(spread(names, samples, Some(WAIT_MS_MAX)));
    }
    let done = tally.done().len() as f64;
    figures.push(Figure::bound(
        "other requests",
        done,
        "",
        Bound::AtLeast(1.0),
    ));
    figures.push(failed("failed requests", tally));
    figures
}
