//! The one connection that writes.

use std::fs::File;

use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};

use crate::catalog::error::QueryError;

/// The connection that writes, and the lock that makes it the only one.
pub(crate) struct Writer {
    open: Mutex<Option<Open>>,
}

struct Open {
    connection: SqliteConnection,
    /// Held until the connection is closed; the system gives the lock back with the file.
    _lock: File,
}

impl Writer {
    pub(super) fn new(connection: SqliteConnection, lock: File) -> Self {
        Writer {
            open: Mutex::new(Some(Open {
                connection,
                _lock: lock,
            })),
        }
    }

    /// Waits until nobody else writes.
    pub(crate) async fn hold(&self) -> Result<MappedMutexGuard<'_, SqliteConnection>, QueryError> {
        MutexGuard::try_map(self.open.lock().await, |open| {
            open.as_mut().map(|open| &mut open.connection)
        })
        .map_err(|_| QueryError::Unavailable("the database is closed".to_owned()))
    }

    /// Closes the connection, then gives up the lock.
    pub(super) async fn close(&self) {
        if let Some(open) = self.open.lock().await.take()
            && let Err(error) = open.connection.close().await
        {
            tracing::warn!(%error, "closing the catalog");
        }
    }
}

/// The primary result codes of SQLite that mean something to a caller.
mod code {
    pub(super) const BUSY: i64 = 5;
    pub(super) const LOCKED: i64 = 6;
    pub(super) const READONLY: i64 = 8;
    pub(super) const IOERR: i64 = 10;
    pub(super) const FULL: i64 = 13;
    pub(super) const CANTOPEN: i64 = 14;
    pub(super) const TOOBIG: i64 = 18;
    pub(super) const CONSTRAINT: i64 = 19;
    pub(super) const MISMATCH: i64 = 20;
}

/// Names what an error means for the caller.
pub(crate) fn name(error: &sqlx::Error) -> QueryError {
    let detail = error.to_string();
    match error {
        sqlx::Error::Database(database) => {
            // The low byte is the primary code, the rest says more than is needed here.
            let extended = database.code().and_then(|code| code.parse::<i64>().ok());
            match extended.map(|code| code & 0xff) {
                Some(code::CONSTRAINT | code::TOOBIG | code::MISMATCH) => {
                    QueryError::Refused(detail)
                }
                Some(
                    code::BUSY
                    | code::LOCKED
                    | code::READONLY
                    | code::IOERR
                    | code::FULL
                    | code::CANTOPEN,
                ) => QueryError::Unavailable(detail),
                _ => QueryError::Failed(detail),
            }
        }
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => QueryError::Unavailable(detail),
        _ => QueryError::Failed(detail),
    }
}
