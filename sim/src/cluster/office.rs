//! The distributor in office, and the register behind it.

use std::time::Duration;

use controller::{Bugs, Making, Policy, Situation, decide};
use replica::Event;
use wire::ShardNo;
use wire::membership::Heartbeat;
use wire::shard::{Revision, ShardRecord};

use super::{Cluster, SESSION_MS};
use crate::bug::SeededBug;
use crate::queue::Happening;

/// How often the controller looks.
const DECIDE_MS: u64 = 120;

/// How long a node waits for the answer to a proposal.
const ANSWER_MS: u64 = 400;

/// Nodes that are silent for so long are replaced.
const REPAIR_DELAY_MS: u64 = 2_500;

/// New shards stop at this number.
const SHARDS_MAX: usize = 3;

impl Cluster {
    fn register_is_away(&self) -> bool {
        self.now_ms < self.register.away_until_ms
    }

    /// After the register went back, nodes' proposals are not taken for a session with it at hand:
    /// until then, those who know more may not have been heard.
    fn refuses(&mut self) -> bool {
        self.register.is_doubted &= self.now_ms < self.office.since_ms + SESSION_MS;
        self.register.is_doubted
    }

    pub(super) fn reported(&mut self, node: usize, heartbeat: Heartbeat) {
        if self.register_is_away() {
            return;
        }
        let name = self.nodes[node].name.clone();
        let process = self.nodes[node].process;
        self.office.hear(name, heartbeat, self.now_ms);
        self.round();
        let delay_ms = self.random.between(1, 10);
        self.send_map(node, process, delay_ms);
    }

    pub(super) fn ask_for_map(&mut self, node: usize) {
        let at = &self.nodes[node];
        if self.register_is_away() || self.now_ms < at.cut_off_until_ms {
            return;
        }
        let process = at.process;
        let delay_ms = self.random.between(2, 20);
        self.send_map(node, process, delay_ms);
    }

    fn send_map(&mut self, node: usize, process: u64, delay_ms: u64) {
        let records = self.register.records.values().cloned().collect();
        self.after(
            delay_ms,
            Happening::Mapped {
                node,
                process,
                records,
            },
        );
    }

    /// Sends a proposal on its way. It may get lost, and so may its answer.
    pub(super) fn propose(&mut self, node: usize, record: ShardRecord) {
        let (process, shard) = (self.nodes[node].process, record.shard);
        self.after(
            ANSWER_MS,
            Happening::Unanswered {
                node,
                process,
                shard,
            },
        );
        let cut_off = self.now_ms < self.nodes[node].cut_off_until_ms;
        let is_lost = self.is_rough && self.random.chance(1, 12);
        if self.register_is_away() || cut_off || is_lost {
            return;
        }
        let usual_ms = if self.is_rough && self.random.chance(1, 8) {
            700
        } else {
            15
        };
        let delay_ms = self.random.between(1, usual_ms);
        let answers = !(self.is_rough && self.random.chance(1, 8));
        let record = Box::new(record);
        self.after(
            delay_ms,
            Happening::Proposed {
                node,
                process,
                record,
                answers,
            },
        );
    }

    pub(super) fn proposed(
        &mut self,
        (node, process): (usize, u64),
        record: ShardRecord,
        answers: bool,
    ) {
        if self.register_is_away() || self.refuses() {
            return;
        }
        let shard = record.shard;
        let expected = Revision {
            version: record.version - 1,
            ..record.revision()
        };
        let changed = self.register.change(expected, record.clone());
        self.note(|| {
            let what = if changed { "changed" } else { "not changed" };
            format!("register: {what} by node{} to {}", node + 1, told(&record))
        });
        if answers {
            let records = self
                .register
                .records
                .get(&shard)
                .cloned()
                .into_iter()
                .collect();
            let delay_ms = self.random.between(1, 15);
            self.after(
                delay_ms,
                Happening::Mapped {
                    node,
                    process,
                    records,
                },
            );
        }
    }

    pub(super) fn unanswered(&mut self, node: usize, process: u64, shard: ShardNo) {
        if self
            .awake(
                node,
                process,
                Happening::Unanswered {
                    node,
                    process,
                    shard,
                },
            )
            .is_some()
        {
            self.feed(node, shard, Event::Unanswered);
        }
    }

    /// One round of the controller.
    pub(super) fn decide(&mut self) {
        self.after(DECIDE_MS, Happening::Decide);
        self.round();
    }

    fn round(&mut self) {
        if self.register_is_away() {
            self.office.since_ms = self.now_ms;
            return;
        }
        let waited = self.now_ms >= self.office.since_ms + SESSION_MS;
        self.office.listen(self.now_ms);
        let records = &self.register.records;
        let bugs = match self.bug {
            Some(SeededBug::Controller(bug)) => Bugs::only(bug),
            _ => Bugs::default(),
        };
        let changes = decide(Situation {
            records,
            nodes: &self.office.seen,
            draining: &self.office.draining,
            making: Making::after(
                waited,
                Duration::from_millis(self.now_ms - self.office.since_ms),
                Duration::from_millis(SESSION_MS),
            ),
            may_judge: waited,
            policy: Policy {
                copies: self.copies,
                repair_delay_ms: REPAIR_DELAY_MS,
                bugs,
            },
        });
        for change in changes {
            let is_new = !self.register.records.contains_key(&change.record.shard);
            if is_new && self.register.records.len() >= SHARDS_MAX {
                continue;
            }
            if self.register.change(change.expected, change.record.clone()) {
                self.note(|| format!("controller: {:?} {}", change.reason, told(&change.record)));
            }
        }
    }
}

/// A record in a few words.
pub(crate) fn told(record: &ShardRecord) -> String {
    let names = |members: &[wire::shard::Member]| {
        let names = members.iter().map(|member| member.node.to_string());
        names.collect::<Vec<String>>().join(",")
    };
    let leader = record.leader.as_ref();
    format!(
        "shard {} v{} epoch {} leader {} in_sync [{}] eligible [{}] replicas [{}]{}",
        record.shard,
        record.revision(),
        record.epoch,
        leader.map_or("-".to_owned(), |leader| leader.member.node.to_string()),
        names(&record.in_sync),
        names(&record.eligible),
        names(&record.replicas),
        if record.degraded { " degraded" } else { "" }
    )
}
