//! What can go wrong in one exchange with a service.

use std::time::Duration;

use wire::{Code, ErrorBody};

use super::retry::{Remedy, remedy};

/// Why an exchange did not bring its answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// No connection came about: nothing was sent.
    #[error("cannot reach {url}")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// The library's reason.
        source: reqwest::Error,
    },
    /// The connection ended before the answer did: what was asked for may have happened.
    #[error("{}", ended(url, source))]
    Lost {
        /// What was asked for.
        url: String,
        /// The library's reason.
        source: reqwest::Error,
    },
    /// Nothing moved for too long: what was asked for may have happened.
    #[error("{url} neither took nor sent a byte for {} s", after.as_secs())]
    Stalled {
        /// What was asked for.
        url: String,
        /// How long.
        after: Duration,
    },
    /// The service refused.
    #[error("{} ({}, request {})", body.message, code_word(body.code), body.request_id)]
    Refused {
        /// What was asked for.
        url: String,
        /// Its error.
        body: Box<ErrorBody>,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// Something answered that does not speak as this service does: a proxy, or another program.
    #[error("{url} answered with status {status}, but not as this service does: {detail}")]
    Foreign {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What was found instead.
        detail: String,
    },
}

/// How an exchange ended that was begun.
fn ended(url: &str, source: &reqwest::Error) -> String {
    if source.is_timeout() {
        format!("{url} did not answer in time")
    } else {
        format!("the connection to {url} ended before its answer")
    }
}

/// A code as the word that answers carry.
pub fn code_word(code: Code) -> String {
    match serde_json::to_value(code) {
        Ok(serde_json::Value::String(word)) => word,
        _ => format!("{code:?}"),
    }
}

impl RequestError {
    /// The service's code, where it gave one.
    pub fn code(&self) -> Option<Code> {
        match self {
            RequestError::Refused { body, .. } => Some(body.code),
            _ => None,
        }
    }

    /// Whether the failed exchange may have changed something all the same.
    pub fn may_have_changed(&self) -> bool {
        match self {
            RequestError::Unreachable { .. } => false,
            RequestError::Lost { .. } | RequestError::Stalled { .. } => true,
            RequestError::Refused { body, .. } => body.code.may_have_changed(),
            // 4xx of a proxy never reached the service; its 5xx may hide anything.
            RequestError::Foreign { status, .. } => *status >= 500 || *status < 400,
        }
    }

    /// What can make the same request succeed.
    pub fn remedy(&self) -> Remedy {
        match self {
            RequestError::Unreachable { .. } => Remedy::AnotherPlace,
            RequestError::Lost { .. } | RequestError::Stalled { .. } => Remedy::Same,
            RequestError::Refused { body, .. } => remedy(body.code),
            RequestError::Foreign {
                status: 429 | 502 | 503 | 504,
                ..
            } => Remedy::Same,
            RequestError::Foreign { .. } => Remedy::GiveUp,
        }
    }

    /// Whether another distributor may do at once what this one could not: nothing of it was heard,
    /// it is cut off, or it has too much to do.
    pub(super) fn is_of_one_distributor(&self) -> bool {
        match self {
            RequestError::Unreachable { .. }
            | RequestError::Lost { .. }
            | RequestError::Stalled { .. } => true,
            RequestError::Foreign { status, .. } => matches!(status, 502..=504),
            RequestError::Refused { body, .. } => matches!(
                body.code,
                Code::CatalogUnavailable | Code::Overloaded | Code::NoNode
            ),
        }
    }

    /// Whether it is over as soon as another node leads: nobody is there, or does not lead.
    pub(super) fn is_of_leaders(&self) -> bool {
        let codes = [Some(Code::NoLeader), Some(Code::WrongNode)];
        matches!(self, RequestError::Unreachable { .. }) || codes.contains(&self.code())
    }

    /// With `wrong_node`: the base URI of the shard's leader.
    pub fn leader(&self) -> Option<&str> {
        match self {
            RequestError::Refused { body, .. } => body.leader.as_deref(),
            _ => None,
        }
    }

    /// When the service wants to be asked again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            RequestError::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: Code) -> RequestError {
        RequestError::Refused {
            url: "http://n/store".to_owned(),
            body: Box::new(ErrorBody::new(code, "no space is left", "r-1")),
            retry_after: None,
        }
    }

    // If this fails, a person cannot find the request in the service's log.
    #[test]
    fn a_refusal_names_message_code_and_request() {
        let text = refused(Code::StorageFull).to_string();
        assert_eq!(text, "no space is left (storage_full, request r-1)");
    }

    // If this fails, a proxy's hiccup ends an upload, or its refusal is hammered.
    #[test]
    fn answers_of_proxies_are_retried_only_when_they_pass() {
        let foreign = |status| RequestError::Foreign {
            url: String::new(),
            status,
            detail: String::new(),
        };
        for status in [429, 502, 503, 504] {
            assert_eq!(foreign(status).remedy(), Remedy::Same, "{status}");
        }
        for status in [200, 302, 400, 403, 404, 500] {
            assert_eq!(foreign(status).remedy(), Remedy::GiveUp, "{status}");
        }
        assert!(foreign(502).may_have_changed() && !foreign(403).may_have_changed());
    }

    // If this fails, a content is uploaded twice, or an outcome is called known that is not.
    #[test]
    fn a_refusal_is_as_certain_as_its_code() {
        for code in Code::ALL {
            assert_eq!(
                refused(code).may_have_changed(),
                code.may_have_changed(),
                "{code:?}"
            );
            assert_eq!(refused(code).code(), Some(code));
        }
    }
}
