//! What the distributor knows: single contents, lists, nodes, statistics; and deletes.

use std::collections::VecDeque;

use reqwest::Method;
use reqwest::header::IF_MATCH;
use wire::content::{ContentItem, ContentPage, Receipt};
use wire::history::StatsHistory;
use wire::limits::PAGE_ROWS_MAX;
use wire::membership::NodesAnswer;
use wire::stats::ClusterStats;
use wire::{Checksum, ContentId, NodeName, Timestamp, routes};

use super::error::RequestError;
use super::exchange::read_json;
use super::retry::Remedy;
use super::{Client, SMALL_EXCHANGE_MAX};

/// Which contents to list; what is absent does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// This file name, or with a `*` at the end every name that begins so.
    pub filename: Option<String>,
    /// This collection.
    pub collection: Option<String>,
    /// Ids after this one.
    pub after: Option<ContentId>,
}

/// Why a delete failed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct DeleteError(#[from] pub RequestError);

/// A walk over the catalog, page by page, in the order of ids.
#[derive(Debug)]
pub struct Listing {
    client: Client,
    filter: Filter,
    page: VecDeque<ContentItem>,
    after: Option<String>,
    ended: bool,
    left: u64,
}

impl Client {
    /// One content's metadata; with `min_version`, not older than that.
    ///
    /// # Errors
    /// When it does not exist, was deleted, or nobody can tell at this moment.
    pub async fn info(
        &self,
        id: ContentId,
        min_version: Option<u64>,
    ) -> Result<ContentItem, RequestError> {
        let path = routes::content("", id);
        let version = min_version.map(|version| ("min_version", version.to_string()));
        self.get_json(&path, &version.into_iter().collect::<Vec<_>>())
            .await
    }

    /// Begins a walk over at most `limit` contents.
    pub fn list(&self, filter: Filter, limit: u64) -> Listing {
        let after = filter.after.map(|id| id.to_string());
        let page = VecDeque::new();
        Listing {
            client: self.clone(),
            filter,
            page,
            after,
            ended: false,
            left: limit,
        }
    }

    /// Deletes a content; with `only`, only while its bytes have that hash. Repeating it is
    /// harmless, so it is repeated while that can help.
    ///
    /// # Errors
    /// When it never existed, has other bytes, or its leader cannot be reached.
    pub async fn delete(
        &self,
        id: ContentId,
        only: Option<Checksum>,
    ) -> Result<Receipt, DeleteError> {
        let delete = |base: String| async move {
            let url = routes::content(&base, id);
            let mut request = self
                .request(Method::DELETE, &url)
                .timeout(SMALL_EXCHANGE_MAX);
            if let Some(checksum) = only {
                request = request.header(IF_MATCH, etag(checksum));
            }
            read_json(self.send(request, &url).await?, &url).await
        };
        Ok(self.retrying(delete).await?)
    }

    /// The cluster's services.
    ///
    /// # Errors
    /// When no distributor answers.
    pub async fn nodes(&self) -> Result<NodesAnswer, RequestError> {
        self.get_json(routes::NODES, &[]).await
    }

    /// The cluster's services, for somebody whom the cluster has answered before: silence is borne for as long
    /// as in any call, and told once.
    ///
    /// # Errors
    /// When nobody answers for so long, or the answer is a refusal.
    pub async fn nodes_again(
        &self,
        tell: impl FnOnce(&RequestError),
    ) -> Result<NodesAnswer, RequestError> {
        let mut attempts = self.attempts().reached();
        let mut tell = Some(tell);
        loop {
            let error = match self.nodes().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if error.remedy() == Remedy::GiveUp || !attempts.again(&error).await {
                return Err(error);
            }
            if let Some(tell) = tell.take() {
                tell(&error);
            }
        }
    }

    /// Every node's statistics, and their sums.
    ///
    /// # Errors
    /// When no distributor answers.
    pub async fn stats(&self) -> Result<ClusterStats, RequestError> {
        self.get_json(routes::STATS, &[]).await
    }

    /// What statistics were since `from`, of a node, or of the whole cluster, in steps of `step_s`
    /// seconds, or longer ones where they are not kept so finely.
    ///
    /// # Errors
    /// When no distributor answers, or the catalog is away, which keeps them.
    pub async fn history(
        &self,
        node: Option<&NodeName>,
        from: Timestamp,
        step_s: u64,
    ) -> Result<StatsHistory, RequestError> {
        let mut query = vec![("from", from.to_string()), ("step", step_s.to_string())];
        query.extend(node.map(|node| ("node", node.to_string())));
        self.get_json(routes::STATS_HISTORY, &query).await
    }
}

impl Listing {
    /// The next content, or none at the end.
    ///
    /// # Errors
    /// When a page cannot be had; the walk can be continued.
    pub async fn next(&mut self) -> Result<Option<ContentItem>, RequestError> {
        if self.left == 0 {
            return Ok(None);
        }
        while self.page.is_empty() && !self.ended {
            self.read_page().await?;
        }
        self.left -= u64::from(!self.page.is_empty());
        Ok(self.page.pop_front())
    }

    async fn read_page(&mut self) -> Result<(), RequestError> {
        let query = self.query();
        let page: ContentPage = self.client.get_json(routes::CONTENT, &query).await?;
        self.page = page.items.into();
        self.ended = page.next.is_none();
        self.after = page.next;
        Ok(())
    }

    fn query(&self) -> Vec<(&'static str, String)> {
        let rows = self.left.min(PAGE_ROWS_MAX as u64);
        let mut query = vec![("limit", rows.to_string())];
        query.extend(self.after.clone().map(|after| ("after", after)));
        query.extend(self.filter.filename.clone().map(|name| ("filename", name)));
        query.extend(
            self.filter
                .collection
                .clone()
                .map(|name| ("collection", name)),
        );
        query
    }
}

/// A checksum as the strong ETag that nodes give and compare.
pub(super) fn etag(checksum: Checksum) -> String {
    format!("\"{}\"", checksum.hex())
}
