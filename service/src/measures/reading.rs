//! Measures that are read when somebody asks, and kept by nobody: what is gone is not shown.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::register;

/// The name of a label, and its value.
pub type Label = (&'static str, String);

type Labels = Vec<(String, String)>;

/// What was read.
pub struct Reading {
    registry: Registry,
}

impl Reading {
    /// Nothing yet; names begin with `prefix` and an underscore, or with nothing.
    pub fn new(prefix: Option<&str>) -> Reading {
        Reading {
            registry: prefix.map_or_else(Registry::default, Registry::with_prefix),
        }
    }

    /// A value.
    pub fn gauge(&mut self, name: &str, help: &str, value: f64) {
        let gauge = Gauge::<f64, AtomicU64>::default();
        gauge.set(value);
        register(&mut self.registry, name, help, gauge);
    }

    /// A value for each set of labels.
    pub fn gauges<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = ([Label; N], f64)>,
    ) {
        let family = Family::<Labels, Gauge<f64, AtomicU64>>::default();
        for (labels, value) in values {
            family.get_or_create(&owned(labels)).set(value);
        }
        register(&mut self.registry, name, help, family);
    }

    /// A value that only grows.
    pub fn counter(&mut self, name: &str, help: &str, value: f64) {
        let counter = Counter::<f64, AtomicU64>::default();
        counter.inc_by(value);
        register(&mut self.registry, name, help, counter);
    }

    /// Words that stay the same as long as the process lives.
    pub fn info<const N: usize>(&mut self, name: &str, help: &str, labels: [Label; N]) {
        register(&mut self.registry, name, help, Info::new(owned(labels)));
    }

    /// All of it, to be written.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}

fn owned<const N: usize>(labels: [Label; N]) -> Labels {
    labels
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measures::text;

    // If this fails, what is read at the moment is not shown, or under other names.
    #[test]
    fn what_is_read_is_written() {
        let mut reading = Reading::new(Some("x"));
        reading.gauge("free_bytes", "Free", 3.0);
        let by_node = [
            ([("node", "node1".to_owned())], 1.0),
            ([("node", "node2".to_owned())], 0.0),
        ];
        reading.gauges("up", "Up", by_node);
        reading.counter("cpu_seconds", "Used", 1.5);
        reading.info("build", "Built", [("version", "7".to_owned())]);
        let text = text(&[reading.registry()]).expect("writes");
        for line in [
            "x_free_bytes 3.0",
            "x_up{node=\"node1\"} 1.0",
            "x_up{node=\"node2\"} 0.0",
            "x_cpu_seconds_total 1.5",
            "x_build_info{version=\"7\"} 1",
        ] {
            assert!(text.lines().any(|each| each == line), "{line}: {text}");
        }
    }
}
