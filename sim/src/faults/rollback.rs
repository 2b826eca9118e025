//! The register goes back in time, as a database does that is restored from a backup.

use std::collections::BTreeMap;

use wire::ShardNo;
use wire::shard::{Member, Revision, ShardRecord};

use crate::cluster::Cluster;
use crate::faults::Fault;
use crate::node::Node;
use crate::queue::Happening;
use crate::register::Past;

/// The register is away for so long before it comes back as it was: what was on its way has arrived.
const AWAY_MS: u64 = 50;

impl Cluster {
    /// The register goes away, to come back from a backup.
    pub(crate) fn begin_rollback(&mut self) {
        // Nothing is changed in the millisecond in which it goes back: nobody would hear of it before.
        let until_ms = self.now_ms + AWAY_MS + 1;
        self.register.away_until_ms = until_ms.max(self.register.away_until_ms);
        self.after(AWAY_MS, Happening::Heal(Fault::GoneBack));
    }

    /// The register is restored from a backup. The distributors start anew with it, and take no
    /// proposals for a session.
    pub(crate) fn roll_back(&mut self) {
        let count = self.register.history.len() as u64;
        let is_paused = |node: &Node| self.now_ms < node.paused_until_ms + AWAY_MS;
        let agreed = self.register.records == self.register.newest;
        if !self.is_rough || count == 0 || !agreed || self.nodes.iter().any(is_paused) {
            return;
        }
        let back = self.random.between(1, count.min(12));
        let at = (count - back) as usize;
        let state = self.register.history[at].clone();
        let persisted = self.persisted(&state, |_| true);
        if !self.will_be_noticed(&state, &persisted) || !self.can_be_restored(&persisted) {
            return;
        }
        // What nobody persisted never happened.
        let mut newest: BTreeMap<ShardNo, ShardRecord> = persisted
            .into_iter()
            .map(|(shard, record)| (shard, record.clone()))
            .collect();
        for record in state
            .records
            .values()
            .filter(|record| !record.is_restored())
        {
            let known = newest.get(&record.shard).map(ShardRecord::revision);
            if known.is_none_or(|known| known < record.revision()) {
                newest.insert(record.shard, record.clone());
            }
        }
        self.register.newest = newest;
        self.note(|| format!("the register goes back by {back}"));
        for past in &mut self.register.history[at + 1..] {
            past.is_lost = true;
        }
        self.register.records = state.records;
        self.register.is_doubted = true;
        self.register.changes += 1;
        self.office.seen.clear();
        self.office.since_ms = self.now_ms;
    }

    /// Whether it is known, of each shard, if the register went back: until then a distributor would
    /// go on from the past, and nothing else may go wrong.
    pub(crate) fn register_is_known(&self) -> bool {
        let records = &self.register.records;
        self.register.newest.iter().all(|(shard, newest)| {
            let present = records.get(shard);
            present.is_some_and(|present| present == newest || present.is_restored())
        })
    }

    /// The highest record of each shard that some replica of it has persisted, on these nodes: one that
    /// it names, or that takes it out of what the backup names.
    fn persisted(
        &self,
        state: &Past,
        which: impl Fn(&Node) -> bool,
    ) -> BTreeMap<ShardNo, &ShardRecord> {
        let mut highest: BTreeMap<ShardNo, &ShardRecord> = BTreeMap::new();
        for node in self.nodes.iter().filter(|node| which(node)) {
            for (shard, held) in &node.held {
                let names = |record: &ShardRecord| {
                    let member = record.member_on(&node.name);
                    member.is_some_and(|member| member.replica == held.replica)
                };
                let counts = |record: &&ShardRecord| {
                    let leaves = record.member_on(&node.name).is_none();
                    names(record) || leaves && state.records.get(shard).is_some_and(names)
                };
                if let Some(record) = held.record.as_ref().filter(counts) {
                    let best = highest.entry(*shard).or_insert(record);
                    if record.revision() > best.revision() {
                        *best = record;
                    }
                }
            }
        }
        highest
    }

    /// Whether some node that can speak knows a later record, wherever any node does.
    ///
    /// A past that was lost may hold records that no node ever obeyed and that are above those that
    /// they obey: nothing tells them from the next ones, so such a backup is never put back.
    fn will_be_noticed(&self, state: &Past, persisted: &BTreeMap<ShardNo, &ShardRecord>) -> bool {
        let now_ms = self.now_ms;
        let heard = self.persisted(state, |node| node.up && now_ms >= node.cut_off_until_ms);
        let is_obeyed = |record: &ShardRecord| {
            let heard = heard.get(&record.shard);
            heard.is_some_and(|heard| heard.revision() >= record.revision())
        };
        let is_past = !state.is_lost || state.records.values().all(is_obeyed);
        is_past
            && persisted.iter().all(|(shard, record)| {
                let present = state.records.get(shard);
                let known = present.map_or(Revision::NONE, ShardRecord::known);
                let is_later = |record: &&ShardRecord| record.revision() > known;
                !is_later(record) || heard.get(shard).is_some_and(is_later)
            })
    }

    /// Whether everyone can speak, sooner or later, whom the highest records name: for a lost disk a
    /// restored shard waits for ever.
    fn can_be_restored(&self, persisted: &BTreeMap<ShardNo, &ShardRecord>) -> bool {
        let speaks = |shard: ShardNo, member: &Member| {
            let node = self.nodes.iter().find(|node| node.name == member.node);
            node.is_some_and(|node| node.offer == member.replica)
                || self.holds(&member.node, shard, member.replica)
        };
        let mut highest = persisted.iter();
        highest.all(|(shard, record)| record.replicas.iter().all(|member| speaks(*shard, member)))
    }
}
