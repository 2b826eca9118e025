//! Nodes that start together register one after the other.

use std::collections::BTreeMap;
use std::time::Duration;

use wire::NodeName;

use crate::Seen;

/// When so long nobody new has registered, in milliseconds, those that start together have.
const GATHER_MS: u64 = 500;

/// Nobody waits longer for those that come after the first one, in milliseconds: names may be made up one
/// after the other for ever.
const GATHER_MS_MAX: u64 = 10_000;

/// For how long nodes will still gather, if nobody else comes; none if they do not.
pub fn gather(nodes: &BTreeMap<NodeName, Seen>) -> Option<Duration> {
    let living = nodes.values().filter(|seen| seen.alive);
    let last_ms = living.map(|seen| seen.known_ms).min()?;
    // Those that came since, and are silent again, are part of it.
    let mut known: Vec<u64> = nodes.values().map(|seen| seen.known_ms).collect();
    known.sort_unstable();
    let mut first_ms = last_ms;
    for known_ms in known {
        if known_ms >= first_ms + GATHER_MS {
            break;
        }
        first_ms = first_ms.max(known_ms);
    }
    let until_calm = GATHER_MS.saturating_sub(last_ms);
    let left_ms = until_calm.min(GATHER_MS_MAX.saturating_sub(first_ms));
    (left_ms > 0).then(|| Duration::from_millis(left_ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;
    use wire::membership::Heartbeat;

    /// Nodes that have been known for so long; those after the first `living` are silent.
    fn nodes(known_ms: impl IntoIterator<Item = u64>, living: usize) -> BTreeMap<NodeName, Seen> {
        let each = (0..).zip(known_ms).map(|(number, known_ms)| {
            let heartbeat = Heartbeat {
                cluster: None,
                incarnation: Uuid::nil(),
                offer: Uuid::nil(),
                internal_url: String::new(),
                public_url: String::new(),
                replicas: Vec::new(),
                map_version: 0,
                parting: false,
                linked: None,
            };
            let seen = Seen {
                heartbeat,
                known_ms,
                alive: number < living,
                silent_ms: 0,
                room: None,
            };
            (format!("node{number}").parse().expect("a name"), seen)
        });
        each.collect()
    }

    fn left_ms(known_ms: impl IntoIterator<Item = u64>, living: usize) -> Option<u128> {
        gather(&nodes(known_ms, living)).map(|left| left.as_millis())
    }

    // If this fails, the copies of a new cluster are not spread evenly, or wait for nobody.
    #[test]
    fn nodes_gather_until_half_a_second_passes_without_a_new_one() {
        assert_eq!(left_ms([], 0), None);
        assert_eq!(left_ms([0], 1), Some(500));
        assert_eq!(left_ms([900, 450], 2), Some(50));
        assert_eq!(left_ms([900, 500], 2), None);
        assert_eq!(left_ms([100_000, 200], 2), Some(300), "one that joins");
        assert_eq!(left_ms([100_000, 200], 1), None, "one that is gone again");
    }

    // If this fails, names that are made up faster than twice a second keep the cluster without new shards
    // for ever.
    #[test]
    fn nobody_waits_for_ever_for_those_that_come_one_after_the_other() {
        let stream = |until_ms| (0..=until_ms).step_by(400);
        assert_eq!(left_ms(stream(9_600), 8), Some(400));
        assert_eq!(left_ms(stream(10_000), 8), None);
        assert_eq!(left_ms(stream(60_000), 8), None);
        let apart = stream(9_600).chain([10_200]);
        assert_eq!(left_ms(apart, 8), Some(400), "that one came long before");
    }
}
