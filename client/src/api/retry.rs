//! When to ask again, where, and how long to wait: decisions without I/O, and the waiting itself.
//!
//! Three bounds keep a struggling cluster from being hammered: each wait is random and doubles,
//! each call has a patience, and all calls of a process share a budget of retries that only
//! successes refill.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rand::Rng;
use tokio::time::Instant;
use wire::Code;
use wire::error::Retry;

use super::error::RequestError;

/// How long a call goes on while a retry can help: longer than a node's restart or a leader change.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How long a call goes on while nobody answers at all: a wrong address should fail soon.
pub const UNREACHABLE_PATIENCE: Duration = Duration::from_secs(3);

const WAIT_FIRST: Duration = Duration::from_millis(50);
const WAIT_MAX: Duration = Duration::from_secs(2);

/// The first wait for another leader: a planned handover takes some tens of milliseconds.
const LEADER_WAIT_FIRST: Duration = Duration::from_millis(10);

/// The longest wait for another leader: one is there a session after its predecessor died, and a
/// request that comes much later makes users wait for nothing. To ask costs little.
const LEADER_WAIT_MAX: Duration = Duration::from_millis(300);

const RETRY_AFTER_MAX: Duration = Duration::from_secs(10);

/// Retries that a process may have outstanding, and what a success gives back, in tenths. A change
/// of leaders takes a dozen of every call that waits for it.
const BUDGET_MAX: u32 = 10_000;
const RETRY_COST: u32 = 10;
const SUCCESS_REFUND: u32 = 1;

/// What can make a failed request succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// The same request, later, at the same place.
    Same,
    /// The same request at the shard's leader.
    Leader,
    /// An upload: a new id at another node. A read: another copy.
    AnotherPlace,
    /// Nothing, until the request is changed.
    GiveUp,
}

/// What can make a request succeed that failed with `code`, by what the code itself says.
pub fn remedy(code: Code) -> Remedy {
    match (code.retry(), code) {
        (Retry::Never, _) => Remedy::GiveUp,
        (Retry::Later, _) => Remedy::Same,
        (Retry::Elsewhere, Code::WrongNode) => Remedy::Leader,
        (Retry::Elsewhere, _) => Remedy::AnotherPlace,
    }
}

/// The wait before retry number `made` (from 0), between half and all of its doubling step, which
/// begins with `first` and grows up to `longest`; `random` is between 0 and 1.
fn wait(made: u32, random: f64, (first, longest): (Duration, Duration)) -> Duration {
    let step = first.saturating_mul(1 << made.min(16)).min(longest);
    step.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
}

/// The retries that one process may still make; every success gives a little back.
#[derive(Debug)]
pub struct Budget(AtomicU32);

impl Default for Budget {
    fn default() -> Self {
        Budget(AtomicU32::new(BUDGET_MAX))
    }
}

impl Budget {
    /// Takes one retry; false when none is left.
    pub fn take(&self) -> bool {
        let take = |left: u32| left.checked_sub(RETRY_COST);
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
    }

    /// A call succeeded: gives a tenth of a retry back.
    pub fn refund(&self) {
        let refund = |left: u32| Some((left + SUCCESS_REFUND).min(BUDGET_MAX));
        let _before = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, refund);
    }
}

/// The attempts of one call.
#[derive(Debug)]
pub struct Attempts<'a> {
    budget: &'a Budget,
    patience: Duration,
    since: Instant,
    made: u32,
    answered: bool,
    furthest: u64,
    /// Where other nodes led than those that were waited for.
    left: Vec<String>,
}

impl<'a> Attempts<'a> {
    /// A call begins.
    pub fn new(budget: &'a Budget, patience: Duration) -> Self {
        Attempts {
            budget,
            patience,
            since: Instant::now(),
            made: 0,
            answered: false,
            furthest: 0,
            left: Vec::new(),
        }
    }

    /// The cluster has answered before this call: a node that nobody reaches is worth waiting for.
    #[must_use]
    pub fn reached(mut self) -> Self {
        self.answered = true;
        self
    }

    /// An attempt transferred so many bytes before it failed. When that is further than any before
    /// it came, patience and waits begin anew: a long transfer may break late, and as often as it
    /// comes further.
    pub fn came_to(&mut self, bytes: u64) {
        if bytes > self.furthest {
            self.furthest = bytes;
            self.begin_anew();
        }
    }

    /// An attempt at `url` was ended because another node leads by now, and nothing is known against that
    /// one: patience and waits begin anew.
    pub fn leave(&mut self, url: &str) {
        self.left.push(url.to_owned());
        self.begin_anew();
    }

    /// Whether an attempt at `url` was ended so. Whoever is sent there again waits for its answer: who
    /// sends there may know more than the distributor that named another one.
    pub fn has_left(&self, url: &str) -> bool {
        self.left.iter().any(|left| left == url)
    }

    fn begin_anew(&mut self) {
        self.since = Instant::now();
        self.made = 0;
        self.answered = true;
    }

    /// Waits for the next attempt's time; false, at once, when there should be none.
    pub async fn again(&mut self, error: &RequestError) -> bool {
        self.answered |= !matches!(error, RequestError::Unreachable { .. });
        let patience = if self.answered {
            self.patience
        } else {
            self.patience.min(UNREACHABLE_PATIENCE)
        };
        let wait = self.wait(error, rand::rng().random());
        if self.since.elapsed() + wait > patience || !self.budget.take() {
            return false;
        }
        self.made += 1;
        tokio::time::sleep(wait).await;
        true
    }

    fn wait(&self, error: &RequestError, random: f64) -> Duration {
        // Whoever names the leader knows one.
        if error.leader().is_some() && self.made == 0 {
            return Duration::ZERO;
        }
        // A service asks for whole seconds; of a change of leaders more is known.
        if error.is_of_leaders() {
            return wait(self.made, random, (LEADER_WAIT_FIRST, LEADER_WAIT_MAX));
        }
        match error.retry_after() {
            Some(demanded) => demanded.min(RETRY_AFTER_MAX),
            None => wait(self.made, random, (WAIT_FIRST, WAIT_MAX)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, the client gives up on what would have worked, or repeats what cannot work.
    #[test]
    fn a_code_says_where_the_request_can_succeed() {
        for (code, expected) in [
            (Code::NotFound, Remedy::GiveUp),
            (Code::Conflict, Remedy::GiveUp),
            (Code::NoLeader, Remedy::Same),
            (Code::InProgress, Remedy::Same),
            (Code::WrongNode, Remedy::Leader),
            (Code::StorageFull, Remedy::AnotherPlace),
            (Code::Damaged, Remedy::AnotherPlace),
        ] {
            assert_eq!(remedy(code), expected, "{code:?}");
        }
        let leader = Code::ALL.map(remedy).into_iter();
        assert_eq!(leader.filter(|one| *one == Remedy::Leader).count(), 1);
    }

    // If this fails, a struggling cluster is hammered, or a user waits for minutes.
    #[test]
    fn waits_double_are_random_and_end() {
        let wait = |made, random| wait(made, random, (WAIT_FIRST, WAIT_MAX));
        assert_eq!(wait(0, 0.0), Duration::from_millis(25));
        assert_eq!(wait(0, 1.0), Duration::from_millis(50));
        assert_eq!(wait(3, 1.0), Duration::from_millis(400));
        assert_eq!(wait(u32::MAX, 1.0), WAIT_MAX);
        assert!(wait(5, 0.3) < wait(5, 0.9));
    }

    // If this fails, retries of many uploads multiply the load of a failing cluster.
    #[test]
    fn the_budget_ends_and_only_successes_refill_it() {
        let budget = Budget::default();
        let taken = (0..10_000).filter(|_| budget.take()).count();
        assert_eq!(taken, 1_000);
        for _ in 0..9 {
            budget.refund();
        }
        assert!(!budget.take());
        budget.refund();
        assert!(budget.take() && !budget.take());
    }

    fn refused(code: Code, retry_after: Option<Duration>) -> RequestError {
        let body = Box::new(wire::ErrorBody::new(code, "m", "r"));
        RequestError::Refused {
            url: String::new(),
            body,
            retry_after,
        }
    }

    // If this fails, a call never ends while the cluster is busy.
    #[tokio::test(start_paused = true)]
    async fn patience_ends_and_only_a_step_further_renews_it() {
        let budget = Budget::default();
        let error = refused(Code::NoLeader, None);
        let mut attempts = Attempts::new(&budget, Duration::from_secs(10));
        let begun = Instant::now();
        while attempts.again(&error).await {}
        let spent = begun.elapsed();
        assert!(
            spent > Duration::from_secs(7) && spent <= Duration::from_secs(10),
            "{spent:?}"
        );
        for (bytes, again) in [(0, false), (1, true), (1, false), (2, true)] {
            tokio::time::sleep(Duration::from_secs(10)).await;
            attempts.came_to(bytes);
            assert_eq!(attempts.again(&error).await, again, "{bytes} bytes");
        }
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert!(!attempts.has_left("http://old/store/1"));
        attempts.leave("http://old/store/1");
        assert!(attempts.again(&error).await, "at another node");
        assert!(attempts.has_left("http://old/store/1"));
    }

    // If this fails, a mistyped address is retried as long as a node's restart takes, or a node's
    // restart is given up on as soon as a mistyped address.
    #[tokio::test(start_paused = true)]
    async fn silence_is_borne_longer_when_the_cluster_is_known_to_be_there() {
        let endpoint = "http://unused".parse().expect("a base URL");
        let client = crate::api::Client::new(crate::api::Options::new(endpoint)).expect("a client");
        let source = client
            .http
            .get("http://")
            .send()
            .await
            .expect_err("no host");
        let error = RequestError::Unreachable {
            url: String::new(),
            source,
        };
        let budget = Budget::default();
        let mut attempts = Attempts::new(&budget, PATIENCE);
        let begun = Instant::now();
        while attempts.again(&error).await {}
        assert!(begun.elapsed() <= UNREACHABLE_PATIENCE);
        let mut attempts = Attempts::new(&budget, PATIENCE).reached();
        while attempts.again(&error).await {}
        assert!(begun.elapsed() > PATIENCE - WAIT_MAX);
    }

    // If this fails, a user waits for seconds although another leader was there at once.
    #[tokio::test(start_paused = true)]
    async fn another_leader_is_asked_for_soon_and_often() {
        let budget = Budget::default();
        let mut attempts = Attempts::new(&budget, PATIENCE);
        let nobody = refused(Code::NoLeader, Some(Duration::from_secs(1)));
        let begun = Instant::now();
        for _ in 0..3 {
            assert!(attempts.again(&nobody).await);
        }
        assert!(begun.elapsed() <= Duration::from_millis(70), "a handover");
        for _ in 0..20 {
            let asked = Instant::now();
            assert!(attempts.again(&nobody).await);
            assert!(asked.elapsed() <= LEADER_WAIT_MAX);
        }
        let mut body = wire::ErrorBody::new(Code::WrongNode, "m", "r");
        body.leader = Some("http://n".to_owned());
        let named = RequestError::Refused {
            url: String::new(),
            body: Box::new(body),
            retry_after: None,
        };
        let asked = Instant::now();
        let mut attempts = Attempts::new(&budget, PATIENCE);
        assert!(attempts.again(&named).await && asked.elapsed() == Duration::ZERO);
        assert!(attempts.again(&named).await && asked.elapsed() > Duration::ZERO);
    }

    // If this fails, the client comes back before the time that an overloaded node asked for.
    #[tokio::test(start_paused = true)]
    async fn retry_after_is_obeyed_up_to_a_bound() {
        let budget = Budget::default();
        let mut attempts = Attempts::new(&budget, Duration::from_secs(60));
        let begun = Instant::now();
        assert!(
            attempts
                .again(&refused(Code::Overloaded, Some(Duration::from_secs(3))))
                .await
        );
        assert_eq!(begun.elapsed(), Duration::from_secs(3));
        assert!(
            attempts
                .again(&refused(Code::Overloaded, Some(Duration::from_secs(900))))
                .await
        );
        assert_eq!(begun.elapsed(), Duration::from_secs(13));
    }
}
