//! Why ZooKeeper cannot be used, in the words of the coordinator.

use std::time::Duration;

use uuid::Uuid;
use zookeeper_client::{Error, MultiWriteError};

use crate::coordinator::CoordinatorError;

/// Why a coordinator in ZooKeeper cannot be opened. Displays as one line.
#[derive(Debug, thiserror::Error)]
pub enum ZooKeeperError {
    /// No server takes a session.
    #[error("the coordinator at {place} cannot be reached: {detail}")]
    Unreachable {
        /// Where, without a password.
        place: String,
        /// ZooKeeper's or the client's words.
        detail: String,
    },
    /// It answers, and refuses what is needed.
    #[error("the coordinator at {place} cannot be used: {detail}")]
    Refused {
        /// Where, without a password.
        place: String,
        /// What it refused.
        detail: String,
    },
    /// The office could be free while its holder still believes that it is in office.
    #[error(
        "the coordinator at {place} grants sessions of {granted:?}, and {needed:?} are needed; \
         raise its maxSessionTimeout"
    )]
    ShortSession {
        /// Where, without a password.
        place: String,
        /// How long a session may be silent.
        granted: Duration,
        /// How long it must be able to be silent.
        needed: Duration,
    },
    /// The records there are another cluster's.
    #[error(
        "the coordinator at {place} belongs to cluster {its}, the catalog to {ours}. If the \
         catalog was lost, run `dist rebuild --adopt {its}` on an empty database; else give this \
         cluster a path of its own"
    )]
    Foreign {
        /// Where, without a password.
        place: String,
        /// The cluster that keeps its records there.
        its: String,
        /// The catalog's cluster.
        ours: Uuid,
    },
}

/// Names what became of a request. Whatever is not an answer of ZooKeeper to this very request
/// leaves open whether it was carried out.
pub(super) fn failed(doing: &str, error: &Error) -> CoordinatorError {
    if is_answer(error) {
        CoordinatorError::Failed(format!("{doing}: {error}"))
    } else {
        CoordinatorError::Unavailable(format!("{doing}: {error}"))
    }
}

/// Names what became of a transaction.
pub(super) fn multi_failed(doing: &str, error: MultiWriteError) -> CoordinatorError {
    failed(doing, &Error::from(error))
}

/// Whether ZooKeeper itself refused, so that asking again helps nobody.
pub(super) fn is_answer(error: &Error) -> bool {
    matches!(
        error,
        Error::NoNode
            | Error::NodeExists
            | Error::BadVersion
            | Error::NotEmpty
            | Error::NoAuth
            | Error::AuthFailed
            | Error::InvalidAcl
            | Error::NoChildrenForEphemerals
            | Error::BadArguments(_)
            | Error::QuotaExceeded
            | Error::MarshallingError
            | Error::UnmarshalError { .. }
            | Error::Unimplemented
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a change that may have been made is taken for one that was not.
    #[test]
    fn a_lost_connection_leaves_open_what_was_done() {
        let lost = [
            Error::ConnectionLoss,
            Error::SessionExpired,
            Error::SessionMoved,
            Error::ClientClosed,
            Error::Timeout,
            Error::NoHosts,
            Error::Throttled,
            Error::UnexpectedErrorCode(-1),
        ];
        for error in lost {
            let named = failed("writing", &error);
            assert!(matches!(named, CoordinatorError::Unavailable(_)), "{named}");
        }
        for error in [Error::NoAuth, Error::NoNode, Error::QuotaExceeded] {
            let source = error.clone();
            let named = multi_failed(
                "writing",
                MultiWriteError::OperationFailed { index: 1, source },
            );
            assert!(matches!(named, CoordinatorError::Failed(_)), "{named}");
            assert!(named.to_string().contains("writing: "), "{named}");
        }
    }
}
