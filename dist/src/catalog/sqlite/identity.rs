//! Which cluster the database belongs to.

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};
use uuid::Uuid;

use super::writer::name;
use super::{AdoptError, Identity, QueryError, SqliteCatalog};
use crate::catalog::listing::from_column;

const GIVE: &str = "insert into cluster (singleton, uuid) values (1, ?1) on conflict do nothing";

const READ: &str = "select uuid, adopted from cluster";

/// Takes the UUID only where nothing of another cluster would come with it.
const ADOPT: &str = "
    insert into cluster (singleton, uuid, adopted)
    select 1, ?1, 1
     where exists (select 1 from cluster where uuid = ?1)
        or not exists (select 1 from content union all select 1 from shard_record)
    on conflict (singleton) do update
       set uuid = excluded.uuid, adopted = 1
     where cluster.uuid <> excluded.uuid";

const COUNT: &str = "
    select uuid, (select count(*) from content), (select count(*) from shard_record) from cluster";

impl SqliteCatalog {
    pub(super) async fn read_identity(&self, fresh: Uuid) -> Result<Identity, QueryError> {
        let mut writer = self.writer.hold().await?;
        let (given, row) = give(&mut writer, fresh)
            .await
            .map_err(|error| name(&error))?;
        let (uuid, adopted): (String, bool) = row;
        Ok(Identity {
            cluster: uuid_from_column(&uuid, "cluster")?,
            adopted,
            new: given,
        })
    }

    pub(super) async fn take_identity(&self, cluster: Uuid) -> Result<(), AdoptError> {
        let mut writer = self.writer.hold().await?;
        let (owner, contents, shards) = adopt(&mut writer, cluster)
            .await
            .map_err(|error| name(&error))?;
        let owner = uuid_from_column(&owner, "cluster")?;
        if owner == cluster {
            return Ok(());
        }
        Err(AdoptError::NotEmpty {
            cluster: owner,
            contents: from_column(contents, "content")?,
            shards: from_column(shards, "shard_record")?,
        })
    }
}

async fn give(
    connection: &mut SqliteConnection,
    fresh: Uuid,
) -> Result<(bool, (String, bool)), sqlx::Error> {
    let mut transaction = connection.begin_with("begin immediate").await?;
    let given = sqlx::query(GIVE)
        .bind(fresh.to_string())
        .execute(&mut *transaction)
        .await?;
    let row = sqlx::query(READ).fetch_one(&mut *transaction).await?;
    transaction.commit().await?;
    Ok((
        given.rows_affected() == 1,
        (row.try_get(0)?, row.try_get(1)?),
    ))
}

async fn adopt(
    connection: &mut SqliteConnection,
    cluster: Uuid,
) -> Result<(String, i64, i64), sqlx::Error> {
    let mut transaction = connection.begin_with("begin immediate").await?;
    sqlx::query(ADOPT)
        .bind(cluster.to_string())
        .execute(&mut *transaction)
        .await?;
    let row = sqlx::query(COUNT).fetch_one(&mut *transaction).await?;
    transaction.commit().await?;
    Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
}

/// A UUID as SQLite gives it back.
pub(super) fn uuid_from_column(text: &str, column: &'static str) -> Result<Uuid, QueryError> {
    text.parse()
        .map_err(|error: uuid::Error| QueryError::Corrupt {
            column,
            detail: error.to_string(),
        })
}
