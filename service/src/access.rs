//! Who may do what: a decision over keys, without HTTP.

use std::net::SocketAddr;

/// The keys of a service, and what works without one.
#[derive(Clone, Default)]
pub struct Access {
    /// Guards every call between services.
    pub cluster_key: Option<String>,
    /// Guards the routes of clients.
    pub access_key: Option<String>,
    /// What works without a key.
    pub anonymous: Anonymous,
}

/// What clients may do without a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anonymous {
    /// Nothing.
    #[default]
    None,
    /// Read.
    Read,
    /// Read and change.
    Write,
}

/// The rules that every request is held against.
#[derive(Clone)]
pub struct Gate {
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
    /// To be a service of this cluster.
    Service,
}

/// The keys that came with a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Presented<'a> {
    cluster_key: Option<&'a [u8]>,
    access_key: Option<&'a [u8]>,
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

/// How a client says that a key follows; its case does not matter.
const BEARER: &[u8] = b"bearer ";

// Keys stay out of logs, whatever is printed.
impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access")
            .field("cluster_key", &self.cluster_key.is_some())
            .field("access_key", &self.access_key.is_some())
            .field("anonymous", &self.anonymous)
            .finish()
    }
}

impl<'a> Presented<'a> {
    /// Takes the values of the headers `x-cluster-key` and `authorization`; one that is no bearer's
    /// counts as not sent.
    pub fn of(cluster_key: Option<&'a [u8]>, authorization: Option<&'a [u8]>) -> Self {
        let bearer = |value: &'a [u8]| {
            let (scheme, key) = value.split_at_checked(BEARER.len())?;
            scheme
                .eq_ignore_ascii_case(BEARER)
                .then_some(key.trim_ascii())
        };
        Presented {
            cluster_key,
            access_key: authorization.and_then(bearer),
        }
    }
}

impl<'a> Presented<'a> {
    /// The same with an access key that came another way, if none came in a header.
    pub fn or_key(self, key: Option<&'a [u8]>) -> Self {
        Presented {
            access_key: self.access_key.or(key),
            ..self
        }
    }
}

impl Gate {
    /// Checks the keys against the address that is listened on.
    ///
    /// # Errors
    /// Beyond loopback without a cluster key, or without a rule for clients.
    pub fn new(access: &Access, bind: SocketAddr) -> Result<Self, AccessError> {
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
    pub fn allows(&self, need: Need, presented: Presented<'_>) -> bool {
        let open = match need {
            Need::Nothing => true,
            Need::Read => self.is_public(),
            Need::Write => self.anonymous == Anonymous::Write,
            Need::Service => self.cluster_key.is_none(),
        };
        open || is_key(self.cluster_key, presented.cluster_key)
            || (need != Need::Service && is_key(self.access_key, presented.access_key))
    }

    /// Whether everybody may read: then caches that serve more than one person may keep contents.
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

    const LOCAL: &str = "127.0.0.1:8000";
    const PUBLIC: &str = "0.0.0.0:8000";
    const NEEDS: [Need; 4] = [Need::Nothing, Need::Read, Need::Write, Need::Service];

    fn gate(
        (cluster, client): (Option<&str>, Option<&str>),
        anonymous: Anonymous,
        bind: &str,
    ) -> Result<Gate, AccessError> {
        let access = Access {
            cluster_key: cluster.map(str::to_owned),
            access_key: client.map(str::to_owned),
            anonymous,
        };
        Gate::new(&access, bind.parse().expect("an address"))
    }

    fn may(gate: &Gate, presented: Presented<'_>) -> [bool; 4] {
        NEEDS.map(|need| gate.allows(need, presented))
    }

    // If this fails, a service is open to the whole network because nobody set a key.
    #[test]
    fn beyond_loopback_keys_are_needed() {
        let open = PUBLIC.parse().expect("an address");
        let refused = |keys, anonymous| gate(keys, anonymous, PUBLIC).err();
        let cases = [
            (
                (None, Some("a")),
                Anonymous::None,
                Some(AccessError::NoClusterKey(open)),
            ),
            (
                (Some("c"), None),
                Anonymous::None,
                Some(AccessError::NoAccessRule(open)),
            ),
            (
                (Some(""), Some("a")),
                Anonymous::None,
                Some(AccessError::EmptyKey("CLUSTER_KEY")),
            ),
            (
                (Some("c"), Some("")),
                Anonymous::Read,
                Some(AccessError::EmptyKey("ACCESS_KEY")),
            ),
            ((Some("c"), None), Anonymous::Read, None),
            ((Some("c"), Some("a")), Anonymous::None, None),
        ];
        for (keys, anonymous, expected) in cases {
            assert_eq!(refused(keys, anonymous), expected, "{keys:?}");
        }
        assert!(gate((None, None), Anonymous::None, LOCAL).is_ok());
        assert!(gate((None, None), Anonymous::None, "[::1]:8000").is_ok());
    }

    // If this fails, somebody without a key changes or reads what he must not.
    #[test]
    fn each_key_opens_its_own_routes() {
        let nobody = Presented::default();
        let client = Presented::of(None, Some(b"Bearer k"));
        let service = Presented::of(Some(b"c"), None);
        let wrong = Presented::of(Some(b"k"), Some(b"Bearer c"));
        let keys = (Some("c"), Some("k"));
        let readable = gate(keys, Anonymous::Read, PUBLIC).expect("rules");
        assert_eq!(may(&readable, nobody), [true, true, false, false]);
        assert_eq!(may(&readable, wrong), [true, true, false, false]);
        assert_eq!(may(&readable, client), [true, true, true, false]);
        assert_eq!(may(&readable, service), [true, true, true, true]);
        let closed = gate(keys, Anonymous::None, PUBLIC).expect("rules");
        assert_eq!(may(&closed, nobody), [true, false, false, false]);
        assert_eq!(may(&closed, wrong), [true, false, false, false]);
        assert_eq!(may(&closed, client), [true, true, true, false]);
        assert_eq!(may(&closed, service), [true, true, true, true]);
    }

    // If this fails, a first session on one's own machine needs keys, or a key that was set is
    // not asked for.
    #[test]
    fn on_loopback_everything_is_open_until_a_key_is_set() {
        let nobody = Presented::default();
        let rules = |keys| gate(keys, Anonymous::None, LOCAL).expect("rules");
        assert_eq!(may(&rules((None, None)), nobody), [true, true, true, true]);
        assert_eq!(
            may(&rules((Some("c"), None)), nobody),
            [true, true, true, false]
        );
        assert_eq!(
            may(&rules((None, Some("k"))), nobody),
            [true, false, false, true]
        );
    }

    // If this fails, a cache that many people share keeps what only some may read.
    #[test]
    fn only_what_everybody_may_read_is_public() {
        let public = |anonymous| {
            gate((Some("c"), Some("k")), anonymous, PUBLIC)
                .expect("rules")
                .is_public()
        };
        assert!(!public(Anonymous::None));
        assert!(public(Anonymous::Read) && public(Anonymous::Write));
    }

    // If this fails, a right key is refused, or the head of another scheme is taken for a key.
    #[test]
    fn keys_are_taken_from_headers() {
        let key = |authorization: &'static str| {
            Presented::of(None, Some(authorization.as_bytes())).access_key
        };
        assert_eq!(key("Bearer k"), Some(&b"k"[..]));
        assert_eq!(key("bEARER  k "), Some(&b"k"[..]));
        assert_eq!(key("Bearer "), Some(&b""[..]));
        for other in ["Basic k", "Bearer", "Bearerk", "k", "", "é"] {
            assert_eq!(key(other), None, "{other}");
        }
    }

    // If this fails, nobody stays signed in, or a cookie outweighs the key that a program sends.
    #[test]
    fn a_key_may_come_another_way() {
        let key = |header: Option<&'static [u8]>| Presented::of(None, header).or_key(Some(b"c"));
        assert_eq!(key(None).access_key, Some(&b"c"[..]));
        assert_eq!(key(Some(b"Bearer k")).access_key, Some(&b"k"[..]));
        assert_eq!(key(None).cluster_key, None);
    }

    // If this fails, keys can be read in a log.
    #[test]
    fn keys_are_not_printed() {
        let access = Access {
            cluster_key: Some("secret".to_owned()),
            access_key: Some("other".to_owned()),
            anonymous: Anonymous::Read,
        };
        assert_eq!(
            format!("{access:?}"),
            "Access { cluster_key: true, access_key: true, anonymous: Read }"
        );
    }
}
