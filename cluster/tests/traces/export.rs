//! What is exported of requests.

use std::path::Path;

use cluster::Options;
use reqwest::Client;
use service::environment::Environment;
use telemetry::Settings;
use wire::content::Receipt;
use wire::placement::Place;
use wire::routes;

use crate::collector::{Collector, Told};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// Two nodes under a folder, which export there.
pub(crate) fn options(folder: &Path, collector: &str, more: &[(&str, &str)]) -> Options {
    let endpoint = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector)];
    let variables = endpoint.iter().chain(more).copied();
    let traces = Settings::read(&Environment::new(variables, "")).expect("can be used");
    assert!(traces.is_some(), "a collector is named");
    Options {
        data: folder.join("data"),
        port: 0,
        nodes: 2,
        traces,
        ..Options::default()
    }
}

pub(crate) fn client() -> Client {
    // Another test of this process may have installed it before: that is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = Client::builder().no_proxy();
    client.build().expect("an HTTP client")
}

/// Uploads a content, changes its metadata through the distributor, and asks for what is not there,
/// all in one trace.
async fn use_it(dist: &str, flags: &str) -> Receipt {
    let (client, trace) = (client(), format!("00-{TRACE}-{CALLER}-{flags}"));
    let ask = |method: reqwest::Method, url: String| {
        let request = client.request(method, url);
        request.header(routes::TRACE_HEADER, &trace)
    };
    let place = ask(
        reqwest::Method::GET,
        format!("{dist}/store?size=5&token=secret"),
    );
    let place = place.send().await.expect("answers").json::<Place>().await;
    let place = place.expect("a place");
    let url = format!("{}/{}", place.uri, place.id);
    let upload = ask(reqwest::Method::PUT, url).body("bytes");
    let receipt = upload
        .send()
        .await
        .expect("answers")
        .json::<Receipt>()
        .await;
    let receipt = receipt.expect("a receipt");
    let change = ask(reqwest::Method::PUT, routes::content(dist, receipt.id));
    let change = change.bearer_auth("secret").body(r#"{"filename":"name"}"#);
    let changed = change.send().await.expect("answers");
    assert_eq!(changed.status(), 200);
    let lost = ask(reqwest::Method::GET, format!("{dist}/no/such/path"));
    assert_eq!(lost.send().await.expect("answers").status(), 404);
    receipt
}

fn find<'a>(spans: &'a [Told], service: &str, name: &str) -> &'a Told {
    let mut found = spans
        .iter()
        .filter(|span| span.service["service.name"] == service && span.name == name);
    let first = found.next();
    let first = first.unwrap_or_else(|| panic!("{service} tells of no {name}: {spans:#?}"));
    assert!(found.next().is_none(), "{service} tells of {name} twice");
    first
}

// If this fails, who looks at a slow request in a tracing program sees it end at the distributor,
// does not find it under his own program's span, or sees a key there.
#[tokio::test(flavor = "multi_thread")]
async fn a_trace_leads_from_the_caller_through_the_distributor_to_the_node() {
    let collector = Collector::start();
    let folder = tempfile::tempdir().expect("a folder");
    let options = options(folder.path(), collector.url(), &[]);
    let cluster = cluster::start(options).await.expect("starts");
    let receipt = use_it(cluster.url(), "01").await;
    cluster.stop().await;

    // The cluster was asked before whether it is ready.
    let mut spans = collector.spans();
    spans.retain(|span| span.trace == TRACE);
    assert_eq!(spans.len(), 5, "{spans:#?}");
    assert!(spans.iter().all(|span| span.kind == 2 && !span.is_error));
    for name in ["GET /store", "PUT /content/{id}", "GET"] {
        assert_eq!(find(&spans, "acequia-dist", name).parent, CALLER);
    }
    let upload = find(&spans, "acequia-node", "PUT /store/{id}");
    assert_eq!(upload.parent, CALLER);
    let asked = find(&spans, "acequia-dist", "PUT /content/{id}");
    let carried_out = find(&spans, "acequia-node", "PUT /describe/{id}");
    assert_eq!(carried_out.parent, asked.id);

    let expected = [
        ("http.request.method", "PUT"),
        ("http.response.status_code", "200"),
        ("http.route", "/describe/{id}"),
        ("url.path", &format!("/describe/{}", receipt.id)),
        ("url.scheme", "http"),
    ];
    let told: Vec<(&str, &str)> = carried_out
        .attributes
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    assert_eq!(told, expected);
    let node = carried_out.service["service.instance.id"].as_str();
    assert!(["node1", "node2"].contains(&node), "{node}");
    assert_eq!(asked.service["service.instance.id"], "dist");
    let version = &asked.service["service.version"];
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    assert!(!format!("{spans:?}").contains("secret"), "{spans:#?}");
}

// If this fails, a program that leaves its traces out is billed for them, or an operator who wants
// none has all.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_sampled_is_not_exported() {
    let collector = Collector::start();
    for (flags, sampler) in [("00", ""), ("01", "always_off")] {
        let folder = tempfile::tempdir().expect("a folder");
        let sampler = [("OTEL_TRACES_SAMPLER", sampler)];
        let options = options(folder.path(), collector.url(), &sampler);
        let cluster = cluster::start(options).await.expect("starts");
        use_it(cluster.url(), flags).await;
        cluster.stop().await;
        let spans = collector.spans();
        assert!(
            spans.iter().all(|span| span.trace != TRACE),
            "{flags} {sampler:?}: {spans:#?}"
        );
    }
}
