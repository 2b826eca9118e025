//! Who may do what: a decision over keys, without HTTP.

use std::net::SocketAddr;

use crate::config::{Access, Anonymous};

/// The rules that every request is held against.
#[derive(Clone)]
pub(crate) struct Gate {
    cluster_key: Option<Digest>,
    access_key: Option<Digest>,
    anonymous: Anonymous,
}

/// What a route asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing: health checks.
    Nothing,
    /// To read.
    Read,
    /// To change.
    Write,
    /// To be a service of this cluster.
    Service,
}

/// The keys that came with a request.
#[derive(Clone, Copy, Default)]
pub(crate) struct Presented<'a> {
    /// Of the header `x-cluster-key`.
    pub(crate) cluster_key: Option<&'a [u8]>,
    /// Of the header `Authorization: Bearer …`.
    pub(crate) access_key: Option<&'a [u8]>,
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

impl Gate {
    /// Checks the keys against the address that is listened on.
    ///
    /// # Errors
    /// Beyond loopback without a cluster key, or without a rule for clients.
    pub(crate) fn new(access: &Access, bind: SocketAddr) -> Result<Self, AccessError> {
        let keys = [
            ("CLUSTER_KEY", &access.cluster_key),
            ("ACCESS_KEY", &access.access_key),
        ];
        for (name, key) in keys {
            if key.as_deref() == Some("") {
                return Err(AccessError::EmptyKey(name));
            }
        }
        let local = bind.ip().is_loopback();
        if !local && access.cluster_key.is_none() {
            return Err(AccessError::NoClusterKey(bind));
        }
        let ruled = access.access_key.is_some() || access.anonymous != Anonymous::None;
        if !local && !ruled {
            return Err(AccessError::NoAccessRule(bind));
        }
        let hash = |key: &Option<String>| key.as_ref().map(|key| blake3::hash(key.as_bytes()));
        Ok(Gate {
            cluster_key: hash(&access.cluster_key),
            access_key: hash(&access.access_key),
            // On one's own machine the local default is to let oneself in.
            anonymous: if ruled {
                access.anonymous
            } else {
                Anonymous::Write
            },
        })
    }

    /// Whether a request with these keys may do what it needs to. A cluster key opens everything.
    pub(crate) fn allows(&self, need: Need, presented: Presented<'_>) -> bool {
        let matches = |key: Option<&[u8]>, digest: Option<Digest>| match (key, digest) {
            (Some(key), Some(digest)) => blake3::hash(key) == digest,
            _ => false,
        };
        let open = match need {
            Need::Nothing => true,
            Need::Read => self.anonymous != Anonymous::None,
            Need::Write => self.anonymous == Anonymous::Write,
            Need::Service => self.cluster_key.is_none(),
        };
        open || matches(presented.cluster_key, self.cluster_key)
            || (need != Need::Service && matches(presented.access_key, self.access_key))
    }
}

#[cfg(test)]
mod tests {
    use super::{AccessError, Gate, Need, Presented};
    use crate::config::{Access, Anonymous};

    const LOCAL: &str = "127.0.0.1:8000";
    const PUBLIC: &str = "0.0.0.0:8000";

    fn access(cluster: &str, client: &str, anonymous: Anonymous) -> Access {
        let key = |text: &str| (text != "-").then(|| text.to_owned());
        Access {
            cluster_key: key(cluster),
            access_key: key(client),
            anonymous,
        }
    }

    fn gate(access: &Access, bind: &str) -> Result<Gate, AccessError> {
        Gate::new(access, bind.parse().expect("an address"))
    }

    // If this fails, a cluster on a network is open to everyone without anyone having said so.
    #[test]
    fn beyond_loopback_keys_are_needed() {
        let refused = |a: &Access| gate(a, PUBLIC).err().expect("refused").to_string();
        assert!(refused(&access("-", "k", Anonymous::None)).contains("CLUSTER_KEY"));
        assert!(refused(&access("c", "-", Anonymous::None)).contains("ACCESS_KEY"));
        assert!(refused(&access("c", "", Anonymous::None)).contains("empty"));
        assert!(gate(&access("c", "-", Anonymous::Read), PUBLIC).is_ok());
        assert!(gate(&access("c", "k", Anonymous::None), PUBLIC).is_ok());
        assert!(gate(&access("-", "-", Anonymous::None), LOCAL).is_ok());
    }

    // If this fails, somebody without a key changes or reads what he must not.
    #[test]
    fn each_key_opens_its_own_routes() {
        let nobody = Presented::default();
        let client = Presented {
            access_key: Some(b"k"),
            ..nobody
        };
        let service = Presented {
            cluster_key: Some(b"c"),
            ..nobody
        };
        let wrong = Presented {
            access_key: Some(b"c"),
            cluster_key: Some(b"k"),
        };
        let gate = gate(&access("c", "k", Anonymous::Read), PUBLIC).expect("rules");
        let may = |presented| {
            [Need::Nothing, Need::Read, Need::Write, Need::Service]
                .map(|need| gate.allows(need, presented))
        };
        assert_eq!(may(nobody), [true, true, false, false]);
        assert_eq!(may(wrong), [true, true, false, false]);
        assert_eq!(may(client), [true, true, true, false]);
        assert_eq!(may(service), [true, true, true, true]);
    }

    // If this fails, a first session on one's own machine needs keys, or a key that was set is
    // not asked for.
    #[test]
    fn on_loopback_everything_is_open_until_a_key_is_set() {
        let nobody = Presented::default();
        let open = gate(&access("-", "-", Anonymous::None), LOCAL).expect("rules");
        assert!(open.allows(Need::Write, nobody) && open.allows(Need::Service, nobody));
        let keyed = gate(&access("-", "k", Anonymous::None), LOCAL).expect("rules");
        assert!(!keyed.allows(Need::Read, nobody) && !keyed.allows(Need::Write, nobody));
    }
}
