//! The base URI of a distributor, as a person types it; and several, of which one is asked.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::Url;

/// A base URI with scheme and host, without a slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(String);

/// Why a text is not a base URI.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParseEndpointError {
    /// Not a URI at all.
    #[error("`{0}` is not a URL like http://127.0.0.1:8000")]
    Form(String),
    /// A URI of another kind.
    #[error("`{0}` does not begin with http:// or https://")]
    Scheme(String),
    /// User, query or fragment: nothing that a base can have.
    #[error("`{0}` has a user name, a query or a fragment; a base URL has none of them")]
    Excess(String),
}

impl Endpoint {
    /// The base URI, without a slash at the end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The distributors of one cluster: the one that is asked, until it is away, and the others.
#[derive(Debug)]
pub(super) struct Endpoints {
    all: Vec<Endpoint>,
    turn: AtomicUsize,
}

impl Endpoints {
    pub(super) fn new(first: Endpoint, others: Vec<Endpoint>) -> Self {
        let all = std::iter::once(first).chain(others).collect();
        let turn = AtomicUsize::new(0);
        Endpoints { all, turn }
    }

    pub(super) fn all(&self) -> &[Endpoint] {
        &self.all
    }

    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    /// The one that is asked at present, and its turn.
    pub(super) fn current(&self) -> (usize, &Endpoint) {
        let turn = self.turn.load(Ordering::Relaxed);
        (turn, &self.all[turn % self.all.len()])
    }

    /// The one of this turn is away: the next one is asked, unless somebody has turned to it already.
    pub(super) fn leave(&self, turn: usize) {
        let next = turn.wrapping_add(1);
        let turned = self
            .turn
            .compare_exchange(turn, next, Ordering::Relaxed, Ordering::Relaxed);
        // An error means that another call was faster.
        turned.ok();
    }
}

impl FromStr for Endpoint {
    type Err = ParseEndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = Url::parse(text).map_err(|_| ParseEndpointError::Form(text.to_owned()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(ParseEndpointError::Scheme(text.to_owned()));
        }
        let excess = !url.username().is_empty()
            || url.password().is_some()
            || url.query().is_some()
            || url.fragment().is_some();
        if excess {
            return Err(ParseEndpointError::Excess(text.to_owned()));
        }
        Ok(Endpoint(url.as_str().trim_end_matches('/').to_owned()))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a distributor that is away is asked for ever, or one that is well is passed over.
    #[test]
    fn whoever_is_away_is_left_once() {
        let at = |port: u16| Endpoint(format!("http://h:{port}"));
        let endpoints = Endpoints::new(at(1), vec![at(2)]);
        let (turn, first) = endpoints.current();
        assert_eq!(*first, at(1));
        endpoints.leave(turn);
        endpoints.leave(turn);
        assert_eq!(*endpoints.current().1, at(2), "both calls met the same one");
        endpoints.leave(endpoints.current().0);
        assert_eq!(*endpoints.current().1, at(1));
    }

    // If this fails, a URL that works in a browser does not work here.
    #[test]
    fn base_urls_lose_their_last_slash() {
        let parsed = |text: &str| {
            text.parse::<Endpoint>()
                .map(|endpoint| endpoint.to_string())
        };
        assert_eq!(
            parsed("http://127.0.0.1:8000/"),
            Ok("http://127.0.0.1:8000".to_owned())
        );
        assert_eq!(
            parsed("https://files.example.com"),
            Ok("https://files.example.com".to_owned())
        );
        assert_eq!(
            parsed("http://[::1]:8000/cdn/"),
            Ok("http://[::1]:8000/cdn".to_owned())
        );
    }

    // If this fails, a mistyped URL gives a puzzling network error instead of a usage error.
    #[test]
    fn other_texts_are_refused_by_name() {
        let refused = |text: &str| text.parse::<Endpoint>().expect_err(text);
        assert!(matches!(
            refused("127.0.0.1:8000"),
            ParseEndpointError::Form(_)
        ));
        assert!(matches!(
            refused("localhost:8000"),
            ParseEndpointError::Scheme(_)
        ));
        assert!(matches!(refused("ftp://x"), ParseEndpointError::Scheme(_)));
        assert!(matches!(refused("http://"), ParseEndpointError::Form(_)));
        assert!(matches!(
            refused("http://u:p@host"),
            ParseEndpointError::Excess(_)
        ));
        assert!(matches!(
            refused("http://host?x=1"),
            ParseEndpointError::Excess(_)
        ));
    }
}
