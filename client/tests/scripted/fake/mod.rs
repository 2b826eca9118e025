//! A service that stands for a whole cluster, keeps contents in memory, and fails on demand.

mod cluster;
mod contents;
mod exchange;

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use wire::{Code, ContentId};

use cluster::{copying, history, nodes, recovered, stats, storage_node, waiting};
use contents::Content;
use exchange::{Reply, Seen, error_body, read_request, refuse};

pub(crate) use contents::hash;

/// What goes wrong with one request.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The connection closes without an answer, and nothing is done.
    Drop,
    /// The connection closes without an answer after this time, and nothing is done.
    DropAfter(Duration),
    /// There is no answer, the connection stays, and nothing is done.
    Silence,
    /// It is done, and the connection closes without an answer.
    DoAndDrop,
    /// An error answer.
    Refuse(Code),
    /// An error answer that names the leader.
    WrongNode(String),
    /// An error answer that names the seconds to wait.
    RetryAfter(u64),
    /// The body ends after so many bytes.
    CutAfter(usize),
    /// The body stops after so many bytes, and the connection stays.
    StallAfter(usize),
    /// One bit of the body is another one.
    FlipBit,
    /// A range is answered with the whole.
    IgnoreRange,
    /// A redirect with this status.
    Redirect(u16, String),
    /// What a proxy would say.
    Foreign(u16, &'static str),
}

#[derive(Default)]
struct State {
    contents: HashMap<ContentId, Content>,
    deleted: Vec<ContentId>,
    faults: Vec<(String, Fault)>,
    seen: Vec<Seen>,
    place: Option<String>,
    /// The lines of the operation logs.
    log: Vec<Value>,
    uris: Option<Vec<String>>,
    /// Replicas that `node1` still has to give away, one number for each look; none: it does not.
    draining: Option<Vec<u64>>,
    /// Looks at which nodes are still not equally full.
    unequal: u64,
    /// What `node3` has of shard 1 after `node1` was removed, at each look, before it has all.
    copied: Vec<u64>,
    /// Whether `node1` was removed.
    is_removed: bool,
    /// Whether shard 1 waits for an operator.
    waits: bool,
    minted: u64,
}

/// The service; its threads end with the process.
#[derive(Clone)]
pub(crate) struct Fake {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

impl Fake {
    pub(crate) fn start() -> Self {
        Self::listen("http://127.0.0.1", |fake, mut stream| {
            fake.serve(&mut stream)
        })
    }

    /// Over TLS, with a certificate for `localhost` that only the tests' authority vouches for.
    pub(crate) fn start_tls() -> Self {
        let certificate = CertificateDer::from_pem_slice(include_bytes!("../tls/certificate.pem"));
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("../tls/key.pem"));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has them")
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.expect("a certificate")],
                key.expect("a key"),
            );
        let config = Arc::new(config.expect("they belong together"));
        Self::listen("https://localhost", move |fake, stream| {
            let connection = ServerConnection::new(config.clone()).expect("a connection");
            fake.serve(&mut StreamOwned::new(connection, stream));
        })
    }

    fn listen(base: &str, serve: impl Fn(&Fake, TcpStream) + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let fake = Fake {
            url: format!("{base}:{port}"),
            state: Arc::default(),
        };
        let serving = fake.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (fake, serve) = (serving.clone(), serve.clone());
                std::thread::spawn(move || {
                    let whole = stream.try_clone().expect("cloned");
                    serve(&fake, stream);
                    // The client may be gone already.
                    drop(whole.shutdown(Shutdown::Both));
                });
            }
        });
        fake
    }

    /// One that nobody reaches: its address is this one.
    pub(crate) fn absent(url: &str) -> Self {
        Fake {
            url: url.to_owned(),
            state: Arc::default(),
        }
    }

    /// The next request whose method and path begin so meets this fault, once.
    pub(crate) fn fail(&self, request: &str, fault: Fault) {
        self.state().faults.push((request.to_owned(), fault));
    }

    /// Places name this base URI from now on.
    pub(crate) fn place_at(&self, uri: &str) {
        self.state().place = Some(uri.to_owned());
    }

    /// Once it is told to, `node1` drains so: so many replicas are left at each look.
    pub(crate) fn drains_by(&self, left: &[u64]) {
        self.state().draining = Some(left.to_vec());
    }

    /// Once `node1` is removed, `node3` makes its copy anew: it has so much of it at each look, then all.
    pub(crate) fn copies_by(&self, bytes: &[u64]) {
        self.state().copied = bytes.to_vec();
    }

    /// Shard 1 waits for an operator.
    pub(crate) fn waits(&self) {
        self.state().waits = true;
    }

    /// Once it is told to, nodes become equally full within so many looks.
    pub(crate) fn is_unequal_for(&self, looks: u64) {
        self.state().unequal = looks;
    }

    /// So many operations are in the log of shard 1.
    pub(crate) fn logs(&self, operations: u64) {
        self.state().log.clear();
        self.logs_in(1, 2026, 1..=operations);
    }

    /// These records of a shard are operations of that year.
    pub(crate) fn logs_in(&self, shard: u16, year: u16, lsns: impl IntoIterator<Item = u64>) {
        let line = |lsn: u64| {
            json!({
                "shard": shard, "lsn": lsn, "epoch": 1, "operation": "epoch",
                "time": format!("{year}-01-31T12:00:00.000Z"),
            })
        };
        self.state().log.extend(lsns.into_iter().map(line));
    }

    /// Contents are at these base URIs from now on.
    pub(crate) fn contents_at(&self, uris: &[&str]) {
        self.state().uris = Some(uris.iter().map(|uri| (*uri).to_owned()).collect());
    }

    /// Stores a content.
    pub(crate) fn put(&self, filename: &str, bytes: &[u8]) -> ContentId {
        let mut state = self.state();
        let id = state.mint();
        let content = Content {
            filename: filename.to_owned(),
            bytes: bytes.to_vec(),
            version: 1,
        };
        state.contents.insert(id, content);
        id
    }

    /// Nothing goes wrong from now on.
    pub(crate) fn heal(&self) {
        self.state().faults.clear();
    }

    /// Stores a copy of what another one has.
    pub(crate) fn mirror(&self, other: &Fake, id: ContentId) {
        let content = other.content(id).expect("it is there");
        self.state().contents.insert(id, content);
    }

    /// Stores the next version of a content, as somebody else would.
    pub(crate) fn overwrite(&self, id: ContentId, bytes: &[u8]) {
        let mut state = self.state();
        let content = state.contents.get_mut(&id).expect("it is there");
        content.bytes = bytes.to_vec();
        content.version += 1;
    }

    pub(crate) fn content(&self, id: ContentId) -> Option<Content> {
        self.state().contents.get(&id).cloned()
    }

    /// How many contents there are.
    pub(crate) fn count(&self) -> usize {
        self.state().contents.len()
    }

    /// The requests so far whose method and path begin so.
    pub(crate) fn seen(&self, request: &str) -> Vec<Seen> {
        let state = self.state();
        let seen = state.seen.iter();
        seen.filter(|s| format!("{} {}", s.method, s.path).starts_with(request))
            .cloned()
            .collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with it")
    }

    fn serve(&self, stream: &mut (impl Read + Write)) {
        let mut input = Vec::new();
        while let Ok(Some(request)) = read_request(stream, &mut input) {
            let line = format!("{} {}", request.method, request.path);
            let fault = {
                let mut state = self.state();
                state.seen.push(request.clone());
                let at = state
                    .faults
                    .iter()
                    .position(|(start, _)| line.starts_with(start.as_str()));
                at.map(|at| state.faults.remove(at).1)
            };
            if self.answer(stream, &request, fault).is_err() {
                break;
            }
        }
    }

    fn answer(
        &self,
        stream: &mut (impl Read + Write),
        request: &Seen,
        fault: Option<Fault>,
    ) -> io::Result<()> {
        let closed = || Err(io::ErrorKind::ConnectionAborted.into());
        match fault {
            Some(Fault::Drop) => closed(),
            Some(Fault::DropAfter(time)) => {
                std::thread::sleep(time);
                closed()
            }
            Some(Fault::Silence) => {
                // Ends when the client closes the connection.
                drop(stream.read(&mut [0; 1]));
                closed()
            }
            Some(Fault::DoAndDrop) => {
                self.handle(request, None);
                closed()
            }
            Some(Fault::Refuse(code)) => refuse(code).write(stream),
            Some(Fault::WrongNode(leader)) => {
                let mut body = error_body(Code::WrongNode);
                body.leader = Some(leader);
                Reply::json(421, &json!(body)).write(stream)
            }
            Some(Fault::RetryAfter(seconds)) => refuse(Code::Overloaded)
                .with("Retry-After", &seconds.to_string())
                .write(stream),
            Some(Fault::Redirect(status, to)) => Reply {
                status,
                headers: Vec::new(),
                body: Vec::new(),
            }
            .with("Location", &to)
            .write(stream),
            Some(Fault::Foreign(status, body)) => Reply {
                status,
                headers: Vec::new(),
                body: body.into(),
            }
            .write(stream),
            Some(Fault::CutAfter(bytes)) => {
                self.handle(request, None).write_only(stream, bytes)?;
                closed()
            }
            Some(Fault::StallAfter(bytes)) => {
                self.handle(request, None).write_only(stream, bytes)?;
                // Ends when the client closes the connection.
                drop(stream.read(&mut [0; 1]));
                closed()
            }
            Some(Fault::FlipBit) => {
                let mut reply = self.handle(request, None);
                if let Some(byte) = reply.body.last_mut() {
                    *byte ^= 1;
                }
                reply.write(stream)
            }
            fault => self.handle(request, fault).write(stream),
        }
    }

    fn handle(&self, request: &Seen, fault: Option<Fault>) -> Reply {
        let path = request.path.trim_start_matches('/');
        let (route, id) = path.split_once('/').unwrap_or((path, ""));
        let id = id.parse::<ContentId>().ok();
        let mut state = self.state();
        match (request.method.as_str(), route, id) {
            ("GET", "store", _) => state.places(&self.url, &request.query),
            ("PUT", "store", Some(id)) => state.store(id, &request.name(), &request.body),
            ("POST", "store", _) => state.store_form(request),
            (_, "plain", Some(id)) => state.plain(request, id),
            ("PUT", "update", Some(id)) => state.update(id, request),
            ("DELETE", "delete", Some(id)) => state.delete(id),
            ("GET", "content", Some(id)) => state.info(&self.url, id),
            ("GET", "content", None) => state.list(&self.url, &request.query),
            ("DELETE", "content", Some(id)) => state.delete(id),
            ("GET", "retrieve", Some(id)) => {
                state.retrieve(id, request, matches!(fault, Some(Fault::IgnoreRange)))
            }
            ("GET", "nodes", _) if state.is_removed => {
                let next = (!state.copied.is_empty()).then(|| state.copied.remove(0));
                copying(&self.url, next)
            }
            ("GET", "nodes", _) | ("POST", "rebalance", _) => {
                let (left, rebalancing) = (state.left(), state.unequal > 0);
                state.unequal = state.unequal.saturating_sub(1);
                nodes(&self.url, left, rebalancing, state.waits)
            }
            ("DELETE", "rebalance", _) => nodes(&self.url, None, false, state.waits),
            ("POST", "nodes", _) => match state.left() {
                Some(left) => Reply::json(200, &storage_node(&self.url, Some(left))),
                None => refuse(Code::NotFound),
            },
            ("DELETE", "nodes", _) if path.ends_with("/drain") => {
                state.draining = None;
                Reply::json(200, &storage_node(&self.url, None))
            }
            ("DELETE", "nodes", _) if state.draining.is_some() => refuse(Code::NodeInUse),
            ("DELETE", "nodes", _) => {
                state.is_removed = true;
                Reply::json(200, &json!({"node": "node1"}))
            }
            ("GET", "recovery", _) => waiting(state.waits),
            ("POST", "shards", _) if state.waits => recovered(&request.body),
            ("POST", "shards", _) => refuse(Code::NotWaiting),
            ("GET", "stats", _) if path.ends_with("/history") => history(),
            ("GET", "stats", _) => stats(),
            ("GET", "health", _) => Reply::json(200, &json!({"status": "OK"})),
            ("GET", "log", _) => state.log(request),
            ("GET", "verify", Some(id)) => state.verify(id),
            _ => refuse(Code::NoRoute),
        }
    }
}
