//! What is told to the user when a command fails: the kind, the cause, a hint, and the exit code.

mod caused;
mod hint;

use std::error::Error;
use std::fmt;

use serde::Serialize;
use wire::Code;

use crate::api::code_word;

pub use caused::kind_of;

/// The kinds of failure; each has its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Standard output was closed by its reader: the end, but no failure.
    OutputClosed,
    /// None of the other kinds, or several of them.
    Failure,
    /// The command line is wrong.
    Usage,
    /// The content does not exist, or was deleted.
    NotFound,
    /// Nobody answers.
    Unreachable,
    /// The bytes are not those that they should be.
    Integrity,
    /// No key, or a wrong one.
    Access,
    /// The content is not as the request demands.
    Conflict,
    /// The cluster answers, but cannot do it now.
    Unavailable,
    /// A file on this machine cannot be read or written.
    Local,
    /// Ctrl-C.
    Interrupted,
}

impl Kind {
    /// Every kind there is.
    pub const ALL: [Kind; 11] = [
        Kind::OutputClosed,
        Kind::Failure,
        Kind::Usage,
        Kind::NotFound,
        Kind::Unreachable,
        Kind::Integrity,
        Kind::Access,
        Kind::Conflict,
        Kind::Unavailable,
        Kind::Local,
        Kind::Interrupted,
    ];

    /// The exit code of the process.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::OutputClosed => 0,
            Kind::Failure => 1,
            Kind::Usage => 2,
            Kind::NotFound => 3,
            Kind::Unreachable => 4,
            Kind::Integrity => 5,
            Kind::Access => 6,
            Kind::Conflict => 7,
            Kind::Unavailable => 8,
            Kind::Local => 9,
            Kind::Interrupted => 130,
        }
    }
}

/// A failed command, or the failed part of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Its kind.
    pub kind: Kind,
    /// The service's code, where one gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What was not done.
    pub message: String,
    /// Why, from the nearest reason to the first.
    pub causes: Vec<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Failure {
    /// A failure of this kind, without a cause.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        let (code, causes, hint) = (None, Vec::new(), None);
        Failure {
            kind,
            code,
            message: message.into(),
            causes,
            hint,
        }
    }

    /// A failure with a cause, which decides the kind and the hint.
    pub fn caused<E: Caused + Error>(message: impl Into<String>, error: &E) -> Self {
        let code = error.code();
        Failure {
            kind: error.kind(),
            code: code.map(code_word),
            message: message.into(),
            causes: causes(error),
            hint: hint::of(error.kind(), code).map(str::to_owned),
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Several failures as one: of their kind if it is the same, counted.
    pub fn several(failures: &[Failure], of: usize) -> Option<Self> {
        let first = failures.first()?;
        let same = failures.iter().all(|failure| failure.kind == first.kind);
        let kind = if same { first.kind } else { Kind::Failure };
        Some(Failure::new(
            kind,
            format!("{} of {of} failed", failures.len()),
        ))
    }
}

/// For people: the message, then causes and hint on lines of their own.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for cause in &self.causes {
            write!(f, "\n  cause: {cause}")?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// The chain of reasons; the HTTP library's own links say nothing to a user, except the last.
fn causes(error: &dyn Error) -> Vec<String> {
    let mut causes = vec![error.to_string()];
    let mut next = error.source();
    while let Some(source) = next {
        next = source.source();
        let of_library = source.is::<reqwest::Error>() || is_of_hyper(source);
        let text = source.to_string();
        if (next.is_none() || !of_library) && !causes.contains(&text) {
            causes.push(text);
        }
    }
    causes
}

fn is_of_hyper(source: &(dyn Error + 'static)) -> bool {
    let text = source.to_string();
    [
        "client error",
        "error sending request",
        "error trying to connect",
        "tcp connect error",
    ]
    .iter()
    .any(|start| text.starts_with(start))
}

/// An error that knows its kind.
pub trait Caused {
    /// Its kind.
    fn kind(&self) -> Kind;
    /// The service's code, where it gave one.
    fn code(&self) -> Option<Code> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{RequestError, UploadError};
    use std::collections::BTreeSet;

    // If this fails, a script cannot tell failures apart by exit code, or an old one breaks.
    #[test]
    fn every_kind_has_its_own_exit_code() {
        let codes: Vec<u8> = Kind::ALL.iter().map(|kind| kind.exit_code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 130]);
    }

    // If this fails, `client` exits with 1 for what has an exit code of its own.
    #[test]
    fn codes_of_the_service_have_their_kinds() {
        let of = |kind| {
            let codes = Code::ALL
                .into_iter()
                .filter(move |&code| kind_of(code) == kind);
            codes.map(code_word).collect::<BTreeSet<_>>()
        };
        assert_eq!(
            of(Kind::NotFound),
            ["deleted", "not_found"].map(String::from).into()
        );
        assert_eq!(of(Kind::Access), ["unauthorized"].map(String::from).into());
        assert!(of(Kind::Unavailable).contains("storage_full"));
        assert!(of(Kind::Usage).is_empty() && of(Kind::Local).is_empty());
    }

    // If this fails, the user sees that it failed, but not why or what to do.
    #[test]
    fn a_failure_shows_message_causes_and_hint() {
        let body = wire::ErrorBody::new(Code::StorageFull, "no space is left", "r-9");
        let error = UploadError::Place(RequestError::Refused {
            url: String::new(),
            body: Box::new(body),
            retry_after: None,
        });
        let failure = Failure::caused("cannot upload a.txt", &error);
        assert_eq!(failure.kind, Kind::Unavailable);
        let text = failure.to_string();
        let expected = "cannot upload a.txt\n  cause: no place to upload to\n  \
                        cause: no space is left (storage_full, request r-9)\n  hint: ";
        assert!(text.starts_with(expected), "{text}");
        let json = serde_json::to_value(&failure).expect("serialises");
        assert_eq!(json["kind"], "unavailable");
        assert_eq!(json["code"], "storage_full");
    }

    // If this fails, one missing file among many turns into an exit code that says nothing.
    #[test]
    fn several_failures_keep_their_common_kind() {
        let missing = Failure::new(Kind::NotFound, "a");
        let lost = Failure::new(Kind::Unreachable, "b");
        let kind = |failures: &[Failure]| Failure::several(failures, 5).map(|f| f.kind);
        assert_eq!(kind(&[]), None);
        assert_eq!(
            kind(&[missing.clone(), missing.clone()]),
            Some(Kind::NotFound)
        );
        assert_eq!(kind(&[missing, lost]), Some(Kind::Failure));
    }
}
