//! What a shard record asks of this node. Pure: no files, no clock.

use replica::supersedes;
use uuid::Uuid;
use wire::NodeName;
use wire::shard::{Member, ShardRecord};

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
pub struct Held<'a> {
    /// The replica's UUID.
    pub replica: Uuid,
    /// The record that it obeys; none yet.
    pub record: Option<&'a ShardRecord>,
}

/// What to do with a record that a distributor sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is not about this node, it is not newer than what the node has, or it was restored and
    /// nobody leads yet.
    Ignore,
    /// Make this replica, then obey the record.
    Make(Uuid),
    /// As `Make`; the replica that is held is a member no more, and goes first.
    Replace(Uuid),
    /// Persist the record, then obey it.
    Obey,
    /// The replica that is held is a member no more: it goes.
    Leave,
    /// The record names a replica of this node that it does not hold: a lost or replaced disk.
    Lost,
}

/// Decides what to do with `record`, given what the node holds of its shard and has offered.
pub fn step(me: &Me, held: Option<Held<'_>>, offers: &[Uuid], record: &ShardRecord) -> Step {
    let named = record.member_on(&me.name).map(|member| member.replica);
    let offered = named.filter(|replica| offers.contains(replica));
    // A record that was restored and has no leader yet may be older than what is not known yet.
    if record.is_restored() {
        return Step::Ignore;
    }
    let Some(held) = held else {
        return match (named, offered) {
            (None, _) => Step::Ignore,
            (_, Some(replica)) => Step::Make(replica),
            (Some(_), None) => Step::Lost,
        };
    };
    let is_newer = held.record.is_none_or(|old| supersedes(record, old));
    match (named, offered) {
        _ if !is_newer => Step::Ignore,
        (Some(named), _) if named == held.replica => Step::Obey,
        (_, Some(replica)) => Step::Replace(replica),
        (Some(_), None) => Step::Lost,
        (None, _) => Step::Leave,
    }
}

/// Whether only this replica has, or is to have, anything of the shard: then all that is synced in
/// it is committed.
pub fn is_alone(me: &Me, replica: Uuid, record: &ShardRecord) -> bool {
    let is_me = |member: &Member| member.node == me.name && member.replica == replica;
    matches!(&record.replicas[..], [only] if is_me(only))
        && matches!(&record.in_sync[..], [only] if is_me(only))
}

/// Whether this process leads, and nobody else has, or may have, everything committed: what is not
/// here is nowhere.
pub fn is_last(me: &Me, replica: Uuid, record: &ShardRecord) -> bool {
    record.is_led_by(&me.name, me.incarnation)
        && record.eligible.is_empty()
        && matches!(&record.in_sync[..], [only] if only.replica == replica)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::position::{Epoch, ShardNo};
    use wire::shard::{Leader, ShardState};

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

    fn held(replica: u128, record: Option<&ShardRecord>) -> Option<Held<'_>> {
        Some(Held {
            replica: Uuid::from_u128(replica),
            record,
        })
    }

    fn others(version: u64) -> ShardRecord {
        let mut others = record(5, version);
        others.replicas[0].node = "node2".parse().expect("a name");
        others
    }

    // If this fails, an empty directory takes the place of a lost disk, and what was on it is
    // reported as never stored.
    #[test]
    fn a_replica_is_made_only_under_an_offer() {
        let offers = [Uuid::from_u128(5)];
        let step = |held, record: &ShardRecord| step(&me(), held, &offers, record);
        assert_eq!(step(None, &record(5, 1)), Step::Make(offers[0]));
        assert_eq!(step(None, &record(6, 1)), Step::Lost);
        let old = record(4, 1);
        assert_eq!(step(held(4, Some(&old)), &record(6, 2)), Step::Lost);
        assert_eq!(
            step(held(4, Some(&old)), &record(5, 2)),
            Step::Replace(offers[0])
        );
        assert_eq!(step(None, &others(9)), Step::Ignore);
    }

    // If this fails, a node obeys a record of the past.
    #[test]
    fn only_a_newer_record_is_obeyed() {
        let step = |held, record: &ShardRecord| step(&me(), held, &[], record);
        let (two, three) = (record(5, 2), record(5, 3));
        assert_eq!(step(held(5, Some(&two)), &three), Step::Obey);
        assert_eq!(step(held(5, None), &record(5, 1)), Step::Obey);
        assert_eq!(step(held(5, Some(&three)), &three), Step::Ignore);
        assert_eq!(step(held(5, Some(&three)), &two), Step::Ignore);
        let mut restored = record(5, 2);
        restored.lineage = 1;
        assert_eq!(step(held(5, Some(&three)), &restored), Step::Obey);
        restored.leader = None;
        assert_eq!(step(held(5, Some(&two)), &restored), Step::Ignore);
    }

    // If this fails, a copy is thrown away that the cluster still counts on, or is kept for ever.
    #[test]
    fn a_replica_goes_when_a_later_record_does_not_name_it() {
        let step = |held, record: &ShardRecord| step(&me(), held, &[], record);
        let three = record(5, 3);
        assert_eq!(step(held(5, Some(&three)), &others(4)), Step::Leave);
        assert_eq!(step(held(5, Some(&three)), &others(3)), Step::Ignore);
        let restored = ShardRecord {
            leader: None,
            lineage: 1,
            ..others(4)
        };
        assert_eq!(step(held(5, Some(&three)), &restored), Step::Ignore);
    }

    // If this fails, a record counts as committed that others of the in-sync set do not have, or a
    // stale copy is served.
    #[test]
    fn a_replica_decides_alone_only_when_it_is_alone() {
        let replica = Uuid::from_u128(5);
        let alone = record(5, 1);
        assert!(is_alone(&me(), replica, &alone));
        let mut joined = alone.clone();
        joined.replicas.push(member(6));
        assert!(!is_alone(&me(), replica, &joined));
        let mut replaced = alone;
        replaced.in_sync = vec![member(6)];
        assert!(!is_alone(&me(), replica, &replaced));
    }

    // If this fails, a copy that an operator chose waits for what nobody has, or one that is not whole
    // is taken for whole while others have more.
    #[test]
    fn only_the_last_copy_is_taken_for_whole() {
        let replica = Uuid::from_u128(5);
        let mut chosen = record(5, 1);
        chosen.replicas.push(member(6));
        assert!(is_last(&me(), replica, &chosen), "another one joins");
        assert!(!is_last(&me(), Uuid::from_u128(6), &chosen));
        let mut eligible = chosen.clone();
        eligible.eligible.push(member(6));
        assert!(!is_last(&me(), replica, &eligible));
        let mut joined = chosen.clone();
        joined.in_sync.push(member(6));
        assert!(!is_last(&me(), replica, &joined));
        let later = Me {
            incarnation: Uuid::from_u128(8),
            ..me()
        };
        assert!(!is_last(&later, replica, &chosen));
    }
}
