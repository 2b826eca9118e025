//! One session with ZooKeeper, renewed in the background whenever it ends.
//!
//! It makes what every call needs before anybody gets the session. It must not know what a shard
//! record or an office is.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use uuid::Uuid;
use zookeeper_client::{Acls, Client, CreateMode, CreateOptions, Error, SessionState, Stat};

use super::address::ZooKeeperAddress;
use super::error::{ZooKeeperError, is_answer};
use super::{CLUSTER, CONTROLLER, SHARDS};
use crate::coordinator::CoordinatorError;

/// How long opening may take, until something is there that can be used.
const OPEN_TIME_MAX: Duration = Duration::from_secs(10);

/// How long opening tries again: a busy server may have let one short handshake run out, and one
/// that was started with us may need a moment.
const OPEN_TRY_TIME: Duration = Duration::from_secs(2);

/// How long after the loss of a connection a call still waits for the next one. Longer waits help
/// nobody: callers ask again.
const GRACE: Duration = Duration::from_millis(250);

/// How long to wait before the next try to get a session.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// Whom to ask for what kind of session.
#[derive(Clone)]
pub(super) struct Terms {
    pub(super) address: ZooKeeperAddress,
    /// How long a session may be silent.
    pub(super) silence: Duration,
    /// Whose records are kept there.
    pub(super) cluster: Uuid,
}

/// A session that is connected, or was a moment ago.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) client: Client,
    /// Another one after each loss of the connection.
    pub(super) connection: u64,
    acls: Acls<'static>,
}

/// What there is at a moment.
#[derive(Clone)]
enum Present {
    Connected(Session),
    Lost { since: Instant },
}

/// The present session.
pub(super) struct Sessions {
    present: watch::Receiver<Present>,
    keeper: JoinHandle<()>,
}

impl Session {
    /// Who owns the ephemeral nodes of this session.
    pub(super) fn owner(&self) -> i64 {
        self.client.session_id().0
    }

    pub(super) fn persistent(&self) -> CreateOptions<'static> {
        CreateMode::Persistent.with_acls(self.acls)
    }

    pub(super) fn ephemeral(&self) -> CreateOptions<'static> {
        CreateMode::Ephemeral.with_acls(self.acls)
    }
}

impl Sessions {
    /// Gets a first session, and keeps one from then on.
    ///
    /// # Errors
    /// When no server answers, or none of them lets us do what is needed.
    pub(super) async fn open(terms: Terms) -> Result<Self, ZooKeeperError> {
        let begun = timeout(OPEN_TIME_MAX, begin_soon(&terms)).await;
        let first = begun.unwrap_or_else(|_| {
            Err(ZooKeeperError::Unreachable {
                place: terms.address.to_string(),
                detail: format!("no answer within {OPEN_TIME_MAX:?}"),
            })
        })?;
        let (publish, present) = watch::channel(lost());
        let keeper = tokio::spawn(keep(terms, first, publish));
        Ok(Sessions { present, keeper })
    }

    /// The session, if it is connected or is so soon.
    pub(super) async fn connected(&self) -> Result<Session, CoordinatorError> {
        let away = || CoordinatorError::Unavailable("there is no connection".to_owned());
        let mut present = self.present.clone();
        loop {
            let until = match &*present.borrow_and_update() {
                Present::Connected(session) => return Ok(session.clone()),
                Present::Lost { since } => *since + GRACE,
            };
            let changed = timeout_at(until, present.changed()).await;
            changed.map_err(|_| away())?.map_err(|_| away())?;
        }
    }
}

impl Drop for Sessions {
    fn drop(&mut self) {
        // With the last client the session is closed, and what is ephemeral goes with it.
        self.keeper.abort();
    }
}

fn lost() -> Present {
    Present::Lost {
        since: Instant::now(),
    }
}

async fn keep(terms: Terms, first: Client, publish: watch::Sender<Present>) {
    let mut client = first;
    let mut connection = 0;
    loop {
        let mut states = client.state_watcher();
        let mut state = states.peek_state();
        while !state.is_terminated() {
            if state == SessionState::SyncConnected {
                connection += 1;
                publish.send_replace(Present::Connected(Session {
                    client: client.clone(),
                    connection,
                    acls: acls(&terms),
                }));
            } else {
                publish.send_replace(lost());
                tracing::warn!(place = %terms.address, "the connection to ZooKeeper is lost");
            }
            state = states.changed().await;
        }
        publish.send_replace(lost());
        tracing::warn!(place = %terms.address, %state, "the session with ZooKeeper ended");
        client = begin_again(&terms).await;
        tracing::info!(place = %terms.address, "there is a new session with ZooKeeper");
    }
}

async fn begin_soon(terms: &Terms) -> Result<Client, ZooKeeperError> {
    let until = Instant::now() + OPEN_TRY_TIME;
    loop {
        match begin(terms).await {
            Err(ZooKeeperError::Unreachable { .. }) if Instant::now() < until => {
                sleep(RETRY_AFTER).await;
            }
            outcome => return outcome,
        }
    }
}

async fn begin_again(terms: &Terms) -> Client {
    let mut told = false;
    loop {
        match begin(terms).await {
            Ok(client) => return client,
            Err(error) if !told => tracing::error!(%error, "no session with ZooKeeper"),
            Err(_) => {}
        }
        told = true;
        sleep(RETRY_AFTER).await;
    }
}

/// Gets a session in which every node that calls rely on is there.
async fn begin(terms: &Terms) -> Result<Client, ZooKeeperError> {
    let failed = |error| failed(terms, &error);
    let mut connector = Client::connector()
        .with_session_timeout(terms.silence)
        .with_fail_eagerly();
    if let Some(login) = terms.address.login() {
        connector = connector.with_auth("digest", login.as_bytes());
    }
    let client = connector.connect(terms.address.servers()).await;
    let client = client.map_err(failed)?;
    let (place, granted) = (terms.address.to_string(), client.session_timeout());
    if granted < terms.silence {
        return Err(ZooKeeperError::ShortSession {
            place,
            granted,
            needed: terms.silence,
        });
    }
    let options = CreateMode::Persistent.with_acls(acls(terms));
    let made = client.mkdir(terms.address.path(), &options).await;
    made.map_err(failed)?;
    let client = client.chroot(terms.address.path()).map_err(|_| {
        let detail = "ZooKeeper refuses this path".to_owned();
        ZooKeeperError::Refused { place, detail }
    })?;
    check_cluster(terms, &client, &options).await?;
    for (path, data) in [(SHARDS, &b""[..]), (CONTROLLER, b"0")] {
        match client.create(path, data, &options).await {
            Ok(_) | Err(Error::NodeExists) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(client)
}

/// One path serves one cluster: two would take each other's shards for their own.
async fn check_cluster(
    terms: &Terms,
    client: &Client,
    options: &CreateOptions<'_>,
) -> Result<(), ZooKeeperError> {
    let failed = |error| failed(terms, &error);
    let ours = terms.cluster.to_string();
    match client.create(CLUSTER, ours.as_bytes(), options).await {
        Ok(_) => return Ok(()),
        Err(Error::NodeExists) => {}
        Err(error) => return Err(failed(error)),
    }
    let synced = client.sync(CLUSTER);
    let read = client.get_data(CLUSTER);
    synced.await.map_err(failed)?;
    let (its, _) = read.await.map_err(failed)?;
    if its == ours.as_bytes() {
        return Ok(());
    }
    Err(ZooKeeperError::Foreign {
        place: terms.address.to_string(),
        its: String::from_utf8_lossy(&its).into_owned(),
        ours: terms.cluster,
    })
}

/// With a password only those who know it may do anything; without one, everybody.
fn acls(terms: &Terms) -> Acls<'static> {
    match terms.address.login() {
        Some(_) => Acls::creator_all(),
        None => Acls::anyone_all(),
    }
}

fn failed(terms: &Terms, error: &Error) -> ZooKeeperError {
    let place = terms.address.to_string();
    let detail = match error {
        Error::NoHosts => "no server takes a session".to_owned(),
        other => other.to_string(),
    };
    if is_answer(error) {
        ZooKeeperError::Refused { place, detail }
    } else {
        ZooKeeperError::Unreachable { place, detail }
    }
}

/// Reads a node as the leader knows it; none if it is not there. A server that is behind the
/// leader catches up first.
pub(super) async fn read(session: &Session, path: &str) -> Result<Option<(Vec<u8>, Stat)>, Error> {
    let synced = session.client.sync(path);
    // Sent before the first one is answered: they are carried out in this order.
    let read = session.client.get_data(path);
    synced.await?;
    match read.await {
        Ok(found) => Ok(Some(found)),
        Err(Error::NoNode) => Ok(None),
        Err(error) => Err(error),
    }
}
