//! A collector of traces: takes what is exported by OTLP over HTTP, and keeps it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use prost::Message;

/// A span, as it was exported.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) name: String,
    pub(crate) trace: String,
    pub(crate) id: String,
    pub(crate) parent: String,
    /// 2 is of a server.
    pub(crate) kind: i32,
    pub(crate) is_error: bool,
    pub(crate) attributes: BTreeMap<String, String>,
    /// Of the service that tells.
    pub(crate) service: BTreeMap<String, String>,
}

#[derive(Default)]
struct Taken {
    calls: Vec<String>,
    spans: Vec<Told>,
}

pub(crate) struct Collector {
    url: String,
    taken: Arc<Mutex<Taken>>,
}

impl Collector {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let taken = Arc::<Mutex<Taken>>::default();
        let shared = Arc::clone(&taken);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, taken) = (stream.expect("a connection"), Arc::clone(&shared));
                std::thread::spawn(move || while take(&stream, &taken).is_some() {});
            }
        });
        Collector {
            url: format!("http://{address}"),
            taken,
        }
    }

    /// What services are told: the base URI.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The heads of all calls.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.taken.lock().expect("is whole").calls.clone()
    }

    pub(crate) fn spans(&self) -> Vec<Told> {
        self.taken.lock().expect("is whole").spans.clone()
    }
}

/// Takes one export from a connection; none when it has ended.
fn take(stream: &TcpStream, taken: &Mutex<Taken>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let head = head.to_lowercase();
    let length = head.split("content-length: ").nth(1)?.lines().next()?;
    let mut body = vec![0; length.parse().expect("a length")];
    reader.read_exact(&mut body).ok()?;
    let export = ExportTraceServiceRequest::decode(body.as_slice()).expect("is OTLP");
    let mut taken = taken.lock().expect("is whole");
    taken.calls.push(head);
    taken
        .spans
        .extend(export.resource_spans.iter().flat_map(spans));
    let mut stream = stream;
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        .ok()
}

fn spans(of_service: &ResourceSpans) -> Vec<Told> {
    let resource = of_service.resource.as_ref().expect("says who exports");
    let service = attributes(&resource.attributes);
    let spans = of_service.scope_spans.iter().flat_map(|scope| &scope.spans);
    let told = spans.map(|span| Told {
        name: span.name.clone(),
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        kind: span.kind,
        is_error: span.status.as_ref().is_some_and(|status| status.code == 2),
        attributes: attributes(&span.attributes),
        service: service.clone(),
    });
    told.collect()
}

fn attributes(of: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |attribute: &KeyValue| match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => Some(format!("{other:?}")),
    };
    of.iter()
        .filter_map(|attribute| Some((attribute.key.clone(), text(attribute)?)))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
