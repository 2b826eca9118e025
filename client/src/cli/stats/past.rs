//! What was seen so far, and what a chart shows of it: pure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use wire::NodeName;
use wire::history::{Measures, StatsHistory};
use wire::stats::{ClusterStats, NodeStats};

/// What one character of a curve is about: as much as one sample of the history.
pub(super) const COLUMN_MS: u64 = 5_000;

/// The longest curve: 20 minutes.
const COLUMNS_MAX: u64 = 240;

/// How far back a history is worth asking for.
pub(super) const KEPT_MS: u64 = COLUMN_MS * COLUMNS_MAX;

/// The course of one node, or of the whole cluster.
#[derive(Debug, Default)]
pub(super) struct Course {
    /// In the order of times, in milliseconds since 1970.
    points: VecDeque<(u64, Measures)>,
}

/// The courses of a cluster and its nodes.
#[derive(Debug, Default)]
pub(super) struct Past {
    pub(super) cluster: Course,
    pub(super) nodes: BTreeMap<NodeName, Course>,
    /// What each node last said, and when.
    last: BTreeMap<NodeName, (u64, NodeStats)>,
    /// Who answered the last look.
    heard: BTreeSet<NodeName>,
}

impl Course {
    /// What is known of each of the last `count` columns, the one of `now_ms` last.
    pub(super) fn columns(&self, now_ms: u64, count: usize) -> Vec<Option<Measures>> {
        let last = now_ms / COLUMN_MS;
        let mut found: Vec<Vec<&Measures>> = vec![Vec::new(); count];
        for (at_ms, measures) in &self.points {
            let back = last.checked_sub(at_ms / COLUMN_MS).map(usize::try_from);
            if let Some(Ok(back)) = back
                && back < count
            {
                found[count - 1 - back].push(measures);
            }
        }
        found.iter().map(|measures| mean(measures)).collect()
    }

    /// The last point.
    pub(super) fn now(&self) -> Option<&Measures> {
        self.points.back().map(|(_, measures)| measures)
    }

    fn add(&mut self, at_ms: u64, measures: Measures) {
        self.points.push_back((at_ms, measures));
        while self
            .points
            .front()
            .is_some_and(|(first, _)| first + KEPT_MS < at_ms)
        {
            self.points.pop_front();
        }
    }
}

impl Past {
    /// Takes over what the cluster remembers of a node, or of itself. Comes before all looks.
    pub(super) fn remember(&mut self, history: &StatsHistory) {
        let course = match &history.node {
            Some(node) => self.nodes.entry(node.clone()).or_default(),
            None => &mut self.cluster,
        };
        for point in &history.points {
            // A longer step is about several columns.
            let steps = (history.step_s * 1000)
                .div_ceil(COLUMN_MS)
                .clamp(1, COLUMNS_MAX);
            for step in 0..steps {
                course.add(point.at.0 + step * COLUMN_MS, point.measures);
            }
        }
    }

    /// One look. How fast things are follows from the difference to what each node said before. What the
    /// cluster does is not known at the look that one node does not answer for the first time.
    pub(super) fn look(&mut self, at_ms: u64, stats: &ClusterStats) {
        let mut sum = Measures {
            cpu: stats.total.cpu,
            ..Measures::default()
        };
        let mut heard = BTreeSet::new();
        for (name, now) in &stats.nodes {
            let Some(now) = now else { continue };
            heard.insert(name.clone());
            let before = self.last.insert(name.clone(), (at_ms, now.clone()));
            let Some((before_ms, before)) = before.filter(|(ms, _)| *ms < at_ms) else {
                continue;
            };
            let measures = between(&before, now, (at_ms - before_ms) as f64 / 1000.0);
            add_rates(&mut sum, &measures);
            self.nodes
                .entry(name.clone())
                .or_default()
                .add(at_ms, measures);
        }
        if sum.nodes > 0.0 && self.heard.is_subset(&heard) {
            self.cluster.add(at_ms, sum);
        }
        self.heard = heard;
    }
}

/// What a node did between two looks. One that was started again meanwhile counts from zero: of that
/// moment nothing is known.
fn between(before: &NodeStats, now: &NodeStats, seconds: f64) -> Measures {
    let (then, traffic) = (&before.traffic, &now.traffic);
    let rate = |before: u64, now: u64| now.saturating_sub(before) as f64 / seconds;
    Measures {
        nodes: 1.0,
        cpu: now.cpu,
        uploads_per_s: rate(then.uploads, traffic.uploads),
        upload_busy: rate(then.upload_us, traffic.upload_us) / 1e6,
        bytes_in_per_s: rate(then.bytes_in, traffic.bytes_in),
        reads_per_s: rate(then.reads, traffic.reads),
        read_busy: rate(then.read_us, traffic.read_us) / 1e6,
        bytes_out_per_s: rate(then.bytes_out, traffic.bytes_out),
        ..Measures::default()
    }
}

fn add_rates(sum: &mut Measures, other: &Measures) {
    sum.nodes += other.nodes;
    sum.uploads_per_s += other.uploads_per_s;
    sum.upload_busy += other.upload_busy;
    sum.bytes_in_per_s += other.bytes_in_per_s;
    sum.reads_per_s += other.reads_per_s;
    sum.read_busy += other.read_busy;
    sum.bytes_out_per_s += other.bytes_out_per_s;
}

/// The mean of what is drawn; none of nothing.
fn mean(all: &[&Measures]) -> Option<Measures> {
    if all.is_empty() {
        return None;
    }
    let mut sum = Measures::default();
    for measures in all {
        add_rates(&mut sum, measures);
        sum.cpu += measures.cpu;
    }
    let count = all.len() as f64;
    Some(Measures {
        nodes: sum.nodes / count,
        cpu: sum.cpu / count,
        uploads_per_s: sum.uploads_per_s / count,
        upload_busy: sum.upload_busy / count,
        bytes_in_per_s: sum.bytes_in_per_s / count,
        reads_per_s: sum.reads_per_s / count,
        read_busy: sum.read_busy / count,
        bytes_out_per_s: sum.bytes_out_per_s / count,
        ..Measures::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::Timestamp;
    use wire::history::HistoryPoint;
    use wire::stats::Traffic;

    fn name(text: &str) -> NodeName {
        text.parse().expect("a name")
    }

    fn look(nodes: &[(&str, Option<u64>)]) -> ClusterStats {
        let node = |bytes: u64| NodeStats {
            cpu: 40.0,
            traffic: Traffic {
                uploads: bytes / 1000,
                upload_us: bytes,
                bytes_in: bytes,
                ..Traffic::default()
            },
            ..NodeStats::default()
        };
        ClusterStats {
            nodes: nodes
                .iter()
                .map(|(of, bytes)| (name(of), bytes.map(node)))
                .collect(),
            total: NodeStats {
                cpu: 40.0,
                ..NodeStats::default()
            },
            contents_led: 0,
            shards: Vec::new(),
        }
    }

    // If this fails, rates are wrong, or a restart of a node looks like a burst.
    #[test]
    fn rates_follow_from_two_looks() {
        let mut past = Past::default();
        past.look(
            10_000,
            &look(&[("node1", Some(1_000_000)), ("node2", Some(50_000))]),
        );
        assert!(past.cluster.now().is_none(), "one look tells no rate");
        past.look(
            12_000,
            &look(&[("node1", Some(1_004_000)), ("node2", Some(10))]),
        );
        let now = past.cluster.now().expect("two looks");
        assert_eq!((now.nodes, now.cpu), (2.0, 40.0));
        assert_eq!((now.bytes_in_per_s, now.uploads_per_s), (2000.0, 2.0));
        assert_eq!(now.upload_ms(), Some(1.0));
        let restarted = past.nodes[&name("node2")].now().expect("two looks");
        assert_eq!(restarted.bytes_in_per_s, 0.0);
        let both = look(&[("node1", Some(1_006_000)), ("node2", Some(2_010))]);
        past.look(14_000, &both);
        let now = past.cluster.now().expect("another look");
        assert_eq!((now.nodes, now.bytes_in_per_s), (2.0, 2000.0));
        past.look(14_000, &both);
        past.look(13_000, &both);
        assert_eq!(
            past.cluster.points.len(),
            2,
            "the clock stood still, or was set back"
        );
    }

    // If this fails, one lost answer is drawn as a moment without traffic.
    #[test]
    fn what_is_not_known_is_not_drawn() {
        let mut past = Past::default();
        let mut looked = |at_ms, one, two| {
            past.look(at_ms, &look(&[("node1", one), ("node2", two)]));
            let now = past.cluster.points.back();
            now.filter(|(at, _)| *at == at_ms)
                .map(|(_, now)| (now.nodes, now.bytes_in_per_s))
        };
        assert_eq!(looked(0, Some(0), Some(0)), None);
        assert_eq!(looked(2_000, Some(2_000), Some(2_000)), Some((2.0, 2000.0)));
        // What the first one does is not known; once it stays silent, it is taken for down.
        assert_eq!(looked(4_000, None, Some(4_000)), None);
        assert_eq!(looked(6_000, None, Some(6_000)), Some((1.0, 1000.0)));
        // It was only not heard, and did as much as ever.
        assert_eq!(looked(8_000, Some(8_000), Some(8_000)), Some((2.0, 2000.0)));
        assert_eq!(looked(10_000, None, None), None);
        assert_eq!(looked(12_000, None, None), None);
    }

    // If this fails, a curve is shifted, or a gap in it is filled.
    #[test]
    fn columns_are_means_of_five_seconds() {
        let mut course = Course::default();
        let busy = |bytes_in_per_s| Measures {
            bytes_in_per_s,
            cpu: bytes_in_per_s,
            ..Measures::default()
        };
        for (at_ms, value) in [(1_000, 9.0), (15_000, 1.0), (17_000, 3.0), (25_000, 5.0)] {
            course.add(at_ms, busy(value));
        }
        let shown = |now_ms, count| {
            let columns = course.columns(now_ms, count).into_iter();
            columns
                .map(|c| c.map(|c| c.bytes_in_per_s))
                .collect::<Vec<_>>()
        };
        assert_eq!(shown(26_000, 3), [Some(2.0), None, Some(5.0)]);
        assert_eq!(shown(30_000, 4), [Some(2.0), None, Some(5.0), None]);
        assert_eq!(shown(12_000, 1), [None], "what is later is not shown");
        assert_eq!(shown(26_000, 0), []);
    }

    // If this fails, charts begin empty, or memory grows as long as somebody watches.
    #[test]
    fn the_cluster_s_history_comes_first_and_the_oldest_goes() {
        let mut past = Past::default();
        let at = |at_ms| HistoryPoint::new(Timestamp(at_ms), 1, Measures::default());
        let history = |node: Option<&str>| StatsHistory {
            node: node.map(name),
            from: Timestamp(0),
            to: Timestamp(10_000),
            step_s: 5,
            points: vec![at(0), at(5_000)],
        };
        past.remember(&history(None));
        past.remember(&history(Some("node1")));
        assert_eq!(past.cluster.points.len(), 2);
        assert_eq!(past.nodes[&name("node1")].points.len(), 2);
        let mut coarse = Past::default();
        coarse.remember(&StatsHistory {
            step_s: 10,
            points: vec![at(0), at(10_000)],
            ..history(None)
        });
        let columns = coarse.cluster.columns(19_000, 4);
        assert!(columns.iter().all(Option::is_some), "{columns:?}");
        past.look(10_000, &look(&[("node1", Some(0))]));
        past.look(KEPT_MS + 4_000, &look(&[("node1", Some(0))]));
        assert_eq!(past.cluster.points.len(), 2, "one has gone, one has come");
    }
}
