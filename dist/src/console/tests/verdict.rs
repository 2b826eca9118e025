//! What the sentence says of everything that can be the matter, and of two things at once.

use super::{cluster, down, entry, name, shard};
use crate::console::overview::Cluster;
use crate::console::verdict::{Level, verdict};
use std::collections::BTreeMap;
use wire::membership::{Draining, Health, NodeEntry, ServiceRole, ShardEntry};
use wire::stats::NodeStats;

/// What happens to a cluster.
type Change = &'static dyn Fn(&mut Cluster);

/// What is judged of a cluster that was changed so.
fn judged(change: impl FnOnce(&mut Cluster)) -> (Level, String) {
    let mut cluster = cluster();
    change(&mut cluster);
    let verdict = verdict(&cluster);
    assert_eq!(verdict.level == Level::Well, verdict.advice.is_none());
    (verdict.level, verdict.sentence)
}

// If this fails, somebody sleeps on while data is at risk, or is woken for nothing.
#[test]
fn the_sentence_tells_the_worst() {
    let cases: [(&str, Level, Change); 14] = [
        ("All is well: 2 nodes are up", Level::Well, &|_| {}),
        ("node2 does not answer", Level::Warn, &|c| down(c, "node2")),
        ("No storage node answers (node1, node2)", Level::Bad, &|c| {
            down(c, "node1");
            down(c, "node2");
        }),
        ("No storage node has come", Level::Warn, &|c| {
            c.nodes.nodes = BTreeMap::new()
        }),
        ("The catalog database does not", Level::Bad, &|c| {
            c.catalog_up = false
        }),
        ("1 shard waits for", Level::Bad, &|c| {
            c.nodes.shards = vec![ShardEntry {
                waits: true,
                ..shard()
            }];
        }),
        ("1 shard has no leader", Level::Bad, &|c| {
            c.nodes.shards = vec![ShardEntry {
                leader: None,
                ..shard()
            }];
        }),
        ("1 shard has fewer copies", Level::Warn, &|c| {
            c.nodes.shards = vec![ShardEntry {
                degraded: true,
                ..shard()
            }];
        }),
        ("1 shard has fewer copies", Level::Warn, &|c| {
            c.nodes.copies = Some(3)
        }),
        ("2 copies are damaged.", Level::Warn, &|c| {
            c.stats.total.damaged = 2
        }),
        ("dist2 does not answer", Level::Warn, &|c| {
            let entry = NodeEntry {
                role: ServiceRole::Distributor,
                ..entry(Health::Down)
            };
            c.nodes.nodes.insert(name("dist2"), entry);
        }),
        ("node2 is full and takes no new", Level::Warn, &|c| {
            let full = NodeStats {
                storagep: 95.0,
                ..c.stats.total.clone()
            };
            c.stats.nodes.insert(name("node2"), Some(full));
        }),
        ("The storage is 93 % full", Level::Warn, &|c| {
            c.stats.total.storagep = 93.0
        }),
        ("20\u{202f}000 changes wait", Level::Warn, &|c| {
            c.stats.total.unlisted = 20_000
        }),
    ];
    for (begins, level, change) in cases {
        let (judged, sentence) = judged(change);
        assert!(sentence.starts_with(begins), "{sentence}");
        assert_eq!(judged, level, "{sentence}");
    }
}

/// The cluster with a shard whose copy on this node has a log that failed.
fn halt(cluster: &mut Cluster, node: &str) {
    let replicas = cluster
        .nodes
        .shards
        .iter_mut()
        .flat_map(|shard| &mut shard.replicas);
    for replica in replicas.filter(|replica| replica.node == name(node)) {
        replica.progress.halted = true;
    }
}

// If this fails, nobody restarts the node whose log failed: it does not come back by itself.
#[test]
fn a_halted_copy_needs_its_node_restarted() {
    let (level, sentence) = judged(|c| halt(c, "node2"));
    assert_eq!(
        (level, sentence.as_str()),
        (
            Level::Warn,
            "1 copy on node2 takes no part: its log failed."
        )
    );
    let (_, sentence) = judged(|c| {
        c.nodes.shards.push(shard());
        halt(c, "node1");
        halt(c, "node2");
    });
    assert_eq!(
        sentence,
        "4 copies on node1, node2 take no part: their logs failed."
    );
    // Whoever reads that another copy takes over, or that silent nodes are to come back, waits for ever.
    let led = Some(name("node2"));
    for (waits, leader) in [(false, None), (true, None), (true, led)] {
        let (level, sentence) = judged(|c| {
            halt(c, "node2");
            c.nodes.shards[0].leader = leader;
            c.nodes.shards[0].waits = waits;
        });
        assert_eq!(level, Level::Bad);
        assert_eq!(
            sentence,
            "1 shard has no leader, because of logs that failed on node2."
        );
    }
    // Started again, one that has not everything does not lead: those are needed that have.
    for (waits, begins) in [
        (true, "1 shard waits for nodes"),
        (false, "1 shard has no leader at"),
    ] {
        let (_, sentence) = judged(|c| {
            halt(c, "node2");
            down(c, "node1");
            let shard = &mut c.nodes.shards[0];
            shard.in_sync = vec![name("node1")];
            (shard.leader, shard.waits) = (None, waits);
        });
        assert!(sentence.starts_with(begins), "{sentence}");
    }
    let (_, sentence) = judged(|c| {
        halt(c, "node2");
        let shard = &mut c.nodes.shards[0];
        shard.leader = None;
        (shard.in_sync, shard.eligible) = (vec![name("node1")], vec![name("node2")]);
    });
    assert!(sentence.contains("because of logs"), "{sentence}");
    // A node that is down is to be started anyway.
    let (_, sentence) = judged(|c| {
        halt(c, "node2");
        down(c, "node2");
    });
    assert!(sentence.starts_with("node2 does not answer"), "{sentence}");
}

// If this fails, somebody waits for another leader that nobody elects, or for copies that nobody makes.
#[test]
fn what_does_not_mend_itself_is_told_first() {
    let cases: [(&str, Change); 7] = [
        ("The coordinator does not answer", &|c| {
            c.coordinator_up = false;
            c.nodes.shards[0].leader = None;
        }),
        // Nobody asks the coordinator then.
        ("The catalog database does not", &|c| {
            c.catalog_up = false;
            c.coordinator_up = false;
        }),
        ("No storage node answers", &|c| {
            c.coordinator_up = false;
            down(c, "node1");
            down(c, "node2");
        }),
        (
            "node2 does not answer: over a third of the nodes that hold something, so nothing is",
            &|c| {
                c.copying_held_by = [name("node2")].into();
                c.nodes.shards[0].degraded = true;
                down(c, "node2");
            },
        ),
        // Who holds nothing has no part in it; who was never heard has.
        ("node8, node9 do not answer: over a third", &|c| {
            c.copying_held_by = [name("node8"), name("node9")].into();
            down(c, "node2");
        }),
        ("node9 does not answer: over a third", &|c| {
            c.copying_held_by = [name("node9")].into();
        }),
        ("1 shard has no leader at this moment", &|c| {
            c.copying_held_by = [name("node2")].into();
            c.nodes.shards[0].leader = None;
            down(c, "node2");
        }),
    ];
    for (begins, change) in cases {
        let (level, sentence) = judged(change);
        assert!(sentence.starts_with(begins), "{sentence}");
        assert_eq!(level, Level::Bad, "{sentence}");
    }
}

// If this fails, an operator waits for ever for a drain that cannot end, or is sent for a node for nothing.
#[test]
fn a_drain_that_cannot_end_is_told() {
    let drain = |c: &mut Cluster| {
        let entry = c.nodes.nodes.get_mut(&name("node2"));
        entry.expect("it is there").draining = Some(Draining {
            replicas_left: 1,
            bytes_left: 4096,
        });
    };
    let stuck = "node2 cannot be emptied: no other node can take 1 shard.";
    let told = judged(drain);
    assert_eq!((told.0, told.1.as_str()), (Level::Warn, stuck));
    let with = |change: &dyn Fn(&mut Cluster)| {
        let (_, sentence) = judged(|c| {
            drain(c);
            c.nodes.nodes.insert(name("node3"), entry(Health::Up));
            change(c);
        });
        sentence
    };
    let well = "All is well: 3 nodes are up, and every shard has its copies in sync.";
    let room = |c: &mut Cluster, storage, disk_free| {
        let told = NodeStats {
            storage,
            disk_free,
            max_storage: 100_000,
            ..NodeStats::default()
        };
        c.stats.nodes.insert(name("node3"), Some(told));
    };
    // One that has told nothing yet may have room.
    assert_eq!(with(&|_| {}), well);
    assert_eq!(with(&|c| room(c, 0, 1 << 30)), well);
    assert_eq!(with(&|c| room(c, 0, 4095)), stuck);
    assert_eq!(with(&|c| room(c, 88_500, 1 << 30)), stuck);
    // One copy stays, and is enough.
    assert!(with(&|c| c.nodes.copies = Some(1)).starts_with("All is well"));
    // It holds nothing any more.
    let emptied = with(&|c| {
        room(c, 0, 0);
        for node in ["node1", "node3"]
            .into_iter()
            .zip(&mut c.nodes.shards[0].replicas)
        {
            node.1.node = name(node.0);
        }
    });
    assert_eq!(emptied, well);
}

// If this fails, an upgrade that was left half done is not seen before something goes wrong.
#[test]
fn versions_that_differ_are_told_with_who_has_them() {
    let (level, sentence) = judged(|c| {
        c.stats.total.version = "2.0.0".to_owned();
        for (node, version) in [("node1", "2.0.0"), ("node2", "1.9.0")] {
            let stats = c.stats.nodes.get_mut(&name(node)).expect("it is there");
            stats.as_mut().expect("it answers").version = version.to_owned();
        }
    });
    assert_eq!(
        (level, sentence.as_str()),
        (
            Level::Warn,
            "Services are of different versions: 1.9.0 (node2); 2.0.0 (this distributor, node1)."
        )
    );
}

// If this fails, damage that nobody repairs is said to be repaired, and nobody looks.
#[test]
fn damage_is_not_said_to_be_repaired() {
    let mut cluster = cluster();
    cluster.stats.total.damaged = 1;
    let told = verdict(&cluster);
    assert_eq!(told.sentence, "1 copy is damaged.");
    let advice = told.advice.expect("advice");
    assert!(advice.contains("`client verify"), "{advice}");
}

/// What is said of nodes whose clocks are so far ahead, in seconds.
fn clocks(ahead_s: &[f64]) -> (Level, String) {
    judged(|c| {
        let each = ahead_s.iter().zip(1..);
        let each = each.map(|(ahead_s, number)| (name(&format!("node{number}")), *ahead_s));
        c.clocks_ahead_s = each.collect();
    })
}

// If this fails, uploads are refused and nobody thinks of a clock, or the one right clock is blamed.
#[test]
fn a_clock_that_is_wrong_is_named() {
    assert_eq!(clocks(&[0.4, -1.2, 29.0]).0, Level::Well);
    let told = |ahead_s: &[f64]| clocks(ahead_s).1;
    assert_eq!(
        told(&[0.0, 0.0, 45.3]),
        "The clock of node3 is about 45 seconds ahead of the others."
    );
    assert_eq!(
        told(&[0.0, 1.0, -90.0, 0.0, 200.0]),
        "The clocks of node3, node5 are wrong by up to 3 minutes."
    );
    assert_eq!(
        told(&[600.0, 601.0, 600.0]),
        "This distributor's clock is about 10 minutes behind the nodes'."
    );
    assert_eq!(
        told(&[-60.0]),
        "Half of the clocks are about 60 seconds ahead of the others."
    );
    // A node refuses ids of its future sooner than old ones.
    assert_eq!(clocks(&[0.0, 0.0, 301.0]).0, Level::Warn);
    assert_eq!(clocks(&[0.0, 0.0, -301.0]).0, Level::Bad);
    assert_eq!(clocks(&[0.0, 0.0, 90_000.0]).0, Level::Bad);
}
