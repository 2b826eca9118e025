//! What every service measures, and how measures are written.
//!
//! It owns names with their units, the two text formats, and what is the same in every service:
//! requests, the process, the build. It must not know what a service measures beside that.

mod format;
mod process;
mod reading;
mod requests;

use prometheus_client::encoding::text;
use prometheus_client::metrics::family::MetricConstructor;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry, Unit};

pub use format::Format;
pub use process::process;
pub use reading::{Label, Reading};
pub use requests::{Requests, UnderWay};

/// What a name ends with when its measure has a unit.
const UNITS: [&str; 4] = ["bytes", "seconds", "ratio", "records"];

/// From half a millisecond, a read from memory, to a hundred seconds, a large upload.
const LATENCIES: [f64; 16] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    100.0,
];

/// Makes histograms of latencies.
#[derive(Clone, Copy, Debug)]
pub struct Latencies;

impl MetricConstructor<Histogram> for Latencies {
    fn new_metric(&self) -> Histogram {
        Histogram::new(LATENCIES)
    }
}

/// Adds a measure under a name that ends with its unit, if it has one; a counter's `_total` is not
/// part of it.
pub fn register(registry: &mut Registry, name: &str, help: &str, metric: impl Metric) {
    let split = name
        .rsplit_once('_')
        .filter(|(_, unit)| UNITS.contains(unit));
    match split {
        Some((bare, unit)) => {
            registry.register_with_unit(bare, help, Unit::Other(unit.to_owned()), metric);
        }
        None => registry.register(name, help, metric),
    }
}

/// Everything in these registries, as OpenMetrics text.
///
/// # Errors
/// When a measure cannot be written as text, which none of ours can't.
pub fn text(registries: &[&Registry]) -> Result<String, std::fmt::Error> {
    let mut out = String::with_capacity(64 * 1024);
    for registry in registries {
        text::encode_registry(&mut out, registry)?;
    }
    text::encode_eof(&mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::gauge::Gauge;

    use super::*;

    // If this fails, a measure's unit is not said, or is said twice.
    #[test]
    fn a_name_s_last_word_is_its_unit() {
        let mut registry = Registry::with_prefix("x");
        register(
            &mut registry,
            "sent_bytes",
            "Sent",
            Counter::<u64>::default(),
        );
        register(&mut registry, "shards", "Shards", Gauge::<i64>::default());
        let text = text(&[&registry, &Registry::default()]).expect("writes");
        for line in [
            "# HELP x_sent_bytes Sent.",
            "# TYPE x_sent_bytes counter",
            "# UNIT x_sent_bytes bytes",
            "x_sent_bytes_total 0",
            "x_shards 0",
        ] {
            assert!(text.lines().any(|each| each == line), "{line}: {text}");
        }
        assert!(!text.contains("# UNIT x_shards"));
        assert!(text.ends_with("# EOF\n"));
        assert_eq!(text.matches("# EOF").count(), 1);
    }
}
