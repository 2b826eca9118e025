//! How a leader changes its shard's record. Pure: from one record to the next.

use uuid::Uuid;
use wire::shard::{Leader, Member, ShardRecord};

use crate::bugs::{Bug, Bugs};

/// Whether the set is large enough to commit anything.
pub fn can_commit(record: &ShardRecord) -> bool {
    record.degraded || record.in_sync.len() >= usize::from(record.min_in_sync)
}

/// Whether a record is to be persisted and obeyed in the place of another one. One that was restored
/// and has no leader yet never is: what this node reports may be the later record that it lacks.
pub fn supersedes(new: &ShardRecord, old: &ShardRecord) -> bool {
    !new.is_restored() && new.revision() > old.revision()
}

/// Without these members. While nothing commits any more, they have everything committed, and stay
/// eligible; whoever is outside a set that commits misses something soon.
pub(crate) fn shrunk(record: &ShardRecord, gone: &[Member], bugs: Bugs) -> ShardRecord {
    let mut next = changed(record);
    next.in_sync.retain(|member| !gone.contains(member));
    if can_commit(&next) && !bugs.has(Bug::EligibleBesideQuorum) {
        next.eligible.clear();
    } else {
        next.eligible.extend(gone.iter().cloned());
    }
    next
}

/// With this member. A set that is large enough again is no longer degraded.
pub(crate) fn grown(record: &ShardRecord, member: &Member) -> ShardRecord {
    let mut next = changed(record);
    next.in_sync.push(member.clone());
    next.eligible.retain(|eligible| eligible != member);
    if next.in_sync.len() >= usize::from(next.min_in_sync) {
        next.degraded = false;
        next.eligible.clear();
    }
    next
}

/// Fewer than `min_in_sync` may commit: nobody outside the set has everything from then on.
pub(crate) fn degraded(record: &ShardRecord, bugs: Bugs) -> ShardRecord {
    let mut next = changed(record);
    next.degraded = true;
    if !bugs.has(Bug::EligibleWhileDegraded) {
        next.eligible.clear();
    }
    next
}

/// Led by another process from the next epoch on.
pub(crate) fn handed_over(record: &ShardRecord, to: &Member, incarnation: Uuid) -> ShardRecord {
    let mut next = changed(record);
    next.epoch = record.epoch.next();
    next.leader = Some(Leader {
        member: to.clone(),
        incarnation,
    });
    next
}

/// The same, as the next version.
pub(crate) fn changed(record: &ShardRecord) -> ShardRecord {
    let mut next = record.clone();
    next.version += 1;
    next
}
