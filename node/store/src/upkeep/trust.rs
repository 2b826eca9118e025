//! After a catch-up: headers tell the commit again.

use std::io;
use std::sync::Arc;

use super::ChoreError;
use crate::log::marker::{CommitMarker, Stand};
use crate::store::Store;

#[derive(Debug)]
pub(super) struct Trust {
    marker: Arc<CommitMarker>,
    stand: Stand,
}

#[derive(Debug)]
pub(super) struct Trusted {
    stand: Stand,
    outcome: io::Result<()>,
}

impl Trust {
    pub(super) fn run(self) -> Trusted {
        Trusted {
            stand: self.stand,
            outcome: self.marker.stand_back(self.stand),
        }
    }
}

impl Store {
    pub(super) fn next_trust(&mut self, now_ms: u64) -> Option<Trust> {
        let stand = self.log.stand_to_end(now_ms)?;
        let marker = Arc::clone(&self.log.marker);
        Some(Trust { marker, stand })
    }

    pub(super) fn finish_trust(&mut self, trusted: Trusted) -> Result<(), ChoreError> {
        self.log.stand_ended(trusted.stand);
        trusted.outcome.map_err(|error| ChoreError {
            step: "end a catch-up",
            error,
        })
    }
}
