//! The program's settings: flags, then the environment, then `nodes.yml`, then defaults.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Parser, Subcommand};
use wire::NodeName;
use wire::nodes_file::{NodesFile, ServiceAddress};

use crate::config::{AccessConfig, Anonymous, Config};

const NODES_FILE: &str = "nodes.yml";
const PORT: u16 = 8001;
const DISTRIBUTOR: &str = "http://127.0.0.1:8000";

/// A storage node of Acequia: keeps contents on its disk and serves them.
#[derive(Debug, Default, Parser)]
#[command(name = "node", version, after_help = ENVIRONMENT)]
pub struct Flags {
    /// The node's name [env: NODE_NAME] [default: node1]
    #[arg(long)]
    name: Option<String>,
    /// The services by host and port [env: NODES_FILE] [default: nodes.yml, if it is there]
    #[arg(long, value_name = "FILE")]
    nodes_file: Option<String>,
    /// Where to listen: an address or a host name [env: HOST] [default: of nodes.yml, or 127.0.0.1]
    #[arg(long)]
    host: Option<String>,
    /// The port to listen on [env: PORT] [default: of nodes.yml, or 8001]
    #[arg(long)]
    port: Option<String>,
    /// What clients are told, if not http://HOST:PORT [env: PUBLIC_URL]
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Where the data lives [env: DATA_DIR] [default: ./data/NAME]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// The most to store, like 100M or 2TiB [env: MAX_STORAGE] [default: what the disk can hold]
    #[arg(long, value_name = "SIZE")]
    max_storage: Option<String>,
    /// A distributor; repeatable [env: DIST_URL, with commas] [default: of nodes.yml, or
    /// http://127.0.0.1:8000]
    #[arg(long, value_name = "URL")]
    dist: Vec<String>,
    /// What to log: a level, or a filter of tracing [env: LOG] [default: info]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// What to do; by default the node runs.
    #[command(subcommand)]
    pub command: Option<Task>,
}

/// What else the program does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum Task {
    /// Ask the node at the configured address whether it lives; for container health checks
    Health,
}

const ENVIRONMENT: &str = "Keys come from the environment alone:
  CLUSTER_KEY  guards calls between services; needed beyond loopback
  ACCESS_KEY   guards the routes of clients
  ANONYMOUS    what works without a key: none, read or write";

/// A setting that cannot be used: where it is from, and what is wrong with it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{source_name}: {message}")]
pub struct SettingError {
    source_name: String,
    message: String,
}

/// Where settings are looked up that are not flags.
pub struct Environment<'a> {
    /// The value of a variable.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// The folder that relative paths are relative to.
    pub folder: &'a Path,
}

/// A value and where it is from.
struct Setting {
    source_name: String,
    value: String,
}

impl Setting {
    fn parse<T: FromStr>(self, expected: &str) -> Result<T, SettingError> {
        self.value
            .parse()
            .map_err(|_| self.refuse(&format!("is not {expected}")))
    }

    fn refuse(&self, why: &str) -> SettingError {
        let message = format!("`{}` {why}", self.value);
        SettingError {
            source_name: self.source_name.clone(),
            message,
        }
    }
}

impl Flags {
    /// The filter of the log.
    pub fn log_filter(&self, environment: &Environment<'_>) -> String {
        self.log
            .clone()
            .or_else(|| (environment.variable)("LOG"))
            .unwrap_or_else(|| "info".to_owned())
    }

    /// Puts the settings together.
    ///
    /// # Errors
    /// When a value cannot be used; the error names where it is from.
    pub fn config(&self, environment: &Environment<'_>) -> Result<Config, SettingError> {
        let pick = |flag: &Option<String>, name: &str, variable: &str| {
            let given = flag.clone().map(|value| Setting {
                source_name: name.to_owned(),
                value,
            });
            given.or_else(|| {
                let value = (environment.variable)(variable)?;
                Some(Setting {
                    source_name: variable.to_owned(),
                    value,
                })
            })
        };
        let file = read_nodes_file(
            pick(&self.nodes_file, "--nodes-file", "NODES_FILE"),
            environment,
        )?;
        let name: NodeName = match pick(&self.name, "--name", "NODE_NAME") {
            Some(setting) => setting.parse("a name of lower-case letters, digits and hyphens")?,
            None => NodeName::from_str("node1").map_err(|error| built_in(&error))?,
        };
        let own = file.as_ref().and_then(|file| file.nodes.get(&name));
        let host = pick(&self.host, "--host", "HOST");
        let port = pick(&self.port, "--port", "PORT");
        let public_url = pick(&self.public_url, "--public-url", "PUBLIC_URL");
        let data = pick(&self.data, "--data", "DATA_DIR");
        let max_storage = pick(&self.max_storage, "--max-storage", "MAX_STORAGE");
        Ok(Config {
            bind: bind(host, port, own)?,
            internal_url: own.map(ServiceAddress::internal_url),
            public_url: public_url
                .map(url)
                .transpose()?
                .or(own.map(ServiceAddress::public_url)),
            data_dir: data.map_or_else(
                || environment.folder.join("data").join(name.as_str()),
                |setting| environment.folder.join(setting.value),
            ),
            max_storage: max_storage.map(size).transpose()?,
            distributors: self.distributors(environment, file.as_ref())?,
            access: access(environment)?,
            cors_origins: origins(file.as_ref()),
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            name,
        })
    }

    fn distributors(
        &self,
        environment: &Environment<'_>,
        file: Option<&NodesFile>,
    ) -> Result<Vec<String>, SettingError> {
        let setting = |source_name: &str, value: &str| Setting {
            source_name: source_name.to_owned(),
            value: value.trim().to_owned(),
        };
        if !self.dist.is_empty() {
            return self
                .dist
                .iter()
                .map(|value| url(setting("--dist", value)))
                .collect();
        }
        if let Some(list) = (environment.variable)("DIST_URL") {
            return list
                .split(',')
                .map(|value| url(setting("DIST_URL", value)))
                .collect();
        }
        Ok(match file {
            Some(file) => file
                .distributors()
                .map(|(_, dist)| dist.internal_url())
                .collect(),
            None => vec![DISTRIBUTOR.to_owned()],
        })
    }
}

fn built_in(error: &dyn std::fmt::Display) -> SettingError {
    SettingError {
        source_name: "a default".to_owned(),
        message: error.to_string(),
    }
}

/// The file that is named, or `nodes.yml` if there is one.
fn read_nodes_file(
    named: Option<Setting>,
    environment: &Environment<'_>,
) -> Result<Option<NodesFile>, SettingError> {
    let (path, is_named): (PathBuf, bool) = match &named {
        Some(setting) => (environment.folder.join(&setting.value), true),
        None => (environment.folder.join(NODES_FILE), false),
    };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if !is_named && error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let source_name =
                named.map_or_else(|| NODES_FILE.to_owned(), |named| named.source_name);
            let message = format!("cannot read {}: {error}", path.display());
            return Err(SettingError {
                source_name,
                message,
            });
        }
    };
    NodesFile::read(&text)
        .map(Some)
        .map_err(|error| SettingError {
            source_name: path.display().to_string(),
            message: error.to_string().replace('\n', " "),
        })
}

fn bind(
    host: Option<Setting>,
    port: Option<Setting>,
    own: Option<&ServiceAddress>,
) -> Result<SocketAddr, SettingError> {
    let port = match port {
        Some(setting) => setting.parse("a port from 0 to 65535")?,
        None => own.map_or(PORT, |own| own.port),
    };
    let host = host.unwrap_or_else(|| Setting {
        source_name: "host".to_owned(),
        value: own.map_or_else(|| "127.0.0.1".to_owned(), |own| own.host.clone()),
    });
    let found = (host.value.as_str(), port)
        .to_socket_addrs()
        .ok()
        .and_then(|mut all| all.next());
    found.ok_or_else(|| host.refuse("is neither an address nor a name that can be looked up"))
}

fn url(setting: Setting) -> Result<String, SettingError> {
    if setting.value.starts_with("http://") || setting.value.starts_with("https://") {
        Ok(setting.value.trim_end_matches('/').to_owned())
    } else {
        Err(setting.refuse("does not begin with http:// or https://"))
    }
}

fn size(setting: Setting) -> Result<u64, SettingError> {
    let bytes: bytesize::ByteSize = setting
        .value
        .parse()
        .map_err(|_| setting.refuse("is not a size like 100M, 1.5GB or 2TiB"))?;
    match bytes.as_u64() {
        0 => Err(setting.refuse("leaves no room for anything")),
        bytes => Ok(bytes),
    }
}

fn access(environment: &Environment<'_>) -> Result<AccessConfig, SettingError> {
    let anonymous = match (environment.variable)("ANONYMOUS") {
        None => Anonymous::None,
        Some(value) => match value.as_str() {
            "none" => Anonymous::None,
            "read" => Anonymous::Read,
            "write" => Anonymous::Write,
            _ => {
                let setting = Setting {
                    source_name: "ANONYMOUS".to_owned(),
                    value,
                };
                return Err(setting.refuse("is not none, read or write"));
            }
        },
    };
    Ok(AccessConfig {
        cluster_key: (environment.variable)("CLUSTER_KEY"),
        access_key: (environment.variable)("ACCESS_KEY"),
        anonymous,
    })
}

/// Pages of the distributors may use the data routes.
fn origins(file: Option<&NodesFile>) -> Vec<String> {
    match file {
        Some(file) => file
            .distributors()
            .map(|(_, dist)| dist.public_url())
            .collect(),
        None => vec![DISTRIBUTOR.to_owned(), "http://localhost:8000".to_owned()],
    }
}

#[cfg(test)]
#[path = "cli_tests.rs"]
mod tests;
