//! The services of one run, what is done to them, and how it is undone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use tokio::time::sleep;
use wire::membership::{NodesAnswer, ShardReplica};
use wire::{ShardNo, routes};

use super::copies;
use super::failover::Failovers;
use super::fault::Fault;
use super::flip;
use super::report::Report;
use crate::disks::{Disk, Fill};
use crate::failing::{Failing, FailingDisk};
use crate::fleet::Fleet;
use crate::http;
use crate::network::Network;
use crate::servers::{Outage, Servers};

/// A fault lasts longer than this with a chance of two in five: long enough that a node which is
/// silent is taken for dead.
const SHORT_MS: u64 = 600;

/// The longest.
const LONG_MS: u64 = 6_000;

/// How long a distributor may take to answer, before another one is asked.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);

/// Everything that a run has started. Fields are dropped in this order.
pub struct Field {
    /// The services.
    pub fleet: Fleet,
    /// A disk for each node, if they can lose their power.
    pub disks: Vec<Disk>,
    /// Their network, if it can be cut.
    pub network: Option<Network>,
    /// What the distributor relies on.
    pub servers: Servers,
    /// Decides what happens.
    pub chance: StdRng,
    /// Where the load says that a shard takes changes again.
    pub failovers: Arc<Failovers>,
    /// Nodes whose disks were damaged.
    pub damaged: BTreeSet<usize>,
}

/// What must be undone.
#[derive(Debug, Default)]
pub struct Harm {
    faults: u32,
    ended: BTreeSet<usize>,
    off: BTreeSet<usize>,
    paused: BTreeSet<usize>,
    full: BTreeSet<usize>,
    failing: BTreeMap<usize, (Failing, FailingDisk)>,
}

impl Field {
    /// One fault, or two at a time, and their end.
    ///
    /// # Errors
    /// When a service does not start again: then nothing more can be said.
    pub async fn act(&mut self, faults: &[Fault], report: &mut Report) -> anyhow::Result<()> {
        self.failovers.give_up();
        let first = faults[self.chance.random_range(0..faults.len())];
        if first == Fault::Flip {
            return self.flip(report).await;
        }
        let mut harm = Harm::default();
        self.inflict(first, &mut harm, report).await?;
        let second = faults[self.chance.random_range(0..faults.len())];
        if second != Fault::Flip && self.chance.random_bool(0.25) {
            self.failovers.give_up();
            self.pause(SHORT_MS).await;
            self.inflict(second, &mut harm, report).await?;
        }
        let long = self.chance.random_bool(0.4);
        self.pause(if long { LONG_MS } else { SHORT_MS }).await;
        self.undo(harm).await
    }

    /// Kills everything at once, and starts it again.
    ///
    /// # Errors
    /// When a service does not end.
    pub async fn kill_all(&mut self, report: &mut Report) -> anyhow::Result<()> {
        self.failovers.give_up();
        for place in 0..self.fleet.size() {
            self.fleet.kill(place).await?;
            report.done(Fault::Kill, 1);
        }
        Ok(())
    }

    /// Starts everything that does not run, and waits until it serves.
    ///
    /// # Errors
    /// When a service does not start.
    pub async fn start_all(&mut self) -> anyhow::Result<()> {
        for place in 0..self.fleet.size() {
            self.fleet.spawn(place)?;
        }
        self.fleet.together().await
    }

    async fn pause(&mut self, most_ms: u64) {
        let time = Duration::from_millis(self.chance.random_range(0..most_ms));
        sleep(time).await;
    }

    async fn inflict(
        &mut self,
        fault: Fault,
        harm: &mut Harm,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        harm.faults += 1;
        let count = match fault {
            Fault::Kill => self.kill(harm, report).await?,
            Fault::Pause => self.stand_still(harm, report)?,
            Fault::Partition => self.cut()?,
            Fault::Power => self.power_off(harm, report).await?,
            Fault::Catalog => self.outage(),
            Fault::Full => self.fill(harm, report).await?,
            Fault::Fail => self.fail(harm)?,
            Fault::Flip => 0,
        };
        report.done(fault, count);
        Ok(())
    }

    async fn kill(&mut self, harm: &mut Harm, report: &mut Report) -> anyhow::Result<u64> {
        let mut victims = self.some(0..self.fleet.size(), 0.3);
        victims.retain(|place| harm.ended.insert(*place));
        self.watch(&victims, harm, report).await;
        for place in &victims {
            harm.paused.remove(place);
            self.fleet.kill(*place).await?;
        }
        report.distributor_faults += self.offices(&victims);
        Ok(victims.len() as u64)
    }

    /// How many of these are distributors beside others, any of which may hold the controller's office.
    fn offices(&self, places: &[usize]) -> u64 {
        let is_one = |place: &&usize| !self.fleet.node_places().contains(place);
        let count = places.iter().filter(is_one).count() as u64;
        let are_several = self.fleet.distributor_urls().len() > 1;
        if are_several { count } else { 0 }
    }

    fn stand_still(&mut self, harm: &mut Harm, report: &mut Report) -> anyhow::Result<u64> {
        let mut victims = self.some(0..self.fleet.size(), 0.2);
        // Who traces a process waits in vain for one that stands still.
        let may = |place: &usize| !harm.ended.contains(place) && !harm.failing.contains_key(place);
        victims.retain(|place| may(place) && harm.paused.insert(*place));
        for place in &victims {
            let service = self.fleet.service(*place).context("a service runs")?;
            service.pause()?;
        }
        report.distributor_faults += self.offices(&victims);
        Ok(victims.len() as u64)
    }

    /// One service cut off from all others, or a pair from each other, or one way only.
    fn cut(&mut self) -> anyhow::Result<u64> {
        let mut places: Vec<usize> = (0..self.fleet.size()).collect();
        places.shuffle(&mut self.chance);
        let (one, others) = places.split_first().context("there are services")?;
        let others = &others[..if self.chance.random_bool(0.5) {
            others.len()
        } else {
            1
        }];
        let (there, back) = match self.chance.random_range(0..4) {
            0 => (true, false),
            1 => (false, true),
            _ => (true, true),
        };
        let network = self.network.as_mut().context("partitions need a network")?;
        for other in others {
            if there {
                network.cut(*one, *other)?;
            }
            if back {
                network.cut(*other, *one)?;
            }
        }
        Ok(1)
    }

    async fn power_off(&mut self, harm: &mut Harm, report: &mut Report) -> anyhow::Result<u64> {
        let mut victims = self.some(self.fleet.node_places(), 0.4);
        victims.retain(|place| harm.ended.insert(*place));
        self.watch(&victims, harm, report).await;
        self.lose_power(&victims, harm).await?;
        Ok(victims.len() as u64)
    }

    async fn lose_power(&mut self, victims: &[usize], harm: &mut Harm) -> anyhow::Result<()> {
        // Whoever has no power acknowledges nothing. The file system, though, lets a sync succeed that
        // its end comes upon: what was to be written stays a hole. So the process ends first.
        for place in victims {
            if let Some(service) = self.fleet.service(*place) {
                service.pause()?;
            }
        }
        for place in victims {
            self.disks[place - 1].power_off()?;
            harm.off.insert(*place);
        }
        for place in victims {
            harm.paused.remove(place);
            self.fleet.kill(*place).await?;
        }
        Ok(())
    }

    fn outage(&mut self) -> u64 {
        let number = self.chance.random_range(0..self.servers.count().max(1));
        let outage = match self.chance.random_bool(0.5) {
            true => Outage::Down,
            false => Outage::Silent,
        };
        tokio::task::block_in_place(|| self.servers.take(number, outage));
        1
    }

    /// A full disk; sometimes the node must start on it.
    async fn fill(&mut self, harm: &mut Harm, report: &mut Report) -> anyhow::Result<u64> {
        let place = self.chance.random_range(self.fleet.node_places());
        if harm.off.contains(&place) || !harm.full.insert(place) {
            return Ok(0);
        }
        let fill = match self.chance.random_bool(0.5) {
            true => Fill::Whole,
            false => Fill::Nearly,
        };
        self.disks[place - 1].fill(fill)?;
        if self.chance.random_bool(0.5) && !harm.ended.contains(&place) {
            self.pause(SHORT_MS).await;
            self.watch(&[place], harm, report).await;
            harm.paused.remove(&place);
            self.fleet.kill(place).await?;
            report.done(Fault::Kill, 1);
            self.fleet.spawn(place)?;
        }
        Ok(1)
    }

    fn fail(&mut self, harm: &mut Harm) -> anyhow::Result<u64> {
        let mut victims = self.some(self.fleet.node_places(), 0.4);
        let stands = |place: &usize| harm.ended.contains(place) || harm.paused.contains(place);
        victims.retain(|place| !stands(place) && !harm.failing.contains_key(place));
        let kind = Failing::ALL[self.chance.random_range(0..Failing::ALL.len())];
        for place in &victims {
            let service = self.fleet.service(*place).context("a service runs")?;
            let number = service.process_id().context("a service has not ended")?;
            let failing = tokio::task::block_in_place(|| FailingDisk::begin(number, kind))?;
            harm.failing.insert(*place, (kind, failing));
        }
        Ok(victims.len() as u64)
    }

    /// The disks are well again. Nodes that could not write are started again, as an operator is told
    /// to do; and what they could not sync goes with the power, so that nothing of it may have been
    /// acknowledged. Who could not read goes on, unless a log stopped.
    async fn replace_failing(&mut self, harm: &mut Harm) -> anyhow::Result<()> {
        let failing = std::mem::take(&mut harm.failing);
        let kinds: Vec<(usize, Failing)> =
            failing.iter().map(|(p, (kind, _))| (*p, *kind)).collect();
        tokio::task::block_in_place(|| drop(failing));
        let mut victims = Vec::new();
        for (place, kind) in kinds {
            let restarts = kind.stops_logs() || self.has_halted(place).await;
            if restarts && harm.ended.insert(place) {
                victims.push(place);
            }
        }
        if !self.disks.is_empty() {
            return self.lose_power(&victims, harm).await;
        }
        for place in &victims {
            self.fleet.kill(*place).await?;
        }
        Ok(())
    }

    /// Bits turn over on a node while it does not run; its other copies are whole, and stay so.
    async fn flip(&mut self, report: &mut Report) -> anyhow::Result<()> {
        if let Err(why) = copies::sets_complete(&self.fleet).await {
            report.violation(why);
            return Ok(());
        }
        let drawn = self.chance.random_range(self.fleet.node_places());
        // Until it is mended, a second damaged node may hold the only other copy.
        let victim = self.damaged.first().copied().unwrap_or(drawn);
        self.watch(&[victim], &Harm::default(), report).await;
        self.fleet.kill(victim).await?;
        self.damaged.insert(victim);
        let bits = flip::some(&self.fleet.data(victim), &mut self.chance)?;
        report.done(Fault::Flip, bits);
        self.pause(LONG_MS).await;
        self.fleet.spawn(victim)?;
        self.fleet.together().await?;
        if let Err(why) = copies::sets_complete(&self.fleet).await {
            report.violation(why);
        }
        Ok(())
    }

    /// Starts the nodes whose bits turned over again: they read every head, and know what is damaged.
    ///
    /// # Errors
    /// When one does not start.
    pub async fn restart_damaged(&mut self, report: &mut Report) -> anyhow::Result<()> {
        self.failovers.give_up();
        for place in self.damaged.clone() {
            self.fleet.kill(place).await?;
            report.done(Fault::Kill, 1);
            self.fleet.spawn(place)?;
        }
        self.fleet.together().await
    }

    async fn undo(&mut self, mut harm: Harm) -> anyhow::Result<()> {
        tokio::task::block_in_place(|| self.servers.give_back())?;
        if let Some(network) = &mut self.network {
            network.heal()?;
        }
        for place in std::mem::take(&mut harm.paused) {
            let service = self.fleet.service(place).context("a service runs")?;
            service.resume()?;
        }
        self.replace_failing(&mut harm).await?;
        for place in &harm.off {
            self.disks[place - 1].power_on()?;
        }
        for place in harm.full {
            self.disks[place - 1].free()?;
        }
        for place in harm.ended {
            self.fleet.spawn(place)?;
        }
        self.fleet.together().await
    }

    /// At least one of these, each with a chance.
    fn some(&mut self, places: std::ops::Range<usize>, each: f64) -> Vec<usize> {
        let sure = self.chance.random_range(places.clone());
        places
            .filter(|place| *place == sure || self.chance.random_bool(each))
            .collect()
    }

    /// A single node is about to die: the load tells how long its shards are without a leader.
    async fn watch(&self, victims: &[usize], harm: &Harm, report: &mut Report) {
        let &[victim] = victims else {
            return;
        };
        if !self.fleet.node_places().contains(&victim) || harm.faults > 1 {
            return;
        }
        let led = self.led_by(victim).await;
        report.leader_kills += u64::from(!led.is_empty());
        for shard in led {
            self.failovers.begin(shard);
        }
    }

    /// The shards that a node leads with another one in sync.
    async fn led_by(&self, place: usize) -> Vec<ShardNo> {
        // Where no distributor answers, nobody would be elected either.
        let Some(answer) = self.nodes().await else {
            return Vec::new();
        };
        let name = self.fleet.name(place);
        let is_led = |leader: &wire::NodeName| leader.as_str() == name;
        let shards = answer
            .shards
            .iter()
            .filter(|entry| entry.leader.as_ref().is_some_and(is_led) && entry.in_sync.len() > 1);
        shards.map(|entry| entry.shard).collect()
    }

    /// Whether a log of this node has stopped, or nobody can tell.
    async fn has_halted(&self, place: usize) -> bool {
        let Some(answer) = self.nodes().await else {
            return true;
        };
        let name = self.fleet.name(place);
        let is_halted =
            |replica: &ShardReplica| replica.node.as_str() == name && replica.progress.halted;
        let mut shards = answer.shards.iter();
        shards.any(|entry| entry.replicas.iter().any(is_halted))
    }

    /// What the first distributor that answers says.
    async fn nodes(&self) -> Option<NodesAnswer> {
        let client = http::blunt_client(ANSWER_TIME_MAX).ok()?;
        for url in self.fleet.distributor_urls() {
            let asked = client.get(format!("{url}{}", routes::NODES));
            if let Ok(answer) = http::json::<NodesAnswer>(asked).await {
                return Some(answer);
            }
        }
        None
    }
}
