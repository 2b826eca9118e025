//! A service's traces: begun, handed to the queue, flushed at the end.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::{TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, Key, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use wire::NodeName;

use crate::account::Account;
use crate::collector::Collector;
use crate::queue::Queue;
use crate::request::{Request, Span, caller};
use crate::settings::Settings;

/// How long a service that stops waits for what the collector does not have yet.
pub const FLUSH_TIME_MAX: Duration = Duration::from_secs(2);

/// Why traces cannot be exported. Displays as one line.
#[derive(Debug, thiserror::Error)]
#[error("cannot export traces: {0}")]
pub struct StartError(String);

impl StartError {
    pub(crate) fn new(error: &dyn Error) -> Self {
        StartError(error.to_string().replace('\n', " "))
    }
}

/// Takes the spans of one service; where no collector is named, none is made. Clones are the same.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<On>>);

struct On {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    account: Arc<Account>,
}

impl Traces {
    /// Those of the service of this kind and name.
    ///
    /// # Errors
    /// When the exporter cannot be set up. Whether the collector answers is not looked at.
    pub fn start(
        settings: Option<&Settings>,
        kind: &'static str,
        name: &NodeName,
    ) -> Result<Self, StartError> {
        let Some(settings) = settings else {
            return Ok(Traces::default());
        };
        let account = Arc::new(Account::default());
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Collector::new(Arc::clone(&account))?)
            .with_endpoint(settings.endpoint.as_str())
            .with_protocol(Protocol::HttpBinary)
            .build()
            .map_err(|error| StartError::new(&error))?;
        let provider = SdkTracerProvider::builder()
            .with_span_processor(Queue::start(exporter, Arc::clone(&account), settings.pause))
            .with_sampler(settings.sampler.clone())
            .with_resource(resource(kind, name))
            .build();
        let collector = settings.endpoint.host_str();
        tracing::info!(collector, "traces are exported");
        Ok(Traces(Some(Arc::new(On {
            tracer: provider.tracer("acequia"),
            provider,
            account,
        }))))
    }

    /// Whether there are any.
    pub fn are_made(&self) -> bool {
        self.0.is_some()
    }

    /// Begins a request's span; none where none is to be made.
    pub fn begin(&self, request: &Request<'_>) -> Option<Span> {
        let on = self.0.as_ref().filter(|_| !request.is_routine())?;
        let parent = match request.trace {
            Some(trace) => Context::new().with_remote_span_context(caller(trace)),
            None => Context::new(),
        };
        Span::of(on.tracer.build_with_context(request.span(), &parent))
    }

    /// Makes no more spans, and waits until the collector has those that there are, at most
    /// [`FLUSH_TIME_MAX`].
    pub async fn stop(&self) {
        let Some(on) = &self.0 else { return };
        let provider = on.provider.clone();
        let flush = move || provider.shutdown_with_timeout(FLUSH_TIME_MAX);
        match tokio::task::spawn_blocking(flush).await {
            Ok(Ok(())) => {}
            // What that cost, the account says.
            Ok(Err(error)) => tracing::debug!(%error, "the last spans"),
            Err(error) => tracing::error!(%error, "the last spans"),
        }
        on.account.close();
    }
}

/// Who exports. Of its kind the environment may say something else, and more beside it; which one of
/// them it is, and its version, it says itself.
fn resource(kind: &'static str, name: &NodeName) -> Resource {
    let told = Resource::builder();
    let key = Key::from_static_str("service.name");
    let named = Resource::builder().build().get(&key);
    let is_named = named.is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let told = match is_named {
        true => told,
        false => told.with_service_name(kind),
    };
    told.with_attributes([
        KeyValue::new("service.instance.id", name.to_string()),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
    ])
    .build()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Instant;

    use service::environment::Environment;
    use wire::trace::TraceParent;

    use super::*;
    use crate::account::WAITING_MAX;

    const REQUEST: Request<'_> = Request {
        method: "GET",
        path: "/content",
        route: Some("/content"),
        trace: None,
    };

    fn start(endpoint: &str) -> Traces {
        let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)];
        let settings = Settings::read(&Environment::new(variables, "")).expect("can be used");
        let name = "node1".parse().expect("a name");
        Traces::start(settings.as_ref(), "acequia-node", &name).expect("starts")
    }

    fn counts(traces: &Traces) -> (u64, u64) {
        traces.0.as_ref().expect("is on").account.counts()
    }

    // If this fails, a collector that hangs holds requests up, fills the memory, or keeps a service
    // from ending until it is killed.
    #[tokio::test]
    async fn a_collector_that_never_answers_holds_nothing_up() {
        // Connections are made, and nobody reads from them.
        let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = silent.local_addr().expect("bound");
        let traces = start(&format!("http://{address}"));
        let (begun, spans) = (Instant::now(), WAITING_MAX * 3);
        for _ in 0..spans {
            traces.begin(&REQUEST).expect("is recorded").end(200);
        }
        let took = begun.elapsed();
        assert!(took < FLUSH_TIME_MAX, "{took:?}");
        assert_eq!(counts(&traces), (WAITING_MAX, spans - WAITING_MAX));

        let begun = Instant::now();
        traces.stop().await;
        let took = begun.elapsed();
        assert!(took < FLUSH_TIME_MAX * 2, "{took:?}");
        assert_eq!(counts(&traces), (0, spans), "all are told as lost");
        assert!(traces.begin(&REQUEST).is_none(), "nothing more is recorded");
    }

    // If this fails, a service whose collector is not there yet forgets how to serve.
    #[tokio::test]
    async fn a_collector_that_is_away_costs_its_spans_alone() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = taken.local_addr().expect("bound");
        drop(taken);
        let traces = start(&format!("http://{address}"));
        traces.begin(&REQUEST).expect("is recorded").end(503);
        traces.stop().await;
        assert_eq!(counts(&traces), (0, 1));
    }

    // If this fails, a service that exports nothing pays for it, or loses the trace that it was sent.
    #[tokio::test]
    async fn without_a_collector_there_are_no_spans() {
        let traces = start("");
        assert!(traces.0.is_none() && traces.begin(&REQUEST).is_none());
        traces.stop().await;
    }

    // If this fails, a request cannot be found under the span of its caller.
    #[tokio::test]
    async fn a_span_belongs_to_its_callers_trace() {
        let traces = start("http://127.0.0.1:9");
        let caller = TraceParent::begin(7, 8);
        let trace = Some(caller);
        let span = traces.begin(&Request { trace, ..REQUEST });
        let own = span.as_ref().expect("is recorded").trace();
        assert_eq!((own.trace(), own.flags()), (7, 1));
        assert_ne!(own.parent(), 8);
        let left_out = TraceParent::new(7, 8, 0);
        let trace = Some(left_out);
        let span = traces.begin(&Request { trace, ..REQUEST });
        let own = span.as_ref().expect("is passed on").trace();
        assert_eq!((own.trace(), own.flags()), (7, 0));
    }
}
