//! The office of the controller: an ephemeral node, beside a term that outlives it.
//!
//! ZooKeeper removes the node when it has not heard of the holder's session for long enough; that
//! is for ZooKeeper's clock to judge. A session lives longer than a lease, and every renewal is a
//! write that the leader accepts only of a live session: so whoever counts its lease from before
//! it asked never believes itself in office when another one can be. The holder's own clock only
//! ever makes it give the office back early.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{sleep, sleep_until, timeout};
use uuid::Uuid;
use zookeeper_client::{Error, MultiWriteError};

use super::error::{failed, multi_failed};
use super::session::{Session, Sessions, read};
use super::{CONTROLLER, OFFICE, silence_for};
use crate::coordinator::{CoordinatorError, Term};

/// Between looking at the office and taking it others may be quicker. Whoever loses so often
/// leaves it to them.
const TRIES_MAX: usize = 4;

/// How long to wait before giving the office back is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// What the office's node says of its holder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    candidate: Uuid,
    term: u64,
}

/// The office as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    holder: Holder,
    /// The session that it goes with.
    owner: i64,
    node_version: i32,
}

/// What a candidate can do about an office.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// Take it.
    Vacant,
    /// Renew the lease of this term.
    Held { found: Found },
    /// Give it back first: it is this session's, and its lease ran out.
    Lapsed,
    /// Nothing.
    Taken,
}

/// The lease of what this session has taken, or may have taken.
struct Lease {
    until: Instant,
    watch: JoinHandle<()>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

/// The election, as one process takes part in it.
pub(super) struct Election {
    sessions: Arc<Sessions>,
    call_time_max: Duration,
    lease: Mutex<Option<Lease>>,
}

impl Election {
    pub(super) fn new(sessions: Arc<Sessions>, call_time_max: Duration) -> Self {
        Election {
            sessions,
            call_time_max,
            lease: Mutex::new(None),
        }
    }

    /// Takes the office or keeps it; none while another one holds it.
    pub(super) async fn campaign(
        self: &Arc<Self>,
        candidate: Uuid,
        duration: Duration,
    ) -> Result<Option<Term>, CoordinatorError> {
        let mut lease = self.lease.lock().await;
        let session = self.sessions.connected().await?;
        check_silence(&session, duration)?;
        let asked = Instant::now();
        for _ in 0..TRIES_MAX {
            let found = look(&session).await?;
            let until = lease.as_ref().map(|lease| lease.until);
            let term = match stand(found, session.owner(), candidate, until, asked) {
                Standing::Taken => return Ok(None),
                Standing::Lapsed => {
                    give_back(&session).await?;
                    *lease = None;
                    None
                }
                Standing::Held { found } => {
                    self.run(&mut lease, asked + duration);
                    renew(&session, &found).await?
                }
                Standing::Vacant => {
                    // Before it is known to be taken: without an answer it may be.
                    *lease = None;
                    self.run(&mut lease, asked + duration);
                    take(&session, candidate).await?
                }
            };
            if term.is_some() {
                return Ok(term);
            }
        }
        Ok(None)
    }

    /// Gives the office back, if it is this candidate's.
    pub(super) async fn resign(&self, candidate: Uuid) -> Result<(), CoordinatorError> {
        let mut lease = self.lease.lock().await;
        let session = self.sessions.connected().await?;
        let found = look(&session).await?;
        let own =
            |found: Found| found.owner == session.owner() && found.holder.candidate == candidate;
        if found.is_some_and(own) {
            give_back(&session).await?;
            *lease = None;
        }
        Ok(())
    }

    /// Lets the lease run until then, and somebody watch its end.
    fn run(self: &Arc<Self>, lease: &mut Option<Lease>, until: Instant) {
        match lease {
            Some(lease) => lease.until = until,
            None => {
                let watch = tokio::spawn(watch(Arc::downgrade(self), until));
                *lease = Some(Lease { until, watch });
            }
        }
    }

    /// Gives the office back when the lease is over. Otherwise says when to look again.
    async fn end_lease(&self) -> Result<Option<Instant>, CoordinatorError> {
        let mut lease = self.lease.lock().await;
        let Some(until) = lease.as_ref().map(|lease| lease.until) else {
            return Ok(None);
        };
        if Instant::now() < until {
            return Ok(Some(until));
        }
        let giving_back = async {
            let session = self.sessions.connected().await?;
            match look(&session).await? {
                Some(found) if found.owner == session.owner() => give_back(&session).await,
                _ => Ok(()),
            }
        };
        let given_back = timeout(self.call_time_max, giving_back).await;
        let late = |_| CoordinatorError::Unavailable("no answer in time".to_owned());
        given_back.map_err(late)??;
        tracing::info!("the lease of the office ran out; it is given back");
        *lease = None;
        Ok(None)
    }
}

async fn watch(election: std::sync::Weak<Election>, first: Instant) {
    let mut until = first;
    loop {
        sleep_until(until.into()).await;
        let Some(election) = election.upgrade() else {
            return;
        };
        match election.end_lease().await {
            Ok(Some(later)) => until = later,
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(%error, "the office is not given back yet");
                sleep(RETRY_AFTER).await;
            }
        }
    }
}

/// What `candidate` can do about the office at `now`, in the session `own`, whose lease runs
/// `until` then.
fn stand(
    found: Option<Found>,
    own: i64,
    candidate: Uuid,
    until: Option<Instant>,
    now: Instant,
) -> Standing {
    match found {
        None => Standing::Vacant,
        Some(found) if found.owner != own => Standing::Taken,
        Some(_) if until.is_none_or(|until| until <= now) => Standing::Lapsed,
        Some(found) if found.holder.candidate == candidate => Standing::Held { found },
        Some(_) => Standing::Taken,
    }
}

/// A session must not end before a lease that began with its last sign of life.
fn check_silence(session: &Session, lease: Duration) -> Result<(), CoordinatorError> {
    let (granted, needed) = (session.client.session_timeout(), silence_for(lease));
    if granted >= needed {
        return Ok(());
    }
    Err(CoordinatorError::Failed(format!(
        "a lease of {lease:?} needs a session of {needed:?}, and ZooKeeper grants {granted:?}"
    )))
}

async fn look(session: &Session) -> Result<Option<Found>, CoordinatorError> {
    let found = read(session, OFFICE).await;
    let Some((data, stat)) = found.map_err(|error| failed("reading the office", &error))? else {
        return Ok(None);
    };
    let holder = serde_json::from_slice(&data)
        .map_err(|error| CoordinatorError::Failed(format!("{OFFICE} cannot be read: {error}")))?;
    Ok(Some(Found {
        holder,
        owner: stat.ephemeral_owner,
        node_version: stat.version,
    }))
}

/// Makes the office's node with the next term. None when another one was quicker.
async fn take(session: &Session, candidate: Uuid) -> Result<Option<Term>, CoordinatorError> {
    const DOING: &str = "taking the office";
    let refused = |error| failed(DOING, &error);
    let (last, node_version) = last_term(session).await?;
    let holder = Holder {
        candidate,
        term: last + 1,
    };
    let mut writer = session.client.new_multi_writer();
    let term = holder.term.to_string();
    let added = writer.add_set_data(CONTROLLER, term.as_bytes(), Some(node_version));
    added.map_err(refused)?;
    let added = writer.add_create(OFFICE, &encode(&holder)?, &session.ephemeral());
    added.map_err(refused)?;
    match writer.commit().await {
        Ok(_) => Ok(Some(Term {
            number: holder.term,
        })),
        Err(MultiWriteError::OperationFailed {
            source: Error::NodeExists | Error::BadVersion,
            ..
        }) => Ok(None),
        Err(error) => Err(multi_failed(DOING, error)),
    }
}

async fn last_term(session: &Session) -> Result<(u64, i32), CoordinatorError> {
    let found = read(session, CONTROLLER).await;
    let found = found.map_err(|error| failed("reading the last term", &error))?;
    let lost = || CoordinatorError::Failed(format!("{CONTROLLER} holds no term"));
    let (data, stat) = found.ok_or_else(lost)?;
    let term = std::str::from_utf8(&data)
        .ok()
        .and_then(|text| text.parse().ok());
    Ok((term.ok_or_else(lost)?, stat.version))
}

/// Writes the office's node again: only a live session can. None when it is not there any more.
async fn renew(session: &Session, found: &Found) -> Result<Option<Term>, CoordinatorError> {
    let data = encode(&found.holder)?;
    let written = session
        .client
        .set_data(OFFICE, &data, Some(found.node_version));
    match written.await {
        Ok(_) => Ok(Some(Term {
            number: found.holder.term,
        })),
        Err(Error::NoNode | Error::BadVersion) => Ok(None),
        Err(error) => Err(failed("keeping the office", &error)),
    }
}

/// Removes the office's node, which must be this session's.
async fn give_back(session: &Session) -> Result<(), CoordinatorError> {
    match session.client.delete(OFFICE, None).await {
        Ok(()) | Err(Error::NoNode) => Ok(()),
        Err(error) => Err(failed("giving the office back", &error)),
    }
}

fn encode(holder: &Holder) -> Result<Vec<u8>, CoordinatorError> {
    serde_json::to_vec(holder)
        .map_err(|error| CoordinatorError::Failed(format!("{holder:?}: {error}")))
}
