//! Where an upload should go: pure, from statistics to a choice.
//!
//! The better of two random candidates, so that many distributors that see the same statistics do
//! not all choose the same node (Mitzenmacher, "The Power of Two Choices", 2001).

use std::time::Duration;

use wire::limits::STORAGE_PERCENT_PLACED_MAX;
use wire::placement::ScoreParts;
use wire::stats::NodeStats;

/// How much each part counts. Free storage most: it is what no waiting brings back.
const WEIGHTS: ScoreParts = ScoreParts {
    storage: 0.4,
    uploads: 0.3,
    cpu: 0.2,
    memory: 0.1,
};

/// So many uploads in flight halve their part of the score.
const UPLOADS_HALVING: f64 = 8.0;

/// What this distributor has handed out and the node's statistics do not show yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Promise {
    /// The announced sizes, in bytes.
    pub(crate) bytes: u64,
    /// The places.
    pub(crate) uploads: u64,
}

/// The promises of two sampling intervals: a client may need a moment to begin, so a promise
/// counts until the second statistics after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Promises {
    current: Promise,
    previous: Promise,
}

impl Promises {
    /// A place was handed out.
    pub(crate) fn add(&mut self, bytes: u64) {
        self.current.bytes = self.current.bytes.saturating_add(bytes);
        self.current.uploads += 1;
    }

    /// New statistics arrived.
    pub(crate) fn sampled(&mut self) {
        self.previous = std::mem::take(&mut self.current);
    }

    /// What is promised at this moment.
    pub(crate) fn total(&self) -> Promise {
        Promise {
            bytes: self.current.bytes.saturating_add(self.previous.bytes),
            uploads: self.current.uploads + self.previous.uploads,
        }
    }
}

/// What placement knows of one node.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Load {
    /// Whether it answers.
    pub(crate) up: bool,
    /// Whether it leads a shard that takes new content.
    pub(crate) open: bool,
    /// Its last statistics, and how old they are.
    pub(crate) stats: Option<(NodeStats, Duration)>,
    /// What was promised since.
    pub(crate) promises: Promises,
}

/// Why a node cannot take an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Excluded {
    /// It is down.
    #[error("it does not answer")]
    Down,
    /// It leads no shard that takes new content.
    #[error("it leads no shard that takes new content")]
    NoShard,
    /// Nothing is known of its load.
    #[error("its statistics are missing or too old")]
    Unknown,
    /// It has no room for this upload.
    #[error("its storage would be filled above {STORAGE_PERCENT_PLACED_MAX} %")]
    Full,
}

/// A node's score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Score {
    /// Higher is less loaded.
    pub(crate) total: f64,
    /// What it is made of.
    pub(crate) parts: ScoreParts,
}

/// A choice among candidates, by their places in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// The better one.
    pub(crate) chosen: usize,
    /// The two that were compared; the same twice when there is only one.
    pub(crate) compared: [usize; 2],
}

/// Scores a node for an upload of `size` bytes, by statistics that are at most `age_max` old.
///
/// # Errors
/// When the node cannot take the upload.
pub(crate) fn score(load: &Load, size: u64, age_max: Duration) -> Result<Score, Excluded> {
    if !load.up {
        return Err(Excluded::Down);
    }
    if !load.open {
        return Err(Excluded::NoShard);
    }
    let Some((stats, _)) = load.stats.as_ref().filter(|(_, age)| *age <= age_max) else {
        return Err(Excluded::Unknown);
    };
    let promise = load.promises.total();
    let promised = stats.bytes_promised.saturating_add(promise.bytes);
    let needed = promised.saturating_add(size);
    let filled = stats.storage.saturating_add(needed) as f64;
    let max_storage = stats.max_storage as f64;
    if filled > max_storage * (STORAGE_PERCENT_PLACED_MAX / 100.0) || needed > stats.disk_free {
        return Err(Excluded::Full);
    }
    let used = stats.storage.saturating_add(promised) as f64;
    let uploads = (stats.uploads_in_flight + promise.uploads) as f64;
    let parts = ScoreParts {
        storage: share(max_storage - used, max_storage),
        uploads: UPLOADS_HALVING / (UPLOADS_HALVING + uploads),
        cpu: share(100.0 - stats.cpu, 100.0),
        memory: share(stats.memory_available as f64, stats.memory_total as f64),
    };
    Ok(Score {
        total: weigh(&parts),
        parts,
    })
}

fn weigh(parts: &ScoreParts) -> f64 {
    parts.storage * WEIGHTS.storage
        + parts.uploads * WEIGHTS.uploads
        + parts.cpu * WEIGHTS.cpu
        + parts.memory * WEIGHTS.memory
}

/// A part of a whole between 0 and 1; of nothing, or of what is no number, it is 0.
fn share(part: f64, whole: f64) -> f64 {
    let share = part / whole;
    if share.is_finite() {
        share.clamp(0.0, 1.0)
    } else {
        0.0
    }
}

/// Chooses the better of two random candidates. `draw(n)` gives a number below `n`.
pub(crate) fn choose(
    scores: &[Option<f64>],
    mut draw: impl FnMut(usize) -> usize,
) -> Option<Choice> {
    let able: Vec<(usize, f64)> = scores
        .iter()
        .enumerate()
        .filter_map(|(place, score)| Some((place, (*score)?)))
        .collect();
    if able.is_empty() {
        return None;
    }
    let first = draw(able.len());
    // The second among the others: the same one twice would be no choice.
    let second = if able.len() == 1 {
        first
    } else {
        (first + 1 + draw(able.len() - 1)) % able.len()
    };
    let better = if able[second].1 > able[first].1 {
        second
    } else {
        first
    };
    Some(Choice {
        chosen: able[better].0,
        compared: [able[first].0, able[second].0],
    })
}

#[cfg(test)]
mod tests;
