//! Clocks that are wrong: nothing stored depends on them, but ids of new contents are refused by a node
//! that takes them for too old, or for minted in the future.

use wire::limits::{ID_AGE_MS_MAX, ID_AHEAD_MS_MAX};

use super::words::names;
use super::{Cluster, Verdict, bad, warn};
use crate::console::figures::duration;

/// More than any clock goes wrong by that is set by a network. `client doctor` and `monitoring/alerts.yml`
/// know the same.
const WRONG_S_MIN: f64 = 30.0;

const SET: &str = "Have the machine set its clock by the network (chrony, systemd-timesyncd). Beyond five minutes nodes refuse new content.";

/// Those that differ from most, this distributor's among them.
pub(super) fn wrong(cluster: &Cluster) -> Option<Verdict> {
    let ahead = &cluster.clocks_ahead_s;
    let mut all: Vec<f64> = ahead.values().copied().chain([0.0]).collect();
    all.sort_by(f64::total_cmp);
    let (lower, upper) = (all[(all.len() - 1) / 2], all[all.len() / 2]);
    let sentence = if upper - lower >= WRONG_S_MIN {
        let by = duration(upper - lower);
        format!("Half of the clocks are about {by} ahead of the others.")
    } else if is_wrong(-lower) {
        let by = told(-lower);
        format!("This distributor's clock is about {by} the nodes'.")
    } else {
        let wrong = ahead.iter().map(|(node, ahead_s)| (node, ahead_s - lower));
        let wrong = wrong.filter(|(_, ahead_s)| is_wrong(*ahead_s));
        let wrong: Vec<(&str, f64)> = wrong.map(|(node, by)| (node.as_str(), by)).collect();
        match wrong.as_slice() {
            [] => return None,
            [(node, by)] => format!("The clock of {node} is about {} the others.", told(*by)),
            many => {
                let nodes: Vec<&str> = many.iter().map(|(node, _)| *node).collect();
                let most = many.iter().map(|(_, by)| by.abs()).fold(0.0, f64::max);
                let (nodes, most) = (names(&nodes), duration(most));
                format!("The clocks of {nodes} are wrong by up to {most}.")
            }
        }
    };
    Some(match ahead.values().any(|ahead_s| refuses(*ahead_s)) {
        true => bad(sentence, SET),
        false => warn(sentence, SET),
    })
}

fn is_wrong(ahead_s: f64) -> bool {
    ahead_s.abs() >= WRONG_S_MIN
}

/// Whether a node so far ahead of this distributor refuses the ids that are minted here.
fn refuses(ahead_s: f64) -> bool {
    let ahead_ms = 1000.0 * ahead_s;
    -ahead_ms > ID_AHEAD_MS_MAX as f64 || ahead_ms > ID_AGE_MS_MAX as f64
}

fn told(ahead_s: f64) -> String {
    let way = if ahead_s > 0.0 { "ahead of" } else { "behind" };
    format!("{} {way}", duration(ahead_s.abs()))
}
