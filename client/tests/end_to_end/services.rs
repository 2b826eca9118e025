//! A distributor and a node with settings that a whole cluster in one process does not have: keys,
//! and proxies in front of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pgtest::Postgres;
use tokio::runtime::Runtime;

use crate::bed::{Ran, binary, ran};
use crate::cutter::Cutter;

/// Which database holds the catalog.
#[derive(Clone, Copy)]
pub(crate) enum Database {
    Sqlite,
    Postgres,
}

/// What is special about the services.
#[derive(Default)]
pub(crate) struct Special {
    pub(crate) access_key: Option<String>,
    /// In front of the distributor and of the node.
    pub(crate) cutters: Option<(Cutter, Cutter)>,
}

/// The services, and a folder for files beside them.
pub(crate) struct Services {
    runtime: Runtime,
    dist: Option<dist::Running>,
    node: Option<node::Running>,
    url: String,
    access_key: Option<String>,
    folder: tempfile::TempDir,
}

impl Services {
    pub(crate) fn start(database: Database, special: Special) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("files")).expect("makes");
        let runtime = Runtime::new().expect("a runtime");
        let key = special.access_key;
        let database_url = match database {
            Database::Sqlite => format!("sqlite://{}", folder.path().join("db").display()),
            Database::Postgres => Postgres::shared().fresh_database().expect("a database"),
        };
        let dist = runtime.block_on(dist::start(distributor(database_url, key.clone())));
        let dist = dist.unwrap_or_else(|error| panic!("{error}"));
        let mut config = storage_node(folder.path(), dist.url(), key.clone());
        config.public_url = special.cutters.as_ref().map(|(_, node)| node.url.clone());
        let node = runtime.block_on(node::start(config));
        let node = node.unwrap_or_else(|error| panic!("{error}"));
        let mut url = dist.url().to_owned();
        if let Some((before_dist, before_node)) = special.cutters {
            before_dist.lead_to(dist.url());
            before_node.lead_to(node.url());
            url = before_dist.url;
        }
        let (dist, node) = (Some(dist), Some(node));
        Services {
            runtime,
            dist,
            node,
            url,
            access_key: key,
            folder,
        }
    }

    pub(crate) fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    /// Runs the binary with the access key of the services, if they have one.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = binary(&self.url, &self.files(), arguments);
        command.envs(self.access_key.iter().map(|key| ("ACCESS_KEY", key)));
        ran(command.output().expect("runs"))
    }

    /// Runs the binary with another key, or none.
    pub(crate) fn run_with_key(&self, key: Option<&str>, arguments: &[&str]) -> Ran {
        let mut command = binary(&self.url, &self.files(), arguments);
        command.envs(key.map(|key| ("ACCESS_KEY", key)));
        ran(command.output().expect("runs"))
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        if let Some(node) = self.node.take() {
            self.runtime.block_on(node.stop());
        }
        if let Some(dist) = self.dist.take() {
            self.runtime.block_on(dist.stop());
        }
    }
}

fn distributor(database_url: String, access_key: Option<String>) -> dist::Config {
    dist::Config {
        name: "dist".parse().expect("a name"),
        bind: ([127, 0, 0, 1], 0).into(),
        public_url: None,
        database_url,
        coordinator: None,
        copies: wire::Copies::ONE,
        access: dist::Access {
            cluster_key: cluster_key(),
            access_key,
            ..Default::default()
        },
        session: Duration::from_secs(2),
        poll: dist::POLL_DEFAULT,
        workers: 1,
        traces: None,
    }
}

fn storage_node(folder: &Path, dist: &str, access_key: Option<String>) -> node::Config {
    node::Config {
        name: "node1".parse().expect("a name"),
        bind: ([127, 0, 0, 1], 0).into(),
        internal_url: None,
        public_url: None,
        data_dir: folder.join("node1"),
        max_storage: None,
        catch_up_rate: None,
        distributors: vec![dist.to_owned()],
        access: node::AccessConfig {
            cluster_key: cluster_key(),
            access_key,
            ..Default::default()
        },
        cors_origins: Vec::new(),
        workers: 1,
        traces: None,
    }
}

fn cluster_key() -> Option<String> {
    Some("between services".to_owned())
}
