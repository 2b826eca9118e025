//! What a cluster holds while something happens to it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::{Instant, sleep};
use wire::content::{ContentItem, Receipt};
use wire::{ContentId, ShardNo, routes};

use crate::bench::stream::{self as bodies, Body};
use crate::http;

/// One content: large enough that its record's head does not count.
const CONTENT_BYTES: u64 = 16 << 20;

/// Uploads at the same time.
const CONCURRENCY: usize = 4;

/// How long an update is tried again while a shard has no leader.
const LED_TIME_MAX: Duration = Duration::from_secs(30);

/// Contents, and what they are made of.
pub(super) struct Stock {
    client: reqwest::Client,
    body: Body,
    contents: Vec<ContentId>,
}

impl Stock {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Stock {
            client: bodies::patient_client()?,
            body: Body::new(CONTENT_BYTES),
            contents: Vec::new(),
        })
    }

    /// What was uploaded, counted once.
    pub(super) fn bytes(&self) -> u64 {
        self.contents.len() as u64 * CONTENT_BYTES
    }

    /// Uploads so many bytes or a little more; gives the time that it took.
    pub(super) async fn fill(&mut self, dist: &str, bytes: u64) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let uploads = stream::iter(0..bytes.div_ceil(CONTENT_BYTES))
            .map(|_| bodies::upload(&self.client, dist, &self.body));
        let receipts = uploads.buffer_unordered(CONCURRENCY);
        let stored: Vec<ContentId> = receipts
            .map_ok(|(receipt, _)| receipt.id)
            .try_collect()
            .await?;
        self.contents.extend(stored);
        Ok(begun.elapsed())
    }

    /// Replaces contents of these shards, so many bytes or as much as there is; gives how much.
    pub(super) async fn update(
        &self,
        dist: &str,
        bytes: u64,
        shards: &[ShardNo],
    ) -> anyhow::Result<u64> {
        let shards: BTreeSet<&ShardNo> = shards.iter().collect();
        let there = self
            .contents
            .iter()
            .filter(|id| shards.contains(&id.shard()));
        let chosen: Vec<ContentId> = there
            .take(usize::try_from(bytes.div_ceil(CONTENT_BYTES))?)
            .copied()
            .collect();
        ensure!(!chosen.is_empty(), "the node holds nothing");
        let updates = stream::iter(&chosen).map(|id| self.replace(dist, *id));
        let done: Vec<()> = updates.buffer_unordered(CONCURRENCY).try_collect().await?;
        Ok(done.len() as u64 * CONTENT_BYTES)
    }

    async fn replace(&self, dist: &str, id: ContentId) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let item = http::json::<ContentItem>(self.client.get(routes::content(dist, id))).await;
            let outcome = match item {
                Ok(item) => self.replace_at(&item.uri, id).await,
                Err(error) => Err(error),
            };
            if outcome.is_ok() {
                return Ok(());
            }
            if begun.elapsed() > LED_TIME_MAX {
                return outcome.context("an update");
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn replace_at(&self, node: &str, id: ContentId) -> anyhow::Result<()> {
        let request = self.client.put(routes::update(node, id));
        let receipt: Receipt = http::json(self.body.send_with(request)).await?;
        ensure!(receipt.id == id, "another content was replaced");
        Ok(())
    }
}
