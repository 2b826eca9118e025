//! `nodes.yml`: the distributors and nodes of a cluster by host and port.
//!
//! ```yaml
//! copies: 2
//! log: info
//! nodes:
//!   dist:  {host: 127.0.0.1, port: 8000}
//!   node1: {host: 127.0.0.1, port: 8001, max_storage: 2TiB, catch_up_rate: 50MiB}
//!   node2: {host: node2, port: 8001, public_url: "http://files.example.com:8002"}
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::copies::Copies;
use crate::name::NodeName;

/// The whole file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodesFile {
    /// How many replicas each shard shall have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<Copies>,
    /// What services log: a filter, as each reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// Every service by name; names `dist`, `dist1`, `dist2`… are distributors.
    pub nodes: BTreeMap<NodeName, ServiceEntry>,
}

/// One service: where it is, and for a node, what bounds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceEntry {
    /// A host name or an address, as the other services reach it.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What clients are told, where that differs from `http://host:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_url: Option<String>,
    /// The most that a node may store, like `2TiB`; as the node reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_storage: Option<String>,
    /// How fast a node serves mirrors that catch up, a second, like `50MiB`; as the node reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catch_up_rate: Option<String>,
}

/// Why a nodes file is refused.
#[derive(Debug, thiserror::Error)]
pub enum ReadNodesError {
    /// Not YAML, or not of this form.
    #[error("{0}")]
    Form(String),
    /// A service whose address cannot be right.
    #[error("{name}: {key}: {message}")]
    Value {
        /// The service.
        name: NodeName,
        /// The key under it.
        key: &'static str,
        /// What is wrong with the value.
        message: String,
    },
    /// No distributor is named.
    #[error("nodes: names no distributor (a service called `dist`, `dist1`, …)")]
    NoDistributor,
}

impl NodesFile {
    /// Reads the text of a nodes file.
    ///
    /// # Errors
    /// When the text is not YAML of this form; the error names key and value.
    pub fn read(text: &str) -> Result<Self, ReadNodesError> {
        let file: NodesFile = serde_saphyr::from_str(text)
            .map_err(|error| ReadNodesError::Form(error.to_string()))?;
        for (name, service) in &file.nodes {
            service.check(name)?;
        }
        if !file.nodes.keys().any(NodeName::is_distributor) {
            return Err(ReadNodesError::NoDistributor);
        }
        Ok(file)
    }

    /// The distributors.
    pub fn distributors(&self) -> impl Iterator<Item = (&NodeName, &ServiceEntry)> {
        self.nodes.iter().filter(|(name, _)| name.is_distributor())
    }

    /// The storage nodes.
    pub fn storage_nodes(&self) -> impl Iterator<Item = (&NodeName, &ServiceEntry)> {
        self.nodes.iter().filter(|(name, _)| !name.is_distributor())
    }
}

impl ServiceEntry {
    /// The base URI for other services.
    pub fn internal_url(&self) -> String {
        if self.host.contains(':') {
            format!("http://[{}]:{}", self.host, self.port)
        } else {
            format!("http://{}:{}", self.host, self.port)
        }
    }

    /// The base URI for clients, without a slash at the end.
    pub fn public_url(&self) -> String {
        match &self.public_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => self.internal_url(),
        }
    }

    fn check(&self, name: &NodeName) -> Result<(), ReadNodesError> {
        let fail = |key, message: &str| {
            Err(ReadNodesError::Value {
                name: name.clone(),
                key,
                message: message.to_owned(),
            })
        };
        if self.host.is_empty() || self.host.contains(['/', ' ', '@']) {
            return fail(
                "host",
                &format!("`{}` is not a host name or an address", self.host),
            );
        }
        if self.port == 0 {
            return fail("port", "0 is not a port that others could reach");
        }
        match &self.public_url {
            Some(url) if !url.starts_with("http://") && !url.starts_with("https://") => fail(
                "public_url",
                &format!("`{url}` does not begin with http:// or https://"),
            ),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, the nodes.yml that people have stops working.
    #[test]
    fn reads_the_documented_form() {
        let text = "copies: 2\nnodes:\n  dist: {host: 127.0.0.1, port: 8000}\n  node1:\n    host: n1\n    port: 8001\n    public_url: https://files.example.com/\n";
        let file = NodesFile::read(text).expect("reads");
        assert_eq!(file.copies.map(Copies::get), Some(2));
        assert_eq!(file.distributors().count(), 1);
        let (name, node) = file.storage_nodes().next().expect("one node");
        assert_eq!(name.as_str(), "node1");
        assert_eq!(node.internal_url(), "http://n1:8001");
        assert_eq!(node.public_url(), "https://files.example.com");
    }

    // If this fails, a typo starts a service that nobody can reach.
    #[test]
    fn a_bad_value_is_named() {
        let cases = [
            ("nodes: {dist: {host: a, port: 0}}", "dist: port: 0"),
            ("nodes: {dist: {host: a/b, port: 1}}", "dist: host: `a/b`"),
            (
                "nodes: {dist: {host: a, port: 1, public_url: x}}",
                "dist: public_url: `x`",
            ),
            ("nodes: {node1: {host: a, port: 1}}", "names no distributor"),
            ("nodes: {dist: {host: a, prot: 1}}", "prot"),
            (
                "nodes: {Dist: {host: a, port: 1}}",
                "the node's name contains",
            ),
            ("nodes: {dist: {host: a, port: 70000}}", "70000"),
            (
                "copies: 0\nnodes: {dist: {host: a, port: 1}}",
                "copies: `0`",
            ),
            (
                "copies: 6\nnodes: {dist: {host: a, port: 1}}",
                "copies: `6`",
            ),
            ("copies: two\nnodes: {dist: {host: a, port: 1}}", "copies"),
            ("node", ""),
        ];
        for (text, expected) in cases {
            let error = NodesFile::read(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
