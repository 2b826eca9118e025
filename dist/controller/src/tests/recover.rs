//! An operator chooses a copy.

use super::mirrored::{member, node};
use super::{World, heartbeat, name};
use crate::{
    Listed, Making, Policy, Reason, RecoverRefused, Recovery, Situation, recover, waiting,
    wants_records,
};
use uuid::Uuid;
use wire::recovery::{KnownCopy, Loss, Objection, Part, RecoverShard, WaitingShard};
use wire::shard::{Revision, ShardRecord, ShardState};
use wire::{Epoch, Lsn, Position, ShardNo};

fn at(epoch: u64, lsn: u64) -> Position {
    Position {
        epoch: Epoch(epoch),
        lsn: Lsn(lsn),
    }
}

impl World {
    fn situation(&self) -> Situation<'_> {
        Situation {
            records: &self.records,
            nodes: &self.nodes,
            draining: &self.draining,
            making: Making::No,
            may_judge: !self.early,
            policy: Policy::of(self.copies),
        }
    }

    fn listed(lsn: u64) -> Listed {
        Listed::from([(ShardNo(1), at(3, lsn))])
    }

    /// The only shard that waits.
    fn waiting(&self, listed: u64) -> WaitingShard {
        let mut waiting = waiting(self.situation(), &World::listed(listed));
        assert_eq!(waiting.len(), 1);
        waiting.remove(0)
    }

    fn copy(&self, n: u128) -> KnownCopy {
        let copies = self.waiting(0).copies;
        let mut of_node = copies.into_iter().filter(|copy| copy.node == node(n));
        of_node.next().expect("a copy")
    }

    fn choose(&self, n: u128, force: bool) -> Result<Recovery, RecoverRefused> {
        let choice = RecoverShard {
            node: node(n),
            force,
        };
        recover(self.situation(), &World::listed(0), ShardNo(1), &choice)
    }

    fn needs(&self, n: u128) -> Vec<Objection> {
        match self.choose(n, false) {
            Err(RecoverRefused::NeedsForce(objections)) => objections,
            other => panic!("it needs no force: {other:?}"),
        }
    }

    /// The register takes the change.
    fn carried_out(&mut self, recovery: &Recovery) -> ShardRecord {
        let record = recovery.change.record.clone();
        assert_eq!(self.shard(1).revision(), recovery.change.expected);
        *self.shard(1) = record.clone();
        record
    }

    /// Node 1 alone was in sync, in epoch 3 up to lsn 120, and is dead; nodes 2 and 3 are behind.
    fn with_a_lost_shard() -> World {
        let mut world = World::of(3, 3).with(1, &[1, 2, 3]);
        let record = world.shard(1);
        record.in_sync.truncate(1);
        (record.epoch, record.degraded) = (Epoch(3), true);
        for (n, lsn) in [(1, 120), (2, 100), (3, 90)] {
            let held = world.replica(1, n);
            (held.end, held.committed) = (at(3, lsn), Lsn(lsn - 5));
            held.record_mark = None;
        }
        world.silence(1, 5_000);
        world
    }

    /// The leader's node is back, with an empty disk.
    fn with_a_replaced_disk() -> World {
        let mut world = World::with_a_lost_shard();
        world.hear("node1", heartbeat(77, 100_077));
        world
    }
}

// If this fails, a shard whose disks are lost waits for ever, and nobody is told.
#[test]
fn a_shard_that_nobody_can_lead_waits() {
    let mut world = World::with_a_lost_shard();
    assert_eq!(world.waiting(0).leader, Some(node(1)));
    let replaced = World::with_a_replaced_disk();
    assert_eq!(replaced.waiting(0).copies.len(), 3);
    world.early = true;
    assert!(waiting(world.situation(), &Listed::new()).is_empty());
    assert_eq!(world.choose(2, true), Err(RecoverRefused::Unsettled));
}

// If this fails, an operator undoes acknowledged changes although a node is there that has them.
#[test]
fn a_shard_that_can_be_led_is_left_alone() {
    let led = World::of(3, 3).with(1, &[1, 2, 3]);
    assert_eq!(led.choose(2, true), Err(RecoverRefused::NotWaiting));
    let mut orphan = World::of(3, 3).with(1, &[1, 2, 3]);
    orphan.silence(1, 5_000);
    assert_eq!(orphan.choose(2, true), Err(RecoverRefused::NotWaiting));
    let mut eligible = World::with_a_lost_shard();
    eligible.shard(1).eligible = vec![member(1, 3)];
    assert_eq!(eligible.choose(2, true), Err(RecoverRefused::NotWaiting));
    let mut unmade = World::of(2, 2).with(1, &[1]);
    let offer = member(1, 1).replica;
    unmade.hear("node1", heartbeat(1, offer.as_u128()));
    assert_eq!(unmade.choose(1, true), Err(RecoverRefused::NotWaiting));
    let nothing = RecoverShard {
        node: node(1),
        force: true,
    };
    let refused = recover(led.situation(), &Listed::new(), ShardNo(9), &nothing);
    assert_eq!(refused, Err(RecoverRefused::NoShard));
}

// If this fails, a shard is given to a node that has nothing of it, or that nobody hears.
#[test]
fn only_a_copy_at_hand_is_chosen() {
    let mut world = World::with_a_lost_shard();
    assert_eq!(world.choose(1, true), Err(RecoverRefused::NoCopy));
    assert_eq!(world.choose(9, true), Err(RecoverRefused::NoCopy));
    world.replica(1, 2).log = Some(8);
    assert_eq!(world.choose(2, true), Err(RecoverRefused::NoCopy));
    world.replica(1, 2).log = Some(world.shard(1).log);
    assert!(world.choose(2, false).is_ok());
}

// If this fails, the lesser of two copies is taken by a slip of the operator's.
#[test]
fn what_speaks_against_a_copy_needs_force() {
    let mut world = World::with_a_lost_shard();
    assert_eq!(world.needs(3), [Objection::Behind]);
    assert!(world.choose(3, true).is_ok());
    // Of two that end at the same place, the one that knows more committed is better.
    world.replica(1, 3).end = at(3, 100);
    assert_eq!(world.needs(3), [Objection::Behind]);
    // One that goes further in the same epoch has all of that, however little it knows committed.
    world.replica(1, 3).end = at(3, 101);
    assert!(world.choose(3, false).is_ok());
    assert_eq!(world.needs(2), [Objection::Behind]);
    world.silence(3, 5_000);
    assert!(world.choose(2, false).is_ok());
    let mut bad = World::with_a_lost_shard();
    let held = bad.replica(1, 2);
    (held.halted, held.damaged, held.complete) = (true, 2, false);
    assert_eq!(
        bad.needs(2),
        [Objection::Halted, Objection::Damaged, Objection::Incomplete]
    );
    let mut empty = World::with_a_lost_shard();
    empty.silence(3, 5_000);
    let held = empty.replica(1, 2);
    (held.end, held.committed) = (Position::default(), Lsn::ZERO);
    assert_eq!(empty.needs(2), [Objection::Empty]);
}

// If this fails, the chosen copy cannot commit, or waits for those who are gone.
#[test]
fn the_chosen_copy_is_the_shard() {
    for mut world in [World::with_a_lost_shard(), World::with_a_replaced_disk()] {
        world.shard(1).state = ShardState::Closed;
        let recovery = world.choose(2, false).expect("it is chosen");
        assert_eq!(recovery.change.reason, Reason::Recovered);
        assert_eq!(recovery.over, [node(3), node(1)]);
        let record = world.carried_out(&recovery);
        let only = vec![member(1, 2)];
        assert_eq!((&record.in_sync, &record.replicas), (&only, &only));
        assert!(record.degraded && record.eligible.is_empty());
        assert!(record.is_led_by(&node(2), Uuid::from_u128(2)));
        assert_eq!((record.epoch, record.lineage), (Epoch(4), 1));
        assert_eq!(record.state, ShardState::Closed, "as it was");
        assert!(waiting(world.situation(), &Listed::new()).is_empty());
        assert_eq!(world.choose(3, true), Err(RecoverRefused::NotWaiting));
    }
    let mut single = World::of(2, 1).with(1, &[1]);
    single.shard(1).replicas.push(member(1, 2));
    let mut held = single.replica(1, 1).clone();
    (held.replica, held.end) = (member(1, 2).replica, at(1, 4));
    single.seen(2).heartbeat.replicas.push(held);
    single.silence(1, 5_000);
    for n in [1, 2] {
        single.replica(1, n).record_mark = None;
    }
    let recovery = single.choose(2, false).expect("it is chosen");
    assert!(!recovery.change.record.degraded, "one copy is enough there");
}

// If this fails, the catalog keeps rows of contents that are gone, or two leaders share an epoch.
#[test]
fn the_next_epoch_is_above_all_that_are_known() {
    let mut world = World::with_a_lost_shard();
    world.replica(1, 1).end = at(5, 120);
    let choice = RecoverShard {
        node: node(2),
        force: false,
    };
    let decide = |world: &World, listed| {
        let listed = Listed::from([(ShardNo(1), listed)]);
        recover(world.situation(), &listed, ShardNo(1), &choice).expect("it is chosen")
    };
    let recovery = decide(&world, at(2, 110));
    assert_eq!(recovery.change.record.epoch, Epoch(6));
    assert_eq!((recovery.listed, recovery.unlisted), (at(2, 110), at(5, 0)));
    let recovery = decide(&world, at(8, 110));
    assert_eq!(recovery.change.record.epoch, Epoch(9));
}

// If this fails, an operator is told less, or more, than is known of what a choice costs.
#[test]
fn what_is_lost_is_told_as_far_as_it_is_known() {
    let world = World::with_a_lost_shard();
    let loss = |world: &World, n, listed| {
        let copies = world.waiting(listed).copies;
        let copy = copies.into_iter().find(|copy| copy.node == node(n));
        copy.expect("a copy").loss
    };
    let lost = |records| {
        Some(Loss {
            records,
            more: true,
        })
    };
    assert_eq!(loss(&world, 1, 0), None, "nobody can choose it");
    assert_eq!(
        (loss(&world, 2, 0), loss(&world, 3, 0)),
        (lost(20), lost(30))
    );
    assert_eq!(loss(&world, 2, 130), lost(30), "the catalog knows more");
    let first = &world.waiting(0).copies[0];
    assert_eq!((&first.node, first.part), (&node(2), Part::Outside));
    // In another epoch the end of the log may be what nobody else had.
    let mut other = World::with_a_lost_shard();
    other.replica(1, 1).end = at(4, 120);
    assert_eq!(loss(&other, 2, 0), lost(25));
    // A member that is halted has everything.
    let mut member = World::with_a_lost_shard();
    member.shard(1).in_sync.push(super::mirrored::member(1, 3));
    member.replica(1, 3).halted = true;
    let nothing = Loss {
        records: 0,
        more: false,
    };
    assert_eq!(member.copy(3).loss, Some(nothing));
}

/// A record of nodes 1 to 3 was restored; node 1 does not come back.
fn restored() -> World {
    let mut world = World::with_a_lost_shard();
    let record = world.shard(1);
    record.in_sync = record.replicas.clone();
    (record.leader, record.lineage, record.version) = (None, 1, 40);
    for n in [2, 3] {
        world.replica(1, n).record_version = 40;
    }
    world
}

// If this fails, a register that went back waits for ever for a disk that is lost.
#[test]
fn a_restored_shard_waits_for_all_or_for_an_operator() {
    let world = restored();
    let waiting = world.waiting(0);
    assert!(waiting.restored && waiting.leader.is_none());
    let copy = world.copy(2);
    assert_eq!((copy.part, copy.objections), (Part::InSync, vec![]));
    assert!(copy.loss.expect("at hand").more, "node 1 may know better");
    assert!(world.choose(2, false).is_ok());
    let mut unsettled = restored();
    unsettled.replica(1, 3).record_version = 41;
    assert_eq!(unsettled.choose(2, true), Err(RecoverRefused::Unsettled));
    let mut all_heard = restored();
    all_heard.seen(1).alive = true;
    all_heard.replica(1, 1).record_version = 40;
    assert_eq!(all_heard.choose(2, true), Err(RecoverRefused::NotWaiting));
}

// If this fails, a node that comes back with what it knew before undoes the recovery: it is led by
// another log than the one that has gone on.
#[test]
fn whoever_comes_back_with_an_old_record_does_not_undo_it() {
    for (lineage, version) in [(0, 41), (0, 9_000), (1, 40), (1, 9_000)] {
        let mut world = restored();
        let mut old = world.shard(1).clone();
        let recovery = world.choose(2, false).expect("it is chosen");
        let recovered = world.carried_out(&recovery);
        (old.lineage, old.version) = (lineage, version);
        old.leader = Some(wire::shard::Leader {
            member: member(1, 1),
            incarnation: Uuid::from_u128(1),
        });
        world.seen(1).alive = true;
        let held = world.replica(1, 1);
        (held.record_lineage, held.record_version) = (lineage, version);
        held.record_mark = Some(old.mark());
        held.record = Some(old.clone());
        let said = &world.nodes[&name("node1")].heartbeat;
        assert!(!wants_records(&world.records, said));
        let undone = world
            .decide()
            .into_iter()
            .filter(|change| change.record.shard == ShardNo(1) && change.reason != Reason::Added);
        assert_eq!(undone.count(), 0, "of {lineage}.{version}");
        assert!(recovered.revision() > old.revision());
    }
}

// If this fails, a register that goes back behind a recovery returns to the log that was given up.
#[test]
fn a_recovery_is_restored_before_what_it_was_chosen_over() {
    let mut world = World::with_a_lost_shard();
    let before = world.shard(1).clone();
    let recovery = world.choose(2, false).expect("it is chosen");
    let recovered = world.carried_out(&recovery);
    *world.shard(1) = ShardRecord {
        version: before.version,
        ..before
    };
    let held = world.replica(1, 2);
    (held.record_lineage, held.record_version) = (recovered.lineage, recovered.version);
    held.record = Some(recovered.clone());
    assert_eq!(world.apply(), [Reason::Restored]);
    let restored = world.shard(1);
    let expected = Revision {
        lineage: recovered.lineage + 1,
        version: recovered.version,
    };
    assert_eq!(
        (restored.revision(), restored.epoch),
        (expected, recovered.epoch)
    );
    assert_eq!(restored.replicas, recovered.replicas);
}
