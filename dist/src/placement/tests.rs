//! Placement by rule, and by numbers over seeded randomness.

use super::{Excluded, Lack, Load, OpenShard, Promises, Score, choose, score_all};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::Duration;
use wire::ShardNo;
use wire::stats::NodeStats;

const AGE_MAX: Duration = Duration::from_secs(5);

const GIB: u64 = 1 << 30;

fn open(shard: u16, others: &[usize]) -> OpenShard {
    OpenShard {
        shard: ShardNo(shard),
        lack: Lack::Nothing,
        others: others.to_vec(),
    }
}

/// The score of a node that is alone.
fn score(load: &Load, size: u64, age_max: Duration) -> Result<Score, Excluded> {
    score_all(std::slice::from_ref(load), size, age_max).remove(0)
}

fn load(storage: u64, cpu: f64) -> Load {
    let stats = NodeStats {
        storage,
        max_storage: 100 * GIB,
        disk_free: 100 * GIB,
        cpu,
        memory_available: 8 * GIB,
        memory_total: 16 * GIB,
        ..NodeStats::default()
    };
    Load {
        up: true,
        draining: false,
        open: vec![open(1, &[])],
        stats: Some((stats, Duration::ZERO)),
        promises: Promises::default(),
    }
}

fn stats(load: &mut Load) -> &mut NodeStats {
    &mut load.stats.as_mut().expect("statistics").0
}

/// Places uploads as a distributor does, and counts them by node.
fn place(loads: &mut [Load], uploads: usize, size: u64, seed: u64) -> Vec<usize> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut counts = vec![0; loads.len()];
    for _ in 0..uploads {
        let scores: Vec<Option<f64>> = score_all(loads, size, AGE_MAX)
            .into_iter()
            .map(|score| score.ok().map(|score| score.total))
            .collect();
        let choice = choose(&scores, |n| random.random_range(0..n)).expect("a node");
        counts[choice.chosen] += 1;
        loads[choice.chosen].promises.add(size);
    }
    counts
}

// If this fails, uploads are sent where they cannot be stored.
#[test]
fn a_node_that_cannot_take_an_upload_is_excluded_with_the_reason() {
    let score_of = |load: &Load, size| score(load, size, AGE_MAX).map(|_| ());
    let fine = load(0, 0.0);
    assert_eq!(score_of(&fine, GIB), Ok(()));
    assert_eq!(
        score_of(
            &Load {
                up: false,
                ..fine.clone()
            },
            0
        ),
        Err(Excluded::Down)
    );
    assert_eq!(
        score_of(
            &Load {
                open: Vec::new(),
                ..fine.clone()
            },
            0
        ),
        Err(Excluded::NoShard)
    );
    assert_eq!(
        score_of(
            &Load {
                draining: true,
                ..fine.clone()
            },
            0
        ),
        Err(Excluded::Draining)
    );
    assert_eq!(
        score_of(
            &Load {
                stats: None,
                ..fine.clone()
            },
            0
        ),
        Err(Excluded::Unknown)
    );
    let mut old = fine.clone();
    old.stats.as_mut().expect("statistics").1 = AGE_MAX + Duration::from_millis(1);
    assert_eq!(score_of(&old, 0), Err(Excluded::Unknown));
}

// If this fails, a node is filled until it refuses uploads in the middle of their bodies.
#[test]
fn ninety_percent_is_the_end_with_promises_counted() {
    let full = load(89 * GIB, 0.0);
    assert!(score(&full, GIB, AGE_MAX).is_ok());
    assert_eq!(score(&full, GIB + 1, AGE_MAX), Err(Excluded::Full));
    let mut promised = full.clone();
    promised.promises.add(GIB);
    assert_eq!(score(&promised, 1, AGE_MAX), Err(Excluded::Full));
    let mut receiving = full.clone();
    stats(&mut receiving).bytes_promised = GIB;
    assert_eq!(score(&receiving, 1, AGE_MAX), Err(Excluded::Full));
    let mut shared_disk = load(0, 0.0);
    stats(&mut shared_disk).disk_free = GIB;
    assert_eq!(score(&shared_disk, GIB + 1, AGE_MAX), Err(Excluded::Full));
    assert_eq!(score(&load(0, 0.0), u64::MAX, AGE_MAX), Err(Excluded::Full));
}

// If this fails, a promise is forgotten before the node can know of it, or kept for ever.
#[test]
fn a_promise_counts_until_the_second_statistics_after_it() {
    let mut promises = Promises::default();
    promises.add(7);
    promises.sampled();
    assert_eq!((promises.total().bytes, promises.total().uploads), (7, 1));
    promises.sampled();
    assert_eq!((promises.total().bytes, promises.total().uploads), (0, 0));
}

// If this fails, one kind of load is not seen at all.
#[test]
fn every_kind_of_load_lowers_the_score() {
    let idle = score(&load(0, 0.0), 0, AGE_MAX).expect("a score").total;
    let mut uploading = load(0, 0.0);
    stats(&mut uploading).uploads_in_flight = 8;
    let mut placed = load(0, 0.0);
    placed.promises.add(0);
    let mut swapping = load(0, 0.0);
    stats(&mut swapping).memory_available = 0;
    for loaded in [
        load(10 * GIB, 0.0),
        load(0, 50.0),
        uploading,
        placed,
        swapping,
    ] {
        let total = score(&loaded, 0, AGE_MAX).expect("a score").total;
        assert!(total < idle, "{loaded:?} scores {total}");
    }
}

// If this fails, statistics of a broken node decide where everything goes.
#[test]
fn odd_statistics_give_a_finite_score() {
    for cpu in [f64::NAN, f64::INFINITY, -1.0, 1e9] {
        let mut odd = load(0, cpu);
        stats(&mut odd).memory_total = 0;
        let score = score(&odd, 0, AGE_MAX).expect("a score");
        assert!((0.0..=1.0).contains(&score.total), "{score:?}");
    }
}

// If this fails, equal nodes are not used equally.
#[test]
fn equal_nodes_share_evenly() {
    for seed in 0..20 {
        let counts = place(
            &mut [load(0, 0.0), load(0, 0.0), load(0, 0.0)],
            3000,
            0,
            seed,
        );
        assert!(
            counts.iter().all(|count| (950..=1050).contains(count)),
            "{counts:?}"
        );
    }
}

// If this fails, a busy node is given as much as an idle one.
#[test]
fn a_loaded_node_gets_less_and_the_worst_of_all_gets_nothing_at_first() {
    for seed in 0..20 {
        let mut loads = [load(0, 0.0), load(0, 0.0), load(50 * GIB, 90.0)];
        let first = place(&mut loads, 10, 0, seed);
        assert_eq!(first[2], 0, "{first:?}");
        let later = place(&mut loads, 2000, 0, seed);
        assert!(
            later[2] * 2 < later[0] && later[2] * 2 < later[1],
            "{later:?}"
        );
    }
}

// If this fails, many distributors with the same statistics all choose the same node.
#[test]
fn distributors_that_do_not_know_of_each_other_spread_over_all_but_the_worst() {
    let mut counts = vec![0; 10];
    for seed in 0..2000 {
        let mut loads: Vec<Load> = (0..10).map(|n| load(n * GIB, 0.0)).collect();
        let placed = place(&mut loads, 1, 0, seed);
        for (sum, count) in counts.iter_mut().zip(placed) {
            *sum += count;
        }
    }
    assert!(counts[0] < 500, "the best node gets {} of 2000", counts[0]);
    assert!(counts[..5].iter().all(|count| *count > 150), "{counts:?}");
    assert_eq!(counts[9], 0);
}

// If this fails, nobody is chosen although someone could be, or the other way round.
#[test]
fn the_better_of_two_is_chosen() {
    assert_eq!(choose(&[], |_| 0), None);
    assert_eq!(choose(&[None, None], |_| 0), None);
    let one = choose(&[None, Some(0.1)], |_| 0).expect("a choice");
    assert_eq!((one.chosen, one.compared), (1, [1, 1]));
    let two = choose(&[Some(0.1), None, Some(0.2)], |_| 0).expect("a choice");
    assert_eq!((two.chosen, two.compared), (2, [0, 2]));
}

// If this fails, new contents go where they have fewer copies than they could have, or where they wait for
// a node that died, or nowhere although there is room.
#[test]
fn shards_that_lack_least_come_first() {
    let lacks = |lack| {
        let mut load = load(0, 0.0);
        load.open[0].lack = lack;
        load
    };
    let fine = load(50 * GIB, 90.0);
    let (mut short, cut) = (lacks(Lack::Copies), lacks(Lack::Link));
    let scores = score_all(&[short.clone(), cut.clone(), fine.clone()], 0, AGE_MAX);
    assert_eq!(scores[0], Err(Excluded::Degraded));
    assert_eq!(scores[1], Err(Excluded::CutOff));
    assert!(scores[2].as_ref().is_ok_and(|s| s.lack == Lack::Nothing));

    let down = Load {
        up: false,
        ..fine.clone()
    };
    let scores = score_all(&[short.clone(), cut.clone(), down], 0, AGE_MAX);
    assert!(scores[0].as_ref().is_ok_and(|s| s.lack == Lack::Copies));
    assert_eq!(scores[1], Err(Excluded::CutOff));
    let alone = score(&cut, 0, AGE_MAX);
    assert!(alone.is_ok_and(|score| score.lack == Lack::Link));

    short.open.push(open(2, &[]));
    let scores = score_all(&[short, fine], 0, AGE_MAX);
    let first = scores[0].as_ref().expect("it has a shard with its copies");
    assert_eq!(
        (first.lack, &first.shards),
        (Lack::Nothing, &vec![ShardNo(2)])
    );
}

// If this fails, an upload is accepted that a mirror has no room for.
#[test]
fn the_least_room_of_a_shards_members_counts() {
    let mut leader = load(0, 0.0);
    leader.open = vec![open(1, &[1]), open(2, &[2]), open(3, &[3, 9])];
    let mut unknown = load(95 * GIB, 0.0);
    unknown.stats = None;
    let follower = |storage| Load {
        open: Vec::new(),
        ..load(storage, 0.0)
    };
    let loads = [leader, follower(80 * GIB), follower(89 * GIB), unknown];
    let of_leader = |size| score_all(&loads, size, AGE_MAX).remove(0);
    let all = of_leader(0).expect("has room");
    assert_eq!(all.shards, [ShardNo(1), ShardNo(2), ShardNo(3)]);
    assert!((all.parts.storage - 0.11).abs() < 1e-9, "{all:?}");
    let two = of_leader(2 * GIB).expect("has room");
    assert_eq!(two.shards, [ShardNo(1), ShardNo(3)]);
    assert!((two.parts.storage - 0.2).abs() < 1e-9, "{two:?}");

    let mut one = loads.clone();
    one[0].open.truncate(1);
    let excluded = score_all(&one, 20 * GIB, AGE_MAX).remove(0);
    assert_eq!(excluded, Err(Excluded::CopyFull));
}

// If this fails, a mirror's disk is promised to more uploads than it can hold.
#[test]
fn a_copy_is_promised_without_being_an_upload() {
    let mut promises = Promises::default();
    promises.add_copy(7);
    assert_eq!((promises.total().bytes, promises.total().uploads), (7, 0));
}
