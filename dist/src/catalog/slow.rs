//! A catalog for tests of those who ask it: it answers when it is let, and remembers what it was asked.

use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;
use uuid::Uuid;
use wire::content::{ContentRow, Status};
use wire::history::HistoryPoint;
use wire::listing::{ListingOutcome, ListingPart, ListingStep};
use wire::{Checksum, ContentId, Position, Timestamp};

use super::{
    AdoptError, Board, Catalog, Connections, HistoryQuery, Identity, Listed, Order, PageQuery,
    QueryError, Sample, ShardTotals, Sighting,
};

/// Takes one transaction or query, or forgets, for each permit, and keeps the shards and spans of the one, the
/// ids of the other.
pub(crate) struct Slow {
    pub(crate) permits: Semaphore,
    /// What transactions, queries and forgetting fail with.
    pub(crate) failure: Mutex<Option<fn() -> QueryError>>,
    transactions: Mutex<Vec<Vec<(u16, u64)>>>,
    queries: Mutex<Vec<Vec<ContentId>>>,
}

impl Slow {
    pub(crate) fn new(permits: usize) -> Arc<Self> {
        Arc::new(Slow {
            permits: Semaphore::new(permits),
            failure: Mutex::default(),
            transactions: Mutex::default(),
            queries: Mutex::default(),
        })
    }

    pub(crate) fn transactions(&self) -> Vec<Vec<(u16, u64)>> {
        self.transactions.lock().expect("no panic").clone()
    }

    pub(crate) fn queries(&self) -> Vec<Vec<ContentId>> {
        self.queries.lock().expect("no panic").clone()
    }

    async fn permit(&self) -> Result<(), QueryError> {
        self.permits.acquire().await.expect("open").forget();
        let failure = *self.failure.lock().expect("no panic");
        failure.map_or(Ok(()), |failure| Err(failure()))
    }

    /// Every content is listed whose number is even.
    async fn find(&self, ids: &[ContentId]) -> Result<Vec<Listed>, QueryError> {
        self.queries.lock().expect("no panic").push(ids.to_vec());
        self.permit().await?;
        let is_even = |id: &&ContentId| id.uuid().as_bytes()[15].is_multiple_of(2);
        Ok(ids.iter().filter(is_even).map(|id| listed(*id)).collect())
    }

    async fn take(&self, parts: &[ListingPart]) -> Result<Vec<ListingOutcome>, QueryError> {
        self.permit().await?;
        let listed = |part: &ListingPart| match &part.step {
            ListingStep::Follow { upto, .. } => *upto,
            _ => Position::default(),
        };
        let spans = parts
            .iter()
            .map(|part| (part.shard.0, listed(part).lsn.0))
            .collect();
        self.transactions.lock().expect("no panic").push(spans);
        let outcome = |part: &ListingPart| ListingOutcome {
            shard: part.shard,
            applied: true,
            listed: listed(part),
            unlistable: Vec::new(),
        };
        Ok(parts.iter().map(outcome).collect())
    }
}

fn listed(id: ContentId) -> Listed {
    let row = ContentRow {
        id,
        filename: "a.txt".to_owned(),
        size: 1,
        content_type: "text/plain".to_owned(),
        checksum: Checksum([7; 32]),
        version: 1,
        collection: None,
        attributes: None,
        created_date: Timestamp(1),
        updated_date: Timestamp(1),
    };
    let status = Status::Ok;
    Listed { row, status }
}

fn away<T: Send + 'static>() -> BoxFuture<'static, Result<T, QueryError>> {
    async { Err(QueryError::Failed("not asked for here".to_owned())) }.boxed()
}

impl Catalog for Slow {
    fn identify(&self, _: Uuid) -> BoxFuture<'_, Result<Identity, QueryError>> {
        away()
    }

    fn adopt(&self, _: Uuid) -> BoxFuture<'_, Result<(), AdoptError>> {
        async { Ok(()) }.boxed()
    }

    fn list<'a>(
        &'a self,
        parts: &'a [ListingPart],
    ) -> BoxFuture<'a, Result<Vec<ListingOutcome>, QueryError>> {
        self.take(parts).boxed()
    }

    fn contents<'a>(
        &'a self,
        ids: &'a [ContentId],
    ) -> BoxFuture<'a, Result<Vec<Listed>, QueryError>> {
        self.find(ids).boxed()
    }

    fn page<'a>(&'a self, _: &'a PageQuery) -> BoxFuture<'a, Result<Vec<Listed>, QueryError>> {
        away()
    }

    fn totals(&self) -> BoxFuture<'_, Result<Vec<ShardTotals>, QueryError>> {
        away()
    }

    fn exchange<'a>(&'a self, _: &'a [Sighting]) -> BoxFuture<'a, Result<Board, QueryError>> {
        away()
    }

    fn order<'a>(&'a self, _: Order<'a>) -> BoxFuture<'a, Result<(), QueryError>> {
        away()
    }

    fn record<'a>(&'a self, _: &'a Sample) -> BoxFuture<'a, Result<(), QueryError>> {
        away()
    }

    fn forget(&self, _: u64) -> BoxFuture<'_, Result<(), QueryError>> {
        self.permit().boxed()
    }

    fn history<'a>(
        &'a self,
        _: &'a HistoryQuery,
    ) -> BoxFuture<'a, Result<Vec<HistoryPoint>, QueryError>> {
        away()
    }

    fn connections(&self) -> Connections {
        Connections::default()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }
}
