//! One schedule from its seed, and many of them on all processors.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use wire::ContentId;
use wire::shard::{ShardRecord, ShardState};

use crate::bug::SeededBug;
use crate::clients::state_of;
use crate::cluster::Cluster;
use crate::queue::Happening;

/// How long everything goes wrong, in virtual milliseconds.
const ROUGH_MS: u64 = 6_000;

/// How long the cluster may take to converge after that.
const CONVERGE_MS_MAX: u64 = 40_000;

/// More happenings than any schedule has.
const STEPS_MAX: u64 = 400_000;

/// How a violation begins that is none of safety: the cluster does not come to rest.
pub const RESTLESS: &str = "does not converge";

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Decides everything.
    pub seed: u64,
    /// A deliberate bug.
    pub bug: Option<SeededBug>,
    /// Whether to tell all that happens.
    pub trace: bool,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The first violation, if there was one.
    pub violation: Option<String>,
    /// What happened, line by line, if asked for.
    pub trace: Option<String>,
    /// Follows from everything that happened.
    pub digest: u64,
    /// Things that happened.
    pub steps: u64,
    /// Changes that were acknowledged.
    pub acknowledged: u64,
    /// Reads that were served.
    pub reads: u64,
    /// Faults that were tried.
    pub faults: u64,
}

/// Runs one schedule.
pub fn run(plan: &Plan) -> Outcome {
    let mut cluster = Cluster::new(plan);
    let caught = catch_unwind(AssertUnwindSafe(|| play(&mut cluster)));
    let steps = match caught {
        Ok(steps) => steps,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            cluster
                .judge
                .accuse(format!("panicked: {}", text.unwrap_or_default()));
            0
        }
    };
    Outcome {
        violation: cluster.judge.violation.clone(),
        digest: cluster.digest,
        steps,
        acknowledged: cluster.judge.acknowledged,
        reads: cluster.judge.reads,
        faults: cluster.faults,
        trace: cluster.take_trace(),
    }
}

fn play(cluster: &mut Cluster) -> u64 {
    begin(cluster);
    let mut steps = 0;
    let mut calm_since = None;
    while cluster.judge.violation.is_none() && steps < STEPS_MAX {
        cluster.step();
        steps += 1;
        if cluster.is_rough && cluster.now_ms >= ROUGH_MS {
            cluster.heal_all();
            calm_since = Some(cluster.now_ms);
        }
        let Some(since) = calm_since else {
            continue;
        };
        if steps % 64 == 0 && cluster.now_ms > since + 1_500 {
            match unsettled(cluster) {
                None => {
                    compare(cluster);
                    break;
                }
                Some(why) if cluster.now_ms > since + CONVERGE_MS_MAX => {
                    cluster.judge.accuse(format!("{RESTLESS}: {why}"));
                }
                Some(_) => {}
            }
        }
    }
    if steps == STEPS_MAX {
        let why = format!("{RESTLESS}: more than {STEPS_MAX} steps");
        cluster.judge.accuse(why);
    }
    steps
}

fn begin(cluster: &mut Cluster) {
    for node in 0..cluster.nodes.len() {
        let incarnation = cluster.uuid();
        cluster.after(node as u64, Happening::Start { node, incarnation });
        for other in 0..node {
            cluster.after(1, Happening::Connect { a: other, b: node });
        }
    }
    cluster.after(5, Happening::Decide);
    cluster.after(1_200, Happening::Client);
    cluster.after(1_800, Happening::Fault);
}

/// Whether the shard was made on a disk that was lost before anything was in it: it is closed, and nobody
/// can lead it.
fn is_lost(cluster: &Cluster, record: &ShardRecord) -> bool {
    let mut able = record.in_sync.iter().chain(&record.eligible);
    record.state == ShardState::Closed
        && !able.any(|member| cluster.holds(&member.node, record.shard, member.replica))
}

/// Why the cluster has not converged: each shard must have a leader, and its replicas all of the
/// set, with nothing left to commit.
fn unsettled(cluster: &Cluster) -> Option<String> {
    if cluster.register.records != cluster.register.newest {
        return Some("the register is not restored".to_owned());
    }
    // Copies from a rotten replica do not end, and others wait for them.
    let are_copied = !cluster
        .register
        .records
        .values()
        .any(|record| is_rotten(cluster, record));
    for record in cluster.register.records.values() {
        let told = crate::cluster::told(record);
        let Some(leader) = &record.leader else {
            return Some(format!("nobody leads {told}"));
        };
        let leader = cluster.node_named(&leader.member.node);
        if is_rotten(cluster, record) || is_lost(cluster, record) {
            continue;
        }
        let lead = leader.and_then(|node| cluster.nodes[node].live.get(&record.shard));
        let Some(lead) = lead.filter(|live| live.core.may_write()) else {
            return Some(format!("the leader does not lead {told}"));
        };
        let end = lead.store.positions().appended;
        let copies = usize::from(cluster.copies).min(cluster.nodes.len());
        if are_copied && record.in_sync.len() < copies {
            return Some(format!("members are missing in {told}"));
        }
        for member in &record.in_sync {
            let node = cluster.node_named(&member.node);
            let live = node.and_then(|node| cluster.nodes[node].live.get(&record.shard));
            let committed = live.map(|live| live.store.positions().committed);
            if committed != Some(end.lsn) {
                return Some(format!(
                    "{} has {committed:?} of {end} of {told}",
                    member.node
                ));
            }
        }
    }
    None
}

/// Whether a member has not committed all of its log.
fn is_behind(cluster: &Cluster, record: &ShardRecord) -> bool {
    record.in_sync.iter().any(|member| {
        let node = cluster.node_named(&member.node);
        let live = node.and_then(|node| cluster.nodes[node].live.get(&record.shard));
        let positions = live.map(|live| live.store.positions());
        positions.is_none_or(|positions| positions.committed < positions.appended.lsn)
    })
}

/// Whether the leader's replica is rotten: what cannot be repaired yet keeps others from copying it,
/// and so perhaps the leader from committing anything.
fn is_rotten(cluster: &Cluster, record: &ShardRecord) -> bool {
    let leader = record.leader.as_ref();
    let node = leader.and_then(|leader| cluster.node_named(&leader.member.node));
    let held = node.and_then(|node| cluster.nodes[node].held.get(&record.shard));
    held.is_some_and(|held| held.is_rotten)
}

/// Every member shows each content in a state that the answers allow, and all show the same.
fn compare(cluster: &mut Cluster) {
    let ids: Vec<ContentId> = cluster.judge.stories.keys().copied().collect();
    for id in ids {
        let Some(record) = cluster.register.records.get(&id.shard()).cloned() else {
            continue;
        };
        if is_rotten(cluster, &record) && is_behind(cluster, &record) {
            continue;
        }
        let mut first = None;
        for member in &record.in_sync {
            let Some(node) = cluster.node_named(&member.node) else {
                continue;
            };
            let Some(live) = cluster.nodes[node].live.get(&record.shard) else {
                continue;
            };
            match state_of(live, id) {
                Ok(state) => {
                    cluster.judge.check_final(node + 1, id, state);
                    let seen = *first.get_or_insert(state);
                    if seen.checksum != state.checksum {
                        cluster
                            .judge
                            .accuse(format!("{id:?}: replicas differ: {seen:?}, {state:?}"));
                    }
                }
                Err(trouble) => cluster.blame(node, id, trouble),
            }
        }
    }
}

/// Runs many seeds on several threads, until one fails or all are done; each outcome is given to
/// `each`, in no particular order. `each` says whether to go on.
pub fn run_many(
    seeds: std::ops::Range<u64>,
    bug: Option<SeededBug>,
    threads: usize,
    each: &(dyn Fn(u64, Outcome) -> bool + Sync),
) {
    let next = AtomicU64::new(seeds.start);
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let plan = Plan {
                        seed,
                        bug,
                        trace: false,
                    };
                    if !each(seed, run(&plan)) {
                        next.store(seeds.end, Ordering::Relaxed);
                    }
                }
            });
        }
    });
}
