//! From what nodes say of themselves to measures of a moment: pure.

use std::collections::BTreeMap;

use wire::NodeName;
use wire::history::Measures;
use wire::stats::{NodeStats, Traffic};

use crate::catalog::Sample;

/// What each node's counters were at the last sample.
#[derive(Debug, Default)]
pub(super) struct Sampler {
    before: BTreeMap<NodeName, (u64, Traffic)>,
}

impl Sampler {
    /// What nodes did since the last sample, and how they are.
    pub(super) fn sample(
        &mut self,
        at_s: u64,
        said: impl IntoIterator<Item = (NodeName, NodeStats)>,
    ) -> Sample {
        let before = std::mem::take(&mut self.before);
        let mut nodes = Vec::new();
        for (name, stats) in said {
            let last = before.get(&name);
            let since = last.map(|(then_s, traffic)| (at_s.saturating_sub(*then_s), *traffic));
            nodes.push((name.clone(), measures(&stats, since)));
            self.before.insert(name, (at_s, stats.traffic));
        }
        Sample {
            at_s,
            cluster: together(nodes.iter().map(|(_, measures)| measures)),
            nodes,
        }
    }
}

/// Counters that went back are those of another process: what it did is all that it did since.
fn measures(stats: &NodeStats, since: Option<(u64, Traffic)>) -> Measures {
    let now = &stats.traffic;
    let (seconds, then) = match since {
        Some((seconds @ 1.., then)) if then.uploads <= now.uploads && then.reads <= now.reads => {
            (seconds as f64, then)
        }
        Some((seconds @ 1.., _)) => (seconds as f64, Traffic::default()),
        _ => (1.0, *now),
    };
    let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds;
    Measures {
        nodes: 1.0,
        cpu: stats.cpu,
        memory: stats.memory as f64,
        storage: stats.storage as f64,
        max_storage: stats.max_storage as f64,
        contents: stats.contents as f64,
        unlisted: stats.unlisted as f64,
        uploads_in_flight: stats.uploads_in_flight as f64,
        uploads_per_s: rate(now.uploads, then.uploads),
        upload_busy: rate(now.upload_us, then.upload_us) / 1e6,
        bytes_in_per_s: rate(now.bytes_in, then.bytes_in),
        reads_per_s: rate(now.reads, then.reads),
        read_busy: rate(now.read_us, then.read_us) / 1e6,
        bytes_out_per_s: rate(now.bytes_out, then.bytes_out),
    }
}

/// The sums over all nodes; of `cpu` the mean.
fn together<'a>(all: impl Iterator<Item = &'a Measures>) -> Measures {
    let mut sum = Measures::default();
    for each in all {
        sum.nodes += each.nodes;
        sum.cpu += each.cpu;
        sum.memory += each.memory;
        sum.storage += each.storage;
        sum.max_storage += each.max_storage;
        sum.contents += each.contents;
        sum.unlisted += each.unlisted;
        sum.uploads_in_flight += each.uploads_in_flight;
        sum.uploads_per_s += each.uploads_per_s;
        sum.upload_busy += each.upload_busy;
        sum.bytes_in_per_s += each.bytes_in_per_s;
        sum.reads_per_s += each.reads_per_s;
        sum.read_busy += each.read_busy;
        sum.bytes_out_per_s += each.bytes_out_per_s;
    }
    sum.cpu /= sum.nodes.max(1.0);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(name: &str, cpu: f64, uploads: u64) -> (NodeName, NodeStats) {
        let stats = NodeStats {
            cpu,
            storage: 100,
            traffic: Traffic {
                uploads,
                upload_us: uploads * 2000,
                ..Traffic::default()
            },
            ..NodeStats::default()
        };
        (name.parse().expect("a name"), stats)
    }

    // If this fails, charts show what happened since each node's start as load of this moment.
    #[test]
    fn rates_are_what_counters_grew_by() {
        let mut sampler = Sampler::default();
        let first = sampler.sample(100, [said("node1", 10.0, 50), said("node2", 30.0, 0)]);
        assert_eq!(first.cluster.uploads_per_s, 0.0);
        let next = sampler.sample(105, [said("node1", 10.0, 60), said("node2", 30.0, 5)]);
        let [(_, one), (_, two)] = &next.nodes[..] else {
            panic!("two nodes: {next:?}");
        };
        assert_eq!((one.uploads_per_s, two.uploads_per_s), (2.0, 1.0));
        assert_eq!(one.upload_ms(), Some(2.0));
        let all = next.cluster;
        assert_eq!((all.nodes, all.cpu, all.storage), (2.0, 20.0, 200.0));
        assert_eq!(all.uploads_per_s, 3.0);
    }

    // If this fails, a restart of a node is a spike of millions, and a node that was away too.
    #[test]
    fn a_node_that_starts_anew_or_comes_back_is_no_spike() {
        let mut sampler = Sampler::default();
        sampler.sample(100, [said("node1", 0.0, 5000)]);
        let restarted = sampler.sample(105, [said("node1", 0.0, 10)]);
        assert_eq!(restarted.cluster.uploads_per_s, 2.0);
        sampler.sample(110, []);
        let back = sampler.sample(115, [said("node1", 0.0, 9000)]);
        assert_eq!(back.cluster.uploads_per_s, 0.0);
    }
}
