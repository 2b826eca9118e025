//! Whether what a node says is something that the controller waits for.

use wire::NodeName;
use wire::membership::Heartbeat;
use wire::shard::Leader;

use super::State;

/// Whether a heartbeat differs from the last one in what the controller decides by; how full a
/// shard is can wait for its next round.
pub(super) fn concerns_controller(before: &Heartbeat, now: &Heartbeat) -> bool {
    before.offer != now.offer
        || before.replicas.len() != now.replicas.len()
        || now.replicas.iter().any(|report| report.record.is_some())
}

impl State {
    /// Whether an election waits for what this node has: the leader's node is another process by now.
    pub(super) fn is_awaited(&self, name: &NodeName) -> bool {
        let is_another = |leader: &Leader| {
            let seen = self.nodes.get(&leader.member.node);
            seen.is_some_and(|node| node.heartbeat.incarnation != leader.incarnation)
        };
        let mut records = self.records.values();
        records.any(|record| {
            record.in_sync.iter().any(|member| member.node == *name)
                && record.leader.as_ref().is_some_and(is_another)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use uuid::Uuid;

    use crate::members::book::Members;
    use crate::members::tests::{SESSION, heartbeat, name, record};

    // If this fails, a shard whose leader was restarted waits for the next round to be led, or is led by who
    // has less than another one.
    #[test]
    fn who_is_compared_with_a_new_process_is_heard_at_once() {
        let begun = Instant::now();
        let members = Members::new(SESSION);
        members.hear(&name("node1"), &heartbeat(1), begun);
        members.hear(&name("node2"), &heartbeat(2), begun);
        members.set_records(vec![record()]);
        let decides = |number: u128, at| {
            let node = name(&format!("node{number}"));
            members.hear(&node, &heartbeat(number), at).decide
        };
        assert!(!decides(2, begun), "the leader is who it was");
        let mut another = heartbeat(1);
        another.incarnation = Uuid::from_u128(9);
        let later = begun + Duration::from_millis(300);
        members.hear(&name("node1"), &another, later);
        let now = begun + Duration::from_millis(400);
        let seen = members.seen(now);
        let process_ms = |number: u128| seen[&name(&format!("node{number}"))].process_ms;
        assert_eq!((process_ms(1), process_ms(2)), (100, 400));
        assert!(decides(2, now));
    }
}
