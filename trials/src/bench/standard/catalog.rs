//! A catalog of very many rows, made at once: to upload them would take hours.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use sqlx::{Connection, Executor, PgConnection};
use wire::membership::NodesAnswer;
use wire::{Checksum, ContentId, ShardNo, routes};

use crate::http;

/// Rows that are sent at once.
const BATCH_ROWS: u64 = 20_000;

/// Ids that are given back, from all over the catalog.
const SAMPLE: u64 = 10_000;

/// Rows whose ids are of the same millisecond.
const ROWS_PER_MS: u64 = 10;

/// A shard of the cluster.
///
/// # Errors
/// When it has none, or does not answer.
pub(super) async fn any_shard(url: &str) -> anyhow::Result<ShardNo> {
    let asked = http::client()?.get(format!("{url}{}", routes::NODES));
    let answer: NodesAnswer = http::json(asked).await?;
    let first = answer.shards.first().context("the cluster has no shard")?;
    Ok(first.shard)
}

/// Has the catalog's counts of each shard agree with its rows.
///
/// # Errors
/// When the database refuses.
pub(in crate::bench) async fn count(database_url: &str) -> anyhow::Result<()> {
    let mut database = PgConnection::connect(database_url).await?;
    let statement = "
        insert into shard (id, contents, bytes)
        select shard, count(*), sum(size) from content group by shard
        on conflict (id) do update set contents = excluded.contents, bytes = excluded.bytes";
    database.execute(statement).await?;
    Ok(())
}

/// Puts `rows` rows of small contents of these shards into the catalog; gives some of their ids.
///
/// # Errors
/// When the database refuses.
pub(in crate::bench) async fn fill(
    database_url: &str,
    shards: &[ShardNo],
    rows: u64,
) -> anyhow::Result<Vec<ContentId>> {
    let mut database = PgConnection::connect(database_url).await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let first_ms = u64::try_from(now)? - rows / ROWS_PER_MS - 1;
    let mut sample = Vec::new();
    let columns =
        "id, filename, size, content_type, checksum, version, shard, created_at, updated_at";
    let statement = format!("copy content ({columns}) from stdin");
    let mut copy = database.copy_in_raw(&statement).await?;
    let mut text = String::new();
    for number in 0..rows {
        let shard = number as usize % shards.len();
        let id = id_of(shards[shard], first_ms, number);
        row(&mut text, id, number);
        if number % (rows / SAMPLE).max(1) == 0 {
            sample.push(id);
        }
        if number % BATCH_ROWS == BATCH_ROWS - 1 || number == rows - 1 {
            copy.send(text.as_bytes()).await?;
            text.clear();
        }
    }
    copy.finish().await?;
    database.execute("vacuum (analyze) content").await?;
    Ok(sample)
}

/// Ids in the order of their numbers, with other bits at their end.
fn id_of(shard: ShardNo, first_ms: u64, number: u64) -> ContentId {
    let bits = blake3::hash(&number.to_le_bytes());
    let bits = u64::from_le_bytes(std::array::from_fn(|place| bits.as_bytes()[place]));
    ContentId::mint(shard, first_ms + number / ROWS_PER_MS, bits)
}

/// A row as PostgreSQL's `copy` reads it.
fn row(text: &mut String, id: ContentId, number: u64) {
    let checksum = Checksum(*blake3::hash(&number.to_le_bytes()).as_bytes());
    let shard = id.shard().0;
    writeln!(
        text,
        "{id}\tphoto-{number:08}.jpg\t{}\timage/jpeg\t{checksum}\t1\t{shard}\t2026-01-31 12:00:00Z\t2026-01-31 12:00:00Z",
        1000 + number % 1_000_000
    )
    .expect("writing to a string cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, the catalog that is measured is not one that a cluster could have.
    #[test]
    fn rows_are_as_a_cluster_lists_them() {
        let ids: Vec<ContentId> = (0..100).map(|n| id_of(ShardNo(7), 1 << 40, n)).collect();
        assert!(ids.iter().all(|id| id.shard() == ShardNo(7)));
        let times: Vec<u64> = ids.iter().map(|id| id.time_ms()).collect();
        assert!(times.is_sorted() && times[99] == (1 << 40) + 9);
        let mut text = String::new();
        row(&mut text, ids[3], 3);
        let fields: Vec<&str> = text.trim_end().split('\t').collect();
        assert_eq!((fields.len(), fields[0]), (9, ids[3].to_string().as_str()));
        assert!(fields[4].parse::<Checksum>().is_ok(), "{}", fields[4]);
    }
}
