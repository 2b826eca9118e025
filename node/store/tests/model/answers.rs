//! What the store must answer to each request, from the expectation alone.

use store::{ChangeError, Content, Describe, How, NewContent};
use wire::{Checksum, ContentId, Lsn};

use crate::expectation::{Known, described, first_version, next_version};
use crate::world::World;

/// The one right answer to a request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// It is done, and the content is then this (of a delete: was this).
    Stored(Box<Content>),
    /// It was done before.
    Repeated,
    Deleted,
    /// Deleted so long ago that the store may have forgotten it, or not.
    DeletedLongAgo,
    /// A delete of what was deleted so long ago: done before, or nothing is known of it.
    RepeatedLongAgo,
    Conflict,
    InProgress,
    NotFound,
    IdRefused,
    PreconditionFailed(Checksum),
}

impl Answer {
    /// Whether this refusal is the right answer.
    pub(crate) fn is(&self, error: &ChangeError) -> bool {
        match error {
            ChangeError::Deleted => matches!(self, Answer::Deleted | Answer::DeletedLongAgo),
            ChangeError::Conflict => matches!(self, Answer::Conflict),
            ChangeError::InProgress => matches!(self, Answer::InProgress),
            ChangeError::NotFound => {
                matches!(
                    self,
                    Answer::NotFound | Answer::DeletedLongAgo | Answer::RepeatedLongAgo
                )
            }
            ChangeError::IdRefused(_) => {
                matches!(self, Answer::IdRefused | Answer::DeletedLongAgo)
            }
            ChangeError::PreconditionFailed { current } => {
                matches!(self, Answer::PreconditionFailed(base) if base == current)
            }
            _ => false,
        }
    }
}

/// The answer to an upload or an update; `upload` is what the request closes.
pub(crate) fn expected_store(
    world: &World,
    id: ContentId,
    new: &NewContent,
    how: How,
    upload: Option<Lsn>,
) -> Answer {
    let view = world.expected.pending();
    let known = view.get(&id);
    if let Some(deleted) = known.filter(|known| matches!(known, Known::Deleted { .. })) {
        return deleted_answer(deleted, world.now_ms);
    }
    let live = match known {
        Some(Known::Live(content, _)) => Some(content),
        _ => None,
    };
    match (how, live) {
        (How::Create, None) => {
            let busy = |other: &&crate::world::Upload| other.id == id && Some(other.lsn) != upload;
            if world.uploads.iter().find(busy).is_some() {
                Answer::InProgress
            } else if id.check_new(world.now_ms).is_err() {
                Answer::IdRefused
            } else {
                Answer::Stored(Box::new(first_version(id, new, world.now_ms)))
            }
        }
        (How::Create, Some(content)) => {
            let same = (content.created_size, content.created_checksum) == (new.size, new.checksum);
            if same {
                Answer::Repeated
            } else {
                Answer::Conflict
            }
        }
        (How::Update { .. }, None) => Answer::NotFound,
        (How::Update { if_match }, Some(content)) => {
            let outdated = if_match.filter(|base| *base != content.checksum);
            let same = (content.size, content.checksum) == (new.size, new.checksum);
            match outdated {
                None => Answer::Stored(Box::new(next_version(content, new, world.now_ms))),
                Some(_) if same && content.base_checksum == outdated => Answer::Repeated,
                Some(_) => Answer::PreconditionFailed(content.checksum),
            }
        }
    }
}

/// The answer to a change of metadata: one that changes nothing was made before.
pub(crate) fn expected_describe(
    world: &World,
    id: ContentId,
    change: &Describe,
    base: Option<Checksum>,
) -> Answer {
    match expected_change(world, id, base) {
        Answer::Stored(content) => {
            let after = described(&content, change, world.now_ms);
            let same = Content {
                updated_ms: content.updated_ms,
                ..after.clone()
            } == *content;
            if same {
                Answer::Repeated
            } else {
                Answer::Stored(Box::new(after))
            }
        }
        other => other,
    }
}

/// The answer to any change of what is there, with the content as it is.
fn expected_change(world: &World, id: ContentId, base: Option<Checksum>) -> Answer {
    match world.expected.pending().get(&id) {
        None => Answer::NotFound,
        Some(deleted @ Known::Deleted { .. }) => deleted_answer(deleted, world.now_ms),
        Some(Known::Live(content, _)) if base.is_some_and(|base| base != content.checksum) => {
            Answer::PreconditionFailed(content.checksum)
        }
        Some(Known::Live(content, _)) => Answer::Stored(content.clone()),
    }
}

/// The answer to a delete: the second time it was done before.
pub(crate) fn expected_delete(world: &World, id: ContentId, base: Option<Checksum>) -> Answer {
    match expected_change(world, id, base) {
        Answer::Deleted => Answer::Repeated,
        Answer::DeletedLongAgo => Answer::RepeatedLongAgo,
        other => other,
    }
}

fn deleted_answer(deleted: &Known, now_ms: u64) -> Answer {
    if deleted.is_forgettable(now_ms) {
        Answer::DeletedLongAgo
    } else {
        Answer::Deleted
    }
}
