//! Which cluster the database belongs to.

use sqlx::Row;
use uuid::Uuid;

use super::line::in_time;
use super::{AdoptError, Identity, PostgresCatalog, QueryError};
use crate::catalog::listing::from_column;

const GIVE: &str = "insert into cluster (uuid) values ($1) on conflict do nothing";

const READ: &str = "select uuid, adopted from cluster";

/// Takes the UUID only where nothing of another cluster would come with it.
const ADOPT: &str = "
    insert into cluster (uuid, adopted)
    select $1, true
     where exists (select 1 from cluster where uuid = $1)
        or not exists (select 1 from content union all select 1 from shard_record)
    on conflict (singleton) do update
       set uuid = excluded.uuid, adopted = true
     where cluster.uuid <> excluded.uuid";

const COUNT: &str = "
    select uuid, (select count(*) from content), (select count(*) from shard_record) from cluster";

impl PostgresCatalog {
    pub(super) async fn read_identity(&self, fresh: Uuid) -> Result<Identity, QueryError> {
        let mut held = self.clerk.hold().await?;
        let connection = held.connection();
        let outcome = in_time(async {
            let given = sqlx::query(GIVE)
                .bind(fresh)
                .execute(&mut *connection)
                .await?;
            let row = sqlx::query(READ).fetch_one(&mut *connection).await?;
            Ok(Identity {
                cluster: row.try_get(0)?,
                adopted: row.try_get(1)?,
                new: given.rows_affected() == 1,
            })
        })
        .await;
        held.settle(outcome)
    }

    pub(super) async fn take_identity(&self, cluster: Uuid) -> Result<(), AdoptError> {
        let mut held = self.clerk.hold().await?;
        let connection = held.connection();
        let outcome = in_time(async {
            sqlx::query(ADOPT)
                .bind(cluster)
                .execute(&mut *connection)
                .await?;
            let row = sqlx::query(COUNT).fetch_one(&mut *connection).await?;
            let counts: (Uuid, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            Ok(counts)
        })
        .await;
        let (owner, contents, shards) = held.settle(outcome)?;
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
