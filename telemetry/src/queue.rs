//! The queue in front of the collector: the library's batches, between a bound and an account.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor,
};

use crate::account::{Account, WAITING_MAX};

/// Hands spans to the thread that exports them, as many as may wait.
#[derive(Debug)]
pub(crate) struct Queue {
    batches: BatchSpanProcessor,
    account: Arc<Account>,
}

impl Queue {
    /// A queue and its thread, which sends what has been collected for so long.
    pub(crate) fn start(
        exporter: opentelemetry_otlp::SpanExporter,
        account: Arc<Account>,
        pause: Duration,
    ) -> Self {
        let waiting_max = usize::try_from(WAITING_MAX).expect("is a small number");
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(waiting_max)
            .with_scheduled_delay(pause);
        let exporter = Counted {
            exporter,
            account: Arc::clone(&account),
        };
        let batches = BatchSpanProcessor::builder(exporter).with_batch_config(config.build());
        Queue {
            batches: batches.build(),
            account,
        }
    }
}

impl SpanProcessor for Queue {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    /// Never waits: a span that has no room is lost.
    fn on_end(&self, span: SpanData) {
        if self.account.admit() {
            self.batches.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batches.set_resource(resource);
    }
}

/// The library's exporter, and what became of each batch.
#[derive(Debug)]
struct Counted {
    exporter: opentelemetry_otlp::SpanExporter,
    account: Arc<Account>,
}

impl SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let outcome = self.exporter.export(batch).await;
        let error = outcome.as_ref().err().map(ToString::to_string);
        self.account.settled(spans, error);
        outcome
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn shutdown(&self) -> OTelSdkResult {
        self.exporter.shutdown()
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
