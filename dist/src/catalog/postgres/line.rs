//! One connection that is opened when needed, and thrown away when its state is unknown.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, error::DatabaseError};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;

use crate::catalog::error::QueryError;

/// How long opening a connection may take: a database that needs longer counts as away.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);

/// How long a question may take: a client waits for the answer.
const QUESTION_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a transaction of a listing may take, which bounds its operations or its rows: some tenths of a
/// second on a database that is well. Nodes wait for an answer so long, too.
pub(super) const LISTING_TIME_MAX: Duration = Duration::from_secs(10);

/// A connection for one user at a time.
///
/// Beside a pool, because a pool goes on trying to connect until its time is over, and listing
/// must know at once that the database is away.
pub(crate) struct Line {
    options: PgConnectOptions,
    slot: Mutex<Option<PgConnection>>,
}

/// The connection while it is in use. Dropped without [`Held::settle`], it is closed.
pub(crate) struct Held<'a> {
    slot: MutexGuard<'a, Option<PgConnection>>,
    connection: PgConnection,
}

impl Line {
    pub(crate) fn new(options: PgConnectOptions) -> Self {
        Line {
            options,
            slot: Mutex::new(None),
        }
    }

    /// Whether there is a connection that was used before.
    pub(super) async fn is_open(&self) -> bool {
        self.slot.lock().await.is_some()
    }

    /// Waits for the connection, and opens it if there is none.
    pub(crate) async fn hold(&self) -> Result<Held<'_>, QueryError> {
        let mut slot = self.slot.lock().await;
        let connection = match slot.take() {
            Some(connection) => connection,
            None => connect(&self.options).await?,
        };
        Ok(Held { slot, connection })
    }
}

impl Held<'_> {
    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// Ends the use: keeps the connection if its state is known, and names the error.
    pub(crate) fn settle<T>(
        mut self,
        outcome: Result<Result<T, sqlx::Error>, tokio::time::error::Elapsed>,
    ) -> Result<T, QueryError> {
        let outcome = outcome.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut));
        if outcome.as_ref().err().is_none_or(leaves_connection_usable) {
            *self.slot = Some(self.connection);
        }
        outcome.map_err(|error| name(&error))
    }
}

/// Runs statements for at most so long.
pub(crate) async fn within<T>(
    time_max: Duration,
    statement: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<Result<T, sqlx::Error>, tokio::time::error::Elapsed> {
    timeout(time_max, statement).await
}

/// Runs a question for at most [`QUESTION_TIME_MAX`].
pub(crate) async fn in_time<T>(
    question: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<Result<T, sqlx::Error>, tokio::time::error::Elapsed> {
    within(QUESTION_TIME_MAX, question).await
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection, QueryError> {
    match timeout(CONNECT_TIME_MAX, options.connect()).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(QueryError::Unavailable(error.to_string())),
        Err(_) => Err(QueryError::Unavailable(
            "connecting takes too long".to_owned(),
        )),
    }
}

/// Only an error that the server itself reported, and that did not end the session, leaves it in
/// a known state.
fn leaves_connection_usable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => !ends_session(error.as_ref()),
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::RowNotFound => true,
        _ => false,
    }
}

/// Class 57 is an operator's intervention (shutdown), 53 is too few resources, 08 the connection.
fn ends_session(error: &dyn DatabaseError) -> bool {
    error.code().is_none_or(|code| {
        ["57", "53", "08"]
            .iter()
            .any(|class| code.starts_with(class))
    })
}

/// Class 22 is a data exception, 23 a constraint, 54 a program limit (such as an index row's size).
fn refuses_value(error: &dyn DatabaseError) -> bool {
    error.code().is_some_and(|code| {
        ["22", "23", "54"]
            .iter()
            .any(|class| code.starts_with(class))
    })
}

/// 57014: the server ended the statement, as its time was over or somebody asked it to. Which it was, only its
/// words tell, in the language that the server speaks.
pub(super) fn is_ended(error: &sqlx::Error) -> bool {
    let database = error.as_database_error();
    database.is_some_and(|database| database.code().is_some_and(|code| code == "57014"))
}

/// 40001 and 40P01: the server ended the transaction so that others can go on; again is fine.
/// 25006: a standby, which takes no writes until it is promoted.
fn passes(error: &dyn DatabaseError) -> bool {
    error
        .code()
        .is_some_and(|code| ["40001", "40P01", "25006"].contains(&code.as_ref()))
}

/// Names what an error means for the caller.
pub(crate) fn name(error: &sqlx::Error) -> QueryError {
    match error {
        sqlx::Error::Database(database) if refuses_value(database.as_ref()) => {
            QueryError::Refused(error.to_string())
        }
        sqlx::Error::Database(database)
            if ends_session(database.as_ref()) || passes(database.as_ref()) =>
        {
            QueryError::Unavailable(error.to_string())
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Protocol(_) => QueryError::Unavailable(error.to_string()),
        _ => QueryError::Failed(error.to_string()),
    }
}
