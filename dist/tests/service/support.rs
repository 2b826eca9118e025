//! What the tests of the distributor share: fresh databases of both kinds.

use dist::catalog::{Database, open};
use pgtest::Postgres;
use tempfile::TempDir;
use wire::content::ContentRow;
use wire::listing::{ListedOperation, ListingOutcome, ListingPart, ListingStep};
use wire::{Checksum, ContentId, Epoch, Lsn, Position, ShardNo, Timestamp};

/// A fresh database, and what keeps it there.
pub(crate) struct Fresh {
    pub(crate) url: String,
    _folder: Option<TempDir>,
}

impl Fresh {
    /// A SQLite file in a folder of its own.
    pub(crate) fn sqlite() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let url = format!("sqlite://{}", folder.path().join("catalog.db").display());
        Fresh {
            url,
            _folder: Some(folder),
        }
    }

    /// A database of the server that all tests share.
    pub(crate) fn postgres() -> Self {
        let url = Postgres::shared()
            .fresh_database()
            .expect("a fresh database");
        Fresh { url, _folder: None }
    }

    /// Opens it.
    pub(crate) async fn open(&self) -> Database {
        open(&self.url).await.expect("the database opens")
    }
}

/// Runs each of the named suites, which take a [`Fresh`] database, on SQLite and on PostgreSQL.
#[macro_export]
macro_rules! on_both_databases {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::support::Fresh::sqlite()).await;
            })+
        }

        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::support::Fresh::postgres()).await;
            })+
        }
    };
}

/// A position.
pub(crate) fn at(epoch: u64, lsn: u64) -> Position {
    Position {
        epoch: Epoch(epoch),
        lsn: Lsn(lsn),
    }
}

/// A row of `shard` whose id is the `number`th.
pub(crate) fn row(shard: u16, number: u64) -> ContentRow {
    ContentRow {
        id: ContentId::mint(ShardNo(shard), 1_769_860_800_000 + number, number),
        filename: format!("file{number}.txt"),
        size: 10 + number,
        content_type: "text/plain".to_owned(),
        checksum: Checksum([7; 32]),
        version: 1,
        collection: None,
        attributes: None,
        created_date: Timestamp(1_769_860_800_123),
        updated_date: Timestamp(1_769_860_800_999),
    }
}

/// A part that follows a shard's log.
pub(crate) fn follow(
    shard: u16,
    after: Position,
    upto: Position,
    operations: Vec<ListedOperation>,
) -> ListingPart {
    ListingPart {
        shard: ShardNo(shard),
        step: ListingStep::Follow {
            after,
            upto,
            operations,
        },
    }
}

/// A part that inserts rows.
pub(crate) fn upserts(
    shard: u16,
    after: Position,
    upto: Position,
    rows: impl IntoIterator<Item = ContentRow>,
) -> ListingPart {
    follow(
        shard,
        after,
        upto,
        rows.into_iter().map(ListedOperation::Upsert).collect(),
    )
}

/// A part that asks.
pub(crate) fn ask(shard: u16) -> ListingPart {
    ListingPart {
        shard: ShardNo(shard),
        step: ListingStep::Ask,
    }
}

/// What an outcome says in short: applied, and where the catalog is.
pub(crate) fn brief(outcomes: &[ListingOutcome]) -> Vec<(u16, bool, Position)> {
    outcomes
        .iter()
        .map(|outcome| (outcome.shard.0, outcome.applied, outcome.listed))
        .collect()
}
