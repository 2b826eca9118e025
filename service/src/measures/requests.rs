//! Requests as every service counts them. Whatever is asked for, there are few series: routes and
//! methods are of closed lists.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{Latencies, register};

/// The methods that some route takes; all others are `other`.
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Answered {
    route: &'static str,
    method: &'static str,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Asked {
    route: &'static str,
    method: &'static str,
}

/// Counts requests, and how long they take.
pub struct Requests {
    answered: Family<Answered, Counter>,
    seconds: Family<Asked, Histogram, Latencies>,
    under_way: Gauge,
}

/// A request that has begun. Dropped, it has ended, whether it was answered or not.
pub struct UnderWay(Gauge);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Default for Requests {
    fn default() -> Self {
        Requests {
            answered: Family::default(),
            seconds: Family::new_with_constructor(Latencies),
            under_way: Gauge::default(),
        }
    }
}

impl Requests {
    /// Has them shown.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Requests answered, by route and status";
        register(registry, "http_requests", help, self.answered.clone());
        let help = "Time from a request's head to its answer's head";
        let seconds = self.seconds.clone();
        register(registry, "http_request_duration_seconds", help, seconds);
        let help = "Requests whose answer has not begun yet";
        let under_way = self.under_way.clone();
        register(registry, "http_requests_in_flight", help, under_way);
    }

    /// A request begins.
    pub fn begin(&self) -> UnderWay {
        self.under_way.inc();
        UnderWay(self.under_way.clone())
    }

    /// Counts one answer; `route` is a template, and never a path that somebody sent.
    pub fn answered(&self, route: &'static str, method: &str, status: u16, took: Duration) {
        let known = METHODS.iter().find(|known| **known == method);
        let method = known.copied().unwrap_or("other");
        let answered = Answered {
            route,
            method,
            status,
        };
        self.answered.get_or_create(&answered).inc();
        self.seconds
            .get_or_create(&Asked { route, method })
            .observe(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measures::text;

    // If this fails, error rates and latencies cannot be seen, or whoever invents methods fills
    // the memory.
    #[test]
    fn answers_are_counted_by_route_and_status() {
        let requests = Requests::default();
        let mut registry = Registry::with_prefix("x");
        requests.register(&mut registry);
        let under_way = requests.begin();
        let took = Duration::from_millis(3);
        requests.answered("/store", "POST", 200, took);
        requests.answered("/store", "BREW", 405, took);
        let shown = || text(&[&registry]).expect("writes");
        let text = shown();
        for line in [
            "x_http_requests_total{route=\"/store\",method=\"POST\",status=\"200\"} 1",
            "x_http_requests_total{route=\"/store\",method=\"other\",status=\"405\"} 1",
            "x_http_request_duration_seconds_count{route=\"/store\",method=\"POST\"} 1",
            "x_http_requests_in_flight 1",
        ] {
            assert!(text.lines().any(|each| each == line), "{line}: {text}");
        }
        drop(under_way);
        assert!(shown().contains("x_http_requests_in_flight 0\n"));
    }
}
