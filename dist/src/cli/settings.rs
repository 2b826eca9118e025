//! From flags, environment, nodes file and defaults to a checked configuration.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;

use dist::{Access, Anonymous, Config, POLL_DEFAULT};
use wire::NodeName;
use wire::limits::SESSION_DEFAULT;
use wire::nodes_file::{NodesFile, ServiceAddress};

/// The HTTP server's own words about its threads help nobody.
const LOG_DEFAULT: &str = "info,actix_server=warn";

const NODES_FILE_DEFAULT: &str = "nodes.yml";

/// A value and where it was given.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    /// A flag or a variable.
    pub(crate) source: String,
    /// As it was written.
    pub(crate) value: String,
}

/// What was given, unread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inputs {
    pub(crate) nodes_file: Option<Given>,
    pub(crate) name: Option<Given>,
    pub(crate) host: Option<Given>,
    pub(crate) port: Option<Given>,
    pub(crate) public_url: Option<Given>,
    pub(crate) database_url: Option<Given>,
    pub(crate) log: Option<Given>,
    pub(crate) cluster_key: Option<Given>,
    pub(crate) access_key: Option<Given>,
    pub(crate) anonymous: Option<Given>,
}

/// Everything that the program needs.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) config: Config,
    /// The tracing filter.
    pub(crate) log: String,
    /// The nodes that the nodes file names.
    pub(crate) nodes: Vec<NodeName>,
    /// Base URIs of the other distributors that it names.
    pub(crate) other_distributors: Vec<String>,
}

/// Why a setting cannot be used. Displays as one line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    #[error("{origin}: `{value}` {message}")]
    Value {
        /// A flag, a variable or a file.
        origin: String,
        value: String,
        message: String,
    },
    #[error("{path}: {message}")]
    File { path: String, message: String },
}

impl Given {
    fn refuse(&self, message: impl Into<String>) -> SettingsError {
        let Given { source, value } = self.clone();
        SettingsError::Value {
            origin: source,
            value,
            message: message.into(),
        }
    }
}

impl Settings {
    /// Reads all that was given.
    ///
    /// # Errors
    /// When a value cannot be used; the error names its source, the key and the value.
    pub(crate) fn new(inputs: Inputs) -> Result<Self, SettingsError> {
        let file = read_nodes_file(inputs.nodes_file.as_ref())?;
        let name: NodeName = match &inputs.name {
            Some(given) => given
                .value
                .parse()
                .map_err(|error: wire::name::RefuseName| given.refuse(format!("({error})")))?,
            None => "dist".parse().expect("`dist` is a valid name"),
        };
        let own = file.as_ref().and_then(|file| file.nodes.get(&name));
        let text = |given: Option<Given>| given.map(|given| given.value);
        let config = Config {
            bind: bind(&inputs, own)?,
            public_url: public_url(&inputs, own)?,
            database_url: text(inputs.database_url)
                .unwrap_or_else(|| "sqlite://data/catalog.db".to_owned()),
            access: Access {
                cluster_key: text(inputs.cluster_key),
                access_key: text(inputs.access_key),
                anonymous: anonymous(inputs.anonymous.as_ref())?,
            },
            session: SESSION_DEFAULT,
            poll: POLL_DEFAULT,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            name: name.clone(),
        };
        let nodes = file
            .iter()
            .flat_map(|f| f.storage_nodes())
            .map(|(name, _)| name.clone());
        let others = file
            .iter()
            .flat_map(|f| f.distributors())
            .filter(|(other, _)| **other != name);
        Ok(Settings {
            config,
            log: text(inputs.log).unwrap_or_else(|| LOG_DEFAULT.to_owned()),
            nodes: nodes.collect(),
            other_distributors: others.map(|(_, address)| address.internal_url()).collect(),
        })
    }
}

fn read_nodes_file(given: Option<&Given>) -> Result<Option<NodesFile>, SettingsError> {
    let path = given.map_or(NODES_FILE_DEFAULT, |given| &given.value);
    if given.is_none() && !Path::new(path).exists() {
        return Ok(None);
    }
    let fail = |message: String| SettingsError::File {
        path: path.to_owned(),
        message,
    };
    let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
    // The reader of YAML draws the place of a mistake over several lines; the first says it.
    let one_line = |text: String| text.lines().next().unwrap_or_default().to_owned();
    NodesFile::read(&text)
        .map(Some)
        .map_err(|error| fail(one_line(error.to_string())))
}

fn bind(inputs: &Inputs, own: Option<&ServiceAddress>) -> Result<SocketAddr, SettingsError> {
    let port = match (&inputs.port, own) {
        (Some(given), _) => given
            .value
            .parse()
            .map_err(|_| given.refuse("is not a port (0 to 65535)"))?,
        (None, Some(own)) => own.port,
        (None, None) => 8000,
    };
    let host = match (&inputs.host, own) {
        (Some(given), _) => given.clone(),
        (None, Some(own)) => Given {
            source: "nodes file: host".to_owned(),
            value: own.host.clone(),
        },
        (None, None) => Given {
            source: "host".to_owned(),
            value: "127.0.0.1".to_owned(),
        },
    };
    let mut addresses = (host.value.as_str(), port)
        .to_socket_addrs()
        .map_err(|error| host.refuse(format!("is not an address of this machine ({error})")))?;
    addresses
        .next()
        .ok_or_else(|| host.refuse("has no address"))
}

fn public_url(
    inputs: &Inputs,
    own: Option<&ServiceAddress>,
) -> Result<Option<String>, SettingsError> {
    let Some(given) = &inputs.public_url else {
        return Ok(own.map(ServiceAddress::public_url));
    };
    if !given.value.starts_with("http://") && !given.value.starts_with("https://") {
        return Err(given.refuse("does not begin with http:// or https://"));
    }
    Ok(Some(given.value.trim_end_matches('/').to_owned()))
}

fn anonymous(given: Option<&Given>) -> Result<Anonymous, SettingsError> {
    match given {
        None => Ok(Anonymous::None),
        Some(given) => match given.value.as_str() {
            "" | "none" => Ok(Anonymous::None),
            "read" => Ok(Anonymous::Read),
            "write" => Ok(Anonymous::Write),
            _ => Err(given.refuse("is none of none, read, write")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::{Given, Inputs, Settings};
    use dist::Anonymous;

    const FILE: &str = "nodes:
  dist: {host: 127.0.0.1, port: 7000, public_url: https://files.example.com/}
  dist2: {host: 127.0.0.1, port: 7001}
  node1: {host: 127.0.0.1, port: 7002}
";

    fn given(source: &str, value: &str) -> Option<Given> {
        Some(Given {
            source: source.to_owned(),
            value: value.to_owned(),
        })
    }

    /// Inputs with a nodes file of this text, which lives as long as the result.
    fn with_file(text: &str) -> (tempfile::NamedTempFile, Inputs) {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        let path = file.path().to_str().expect("UTF-8").to_owned();
        (
            file,
            Inputs {
                nodes_file: given("--nodes-file", &path),
                ..Inputs::default()
            },
        )
    }

    // If this fails, a setting that is documented does nothing.
    #[test]
    fn the_file_is_overridden_by_what_is_given() {
        let (_file, inputs) = with_file(FILE);
        let settings = Settings::new(inputs.clone()).expect("settings");
        assert_eq!(settings.config.bind.to_string(), "127.0.0.1:7000");
        assert_eq!(
            settings.config.public_url.as_deref(),
            Some("https://files.example.com")
        );
        assert_eq!(settings.config.database_url, "sqlite://data/catalog.db");
        assert_eq!(settings.nodes.len(), 1);
        assert_eq!(settings.other_distributors, ["http://127.0.0.1:7001"]);

        let settings = Settings::new(Inputs {
            name: given("--name", "dist2"),
            host: given("HOST", "0.0.0.0"),
            port: given("--port", "9"),
            public_url: given("PUBLIC_URL", "http://x/"),
            database_url: given("DATABASE_URL", "postgres://h/d"),
            cluster_key: given("CLUSTER_KEY", "c"),
            access_key: given("ACCESS_KEY", "a"),
            anonymous: given("ANONYMOUS", "read"),
            log: given("LOG", "debug"),
            ..inputs
        })
        .expect("settings");
        let config = settings.config;
        assert_eq!(
            (config.name.as_str(), config.bind.to_string().as_str()),
            ("dist2", "0.0.0.0:9")
        );
        assert_eq!(config.public_url.as_deref(), Some("http://x"));
        assert_eq!(config.database_url, "postgres://h/d");
        assert_eq!(config.access.cluster_key.as_deref(), Some("c"));
        assert_eq!(config.access.access_key.as_deref(), Some("a"));
        assert_eq!(
            (config.access.anonymous, settings.log.as_str()),
            (Anonymous::Read, "debug")
        );
    }

    // If this fails, somebody with a typo does not learn where it is.
    #[test]
    fn a_bad_value_is_named_with_its_source() {
        let refused = |inputs: Inputs| Settings::new(inputs).expect_err("refused").to_string();
        let none = Inputs::default;
        let cases = [
            (
                Inputs {
                    port: given("PORT", "x"),
                    ..none()
                },
                "PORT: `x` is not a port",
            ),
            (
                Inputs {
                    port: given("--port", "70000"),
                    ..none()
                },
                "--port: `70000`",
            ),
            (
                Inputs {
                    name: given("NODE_NAME", "A"),
                    ..none()
                },
                "NODE_NAME: `A`",
            ),
            (
                Inputs {
                    public_url: given("PUBLIC_URL", "x"),
                    ..none()
                },
                "PUBLIC_URL: `x`",
            ),
            (
                Inputs {
                    anonymous: given("ANONYMOUS", "all"),
                    ..none()
                },
                "ANONYMOUS: `all`",
            ),
            (
                Inputs {
                    nodes_file: given("NODES_FILE", "/no/f"),
                    ..none()
                },
                "/no/f: No such file",
            ),
        ];
        for (inputs, expected) in cases {
            let error = refused(inputs);
            assert!(error.contains(expected) && !error.contains('\n'), "{error}");
        }
        let (_file, inputs) = with_file("nodes: {dist: {host: a, port: 0}}");
        assert!(refused(inputs).contains("dist: port: 0"));
    }
}
