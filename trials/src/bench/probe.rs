//! What the disk and the database can do at best, measured in the run that is judged by it.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Executor, PgConnection};

use super::quantile;

const SAMPLES: usize = 400;
const APPEND_BYTES: usize = 4096;

/// The median time of one 4 KiB append with fdatasync, in milliseconds.
///
/// # Errors
/// When the folder cannot be written.
pub fn sync_ms(folder: &Path) -> anyhow::Result<f64> {
    let mut file = tempfile::tempfile_in(folder)?;
    let block = [7; APPEND_BYTES];
    let mut taken = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let begun = Instant::now();
        append(&mut file, &block)?;
        taken.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(quantile(&mut taken, 0.5))
}

fn append(file: &mut File, block: &[u8]) -> std::io::Result<()> {
    file.write_all(block)?;
    file.sync_data()
}

/// The median time of one database commit of one small row, in milliseconds.
///
/// # Errors
/// When the database does not answer.
pub async fn commit_ms(folder: &Path, database_url: Option<&str>) -> anyhow::Result<f64> {
    match database_url {
        Some(url) if url.starts_with("postgres") => {
            let mut database = PgConnection::connect(url).await?;
            commits(&mut database).await
        }
        _ => {
            let scratch = tempfile::tempdir_in(folder)?;
            let mut database = SqliteConnectOptions::new()
                .filename(scratch.path().join("probe.db"))
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .connect()
                .await?;
            commits(&mut database).await
        }
    }
}

async fn commits<C: Connection>(database: &mut C) -> anyhow::Result<f64>
where
    for<'c> &'c mut C: Executor<'c>,
{
    (&mut *database)
        .execute("create table commit_probe (text text)")
        .await?;
    let mut taken = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let begun = Instant::now();
        (&mut *database)
            .execute("insert into commit_probe values ('a row like many')")
            .await?;
        taken.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    (&mut *database).execute("drop table commit_probe").await?;
    Ok(quantile(&mut taken, 0.5))
}
