//! The operation log of the whole cluster: the logs of its shards, from their leaders, as one.

mod shard;
mod tail;

use wire::membership::NodesAnswer;
use wire::operation::Operation;
use wire::{Lsn, ShardNo};

use crate::api::Client;
use crate::api::error::RequestError;
use crate::api::retry::Remedy;

use super::{LeaderError, leader_among};
use shard::{Pages, ShardLog};

/// What a walk does with a shard that nobody leads at this moment, or whose leader does not tell its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaderless {
    /// It waits for a leader, and fails without one: what it tells is whole.
    Await,
    /// It goes on without the shard, whose lines come when somebody tells them.
    PassOver,
}

/// Why a walk over the operation logs does not go on.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// No distributor answers, or a shard's leader does not tell its lines.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Nobody leads a shard.
    #[error(transparent)]
    Leader(#[from] LeaderError),
    /// The distributor knows of no shard at all: it, or the cluster, began a moment ago.
    #[error("the distributor knows of no shard yet")]
    NoneYet,
    /// There is no such shard.
    #[error("there is no shard {0}")]
    NoShard(ShardNo),
}

impl LogError {
    /// What can make the walk go on.
    pub fn remedy(&self) -> Remedy {
        match self {
            LogError::Request(error) | LogError::Leader(LeaderError::Ask { source: error, .. }) => {
                error.remedy()
            }
            LogError::Leader(LeaderError::None(_)) | LogError::NoneYet => Remedy::Same,
            LogError::NoShard(_) => Remedy::GiveUp,
        }
    }
}

/// A walk over the operation logs.
///
/// Each shard's lines come in their order; those of different shards by their times, as far as they
/// were there when it was asked.
#[derive(Debug)]
pub struct Log {
    only: Option<ShardNo>,
    pages: Pages,
    shards: Vec<ShardLog>,
    looked: bool,
    has_begun: bool,
}

impl Client {
    /// Begins a walk over the operation logs of all shards, or of one.
    pub fn log(&self, only: Option<ShardNo>, leaderless: Leaderless) -> Log {
        Log {
            only,
            pages: Pages::new(self.clone(), leaderless),
            shards: Vec::new(),
            looked: false,
            has_begun: false,
        }
    }
}

impl Log {
    /// The next line, or none when all that there is was told; asked again later, what came since.
    ///
    /// # Errors
    /// When there is no such shard, no distributor answers, somebody refuses, or a shard that is awaited
    /// has no leader that can be reached for as long as the patience lasts. The walk can be continued.
    pub async fn next(&mut self) -> Result<Option<Operation>, LogError> {
        if !self.looked {
            self.look().await?;
            self.looked = true;
        }
        for log in &mut self.shards {
            if log.lines.is_empty() && !log.ended {
                log.fill(&mut self.pages).await?;
            }
        }
        let heads = self.shards.iter_mut().filter(|log| !log.lines.is_empty());
        let first = heads.min_by_key(|log| log.lines.front().map(|line| (line.time, log.shard)));
        let Some(operation) = first.and_then(|log| log.lines.pop_front()) else {
            self.looked = false;
            return Ok(None);
        };
        Ok(Some(operation))
    }

    /// Whether a distributor has answered.
    pub fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Whether no shard is known yet.
    pub fn is_without_shards(&self) -> bool {
        self.shards.is_empty()
    }

    /// The shards that it went on without when it was last asked for lines.
    pub fn passed_over(&self) -> impl Iterator<Item = ShardNo> {
        let passed_over = self.shards.iter().filter(|log| log.is_passed_over);
        passed_over.map(|log| log.shard)
    }

    /// Asks which shards there are, and who leads them.
    async fn look(&mut self) -> Result<(), LogError> {
        let (client, leaderless) = (&self.pages.client, self.pages.leaderless);
        let answer = if self.has_begun {
            client.nodes_again(|_| ()).await?
        } else {
            client.nodes().await?
        };
        self.has_begun = true;
        if (self.only, leaderless) == (None, Leaderless::Await) && answer.shards.is_empty() {
            return Err(LogError::NoneYet);
        }
        // One that is asked for by its number may be known soon, and is waited for.
        let known =
            |only| answer.shards.is_empty() || answer.shards.iter().any(|s| s.shard == only);
        if let (Some(only), Leaderless::Await) = (self.only, leaderless)
            && !known(only)
        {
            return Err(LogError::NoShard(only));
        }
        let mut found: Vec<ShardNo> = match self.only {
            Some(shard) => vec![shard],
            None => answer.shards.iter().map(|shard| shard.shard).collect(),
        };
        found.retain(|shard| self.shards.iter().all(|log| log.shard != *shard));
        self.shards.extend(found.into_iter().map(ShardLog::new));
        for log in &mut self.shards {
            log.leader = match leaderless {
                Leaderless::Await => leader_among(&answer, log.shard),
                Leaderless::PassOver => present_leader(&answer, log.shard),
            };
            log.committed = committed(&answer, log.shard);
            log.ended = false;
        }
        self.pages.silent.clear();
        Ok(())
    }
}

/// The base URI of the node that leads a shard; none while the shard waits: the one that is named is away, and
/// nobody comes after it.
fn present_leader(answer: &NodesAnswer, shard: ShardNo) -> Option<String> {
    let waits = |only: ShardNo| answer.shards.iter().any(|s| s.shard == only && s.waits);
    leader_among(answer, shard).filter(|_| !waits(shard))
}

/// How far a shard is committed, as its replicas last said.
fn committed(answer: &NodesAnswer, shard: ShardNo) -> Lsn {
    let entry = answer.shards.iter().find(|entry| entry.shard == shard);
    let replicas = entry.into_iter().flat_map(|entry| &entry.replicas);
    let told = replicas.filter_map(|replica| replica.progress.committed);
    told.max().unwrap_or(Lsn::ZERO)
}
