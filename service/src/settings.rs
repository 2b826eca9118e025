//! From flags, environment, nodes file and defaults, in this order, to what every service needs.

use std::fmt::Display;
use std::net::SocketAddr;

use wire::NodeName;
use wire::nodes_file::{NodesFile, ServiceEntry};

use crate::access::{Access, Anonymous};
use crate::environment::{Environment, NODES_FILE};
use crate::flags::{Defaults, Flags};
use crate::given::{Given, SettingError};
use crate::log::Log;

/// What every service needs, checked one by one.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The service's name.
    pub name: NodeName,
    /// Where it listens; port 0 takes any free one.
    pub bind: SocketAddr,
    /// Base URI for other services; none for the address that it gets.
    pub internal_url: Option<String>,
    /// Base URI for clients; none for the internal one.
    pub public_url: Option<String>,
    /// Its keys.
    pub access: Access,
    /// Its log.
    pub log: Log,
    /// The nodes file, if there is one.
    pub nodes_file: Option<NodesFile>,
}

impl Settings {
    /// Puts the settings together.
    ///
    /// # Errors
    /// When a value cannot be used; the error names where it stands.
    pub fn read(
        flags: &Flags,
        environment: &Environment,
        defaults: &Defaults,
    ) -> Result<Self, SettingError> {
        let pick =
            |flag, value: &Option<String>, name| environment.given(flag, value.as_deref(), name);
        let nodes_file = nodes_file(
            pick("--nodes-file", &flags.nodes_file, "NODES_FILE")?,
            environment,
        )?;
        let name = name(pick("--name", &flags.name, "NODE_NAME")?, defaults)?;
        let own = nodes_file.as_ref().and_then(|file| file.nodes.get(&name));
        let host = pick("--host", &flags.host, "HOST")?;
        let host = host.unwrap_or_else(|| match own {
            Some(own) => of_file(format_args!("{name}: host"), &own.host),
            None => Given::new("host", "127.0.0.1"),
        });
        let port = pick("--port", &flags.port, "PORT")?
            .map(|port| port.parse("a port from 0 to 65535"))
            .transpose()?;
        let public_url = pick("--public-url", &flags.public_url, "PUBLIC_URL")?
            .map(|url| url.base_url())
            .transpose()?;
        let filter = pick("--log", &flags.log, "LOG")?;
        let log = Log::read(
            filter.or_else(|| Some(of_file("log", nodes_file.as_ref()?.log.as_deref()?))),
            pick("--log-format", &flags.log_format, "LOG_FORMAT")?,
        )?;
        let urls = Urls::of(own, port);
        Ok(Settings {
            bind: environment.address(
                &host,
                port.or(own.map(|own| own.port)).unwrap_or(defaults.port),
            )?,
            internal_url: urls.internal,
            public_url: public_url.or(urls.public),
            access: access(environment)?,
            log,
            name,
            nodes_file,
        })
    }
}

/// A value of the nodes file, and the key that it stands under.
pub fn of_file(key: impl Display, value: &str) -> Given {
    Given::new(format!("nodes file: {key}"), value)
}

/// What the nodes file says that others are told.
struct Urls {
    internal: Option<String>,
    public: Option<String>,
}

impl Urls {
    /// `port` is one that was given elsewhere: then the service is not where the file says. A public
    /// URL in the file stands, because it may be a proxy's.
    fn of(own: Option<&ServiceEntry>, port: Option<u16>) -> Self {
        let internal = match (own, port) {
            (None, _) | (_, Some(0)) => None,
            (Some(own), None) => Some(own.internal_url()),
            (Some(own), Some(port)) => {
                let moved = ServiceEntry {
                    port,
                    ..own.clone()
                };
                Some(moved.internal_url())
            }
        };
        let public = own.filter(|own| own.public_url.is_some());
        Urls {
            public: public
                .map(ServiceEntry::public_url)
                .or_else(|| internal.clone()),
            internal,
        }
    }
}

/// The file that is named, or `nodes.yml` if there is one.
fn nodes_file(
    named: Option<Given>,
    environment: &Environment,
) -> Result<Option<NodesFile>, SettingError> {
    let must_exist = named.is_some() || environment.had_nodes_file;
    let named = named.unwrap_or_else(|| Given::new(NODES_FILE, NODES_FILE));
    let path = environment.folder.join(&named.value);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if !must_exist && error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(None);
        }
        Err(error) => {
            let message = format!("cannot read {}: {error}", path.display());
            return Err(SettingError::at(named.source, message));
        }
    };
    // The reader of YAML draws the place of a mistake over several lines; the first says it.
    let first_line = |text: String| text.lines().next().unwrap_or_default().to_owned();
    NodesFile::read(&text).map(Some).map_err(|error| {
        SettingError::at(path.display().to_string(), first_line(error.to_string()))
    })
}

fn name(given: Option<Given>, defaults: &Defaults) -> Result<NodeName, SettingError> {
    let given = given.unwrap_or_else(|| Given::new("the default name", defaults.name));
    let name = given.value.parse();
    name.map_err(|error: wire::name::RefuseName| given.refuse(format!("is not a name: {error}")))
}

/// Keys come from the environment alone, so that no list of processes shows them.
fn access(environment: &Environment) -> Result<Access, SettingError> {
    let key = |name| Ok(environment.variable(name)?.map(|given| given.value));
    let anonymous = match environment.variable("ANONYMOUS")? {
        None => Anonymous::None,
        Some(given) => match given.value.as_str() {
            "none" => Anonymous::None,
            "read" => Anonymous::Read,
            "write" => Anonymous::Write,
            _ => return Err(given.refuse("is not none, read or write")),
        },
    };
    Ok(Access {
        cluster_key: key("CLUSTER_KEY")?,
        access_key: key("ACCESS_KEY")?,
        anonymous,
    })
}

#[cfg(test)]
mod tests;
