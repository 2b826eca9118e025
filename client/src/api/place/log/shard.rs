//! One shard's log, read from its leader page by page.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use wire::operation::Operation;
use wire::{Code, Lsn, ShardNo, routes};

use crate::api::Client;
use crate::api::error::RequestError;
use crate::api::exchange::{foreign, lost};
use crate::api::place::leader_among;
use crate::api::retry::Remedy;

use super::{Leaderless, LogError};

/// Lines that are asked for at a time.
pub(super) const LINES_MAX: usize = 1000;

/// How long a page may take: much longer than a leader that is well needs, and so short that a call has the
/// time to ask the one that comes after a leader that hangs.
const PAGE_TIME_MAX: Duration = Duration::from_secs(5);

/// How pages are asked for.
#[derive(Debug)]
pub(super) struct Pages {
    pub(super) client: Client,
    pub(super) leaderless: Leaderless,
    /// Where nothing was heard since it was last asked who leads: shards that are passed over are not asked for
    /// there again. One node that hangs would take its time for each that it leads.
    pub(super) silent: BTreeSet<String>,
}

/// What is known of one shard's log.
#[derive(Debug)]
pub(super) struct ShardLog {
    pub(super) shard: ShardNo,
    /// The base URI of its leader; none while nobody leads.
    pub(super) leader: Option<String>,
    pub(super) after: Lsn,
    pub(super) lines: VecDeque<Operation>,
    pub(super) ended: bool,
    /// Whether it ended because nobody told its lines.
    pub(super) is_passed_over: bool,
    /// The last record that one of its replicas said to know committed.
    pub(super) committed: Lsn,
}

impl Pages {
    pub(super) fn new(client: Client, leaderless: Leaderless) -> Pages {
        Pages {
            client,
            leaderless,
            silent: BTreeSet::new(),
        }
    }

    async fn lines(
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
        let prepare =
            |request: reqwest::RequestBuilder| request.query(&query).timeout(PAGE_TIME_MAX);
        let response = self.client.send_read(&url, prepare).await?;
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

impl ShardLog {
    /// A log of which nothing was read yet.
    pub(super) fn new(shard: ShardNo) -> ShardLog {
        ShardLog {
            shard,
            leader: None,
            after: Lsn::ZERO,
            lines: VecDeque::new(),
            ended: false,
            is_passed_over: false,
            committed: Lsn::ZERO,
        }
    }

    /// Reads on from where it is.
    pub(super) async fn fill(&mut self, pages: &mut Pages) -> Result<(), LogError> {
        let page = self.page(pages, self.after).await?;
        self.is_passed_over = page.is_none();
        let Some(lines) = page else {
            self.ended = true;
            return Ok(());
        };
        self.after = lines.back().map_or(self.after, |line| line.lsn);
        self.ended = lines.len() < LINES_MAX;
        self.lines = lines;
        Ok(())
    }

    /// The lines after a record, at most [`LINES_MAX`]; none where nobody tells them and nobody is waited for.
    pub(super) async fn page(
        &mut self,
        pages: &mut Pages,
        after: Lsn,
    ) -> Result<Option<VecDeque<Operation>>, LogError> {
        match pages.leaderless {
            Leaderless::Await => self.awaited_page(pages, after).await.map(Some),
            Leaderless::PassOver => self.present_page(pages, after).await,
        }
    }

    /// The lines after a record, from whoever leads as long as the patience lasts.
    async fn awaited_page(
        &mut self,
        pages: &Pages,
        after: Lsn,
    ) -> Result<VecDeque<Operation>, LogError> {
        let client = &pages.client;
        let mut attempts = client.attempts().reached();
        loop {
            let Some(leader) = &self.leader else {
                self.leader = Some(client.next_leader_of(self.shard).await?);
                continue;
            };
            let error = match pages.lines(leader, self.shard, after).await {
                Ok(lines) => return Ok(lines),
                Err(error) => error,
            };
            if is_final(&error) || !attempts.again(&error).await {
                return Err(error.into());
            }
            let answer = client.nodes_again(|_| ()).await?;
            self.leader = leader_among(&answer, self.shard);
        }
    }

    /// The lines after a record, from the leader if it tells them at once.
    async fn present_page(
        &mut self,
        pages: &mut Pages,
        after: Lsn,
    ) -> Result<Option<VecDeque<Operation>>, LogError> {
        let leader = self.leader.as_ref();
        let Some(leader) = leader.filter(|leader| !pages.silent.contains(*leader)) else {
            return Ok(None);
        };
        match pages.lines(leader, self.shard, after).await {
            Ok(lines) => Ok(Some(lines)),
            Err(error) if is_final(&error) => Err(error.into()),
            Err(error) => {
                if error.code().is_none() {
                    pages.silent.insert(leader.clone());
                }
                Ok(None)
            }
        }
    }
}

/// Whether no leader would tell the lines either. A node that does not have the shard does not lead it, or was
/// named the leader of a new one a moment ago.
fn is_final(error: &RequestError) -> bool {
    error.remedy() == Remedy::GiveUp && error.code() != Some(Code::NotFound)
}
