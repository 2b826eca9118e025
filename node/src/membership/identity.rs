//! `node.json`: whose data directory this is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use wire::NodeName;

use super::durable;

const FILE: &str = "node.json";

/// How many offers that nobody took up are remembered; each start makes one.
const OFFERS_MAX: usize = 16;

/// Who a data directory belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The node.
    pub node: NodeName,
    /// Its cluster; none before the first answer of a distributor.
    pub cluster: Option<Uuid>,
    /// Replica UUIDs that were offered and never used, the current one last. A record that names
    /// one of these names a replica in which nothing was ever acknowledged, so it may be made.
    pub offers: Vec<Uuid>,
}

/// Why an identity cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file cannot be read or written.
    #[error("cannot use {path}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not of this form.
    #[error("{path} cannot be understood")]
    Form {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// Another node's data.
    #[error("{path} belongs to the node `{found}`, not to `{expected}`")]
    OtherNode {
        /// Which file.
        path: PathBuf,
        /// Whose it is.
        found: NodeName,
        /// Who asked.
        expected: NodeName,
    },
}

impl Identity {
    /// Reads the identity in `dir`, or makes one, and adds a fresh offer; durable on return.
    ///
    /// # Errors
    /// When the file cannot be read, understood or written, or is another node's.
    pub fn claim(dir: &Path, node: &NodeName) -> Result<Self, IdentityError> {
        let path = dir.join(FILE);
        let mut identity = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|source| IdentityError::Form {
                path: path.clone(),
                source,
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Identity {
                node: node.clone(),
                cluster: None,
                offers: Vec::new(),
            },
            Err(source) => return Err(IdentityError::Io { path, source }),
        };
        if identity.node != *node {
            let found = identity.node;
            return Err(IdentityError::OtherNode {
                path,
                found,
                expected: node.clone(),
            });
        }
        identity.renew_offer();
        identity.write(dir)?;
        Ok(identity)
    }

    /// The offer of the next heartbeat.
    pub fn offer(&self) -> Uuid {
        self.offers.last().copied().unwrap_or_default()
    }

    /// Takes `used` off the list, and makes a new offer; not durable before [`Identity::write`].
    pub fn use_offer(&mut self, used: Uuid) {
        self.offers.retain(|offer| *offer != used);
        self.renew_offer();
    }

    fn renew_offer(&mut self) {
        self.offers.push(Uuid::new_v4());
        let excess = self.offers.len().saturating_sub(OFFERS_MAX);
        self.offers.drain(..excess);
    }

    /// Writes the identity; durable on return.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<(), IdentityError> {
        let path = dir.join(FILE);
        let text = serde_json::to_vec_pretty(self).map_err(|source| IdentityError::Form {
            path: path.clone(),
            source,
        })?;
        durable::replace(&path, &text).map_err(|source| IdentityError::Io { path, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> NodeName {
        text.parse().expect("a name")
    }

    // If this fails, two nodes write into one data directory after a typo in a name.
    #[test]
    fn a_directory_remembers_its_node() {
        let dir = tempfile::tempdir().expect("a folder");
        Identity::claim(dir.path(), &name("node1")).expect("claims");
        let error = Identity::claim(dir.path(), &name("node2")).expect_err("is another's");
        assert!(
            error
                .to_string()
                .ends_with("belongs to the node `node1`, not to `node2`")
        );
        fs::write(dir.path().join(FILE), "{").expect("writes");
        let error = Identity::claim(dir.path(), &name("node1")).expect_err("is no identity");
        assert!(matches!(error, IdentityError::Form { .. }));
    }

    // If this fails, a lost disk is taken for the one that replaces it, or a replica that was
    // promised before a crash is never made.
    #[test]
    fn each_start_makes_an_offer_and_remembers_the_unused_ones() {
        let dir = tempfile::tempdir().expect("a folder");
        let first = Identity::claim(dir.path(), &name("node1")).expect("claims");
        let mut second = Identity::claim(dir.path(), &name("node1")).expect("claims");
        assert_ne!(first.offer(), second.offer());
        assert_eq!(second.offers, [first.offer(), second.offer()]);

        second.use_offer(first.offer());
        assert!(!second.offers.contains(&first.offer()));
        for _ in 0..40 {
            second.use_offer(Uuid::nil());
        }
        assert_eq!(second.offers.len(), OFFERS_MAX);
    }
}
