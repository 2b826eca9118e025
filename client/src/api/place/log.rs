//! The operation log of the whole cluster: the logs of its shards, from their leaders, as one.

mod tail;

use std::collections::VecDeque;

use wire::membership::NodesAnswer;
use wire::operation::Operation;
use wire::{Lsn, ShardNo, routes};

use crate::api::error::RequestError;
use crate::api::exchange::{foreign, lost};
use crate::api::retry::Remedy;
use crate::api::{Client, SMALL_EXCHANGE_MAX};

use super::{LeaderError, leader_among};

/// Lines that are asked for at a time.
const LINES_MAX: usize = 1000;

/// What a walk does with a shard that nobody leads at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaderless {
    /// It waits for a leader, and fails without one: what it tells is whole.
    Await,
    /// It goes on without the shard, whose lines come when somebody leads it.
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

/// A walk over the operation logs.
///
/// Each shard's lines come in their order; those of different shards by their times, as far as they
/// were there when it was asked.
#[derive(Debug)]
pub struct Log {
    client: Client,
    only: Option<ShardNo>,
    leaderless: Leaderless,
    shards: Vec<ShardLog>,
    looked: bool,
}

/// What is known of one shard's log.
#[derive(Debug)]
struct ShardLog {
    shard: ShardNo,
    /// The base URI of its leader; none while nobody leads.
    leader: Option<String>,
    after: Lsn,
    lines: VecDeque<Operation>,
    ended: bool,
    /// The last record that one of its replicas said to know committed.
    committed: Lsn,
}

impl Client {
    /// Begins a walk over the operation logs of all shards, or of one.
    pub fn log(&self, only: Option<ShardNo>, leaderless: Leaderless) -> Log {
        Log {
            client: self.clone(),
            only,
            leaderless,
            shards: Vec::new(),
            looked: false,
        }
    }

    async fn log_lines(
        &self,
        leader: &str,
        shard: ShardNo,
        after: Lsn,
    ) -> Result<VecDeque<Operation>, RequestError> {
        let url = format!("{leader}{}", routes::LOG);
        let query = [
            ("shard", shard.to_string()),
            ("after", after.to_string()),
            ("limit", LINES_MAX.to_string()),
        ];
        let response = self
            .send_read(&url, |request| {
                request.query(&query).timeout(SMALL_EXCHANGE_MAX)
            })
            .await?;
        let status = response.status().as_u16();
        let bytes = response
            .bytes()
            .await
            .map_err(|source| lost(source, &url))?;
        let lines = bytes.split(|byte| *byte == b'\n');
        lines
            .filter(|line| !line.is_empty())
            .map(|line| {
                serde_json::from_slice(line)
                    .map_err(|error| foreign(&url, status, line, Some(error)))
            })
            .collect()
    }
}

impl Log {
    /// The next line, or none when all that there is was told; asked again later, what came since.
    ///
    /// # Errors
    /// When there is no such shard, no distributor answers, or a shard has no leader that can be
    /// reached for as long as the patience lasts. The walk can be continued.
    pub async fn next(&mut self) -> Result<Option<Operation>, LogError> {
        if !self.looked {
            self.look().await?;
            self.looked = true;
        }
        let client = self.client.clone();
        for log in &mut self.shards {
            if log.lines.is_empty() && !log.ended {
                log.fill(&client, self.leaderless).await?;
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

    /// Whether no shard is known yet.
    pub fn is_without_shards(&self) -> bool {
        self.shards.is_empty()
    }

    /// Asks which shards there are, and who leads them.
    async fn look(&mut self) -> Result<(), LogError> {
        let answer = self.client.nodes().await?;
        if (self.only, self.leaderless) == (None, Leaderless::Await) && answer.shards.is_empty() {
            return Err(LogError::NoneYet);
        }
        // One that is asked for by its number may be known soon, and is waited for.
        let known =
            |only| answer.shards.is_empty() || answer.shards.iter().any(|s| s.shard == only);
        if let (Some(only), Leaderless::Await) = (self.only, self.leaderless)
            && !known(only)
        {
            return Err(LogError::NoShard(only));
        }
        let mut found: Vec<ShardNo> = match self.only {
            Some(shard) => vec![shard],
            None => answer.shards.iter().map(|shard| shard.shard).collect(),
        };
        found.retain(|shard| self.shards.iter().all(|log| log.shard != *shard));
        self.shards.extend(found.into_iter().map(|shard| ShardLog {
            shard,
            leader: None,
            after: Lsn::ZERO,
            lines: VecDeque::new(),
            ended: false,
            committed: Lsn::ZERO,
        }));
        for log in &mut self.shards {
            log.leader = leader_among(&answer, log.shard);
            log.committed = committed(&answer, log.shard);
            log.ended = false;
        }
        Ok(())
    }
}

impl ShardLog {
    /// Reads on from where it is.
    async fn fill(&mut self, client: &Client, leaderless: Leaderless) -> Result<(), LogError> {
        let Some(lines) = self.page(client, leaderless, self.after).await? else {
            self.ended = true;
            return Ok(());
        };
        self.after = lines.back().map_or(self.after, |line| line.lsn);
        self.ended = lines.len() < LINES_MAX;
        self.lines = lines;
        Ok(())
    }

    /// The lines after a record, at most [`LINES_MAX`]; none while nobody leads and nobody is waited for.
    async fn page(
        &mut self,
        client: &Client,
        leaderless: Leaderless,
        after: Lsn,
    ) -> Result<Option<VecDeque<Operation>>, LogError> {
        let mut attempts = client.attempts().reached();
        loop {
            let Some(leader) = &self.leader else {
                if leaderless == Leaderless::PassOver {
                    return Ok(None);
                }
                self.leader = Some(client.next_leader_of(self.shard).await?);
                continue;
            };
            let error = match client.log_lines(leader, self.shard, after).await {
                Ok(lines) => return Ok(Some(lines)),
                Err(error) => error,
            };
            if error.remedy() == Remedy::GiveUp || !attempts.again(&error).await {
                return Err(error.into());
            }
            self.leader = leader_among(&client.nodes().await?, self.shard);
        }
    }
}

/// How far a shard is committed, as its replicas last said.
fn committed(answer: &NodesAnswer, shard: ShardNo) -> Lsn {
    let entry = answer.shards.iter().find(|entry| entry.shard == shard);
    let replicas = entry.into_iter().flat_map(|entry| &entry.replicas);
    let told = replicas.filter_map(|replica| replica.progress.committed);
    told.max().unwrap_or(Lsn::ZERO)
}
