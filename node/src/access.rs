//! Who may do what: a decision over keys, without HTTP.

use std::net::SocketAddr;

use crate::config::{AccessConfig, Anonymous};

/// The rules that every request is held against.
#[derive(Clone)]
pub struct Access {
    cluster_key: Option<Digest>,
    access_key: Option<Digest>,
    anonymous: Anonymous,
}

/// What a route asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: health checks.
    Nothing,
    /// To read.
    Read,
    /// To change.
    Write,
}

/// The keys that came with a request.
#[derive(Clone, Copy, Default)]
pub struct Presented<'a> {
    /// Of the header `x-cluster-key`.
    pub cluster_key: Option<&'a [u8]>,
    /// Of the header `Authorization: Bearer …`.
    pub access_key: Option<&'a [u8]>,
}

/// Why a configuration of keys cannot be started with.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AccessError {
    /// Other machines could call as if they were services.
    #[error("CLUSTER_KEY is needed to listen on {0}, which is not loopback")]
    NoClusterKey(SocketAddr),
    /// Other machines could read and write, and nobody said that they may.
    #[error(
        "ACCESS_KEY, or ANONYMOUS=read or write, is needed to listen on {0}, which is not loopback"
    )]
    NoAccessRule(SocketAddr),
    /// An empty key would let everybody in.
    #[error("{0} is empty")]
    EmptyKey(&'static str),
}

/// A key's hash: comparing hashes tells nothing about the key, however long the comparison takes.
type Digest = blake3::Hash;

impl Access {
    /// Checks the keys against the address that is listened on.
    ///
    /// # Errors
    /// Beyond loopback without a cluster key, or without a rule for clients.
    pub fn new(config: &AccessConfig, bind: SocketAddr) -> Result<Self, AccessError> {
        for (name, key) in [
            ("CLUSTER_KEY", &config.cluster_key),
            ("ACCESS_KEY", &config.access_key),
        ] {
            if key.as_deref() == Some("") {
                return Err(AccessError::EmptyKey(name));
            }
        }
        let local = bind.ip().is_loopback();
        if !local && config.cluster_key.is_none() {
            return Err(AccessError::NoClusterKey(bind));
        }
        let ruled = config.access_key.is_some() || config.anonymous != Anonymous::None;
        if !local && !ruled {
            return Err(AccessError::NoAccessRule(bind));
        }
        let hash = |key: &Option<String>| key.as_ref().map(|key| blake3::hash(key.as_bytes()));
        Ok(Access {
            cluster_key: hash(&config.cluster_key),
            access_key: hash(&config.access_key),
            // On one's own machine the local default is to let oneself in.
            anonymous: if ruled {
                config.anonymous
            } else {
                Anonymous::Write
            },
        })
    }

    /// Whether a request with these keys may do what it needs to. A cluster key opens everything.
    pub fn allows(&self, need: Need, presented: Presented<'_>) -> bool {
        let open = match need {
            Need::Nothing => true,
            Need::Read => self.anonymous != Anonymous::None,
            Need::Write => self.anonymous == Anonymous::Write,
        };
        open || is_key(self.access_key, presented.access_key)
            || is_key(self.cluster_key, presented.cluster_key)
    }

    /// Whether contents may be kept by caches that serve more than one person.
    pub fn is_public(&self) -> bool {
        self.anonymous != Anonymous::None
    }
}

/// `blake3::Hash` compares in constant time.
fn is_key(expected: Option<Digest>, presented: Option<&[u8]>) -> bool {
    match (expected, presented) {
        (Some(expected), Some(presented)) => expected == blake3::hash(presented),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(cluster: Option<&str>, access: Option<&str>, anonymous: Anonymous) -> AccessConfig {
        AccessConfig {
            cluster_key: cluster.map(str::to_owned),
            access_key: access.map(str::to_owned),
            anonymous,
        }
    }

    fn bind(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    // If this fails, a node is open to the whole network because nobody set a key.
    #[test]
    fn beyond_loopback_keys_are_needed() {
        let open = bind("0.0.0.0:8001");
        let refused = |config: AccessConfig| Access::new(&config, open).err();
        assert_eq!(
            refused(config(None, Some("a"), Anonymous::None)),
            Some(AccessError::NoClusterKey(open))
        );
        assert_eq!(
            refused(config(Some("c"), None, Anonymous::None)),
            Some(AccessError::NoAccessRule(open))
        );
        assert_eq!(
            refused(config(Some(""), Some("a"), Anonymous::None)),
            Some(AccessError::EmptyKey("CLUSTER_KEY"))
        );
        assert_eq!(refused(config(Some("c"), None, Anonymous::Read)), None);
        assert_eq!(refused(config(Some("c"), Some("a"), Anonymous::None)), None);
    }

    // If this fails, the first try on one's own machine ends with 401, or a key protects nothing.
    #[test]
    fn each_need_takes_its_key() {
        let none = Presented::default();
        let right = Presented {
            access_key: Some(b"a"),
            ..none
        };
        let wrong = Presented {
            access_key: Some(b"b"),
            cluster_key: Some(b"a"),
        };
        let service = Presented {
            cluster_key: Some(b"c"),
            ..none
        };
        let local = bind("127.0.0.1:0");
        let rules = |access, anonymous| {
            Access::new(&config(Some("c"), access, anonymous), local).expect("starts")
        };

        let mine = rules(None, Anonymous::None);
        assert!(mine.allows(Need::Write, none));

        let guarded = rules(Some("a"), Anonymous::Read);
        assert!(guarded.allows(Need::Nothing, none));
        assert!(guarded.allows(Need::Read, wrong));
        assert!(!guarded.allows(Need::Write, wrong));
        assert!(guarded.allows(Need::Write, right));
        assert!(guarded.allows(Need::Write, service));

        let closed = rules(Some("a"), Anonymous::None);
        assert!(!closed.allows(Need::Read, none));
        assert!(closed.allows(Need::Read, right));
    }
}
