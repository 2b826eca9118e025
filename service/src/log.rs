//! The log of a process: lines on standard error.

use std::io::IsTerminal;
use std::str::FromStr;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, registry, reload};

use crate::environment::Environment;
use crate::given::{Given, SettingError};

/// What a service logs by default. The HTTP server's own words about its threads help nobody, and what it
/// says of those who do not speak HTTP any stranger could fill a log with.
pub const FILTER_DEFAULT: &str = "info,actix_server=warn,actix_http=off";

/// How a service logs.
#[derive(Clone, Debug)]
pub struct Log {
    /// What: a filter of tracing.
    pub filter: Given,
    /// How it looks.
    pub format: Format,
}

/// The filter of a log that was started.
pub struct Filter {
    given: Given,
    handle: reload::Handle<EnvFilter, Registry>,
}

/// How a log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Lines for people.
    #[default]
    Lines,
    /// One JSON object a line, for programs that collect logs.
    Json,
}

impl FromStr for Format {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "lines" => Ok(Format::Lines),
            "json" => Ok(Format::Json),
            _ => Err(()),
        }
    }
}

impl Format {
    /// As it is given, for what is said before all settings are read; who reads them refuses another one.
    pub fn wanted(flag: Option<&str>, environment: &Environment) -> Self {
        let given = environment.given("--log-format", flag, "LOG_FORMAT");
        let given = given.ok().flatten();
        given
            .and_then(|given| given.value.parse().ok())
            .unwrap_or_default()
    }
}

/// Writes an error as a line of a log in JSON, whether or not one was started, and whatever that leaves out.
pub(crate) fn tell_in_json(program: &str, error: &str) {
    let lines = fmt::layer().with_writer(std::io::stderr);
    let log = registry().with(lines.json().flatten_event(true));
    tracing::subscriber::with_default(log, || tracing::error!(program, "{error}"));
}

impl Log {
    /// From what was given, if anything.
    ///
    /// # Errors
    /// When there is no such format. The filter is read when the log starts.
    pub fn read(filter: Option<Given>, format: Option<Given>) -> Result<Self, SettingError> {
        let format = format.map(|format| format.parse("`lines` or `json`"));
        Ok(Log {
            filter: filter.unwrap_or_else(|| Given::new("the default", FILTER_DEFAULT)),
            format: format.transpose()?.unwrap_or_default(),
        })
    }

    /// Starts the log of this process, once. Its filter can be replaced later.
    ///
    /// # Errors
    /// When the filter cannot be read.
    ///
    /// # Panics
    /// When the process has a log already.
    pub fn start(&self) -> Result<Filter, SettingError> {
        let (filter, handle) = reload::Layer::new(read(&self.filter)?);
        let log = registry().with(filter);
        let lines = fmt::layer().with_writer(std::io::stderr);
        match self.format {
            Format::Lines => {
                let lines = lines.with_ansi(std::io::stderr().is_terminal());
                log.with(lines).init();
            }
            Format::Json => log.with(lines.json().flatten_event(true)).init(),
        }
        Ok(Filter {
            given: self.filter.clone(),
            handle,
        })
    }
}

impl Filter {
    /// Logs from now on what `log` says; its format stays. Says whether that is another filter.
    ///
    /// # Errors
    /// When the filter cannot be read; the old one stays.
    pub fn replace(&mut self, log: &Log) -> Result<bool, SettingError> {
        if self.given == log.filter {
            return Ok(false);
        }
        let replaced = self.handle.reload(read(&log.filter)?);
        replaced.map_err(|error| log.filter.refuse(format!("cannot be used ({error})")))?;
        self.given = log.filter.clone();
        Ok(true)
    }
}

fn read(filter: &Given) -> Result<EnvFilter, SettingError> {
    EnvFilter::try_new(&filter.value)
        .map_err(|error| filter.refuse(format!("is not a filter ({error})")))
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a program that collects logs is given lines that it cannot read.
    #[test]
    fn formats_are_read() {
        let read = |text: &str| Log::read(None, Some(Given::new("LOG_FORMAT", text)));
        let format = |text| read(text).map(|log| log.format);
        assert_eq!(format("lines"), Ok(Format::Lines));
        assert_eq!(format("json"), Ok(Format::Json));
        let error = format("xml").expect_err("is none").to_string();
        assert_eq!(error, "LOG_FORMAT: `xml` is not `lines` or `json`");
        let default = Log::read(None, None).expect("is read");
        assert_eq!(default.format, Format::Lines);
        assert_eq!(default.filter.value, FILTER_DEFAULT);
    }

    // If this fails, a program that collects logs cannot read why a service does not start.
    #[test]
    fn the_format_is_known_before_the_settings_are() {
        let environment = |format: &str| Environment::new([("LOG_FORMAT", format)], "");
        let wanted = |flag, format| Format::wanted(flag, &environment(format));
        assert_eq!(wanted(None, "json"), Format::Json);
        assert_eq!(wanted(Some("json"), ""), Format::Json);
        assert_eq!(wanted(Some("lines"), "json"), Format::Lines);
        assert_eq!(wanted(None, "xml"), Format::Lines, "it is refused later");
    }

    // If this fails, a documented filter is refused, or a typo in one silences the log.
    #[test]
    fn filters_are_read() {
        for filter in [FILTER_DEFAULT, "info", "dist=debug", "warn,node=trace"] {
            assert!(read(&Given::new("LOG", filter)).is_ok(), "{filter}");
        }
        let error = read(&Given::new("LOG", "dist=loud")).expect_err("is no level");
        let error = error.to_string();
        assert!(
            error.starts_with("LOG: `dist=loud` is not a filter ("),
            "{error}"
        );
        assert_eq!(error.lines().count(), 1);
    }
}
