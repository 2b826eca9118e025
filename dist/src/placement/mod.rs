//! Where an upload should go: pure, from statistics to a choice.
//!
//! The better of two random candidates, so that many distributors that see the same statistics do
//! not all choose the same node (Mitzenmacher, "The Power of Two Choices", 2001).

use std::time::Duration;

use wire::ShardNo;
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
        self.add_copy(bytes);
        self.current.uploads += 1;
    }

    /// A place was handed out elsewhere, of which a copy comes here.
    pub(crate) fn add_copy(&mut self, bytes: u64) {
        self.current.bytes = self.current.bytes.saturating_add(bytes);
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

/// What a shard lacks, the least first: an upload goes where least is lacking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lack {
    /// All its copies are made.
    Nothing,
    /// Fewer replicas are in sync than should be.
    Copies,
    /// A member of its set is cut off: an upload waits until it is in the set no more, or back.
    Link,
}

/// A shard that takes new content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenShard {
    /// Which one.
    pub(crate) shard: ShardNo,
    /// What it lacks.
    pub(crate) lack: Lack,
    /// Where the other members of its in-sync set stand in the list of all loads: what is uploaded
    /// takes room there too.
    pub(crate) others: Vec<usize>,
}

/// What placement knows of one node.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Load {
    /// Whether it answers.
    pub(crate) up: bool,
    /// Whether it shall hold nothing any more.
    pub(crate) draining: bool,
    /// The shards that it leads and that take new content.
    pub(crate) open: Vec<OpenShard>,
    /// Its last statistics, and how old they are.
    pub(crate) stats: Option<(NodeStats, Duration)>,
    /// What was promised since.
    pub(crate) promises: Promises,
}

/// Why a node cannot take an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Excluded {
    /// It is down.
    #[error("it does not answer")]
    Down,
    /// It is being emptied.
    #[error("it is draining")]
    Draining,
    /// It leads no shard that takes new content.
    #[error("it leads no shard that takes new content")]
    NoShard,
    /// Nothing is known of its load.
    #[error("its statistics are missing or too old")]
    Unknown,
    /// It has no room for this upload.
    #[error("its storage would be filled above {STORAGE_PERCENT_PLACED_MAX} %")]
    Full,
    /// Another node that keeps a copy has none.
    #[error(
        "the storage of another node of its shards would be filled above {STORAGE_PERCENT_PLACED_MAX} %"
    )]
    CopyFull,
    /// Others have all their copies.
    #[error("its shards are short of copies, and those of another node are not")]
    Degraded,
    /// Others reach theirs.
    #[error("its shards cannot reach a copy, and those of another node can")]
    CutOff,
}

/// A node's score.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Score {
    /// The shards there that can take the upload: those that lack least.
    pub(crate) shards: Vec<ShardNo>,
    /// What all of these lack.
    pub(crate) lack: Lack,
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

/// Scores every node for an upload of `size` bytes, by statistics that are at most `age_max` old. A
/// node whose shards lack more than those of another one that could take the upload is left out.
pub(crate) fn score_all(
    loads: &[Load],
    size: u64,
    age_max: Duration,
) -> Vec<Result<Score, Excluded>> {
    let each = loads.iter().map(|load| score(loads, load, size, age_max));
    let mut scores: Vec<Result<Score, Excluded>> = each.collect();
    let least = scores.iter().flatten().map(|score| score.lack).min();
    for score in &mut scores {
        match score {
            Ok(Score { lack, .. }) if Some(*lack) > least => *score = Err(excluded_for(*lack)),
            _ => {}
        }
    }
    scores
}

fn excluded_for(lack: Lack) -> Excluded {
    match lack {
        Lack::Nothing | Lack::Copies => Excluded::Degraded,
        Lack::Link => Excluded::CutOff,
    }
}

/// Scores a node among all.
///
/// # Errors
/// When the node cannot take the upload.
fn score(loads: &[Load], load: &Load, size: u64, age_max: Duration) -> Result<Score, Excluded> {
    if !load.up {
        return Err(Excluded::Down);
    }
    if load.draining {
        return Err(Excluded::Draining);
    }
    if load.open.is_empty() {
        return Err(Excluded::NoShard);
    }
    let Some(stats) = fresh(load, age_max) else {
        return Err(Excluded::Unknown);
    };
    let Some(own_room) = room(load, stats, size) else {
        return Err(Excluded::Full);
    };
    // Where nothing is known of another member's node, the shard's leader knows more.
    let rooms = |open: &OpenShard| {
        let others = open.others.iter().filter_map(|place| loads.get(*place));
        let mut known = others.filter_map(|other| Some(room(other, fresh(other, age_max)?, size)));
        known.try_fold(own_room, |least, room| Some(least.min(room?)))
    };
    let with_room = load
        .open
        .iter()
        .filter_map(|open| Some((open, rooms(open)?)));
    let with_room: Vec<(&OpenShard, f64)> = with_room.collect();
    let Some(lack) = with_room.iter().map(|(open, _)| open.lack).min() else {
        return Err(Excluded::CopyFull);
    };
    let usable = with_room.iter().filter(|(open, _)| open.lack == lack);
    let least = usable.clone().fold(1.0, |least, (_, room)| room.min(least));
    let promise = load.promises.total();
    let uploads = (stats.uploads_in_flight + promise.uploads) as f64;
    let parts = ScoreParts {
        storage: least,
        uploads: UPLOADS_HALVING / (UPLOADS_HALVING + uploads),
        cpu: share(100.0 - stats.cpu, 100.0),
        memory: share(stats.memory_available as f64, stats.memory_total as f64),
    };
    Ok(Score {
        shards: usable.map(|(open, _)| open.shard).collect(),
        lack,
        total: weigh(&parts),
        parts,
    })
}

fn fresh(load: &Load, age_max: Duration) -> Option<&NodeStats> {
    let known = load.stats.as_ref().filter(|(_, age)| *age <= age_max);
    known.map(|(stats, _)| stats)
}

/// The share of a node's storage that is free after what was promised; none if an upload of `size`
/// bytes has no room there.
fn room(load: &Load, stats: &NodeStats, size: u64) -> Option<f64> {
    let promise = load.promises.total();
    let promised = stats.bytes_promised.saturating_add(promise.bytes);
    let needed = promised.saturating_add(size);
    let filled = stats.storage.saturating_add(needed) as f64;
    let max_storage = stats.max_storage as f64;
    if filled > max_storage * (STORAGE_PERCENT_PLACED_MAX / 100.0) || needed > stats.disk_free {
        return None;
    }
    let used = stats.storage.saturating_add(promised) as f64;
    Some(share(max_storage - used, max_storage))
}

/// What a node's storage may be filled to by placement, in bytes.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of a disk need not be exact to the byte, and is never negative"
)]
pub(crate) fn placed_max(stats: &NodeStats) -> u64 {
    (stats.max_storage as f64 * (STORAGE_PERCENT_PLACED_MAX / 100.0)) as u64
}

/// What may still come to a node by placement, running uploads not counted, in bytes.
pub(crate) fn free(stats: &NodeStats) -> u64 {
    let placed = placed_max(stats).saturating_sub(stats.storage);
    let left = placed.min(stats.disk_free);
    left.saturating_sub(stats.bytes_promised)
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
