//! The rules of the store, role by role.

mod appended;
mod apply;
mod decisions;
mod follower;
mod leader;
mod positions;
mod unreadable;
mod uploads;

use wire::Checksum;

use crate::stage::{body, hash};
use crate::{ChangeError, How, Outcome};

/// What became of a request, in a word or two.
fn said(outcome: &Result<Outcome, ChangeError>) -> String {
    match outcome {
        Ok(outcome) if outcome.repeated => format!("again v{}", outcome.version),
        Ok(outcome) => format!("v{}", outcome.version),
        Err(ChangeError::Deleted) => "deleted".to_owned(),
        Err(ChangeError::Conflict) => "conflict".to_owned(),
        Err(ChangeError::InProgress) => "in progress".to_owned(),
        Err(ChangeError::IdRefused(_)) => "id refused".to_owned(),
        Err(ChangeError::NotFound) => "not found".to_owned(),
        Err(ChangeError::PreconditionFailed { .. }) => "precondition".to_owned(),
        Err(ChangeError::NoSuchUpload) => "no upload".to_owned(),
        Err(ChangeError::Damaged) => "damaged".to_owned(),
        Err(ChangeError::Append(error)) => format!("append: {error}"),
    }
}

fn onto(checksum: Checksum) -> How {
    How::Update {
        if_match: Some(checksum),
    }
}

/// An update of the version whose bytes follow from this seed.
fn onto_body(seed: u64) -> How {
    onto(hash(&body(seed, 100)))
}
