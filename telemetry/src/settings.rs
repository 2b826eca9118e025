//! Whether spans are exported, where to, and of which requests: the variables that OpenTelemetry
//! names.
//!
//! Its library itself reads `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_EXPORTER_OTLP_TRACES_HEADERS`,
//! `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`.

use std::fmt;
use std::time::Duration;

use opentelemetry_sdk::trace::Sampler;
use reqwest::Url;
use service::environment::Environment;
use service::given::{Given, SettingError};

/// What follows a collector's base URI, where only that is given.
const TRACES_PATH: &str = "/v1/traces";

/// The form of OTLP that is spoken.
const PROTOCOL: &str = "http/protobuf";

/// Where spans are exported to, and which.
#[derive(Clone)]
pub struct Settings {
    /// Where batches of them are posted.
    pub(crate) endpoint: Url,
    /// Of which requests.
    pub(crate) sampler: Sampler,
    /// How long they are collected before they are sent.
    pub(crate) pause: Duration,
}

impl fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A query may hold a key.
        let host = self.endpoint.host_str();
        formatter
            .debug_struct("Settings")
            .field("host", &host)
            .field("sampler", &self.sampler)
            .field("pause", &self.pause)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// Reads them; none where no collector is named.
    ///
    /// # Errors
    /// When a value cannot be used; the error names the variable.
    pub fn read(environment: &Environment) -> Result<Option<Self>, SettingError> {
        let of_traces = environment.variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")?;
        let of_all = environment.variable("OTEL_EXPORTER_OTLP_ENDPOINT")?;
        let endpoint = match (of_traces, of_all) {
            (Some(given), _) => address(&given, &given.value)?,
            (None, Some(given)) => {
                if given.value.contains(['?', '#']) {
                    // It is not repeated in the error: it may hold a key.
                    return Err(SettingError::at(
                        given.source.as_str(),
                        "is more than a base: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT takes all of it",
                    ));
                }
                let base = given.value.trim_end_matches('/');
                address(&given, &format!("{base}{TRACES_PATH}"))?
            }
            (None, None) => return Ok(None),
        };
        let of_traces = environment.variable("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")?;
        let of_all = environment.variable("OTEL_EXPORTER_OTLP_PROTOCOL")?;
        match of_traces.or(of_all) {
            Some(given) if given.value != PROTOCOL => {
                return Err(given.refuse(format!("is not {PROTOCOL}, which alone is spoken")));
            }
            _ => {}
        }
        Ok(Some(Settings {
            endpoint,
            sampler: sampler(environment)?,
            pause: pause(environment)?,
        }))
    }
}

/// By the specification's default five seconds.
fn pause(environment: &Environment) -> Result<Duration, SettingError> {
    let given = environment.variable("OTEL_BSP_SCHEDULE_DELAY")?;
    let given = given.unwrap_or_else(|| Given::new("the default delay", "5000"));
    let expected = "a number of milliseconds from 1 to 3600000";
    match given.parse(expected)? {
        ms @ 1..=3_600_000 => Ok(Duration::from_millis(ms)),
        _ => Err(given.refuse(format!("is not {expected}"))),
    }
}

/// The value is not repeated in the error: it may hold a key.
fn address(given: &Given, text: &str) -> Result<Url, SettingError> {
    let refuse = |message: &str| SettingError::at(given.source.as_str(), message);
    let url = Url::parse(text).map_err(|error| refuse(&format!("is not a URL ({error})")))?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err(refuse("does not begin with http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse(
            "has a user or a password, which belong into OTEL_EXPORTER_OTLP_HEADERS",
        ));
    }
    Ok(url)
}

fn sampler(environment: &Environment) -> Result<Sampler, SettingError> {
    let by_parent = |sampler| Sampler::ParentBased(Box::new(sampler));
    let share = || {
        let given = environment.variable("OTEL_TRACES_SAMPLER_ARG")?;
        let given = given.unwrap_or_else(|| Given::new("the default share", "1"));
        let expected = "a share from 0 to 1";
        let share: f64 = given.parse(expected)?;
        match (0.0..=1.0).contains(&share) {
            true => Ok(Sampler::TraceIdRatioBased(share)),
            false => Err(given.refuse(format!("is not {expected}"))),
        }
    };
    let Some(given) = environment.variable("OTEL_TRACES_SAMPLER")? else {
        return Ok(by_parent(Sampler::AlwaysOn));
    };
    match given.value.as_str() {
        "always_on" => Ok(Sampler::AlwaysOn),
        "always_off" => Ok(Sampler::AlwaysOff),
        "traceidratio" => share(),
        "parentbased_always_on" => Ok(by_parent(Sampler::AlwaysOn)),
        "parentbased_always_off" => Ok(by_parent(Sampler::AlwaysOff)),
        "parentbased_traceidratio" => share().map(by_parent),
        _ => Err(given.refuse(
            "is not always_on, always_off or traceidratio, nor one of these after parentbased_",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");

    fn read(variables: &[(&str, &str)]) -> Result<Option<Settings>, SettingError> {
        Settings::read(&Environment::new(variables.iter().copied(), ""))
    }

    fn endpoint(variables: &[(&str, &str)]) -> Option<String> {
        let settings = read(variables).expect("can be used");
        settings.map(|settings| settings.endpoint.to_string())
    }

    // If this fails, spans are exported that nobody asked for, or go where no collector takes them.
    #[test]
    fn the_endpoint_is_where_the_specification_has_it() {
        assert_eq!(endpoint(&[("OTEL_SERVICE_NAME", "x")]), None);
        assert_eq!(endpoint(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]), None);
        let expected = Some("http://collector:4318/v1/traces".to_owned());
        assert_eq!(endpoint(&[ENDPOINT]), expected);
        let slash = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/");
        assert_eq!(endpoint(&[slash]), expected);
        let of_traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://other/x?y=1");
        let expected = Some("https://other/x?y=1".to_owned());
        assert_eq!(endpoint(&[ENDPOINT, of_traces]), expected);
    }

    // If this fails, a typo turns tracing off without a word, or a key stands in the log.
    #[test]
    fn what_cannot_be_used_is_refused_with_its_name() {
        let cases = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:secret@collector"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "grpc://secret"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
            ("OTEL_TRACES_SAMPLER", "sometimes"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector?key=secret"),
            ("OTEL_BSP_SCHEDULE_DELAY", "0"),
            ("OTEL_BSP_SCHEDULE_DELAY", "5s"),
        ];
        for (name, value) in cases {
            let error = read(&[ENDPOINT, (name, value)]).expect_err(value);
            let message = error.to_string();
            assert!(message.starts_with(&format!("{name}: ")), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
        let ratio = ("OTEL_TRACES_SAMPLER", "traceidratio");
        for share in ["2", "-1", "half", "NaN"] {
            let share = ("OTEL_TRACES_SAMPLER_ARG", share);
            assert!(read(&[ENDPOINT, ratio, share]).is_err(), "{share:?}");
        }
    }

    // If this fails, a cluster exports all of its traces where a thousandth was asked for.
    #[test]
    fn the_sampler_is_the_one_that_was_asked_for() {
        let sampler = |name, share| {
            let name = ("OTEL_TRACES_SAMPLER", name);
            let share = ("OTEL_TRACES_SAMPLER_ARG", share);
            let read = read(&[ENDPOINT, name, share]).expect("can be used");
            format!("{:?}", read.expect("an endpoint is set").sampler)
        };
        assert_eq!(sampler("", ""), "ParentBased(AlwaysOn)");
        assert_eq!(sampler("always_off", ""), "AlwaysOff");
        assert_eq!(sampler("traceidratio", "0.25"), "TraceIdRatioBased(0.25)");
        let expected = "ParentBased(TraceIdRatioBased(0.25))";
        assert_eq!(sampler("parentbased_traceidratio", "0.25"), expected);
    }
}
