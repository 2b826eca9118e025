//! The program's settings: flags, then the environment, then `nodes.yml`, then defaults.

use clap::{Parser, Subcommand};
use service::environment::Environment;
use service::flags::{self, Defaults, ENVIRONMENT};
use service::given::{Given, SettingError};
use service::log::{Format, Log};
use service::program::{Program, cores};
use service::settings::{Settings, of_file};
use wire::nodes_file::{NodesFile, ServiceEntry};

use crate::config::Config;

/// What a node is called, and where it listens, where nobody said so.
pub const DEFAULTS: Defaults = Defaults {
    name: "node1",
    port: 8001,
};

/// How fast mirrors that catch up are served: a gigabit of network, and a tenth of a fast disk.
pub const CATCH_UP_RATE_DEFAULT: u64 = 100 << 20;

const DISTRIBUTOR: &str = "http://127.0.0.1:8000";

/// A storage node of Acequia: keeps contents on its disk and serves them.
#[derive(Debug, Default, Parser)]
#[command(name = "node", version, after_help = ENVIRONMENT)]
pub struct Flags {
    #[command(flatten)]
    service: flags::Flags,
    /// Where the data lives [env: DATA_DIR] [default: ./data/NAME]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// The most to store, like 100M or 2TiB [env: MAX_STORAGE] [default: of nodes.yml, or what the
    /// disk can hold]
    #[arg(long, value_name = "SIZE")]
    max_storage: Option<String>,
    /// How fast mirrors that catch up are served, a second; 0 means as fast as they can
    /// [env: CATCH_UP_RATE] [default: of nodes.yml, or 100MiB]
    #[arg(long, value_name = "SIZE")]
    catch_up_rate: Option<String>,
    /// A distributor; repeatable [env: DIST_URL, with commas] [default: of nodes.yml, or
    /// http://127.0.0.1:8000]
    #[arg(long, value_name = "URL")]
    dist: Vec<String>,
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

impl Flags {
    /// The program, as it speaks where it cannot go on.
    pub fn program(&self, environment: &Environment) -> Program {
        let format = self.service.log_format.as_deref();
        Program::new("node", Format::wanted(format, environment))
    }

    /// Puts the settings together: the node's, and its log's.
    ///
    /// # Errors
    /// When a value cannot be used; the error names where it is from.
    pub fn settings(&self, environment: &Environment) -> Result<(Config, Log), SettingError> {
        let settings = Settings::read(&self.service, environment, &DEFAULTS)?;
        let data = environment.given("--data", self.data.as_deref(), "DATA_DIR")?;
        let file = settings.nodes_file.as_ref();
        let own = file.and_then(|file| file.nodes.get(&settings.name));
        let bound = |key: &str, value: fn(&ServiceEntry) -> Option<&String>| {
            let value = own.and_then(value)?;
            Some(of_file(format_args!("{}: {key}", settings.name), value))
        };
        let max_storage = environment
            .given("--max-storage", self.max_storage.as_deref(), "MAX_STORAGE")?
            .or_else(|| bound("max_storage", |own| own.max_storage.as_ref()));
        let catch_up_rate = self.catch_up_rate.as_deref();
        let catch_up_rate = environment
            .given("--catch-up-rate", catch_up_rate, "CATCH_UP_RATE")?
            .or_else(|| bound("catch_up_rate", |own| own.catch_up_rate.as_ref()));
        let config = Config {
            bind: settings.bind,
            data_dir: environment.folder.join(match data {
                Some(data) => data.value,
                None => format!("data/{}", settings.name),
            }),
            max_storage: max_storage.map(size).transpose()?,
            catch_up_rate: catch_up_rate.map_or(Ok(Some(CATCH_UP_RATE_DEFAULT)), rate)?,
            distributors: self.distributors(environment, file)?,
            cors_origins: origins(file),
            internal_url: settings.internal_url,
            public_url: settings.public_url,
            access: settings.access,
            workers: cores(),
            traces: telemetry::Settings::read(environment)?,
            name: settings.name,
        };
        Ok((config, settings.log))
    }

    fn distributors(
        &self,
        environment: &Environment,
        file: Option<&NodesFile>,
    ) -> Result<Vec<String>, SettingError> {
        if !self.dist.is_empty() {
            return self
                .dist
                .iter()
                .map(|url| Given::new("--dist", url.trim()).base_url())
                .collect();
        }
        if let Some(list) = environment.variable("DIST_URL")? {
            return list
                .value
                .split(',')
                .map(|url| Given::new("DIST_URL", url.trim()).base_url())
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

fn bytes(given: &Given) -> Result<u64, SettingError> {
    let bytes: bytesize::ByteSize = given.parse("a size like 100M, 1.5GB or 2TiB")?;
    Ok(bytes.as_u64())
}

/// None is no bound.
fn rate(given: Given) -> Result<Option<u64>, SettingError> {
    let rate = bytes(&given)?;
    Ok(Some(rate).filter(|rate| *rate > 0))
}

fn size(given: Given) -> Result<u64, SettingError> {
    match bytes(&given)? {
        0 => Err(given.refuse("leaves no room for anything")),
        bytes => Ok(bytes),
    }
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
