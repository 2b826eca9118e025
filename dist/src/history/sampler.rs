//! From what nodes say of themselves to measures of a moment: pure.

use std::collections::BTreeMap;

use wire::history::Measures;
use wire::stats::{NodeStats, Traffic};
use wire::{NodeName, Timestamp};

use crate::catalog::Sample;

/// A node that was silent for longer is a new one: its counters tell too little of this moment.
const SILENCE_MS_MAX: u64 = 10 * 60 * 1000;

/// What a node said of itself, and when.
pub(super) struct Said {
    pub(super) node: NodeName,
    pub(super) at: Timestamp,
    pub(super) stats: NodeStats,
}

/// What each node's counters were when it was last heard.
#[derive(Debug, Default)]
pub(super) struct Sampler {
    before: BTreeMap<NodeName, (Timestamp, Traffic)>,
}

impl Sampler {
    /// What nodes did since they were last heard, and how they are. Who is heard for the first time is
    /// left out: what it did is not known, and nothing is something else. None when that is everyone.
    pub(super) fn sample(
        &mut self,
        now: Timestamp,
        said: impl IntoIterator<Item = Said>,
    ) -> Option<Sample> {
        let is_near = |at: Timestamp| at.0 + SILENCE_MS_MAX >= now.0;
        self.before.retain(|_, (at, _)| is_near(*at));
        let mut nodes = Vec::new();
        for Said { node, at, stats } in said {
            let heard = (at, stats.traffic);
            let Some((then, traffic)) = self.before.insert(node.clone(), heard) else {
                continue;
            };
            if let Some(ms @ 1..) = at.0.checked_sub(then.0) {
                nodes.push((node, measures(&stats, ms as f64 / 1000.0, traffic)));
            }
        }
        (!nodes.is_empty()).then(|| Sample {
            at_s: now.0 / 1000,
            cluster: together(nodes.iter().map(|(_, measures)| measures)),
            nodes,
        })
    }
}

/// Counters that went back are those of another process: what it did is all that it did since.
fn measures(stats: &NodeStats, seconds: f64, then: Traffic) -> Measures {
    let now = &stats.traffic;
    let is_same = then.uploads <= now.uploads && then.reads <= now.reads;
    let then = if is_same { then } else { Traffic::default() };
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

    /// A node that says this so many seconds after some moment.
    fn said(node: &str, at_s: u64, cpu: f64, uploads: u64) -> Said {
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
        Said {
            node: node.parse().expect("a name"),
            at: seconds(at_s),
            stats,
        }
    }

    fn seconds(seconds: u64) -> Timestamp {
        Timestamp(1_769_860_800_000 + seconds * 1000)
    }

    /// The uploads in a second of the whole cluster; none where nothing is known.
    fn uploads(sampler: &mut Sampler, at_s: u64, said: Vec<Said>) -> Option<f64> {
        let sample = sampler.sample(seconds(at_s), said);
        sample.map(|sample| sample.cluster.uploads_per_s)
    }

    // If this fails, charts show what happened since each node's start as load of this moment.
    #[test]
    fn rates_are_what_counters_grew_by() {
        let mut sampler = Sampler::default();
        let first = [said("node1", 100, 10.0, 50), said("node2", 100, 30.0, 0)];
        assert_eq!(sampler.sample(seconds(100), first), None);
        // The answer of the second one is a second old.
        let next = [said("node1", 105, 10.0, 60), said("node2", 104, 30.0, 4)];
        let next = sampler.sample(seconds(105), next).expect("a sample");
        let [(_, one), (_, two)] = &next.nodes[..] else {
            panic!("two nodes: {next:?}");
        };
        assert_eq!((one.uploads_per_s, two.uploads_per_s), (2.0, 1.0));
        assert_eq!(one.upload_ms(), Some(2.0));
        let all = next.cluster;
        assert_eq!((all.nodes, all.cpu, all.storage), (2.0, 20.0, 200.0));
        assert_eq!(all.uploads_per_s, 3.0);
    }

    // If this fails, a restart of a node is a spike of millions.
    #[test]
    fn a_node_that_starts_anew_is_no_spike() {
        let mut sampler = Sampler::default();
        let mut node =
            |at_s, count| uploads(&mut sampler, at_s, vec![said("node1", at_s, 0.0, count)]);
        assert_eq!(node(100, 5000), None);
        assert_eq!(node(105, 10), Some(2.0));
    }

    // If this fails, a moment of which nothing is known is drawn as one without any traffic.
    #[test]
    fn a_gap_is_a_gap_and_no_silence() {
        let mut sampler = Sampler::default();
        let mut node =
            |at_s, count| uploads(&mut sampler, at_s, vec![said("node1", at_s, 0.0, count)]);
        assert_eq!(node(100, 0), None);
        assert_eq!(node(105, 50), Some(10.0));
        // It is heard again later, and has gone on meanwhile.
        assert_eq!(node(115, 150), Some(10.0));
        // So much later that the mean tells nothing of this moment.
        assert_eq!(node(115 + 3600, 9000), None);
        assert_eq!(node(120 + 3600, 9050), Some(10.0));
        assert_eq!(uploads(&mut sampler, 125 + 3600, Vec::new()), None);
        // The same answer twice says nothing of the time between.
        let again = vec![said("node1", 120 + 3600, 0.0, 9050)];
        assert_eq!(uploads(&mut sampler, 130 + 3600, again), None);
    }
}
