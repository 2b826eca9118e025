//! Clients: they store, update, delete and read, and remember what they were told.

use bytes::Bytes;
use replica::{Event, Standing};
use store::disk::simulated::Random;
use store::{How, NewContent, Payload, ReadError};
use wire::{Checksum, ContentId, ShardNo};

use crate::cluster::{Cluster, SESSION_MS};
use crate::judge::State;
use crate::node::{Live, Waiting};
use crate::queue::Happening;

/// How long a client waits.
const PATIENCE_MS: u64 = 1_500;

/// A read may be older than what was acknowledged by a session, and what messages take.
const STALE_MS_MAX: u64 = SESSION_MS + 20;

/// Contents of one shard that take part.
const CONTENTS: u64 = 24;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Put,
    Update,
    Delete,
}

impl Cluster {
    /// One client does one thing.
    pub(crate) fn client(&mut self) {
        if !self.is_rough {
            return;
        }
        let pause_ms = self.random.between(2, 30);
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
        let node = match leader {
            Some(leader) if !is_read || self.random.chance(1, 2) => leader,
            _ => anywhere,
        };
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
        let now_ms = self.now_ms;
        let Some(live) = self.nodes[node].live.get_mut(&shard) else {
            return;
        };
        if live.core.may_read(now_ms) {
            let state = state_of(live, id);
            let before_ms = now_ms.saturating_sub(STALE_MS_MAX);
            match state {
                Ok(state) => self.judge.read(id, state, before_ms),
                Err(error) => self.judge.accuse(error),
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
        let (id, wish) = match existing {
            Some(id) if self.random.chance(1, 5) => (id, Wish::Delete),
            Some(id) => (id, Wish::Update),
            None => {
                let wall_ms = self.wall_ms + self.now_ms;
                (
                    ContentId::mint(shard, wall_ms, self.random.bits()),
                    Wish::Put,
                )
            }
        };
        if self
            .judge
            .stories
            .get(&id)
            .is_some_and(|story| story.busy.is_some())
        {
            return;
        }
        self.change(node, id, wish);
    }

    fn change(&mut self, node: usize, id: ContentId, wish: Wish) {
        let shard = id.shard();
        let wall_ms = self.wall_ms + self.now_ms;
        let most = if self.random.chance(1, 10) {
            5_000
        } else {
            400
        };
        let length = self.random.between(1, most);
        let body = body(self.random.bits(), length as usize);
        let checksum = Checksum(hash(&body));
        let Some(live) = self.nodes[node].live.get_mut(&shard) else {
            return;
        };
        let outcome = match wish {
            Wish::Put | Wish::Update => {
                let how = match wish {
                    Wish::Put => How::Create,
                    _ => How::Update { if_match: None },
                };
                let new = NewContent {
                    filename: "a".to_owned(),
                    content_type: "text/plain".to_owned(),
                    collection: None,
                    attributes: None,
                    size: body.len() as u64,
                    checksum,
                };
                live.store.put(id, new, how, Payload::new(body), wall_ms)
            }
            Wish::Delete => live.store.delete(id, None, wall_ms),
        };
        let Ok(outcome) = outcome else {
            return;
        };
        if outcome.repeated {
            return;
        }
        let state = State {
            version: outcome.version,
            checksum: (wish != Wish::Delete).then_some(checksum),
        };
        self.await_commit(node, (id, state), outcome.lsn);
    }

    fn await_commit(&mut self, node: usize, (id, state): (ContentId, State), lsn: wire::Lsn) {
        let shard = id.shard();
        self.operations += 1;
        let operation = self.operations;
        let story = self.judge.stories.entry(id).or_default();
        if story.possible.is_empty() {
            story.possible.push(State::ABSENT);
        }
        story.begin(operation, state);
        self.note(|| {
            format!(
                "{} shard {shard}: operation {operation} at {lsn}: {id:?} {state:?}",
                node + 1
            )
        });
        self.after(PATIENCE_MS, Happening::GiveUp { operation, id });
        let event = self.appended(node, shard, lsn);
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

    pub(crate) fn acknowledge(&mut self, waiting: &Waiting) {
        self.note(|| format!("operation {} is acknowledged", waiting.operation));
        self.judge.acknowledged += 1;
        let now_ms = self.now_ms;
        if let Some(story) = self.judge.stories.get_mut(&waiting.id) {
            story.acknowledge(waiting.state, now_ms);
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

/// What a replica shows of a content.
pub(crate) fn state_of(live: &Live, id: ContentId) -> Result<State, String> {
    match live.store.reader().open(id) {
        Ok(open) => {
            let content = open.content().clone();
            let mut bytes = Vec::new();
            while (bytes.len() as u64) < content.size {
                match open.read(bytes.len() as u64, 100_000) {
                    Ok(piece) => bytes.extend_from_slice(&piece),
                    Err(error) => return Err(format!("{id:?}: {error}")),
                }
            }
            if hash(&bytes) != content.checksum.0 {
                return Err(format!("{id:?}: other bytes than were stored"));
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
        Err(error) => Err(format!("{id:?}: {error}")),
    }
}

fn body(seed: u64, length: usize) -> Bytes {
    let mut random = Random::new(seed);
    let words = std::iter::repeat_with(|| random.bits().to_le_bytes());
    let bytes = words.take(length.div_ceil(8)).flatten().take(length);
    bytes.collect::<Vec<u8>>().into()
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
}
