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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Take it: nobody is in it, or its lease ran out, or it is the candidate's own from a session
    /// that it lost.
    Free,
    /// Renew its lease.
    Held,
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
            let standing = match &found {
                None => Standing::Free,
                Some(found) => stand(found, session.owner(), candidate, until, asked),
            };
            if standing == Standing::Taken {
                return Ok(None);
            }
            // Before it is known to be ours: without an answer it may be.
            self.run(&mut lease, asked + duration);
            let term = match found {
                Some(found) if standing == Standing::Held => renew(&session, found).await?,
                found => take(&session, candidate, found.as_ref()).await?,
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

/// What `candidate` can do at `now` about the office that was `found`, in the session `own`, whose
/// lease runs `until` then.
fn stand(
    found: &Found,
    own: i64,
    candidate: Uuid,
    until: Option<Instant>,
    now: Instant,
) -> Standing {
    let same_session = found.owner == own;
    let same_candidate = found.holder.candidate == candidate;
    let runs = until.is_some_and(|until| now < until);
    match (same_session, same_candidate) {
        (true, true) if runs => Standing::Held,
        (true, false) if runs => Standing::Taken,
        (true, _) | (false, true) => Standing::Free,
        (false, false) => Standing::Taken,
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

/// Makes the office's node with the next term, in the place of the one that was `found`. None when
/// another one was quicker.
async fn take(
    session: &Session,
    candidate: Uuid,
    found: Option<&Found>,
) -> Result<Option<Term>, CoordinatorError> {
    const DOING: &str = "taking the office";
    let refused = |error| failed(DOING, &error);
    let (last, node_version) = last_term(session).await?;
    if found.is_some_and(|found| found.holder.term != last) {
        return Ok(None);
    }
    let holder = Holder {
        candidate,
        term: last + 1,
    };
    let mut writer = session.client.new_multi_writer();
    // Whoever takes the office moves the term's version: what was found is what is removed.
    let term = holder.term.to_string();
    let added = writer.add_set_data(CONTROLLER, term.as_bytes(), Some(node_version));
    added.map_err(refused)?;
    if found.is_some() {
        writer.add_delete(OFFICE, None).map_err(refused)?;
    }
    let added = writer.add_create(OFFICE, &encode(&holder)?, &session.ephemeral());
    added.map_err(refused)?;
    match writer.commit().await {
        Ok(_) => Ok(Some(Term {
            number: holder.term,
        })),
        Err(MultiWriteError::OperationFailed {
            source: Error::NodeExists | Error::BadVersion | Error::NoNode,
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
async fn renew(session: &Session, found: Found) -> Result<Option<Term>, CoordinatorError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: i64 = 1;
    const CANDIDATE: Uuid = Uuid::from_u128(1);

    fn standing(owner: i64, holder: u128, lease_ms: Option<u64>) -> Standing {
        let begun = Instant::now();
        let found = Found {
            holder: Holder {
                candidate: Uuid::from_u128(holder),
                term: 5,
            },
            owner,
            node_version: 0,
        };
        let until = lease_ms.map(|millis| begun + Duration::from_millis(millis));
        stand(
            &found,
            OWN,
            CANDIDATE,
            until,
            begun + Duration::from_millis(100),
        )
    }

    // If this fails, a candidate takes the office from one who holds it, or waits for itself.
    #[test]
    fn an_office_is_left_to_others_and_taken_from_oneself() {
        assert_eq!(standing(OWN, 1, Some(101)), Standing::Held);
        assert_eq!(
            standing(OWN, 1, Some(100)),
            Standing::Free,
            "its lease ran out"
        );
        assert_eq!(
            standing(OWN, 1, None),
            Standing::Free,
            "nobody knows of a lease"
        );
        assert_eq!(standing(OWN, 2, Some(101)), Standing::Taken);
        assert_eq!(standing(OWN, 2, Some(100)), Standing::Free);
        // In another session: ours before this one, or somebody else's. Our clock says nothing.
        for lease_ms in [None, Some(100), Some(101)] {
            assert_eq!(standing(2, 1, lease_ms), Standing::Free);
            assert_eq!(standing(2, 2, lease_ms), Standing::Taken);
        }
    }

    // If this fails, ZooKeeper gives the office away while its holder believes itself in it.
    #[test]
    fn a_session_outlives_a_lease_by_half_a_tick_at_least() {
        for seconds in [1, 3, 30] {
            let lease = Duration::from_secs(seconds);
            let silence = silence_for(lease);
            // No session is shorter than two ticks, so the longest tick is half of this one.
            let half_a_tick = silence / 4;
            let rounding = Duration::from_millis(1);
            assert!(lease + half_a_tick <= silence + rounding, "{lease:?}");
        }
        assert_eq!(silence_for(Duration::from_secs(3)), Duration::from_secs(4));
    }
}
