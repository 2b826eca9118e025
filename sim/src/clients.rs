//! Clients: they store, update, delete and read, and remember what they were told.

use bytes::Bytes;
use replica::{Event, Standing};
use store::disk::simulated::Random;
use store::{How, NewContent, Payload, ReadError};
use wire::{Checksum, ContentId, ShardNo};

use crate::cluster::{Cluster, SESSION_MS};
use crate::judge::{Reader, State};
use crate::node::{Live, Waiting};
use crate::queue::Happening;

/// How long a client waits.
const PATIENCE_MS: u64 = 1_500;

/// A read may be older than what was acknowledged by a session, and what messages take.
const STALE_MS_MAX: u64 = SESSION_MS + 20;

/// Contents of one shard that take part.
const CONTENTS: u64 = 24;

/// What a client wants to change.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) operation: u64,
    pub(crate) id: ContentId,
    /// How an upload goes in; a delete is none.
    pub(crate) how: How,
    is_delete: bool,
}

impl Cluster {
    /// One client does one thing.
    pub(crate) fn client(&mut self) {
        if !self.is_rough {
            return;
        }
        let pause_ms = self.random.between(1, 16);
        self.after(pause_ms, Happening::Client);
        let shards: Vec<ShardNo> = self.register.records.keys().copied().collect();
        if shards.is_empty() {
            return;
        }
        let shard = shards[self.random.below(shards.len() as u64) as usize];
        let anywhere = self.random.below(self.nodes.len() as u64) as usize;
        let leader = self.register.records[&shard].leader.clone();
        let leader = leader.and_then(|leader| self.node_named(&leader.member.node));
        let is_read = self.random.chance(1, 2);
        // Some still ask who led before.
        let asks_leader = match is_read {
            true => self.random.chance(1, 2),
            false => self.random.chance(5, 6),
        };
        let node = leader.filter(|_| asks_leader).unwrap_or(anywhere);
        let at = &self.nodes[node];
        if !at.up || self.now_ms < at.paused_until_ms {
            return;
        }
        if is_read {
            self.read_somewhere(node, shard);
        } else {
            self.write(node, shard);
        }
    }

    fn some_id(&mut self, shard: ShardNo) -> Option<ContentId> {
        let of_shard = |id: &&ContentId| id.shard() == shard;
        let ids: Vec<ContentId> = self
            .judge
            .stories
            .keys()
            .filter(of_shard)
            .copied()
            .collect();
        let count = ids.len() as u64;
        (count > 0).then(|| ids[self.random.below(count) as usize])
    }

    fn read_somewhere(&mut self, node: usize, shard: ShardNo) {
        let Some(id) = self.some_id(shard) else {
            return;
        };
        let (now_ms, clock_ms) = (self.now_ms, self.clock_ms(node));
        let Some(live) = self.nodes[node].live.get_mut(&shard) else {
            return;
        };
        if live.core.may_read(clock_ms) {
            let reader = match live.core.standing() {
                Standing::Leading(_) => Reader::Leader { now_ms },
                _ => Reader::Follower {
                    before_ms: now_ms.saturating_sub(STALE_MS_MAX),
                },
            };
            let state = state_of(live, id);
            match state {
                Ok(state) => self.judge.read(id, state, reader),
                Err(trouble) => self.blame(node, id, trouble),
            }
        } else if matches!(live.core.standing(), Standing::Leading(_)) && self.random.chance(1, 4) {
            self.feed(node, shard, Event::NeedsCommit);
        }
    }

    fn write(&mut self, node: usize, shard: ShardNo) {
        let Some(live) = self.nodes[node].live.get(&shard) else {
            return;
        };
        if !live.core.may_write() {
            let leads = matches!(
                live.core.standing(),
                Standing::Leading(_) | Standing::Elected(_)
            );
            if leads && self.random.chance(1, 3) {
                self.feed(node, shard, Event::NeedsCommit);
            }
            return;
        }
        let known = self
            .judge
            .stories
            .keys()
            .filter(|id| id.shard() == shard)
            .count() as u64;
        let fresh = known < CONTENTS && self.random.chance(2, 5);
        let existing = if fresh { None } else { self.some_id(shard) };
        let wall_ms = self.wall_ms + self.now_ms;
        let id = existing.unwrap_or_else(|| ContentId::mint(shard, wall_ms, self.random.bits()));
        let story = self.judge.stories.get(&id);
        if story.is_some_and(|story| story.busy.is_some()) {
            return;
        }
        self.operations += 1;
        let change = Change {
            operation: self.operations,
            id,
            how: match existing {
                Some(_) => How::Update { if_match: None },
                None => How::Create,
            },
            is_delete: existing.is_some() && self.random.chance(1, 5),
        };
        if !change.is_delete && self.random.chance(1, 8) {
            self.begin_upload(node, change);
        } else {
            self.change(node, &change);
        }
    }

    fn change(&mut self, node: usize, change: &Change) {
        let (id, shard) = (change.id, change.id.shard());
        let wall_ms = self.wall_ms + self.now_ms;
        let most = if self.random.chance(1, 10) {
            2_500
        } else {
            400
        };
        let length = self.random.between(1, most);
        let body = body(self.random.bits(), length as usize);
        let checksum = Checksum(hash(&body));
        let Some(live) = self.nodes[node].live.get_mut(&shard) else {
            return;
        };
        let outcome = if change.is_delete {
            live.store.delete(id, None, wall_ms)
        } else {
            let new = described(body.len() as u64, checksum);
            let how = change.how;
            live.store.put(id, new, how, Payload::new(body), wall_ms)
        };
        let Ok(outcome) = outcome else {
            return;
        };
        if outcome.repeated {
            return;
        }
        let state = State {
            version: outcome.version,
            checksum: (!change.is_delete).then_some(checksum),
        };
        self.await_commit(node, change, (state, outcome.lsn));
    }

    pub(crate) fn await_commit(
        &mut self,
        node: usize,
        change: &Change,
        (state, lsn): (State, wire::Lsn),
    ) {
        let Change { operation, id, .. } = *change;
        let shard = id.shard();
        self.judge.begin_operation(id, operation).begin(state);
        self.note(|| {
            format!(
                "{} shard {shard}: operation {operation} at {lsn}: {id:?} {state:?}",
                node + 1
            )
        });
        self.after(PATIENCE_MS, Happening::GiveUp { operation, id });
        let event = self.appended(node, shard, lsn);
        self.judge.makes(id, state);
        if let Some(live) = self.nodes[node].live.get_mut(&shard)
            && let Standing::Leading(epoch) = live.core.standing()
        {
            live.waiting.push(Waiting {
                operation,
                lsn,
                epoch,
                id,
                state,
            });
        }
        if let Some(event) = event {
            self.feed(node, shard, event);
        }
        self.kick(node, shard);
    }

    /// Tells the core of a record that the store appended, if it did.
    pub(crate) fn tell_appended(&mut self, node: usize, shard: ShardNo) {
        let at = &self.nodes[node];
        let end = at
            .live
            .get(&shard)
            .map(|live| live.store.positions().appended.lsn);
        let known = at
            .held
            .get(&shard)
            .and_then(|held| held.shadow.last_key_value());
        if let Some(lsn) = end.filter(|lsn| known.is_none_or(|(known, _)| *known < lsn.0))
            && let Some(event) = self.appended(node, shard, lsn)
        {
            self.feed(node, shard, event);
            self.kick(node, shard);
        }
    }

    pub(crate) fn acknowledge(&mut self, waiting: &Waiting) {
        self.note(|| format!("operation {} is acknowledged", waiting.operation));
        self.judge.acknowledged += 1;
        let now_ms = self.now_ms;
        if let Some(story) = self.judge.stories.get_mut(&waiting.id) {
            story.acknowledge(waiting.state, now_ms);
        }
    }

    /// A replica shows nothing: it must be because of rotten bits.
    pub(crate) fn blame(&mut self, node: usize, id: ContentId, trouble: Trouble) {
        let held = self.nodes[node].held.get(&id.shard());
        match trouble {
            Trouble::Damaged if held.is_some_and(|held| held.is_rotten) => {
                self.note(|| format!("{}: {id:?} is damaged", node + 1));
            }
            Trouble::Damaged => self.judge.accuse(format!("{id:?}: damaged by nobody")),
            Trouble::Wrong(text) => self.judge.accuse(text),
        }
    }

    /// The client does not know what came of it; it is not told any more.
    pub(crate) fn give_up(&mut self, operation: u64, id: ContentId) {
        for live in self
            .nodes
            .iter_mut()
            .flat_map(|node| node.live.values_mut())
        {
            live.waiting
                .retain(|waiting| waiting.operation != operation);
        }
        if let Some(story) = self.judge.stories.get_mut(&id) {
            story.give_up(operation);
        }
    }
}

/// Why a replica shows nothing.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It says that its copy is damaged.
    Damaged,
    /// What no replica may show.
    Wrong(String),
}

/// What a replica shows of a content.
pub(crate) fn state_of(live: &Live, id: ContentId) -> Result<State, Trouble> {
    let trouble = |error: ReadError| match error {
        ReadError::Damaged { .. } => Trouble::Damaged,
        error => Trouble::Wrong(format!("{id:?}: {error}")),
    };
    match live.store.reader().open(id) {
        Ok(open) => {
            let content = open.content().clone();
            let mut bytes = Vec::new();
            while (bytes.len() as u64) < content.size {
                match open.read(bytes.len() as u64, 100_000) {
                    Ok(piece) => bytes.extend_from_slice(&piece),
                    Err(error) => return Err(trouble(error)),
                }
            }
            if hash(&bytes) != content.checksum.0 {
                let text = format!("{id:?}: other bytes than were stored");
                return Err(Trouble::Wrong(text));
            }
            Ok(State {
                version: content.version,
                checksum: Some(content.checksum),
            })
        }
        Err(ReadError::Deleted) => Ok(State {
            version: u64::MAX / 4,
            checksum: None,
        }),
        Err(ReadError::NotFound) => Ok(State::ABSENT),
        Err(error) => Err(trouble(error)),
    }
}

/// What a client says of so many bytes.
pub(crate) fn described(size: u64, checksum: Checksum) -> NewContent {
    NewContent {
        filename: "a".to_owned(),
        content_type: "text/plain".to_owned(),
        collection: None,
        attributes: None,
        size,
        checksum,
    }
}

pub(crate) fn body(seed: u64, length: usize) -> Bytes {
    let mut random = Random::new(seed);
    let words = std::iter::repeat_with(|| random.bits().to_le_bytes());
    let bytes = words.take(length.div_ceil(8)).flatten().take(length);
    bytes.collect::<Vec<u8>>().into()
}

pub(crate) fn hash(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
}
