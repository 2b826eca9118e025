//! Calls to the leader of a shard, which may be changing at this moment.

use std::time::{Duration, Instant};

use wire::{Code, ShardNo};

use crate::app::Shared;
use crate::http::error::ApiError;

/// Sessions that a call goes on for while nobody leads: a dead leader is noticed after one, and
/// replaced well within another.
const SESSIONS_MAX: u32 = 2;

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(25);

/// What one attempt came to.
pub(in crate::http) struct Attempt<T> {
    /// To be answered, if there is no other attempt.
    pub(in crate::http) outcome: Result<T, ApiError>,
    /// Whether the one that was asked does not lead, or could not be asked: then nothing was done,
    /// and another attempt can help.
    pub(in crate::http) another: bool,
}

impl<T> Attempt<T> {
    /// One that ended with an error.
    pub(in crate::http) fn failed(error: ApiError, another: bool) -> Self {
        Attempt {
            outcome: Err(error),
            another,
        }
    }
}

/// Calls the leader of a shard; while nobody leads, again, within a bound.
pub(in crate::http) async fn at_leader<T>(
    shared: &Shared,
    shard: ShardNo,
    call: impl AsyncFn(String) -> Attempt<T>,
) -> Result<T, ApiError> {
    let until = Instant::now() + shared.session * SESSIONS_MAX;
    loop {
        let attempt = match leader_url(shared, shard) {
            Ok(base) => call(base).await,
            Err(error) => Attempt::failed(error, true),
        };
        let known = shared.members.record(shard).is_some();
        if !attempt.another || !known || Instant::now() >= until {
            return attempt.outcome;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether an answer with this code came from a node that does not lead at this moment.
pub(in crate::http) fn is_not_led(code: Code) -> bool {
    matches!(code, Code::WrongNode | Code::NoLeader)
}

/// Where the leader of a shard is, for services.
fn leader_url(shared: &Shared, shard: ShardNo) -> Result<String, ApiError> {
    let Some(record) = shared.members.record(shard) else {
        return Err(ApiError::new(Code::NotFound, "there is no such content"));
    };
    record
        .leader
        .and_then(|leader| shared.members.internal_url(&leader.member.node))
        .ok_or_else(ApiError::no_leader)
}
