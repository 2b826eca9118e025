//! What must always hold, and what clients were told.

use std::collections::BTreeMap;

use wire::shard::{Member, ShardRecord};
use wire::{Checksum, ContentId, Epoch, Lsn, ShardNo};

/// A content's state: its version and bytes, or that it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) version: u64,
    /// None: deleted, or never there.
    pub(crate) checksum: Option<Checksum>,
}

impl State {
    pub(crate) const ABSENT: State = State {
        version: 0,
        checksum: None,
    };

    /// Later states of a content have higher ranks.
    fn rank(self) -> u64 {
        match (self.version, self.checksum) {
            (version, Some(_)) => version * 2,
            (0, None) => 0,
            (version, None) => version * 2 + 1,
        }
    }
}

/// What may be found of one content.
#[derive(Clone, Debug, Default)]
pub(crate) struct Story {
    /// The states that the answers so far allow.
    pub(crate) possible: Vec<State>,
    /// Every state that a replica has committed.
    committed: Vec<State>,
    /// The highest rank that a leader has shown.
    shown: u64,
    /// What was acknowledged, and when.
    acknowledged: Vec<(u64, State)>,
    /// An operation is under way.
    pub(crate) busy: Option<u64>,
}

impl Story {
    /// It may be in this state from now on.
    pub(crate) fn begin(&mut self, state: State) {
        self.possible.push(state);
    }

    pub(crate) fn acknowledge(&mut self, state: State, now_ms: u64) {
        self.busy = None;
        self.possible = vec![state];
        self.acknowledged.push((now_ms, state));
    }

    pub(crate) fn give_up(&mut self, operation: u64) {
        self.busy.take_if(|busy| *busy == operation);
    }

    /// The rank of what a read shows, if anything at or above `floor` that was committed looks like it.
    /// A delete whose record was dropped reads as never stored.
    fn rank_of(&self, state: State, floor: u64) -> Option<u64> {
        let looks = |known: &&State| match state.checksum {
            Some(_) => **known == state,
            None => known.checksum.is_none(),
        };
        let known = self.committed.iter().chain([&State::ABSENT]).filter(looks);
        known
            .map(|known| known.rank())
            .filter(|rank| *rank >= floor)
            .min()
    }

    /// The least rank that a read may show that allows what was acknowledged before a time.
    fn floor(&self, before_ms: u64) -> u64 {
        let settled = self.acknowledged.iter().filter(|(at, _)| *at <= before_ms);
        settled.map(|(_, state)| state.rank()).max().unwrap_or(0)
    }
}

/// Where a replica's log ends durably, and which record is at an lsn; none where it was compacted.
pub(crate) type Log<'a> = (u64, &'a BTreeMap<u64, (Epoch, u64)>);

/// Who serves a read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reader {
    /// A leader, at this time.
    Leader {
        /// When.
        now_ms: u64,
    },
    /// A follower, that knows at least what was acknowledged before this time.
    Follower {
        /// When.
        before_ms: u64,
    },
}

/// What is known from outside of all replicas.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    /// What records that are not committed yet make of their contents, by the number of their birth.
    states: BTreeMap<u64, (ContentId, State)>,
    /// Every append, by the number of its birth, where it stands.
    positions: BTreeMap<(ShardNo, Epoch, u64), u64>,
    births: u64,
    /// Of each shard, what is committed.
    committed: BTreeMap<ShardNo, BTreeMap<u64, u64>>,
    pub(crate) stories: BTreeMap<ContentId, Story>,
    pub(crate) violation: Option<String>,
    /// How many records were committed for the first time.
    pub(crate) commits: u64,
    /// How many changes were acknowledged.
    pub(crate) acknowledged: u64,
    /// How many reads were served.
    pub(crate) reads: u64,
}

impl Judge {
    pub(crate) fn accuse(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    /// An operation on a content is under way.
    pub(crate) fn begin_operation(&mut self, id: ContentId, operation: u64) -> &mut Story {
        let story = self.stories.entry(id).or_default();
        if story.possible.is_empty() {
            story.possible.push(State::ABSENT);
        }
        story.busy = Some(operation);
        story
    }

    /// A leader appends a record; returns the number of its birth.
    pub(crate) fn append(&mut self, shard: ShardNo, epoch: Epoch, lsn: Lsn) -> u64 {
        self.births += 1;
        let birth = self.births;
        if self
            .positions
            .insert((shard, epoch, lsn.0), birth)
            .is_some()
        {
            self.accuse(format!("shard {shard}: two records at ({epoch}, {lsn})"));
        }
        birth
    }

    /// The last record that was appended makes this of a content, once it is committed.
    pub(crate) fn makes(&mut self, id: ContentId, state: State) {
        self.states.insert(self.births, (id, state));
    }

    /// A replica commits a record.
    pub(crate) fn commit(&mut self, shard: ShardNo, lsn: u64, birth: u64) {
        if let Some((id, state)) = self.states.remove(&birth) {
            self.stories.entry(id).or_default().committed.push(state);
        }
        let of_shard = self.committed.entry(shard).or_default();
        let known = *of_shard.entry(lsn).or_insert_with(|| {
            self.commits += 1;
            birth
        });
        if known != birth {
            self.accuse(format!(
                "shard {shard}: two different records are committed at {lsn}"
            ));
        }
    }

    /// Every member of the set, and of those eligible, has every committed record.
    pub(crate) fn check_members<'a>(
        &mut self,
        record: &ShardRecord,
        log: impl Fn(&Member) -> Option<Log<'a>>,
    ) {
        let shard = record.shard;
        // A restored record is believed when everyone it names was heard, and someone elected.
        if record.leader.is_none() {
            return;
        }
        let Some((&last, &birth)) = self
            .committed
            .get(&shard)
            .and_then(|all| all.last_key_value())
        else {
            return;
        };
        for member in record.in_sync.iter().chain(&record.eligible) {
            let Some((end, records)) = log(member) else {
                continue;
            };
            let is_other = records.get(&last).is_some_and(|(_, here)| *here != birth);
            if end < last || is_other {
                let node = &member.node;
                self.accuse(format!(
                    "shard {shard}: {node} is a member and lacks what is committed at {last} (it ends at {end})"
                ));
            }
        }
    }

    /// A replica served a content. A leader shows everything that was acknowledged, and nothing older
    /// than what a leader has shown; others may be behind by what was acknowledged after `before_ms`.
    pub(crate) fn read(&mut self, id: ContentId, state: State, reader: Reader) {
        self.reads += 1;
        let Some(story) = self.stories.get_mut(&id) else {
            return;
        };
        let floor = match reader {
            Reader::Leader { now_ms } => story.floor(now_ms).max(story.shown),
            Reader::Follower { before_ms } => story.floor(before_ms),
        };
        match (story.rank_of(state, floor), reader) {
            (Some(rank), Reader::Leader { .. }) => story.shown = story.shown.max(rank),
            (Some(_), Reader::Follower { .. }) => {}
            (None, _) => {
                let text = match story.rank_of(state, 0) {
                    Some(_) => format!(
                        "{id:?}: {state:?} was read by {reader:?}, after a later state was known"
                    ),
                    None => format!("{id:?}: {state:?} was read, and was never committed"),
                };
                self.accuse(text);
            }
        }
    }

    /// At the end, a replica shows a content.
    pub(crate) fn check_final(&mut self, node: usize, id: ContentId, state: State) {
        let story = &self.stories[&id];
        let fits = |possible: &State| match (possible.checksum, state.checksum) {
            (None, None) => true,
            _ => *possible == state,
        };
        if !story.possible.iter().any(fits) {
            let possible = &story.possible;
            let text =
                format!("{id:?}: node {node} has {state:?}, and the answers allow {possible:?}");
            self.accuse(text);
        }
    }
}
