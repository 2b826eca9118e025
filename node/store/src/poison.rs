//! What stops a log for good: its first failed write or sync.

use std::io;
use std::sync::Arc;

/// A write or a sync failed. What was not synced before may be lost, a later sync that succeeds
/// proves nothing, and so nothing is acknowledged any more until the log was opened, and verified
/// from disk, again. The first reason stays.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the log is stopped: {step}: {error}")]
pub struct Poisoned {
    /// What was tried.
    pub step: &'static str,
    /// Why it failed.
    pub error: Arc<io::Error>,
}

impl Poisoned {
    pub(crate) fn new(step: &'static str, error: io::Error) -> Poisoned {
        Poisoned {
            step,
            error: Arc::new(error),
        }
    }
}

/// Why a record was not appended. Nothing is written then.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// The disk has no room for it.
    #[error("the disk has no room for {bytes} more bytes")]
    Full {
        /// What the record needs.
        bytes: u64,
    },
    /// The log is stopped.
    #[error(transparent)]
    Poisoned(#[from] Poisoned),
}
