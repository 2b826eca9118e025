//! What an id is at this moment, pending records included: what decisions are made on.

use wire::{Checksum, ContentId, Lsn};

use super::Store;
use super::error::ChangeError;
use crate::content::Content;
use crate::reader::{Known, ReadError};
use crate::record::kind::Kind;

/// The state of an id at the end of the log, and the lsn of the record that made it.
#[derive(Clone, Debug)]
pub(super) enum State {
    Absent,
    Live(Content, Lsn),
    Deleted(Content, Lsn),
}

impl State {
    /// The content, if there is one and it is the version demanded.
    pub(super) fn live(self, if_match: Option<Checksum>) -> Result<(Content, Lsn), ChangeError> {
        match self {
            State::Absent => Err(ChangeError::NotFound),
            State::Deleted(..) => Err(ChangeError::Deleted),
            State::Live(content, lsn) => match if_match {
                Some(demanded) if demanded != content.checksum => {
                    Err(ChangeError::PreconditionFailed {
                        current: content.checksum,
                    })
                }
                _ => Ok((content, lsn)),
            },
        }
    }
}

impl Store {
    /// The state of an id at the end of the log.
    pub(super) fn state(&self, id: ContentId) -> Result<State, ChangeError> {
        if let Some(pending) = self.pending.latest(id)
            && let Some(content) = pending.content.clone()
        {
            let lsn = pending.entry.lsn;
            return Ok(match pending.entry.kind {
                Kind::Delete => State::Deleted(content, lsn),
                _ => State::Live(content, lsn),
            });
        }
        match self.reader().known(id) {
            Ok(Known::Live(content, lsn)) => Ok(State::Live(content, lsn)),
            Ok(Known::Deleted(content, lsn)) => Ok(State::Deleted(content, lsn)),
            Err(ReadError::NotFound) => Ok(State::Absent),
            Err(ReadError::Damaged { .. } | ReadError::Deleted | ReadError::Disk(_)) => {
                Err(ChangeError::Damaged)
            }
        }
    }
}
