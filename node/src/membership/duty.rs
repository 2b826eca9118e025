//! What a shard record asks of this node. Pure: no files, no clock.

use uuid::Uuid;
use wire::NodeName;
use wire::position::{Epoch, Lsn};
use wire::shard::{Revision, ShardRecord};

/// This node, as shard records name it.
#[derive(Clone, Debug)]
pub struct Me {
    /// Its name.
    pub name: NodeName,
    /// Its process.
    pub incarnation: Uuid,
}

/// What this node holds of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The replica's UUID.
    pub replica: Uuid,
    /// The revision of the record that it obeys.
    pub revision: Revision,
}

/// What to do with a record that a distributor sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is not about this node, it is not newer than what the node has, or it was restored and
    /// nobody leads yet.
    Ignore,
    /// Make this replica, then obey the record.
    Make(Uuid),
    /// Persist the record, then obey it.
    Obey,
    /// The record names a replica of this node that it does not hold: a lost or replaced disk.
    Lost,
}

/// Decides what to do with `record`, given what the node holds of its shard and has offered.
pub fn step(me: &Me, held: Option<Held>, offers: &[Uuid], record: &ShardRecord) -> Step {
    let Some(member) = record.member_on(&me.name) else {
        return Step::Ignore;
    };
    if record.is_restored() {
        return Step::Ignore;
    }
    match held {
        Some(held) if held.replica != member.replica => Step::Lost,
        Some(held) if record.revision() > held.revision => Step::Obey,
        Some(_) => Step::Ignore,
        None if offers.contains(&member.replica) => Step::Make(member.replica),
        None => Step::Lost,
    }
}

/// The epoch in which this process leads by `record`; none if it does not.
pub fn epoch_led(me: &Me, record: &ShardRecord) -> Option<Epoch> {
    record
        .is_led_by(&me.name, me.incarnation)
        .then_some(record.epoch)
}

/// Up to where the log is committed, given what this replica has synced; none when other members
/// decide as well.
///
/// The only place that knows how many must have a record before it is committed: at present an
/// in-sync set of this replica alone.
pub fn commit_point(me: &Me, replica: Uuid, record: &ShardRecord, synced: Lsn) -> Option<Lsn> {
    let enough = record.degraded || record.min_in_sync <= 1;
    (is_sole_member(me, replica, record) && enough).then_some(synced)
}

/// Whether this replica may serve what it has committed, without hearing from anyone: nobody else
/// can have committed anything since.
pub fn may_read(me: &Me, replica: Uuid, record: &ShardRecord) -> bool {
    is_sole_member(me, replica, record)
}

fn is_sole_member(me: &Me, replica: Uuid, record: &ShardRecord) -> bool {
    matches!(&record.in_sync[..], [member] if member.node == me.name && member.replica == replica)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::position::ShardNo;
    use wire::shard::{Leader, Member, ShardState};

    fn me() -> Me {
        Me {
            name: "node1".parse().expect("a name"),
            incarnation: Uuid::from_u128(7),
        }
    }

    fn member(replica: u128) -> Member {
        Member {
            node: me().name,
            replica: Uuid::from_u128(replica),
        }
    }

    fn record(replica: u128, version: u64) -> ShardRecord {
        let leader = Leader {
            member: member(replica),
            incarnation: me().incarnation,
        };
        ShardRecord {
            shard: ShardNo(1),
            log: 1,
            epoch: Epoch(3),
            leader: Some(leader),
            in_sync: vec![member(replica)],
            eligible: vec![],
            replicas: vec![member(replica)],
            min_in_sync: 1,
            degraded: false,
            state: ShardState::Open,
            lineage: 0,
            version,
        }
    }

    fn held(replica: u128, version: u64) -> Option<Held> {
        Some(Held {
            replica: Uuid::from_u128(replica),
            revision: Revision {
                lineage: 0,
                version,
            },
        })
    }

    // If this fails, an empty directory takes the place of a lost disk, and what was on it is
    // reported as never stored.
    #[test]
    fn a_replica_is_made_only_under_an_offer() {
        let offers = [Uuid::from_u128(5)];
        assert_eq!(
            step(&me(), None, &offers, &record(5, 1)),
            Step::Make(offers[0])
        );
        assert_eq!(step(&me(), None, &offers, &record(6, 1)), Step::Lost);
        assert_eq!(step(&me(), held(5, 1), &offers, &record(6, 2)), Step::Lost);
    }

    // If this fails, a node obeys a record of the past.
    #[test]
    fn only_a_newer_record_is_obeyed() {
        assert_eq!(step(&me(), held(5, 2), &[], &record(5, 3)), Step::Obey);
        assert_eq!(step(&me(), held(5, 0), &[], &record(5, 1)), Step::Obey);
        assert_eq!(step(&me(), held(5, 3), &[], &record(5, 3)), Step::Ignore);
        let mut restored = record(5, 2);
        restored.lineage = 1;
        assert_eq!(step(&me(), held(5, 3), &[], &restored), Step::Obey);
        restored.leader = None;
        assert_eq!(step(&me(), held(5, 1), &[], &restored), Step::Ignore);
        let mut others = record(5, 9);
        others.replicas[0].node = "node2".parse().expect("a name");
        assert_eq!(step(&me(), held(5, 3), &[], &others), Step::Ignore);
    }

    // If this fails, a restarted node writes on in an epoch that it led before its crash.
    #[test]
    fn leadership_ends_with_the_process() {
        assert_eq!(epoch_led(&me(), &record(5, 1)), Some(Epoch(3)));
        let restarted = Me {
            incarnation: Uuid::from_u128(8),
            ..me()
        };
        assert_eq!(epoch_led(&restarted, &record(5, 1)), None);
    }

    // If this fails, a record is acknowledged that others of the in-sync set do not have, or a
    // stale copy is served.
    #[test]
    fn a_replica_decides_alone_only_when_it_is_alone() {
        let replica = Uuid::from_u128(5);
        let mut record = record(5, 1);
        assert_eq!(commit_point(&me(), replica, &record, Lsn(9)), Some(Lsn(9)));
        assert!(may_read(&me(), replica, &record));

        record.min_in_sync = 2;
        assert_eq!(commit_point(&me(), replica, &record, Lsn(9)), None);
        record.degraded = true;
        assert_eq!(commit_point(&me(), replica, &record, Lsn(9)), Some(Lsn(9)));

        let other = Member {
            node: "node2".parse().expect("a name"),
            replica,
        };
        record.in_sync.push(other.clone());
        assert_eq!(commit_point(&me(), replica, &record, Lsn(9)), None);
        record.in_sync = vec![other];
        assert!(!may_read(&me(), replica, &record));
        record.in_sync = vec![member(6)];
        assert!(!may_read(&me(), replica, &record));
    }
}
