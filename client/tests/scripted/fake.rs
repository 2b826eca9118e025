//! A service that stands for a whole cluster, keeps contents in memory, and fails on demand.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use client::bench::http::chunked::Chunked;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use wire::{Checksum, Code, ContentId, ErrorBody, ShardNo};

/// What goes wrong with one request.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The connection closes without an answer, and nothing is done.
    Drop,
    /// The connection closes without an answer after this time, and nothing is done.
    DropAfter(Duration),
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
    /// A redirect.
    Redirect(String),
    /// What a proxy would say.
    Foreign(u16, &'static str),
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// A content at its current version.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub(crate) filename: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) version: u64,
}

#[derive(Default)]
struct State {
    contents: HashMap<ContentId, Content>,
    deleted: Vec<ContentId>,
    faults: Vec<(String, Fault)>,
    seen: Vec<Seen>,
    place: Option<String>,
    /// The lines of the operation log of shard 1.
    log: Vec<Value>,
    uris: Option<Vec<String>>,
    /// Replicas that `node1` still has to give away, one number for each look; none: it does not.
    draining: Option<Vec<u64>>,
    /// Looks at which nodes are still not equally full.
    unequal: u64,
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
        let certificate = CertificateDer::from_pem_slice(include_bytes!("tls/certificate.pem"));
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("tls/key.pem"));
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

    /// Once it is told to, nodes become equally full within so many looks.
    /// Shard 1 waits for an operator.
    pub(crate) fn waits(&self) {
        self.state().waits = true;
    }

    pub(crate) fn is_unequal_for(&self, looks: u64) {
        self.state().unequal = looks;
    }

    /// So many operations are in the log of shard 1.
    pub(crate) fn logs(&self, operations: u64) {
        let line = |lsn: u64| {
            json!({
                "shard": 1, "lsn": lsn, "epoch": 1, "operation": "epoch",
                "time": "2026-01-31T12:00:00.000Z",
            })
        };
        self.state().log = (1..=operations).map(line).collect();
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
            Some(Fault::Redirect(to)) => Reply {
                status: 307,
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
            ("DELETE", "nodes", _) => Reply::json(200, &json!({"node": "node1"})),
            ("GET", "recovery", _) => waiting(state.waits),
            ("POST", "shards", _) if state.waits => recovered(&request.body),
            ("POST", "shards", _) => refuse(Code::NotWaiting),
            ("GET", "stats", _) => stats(),
            ("GET", "log", _) => state.log(request),
            _ => refuse(Code::NoRoute),
        }
    }
}

impl Seen {
    fn name(&self) -> String {
        self.parameter("filename").unwrap_or_default()
    }

    /// A parameter of the query, decoded.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let url = reqwest::Url::parse(&format!("http://x/?{}", self.query)).expect("a query");
        let found = url.query_pairs().find(|(key, _)| key == name);
        found.map(|(_, value)| value.into_owned())
    }
}

impl State {
    fn mint(&mut self) -> ContentId {
        self.minted += 1;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970");
        let ms = u64::try_from(now.as_millis()).expect("before the year 584 million");
        ContentId::mint(ShardNo(1), ms + self.minted, self.minted)
    }

    fn places(&mut self, url: &str, query: &str) -> Reply {
        let uri = format!(
            "{}/store",
            self.place.clone().unwrap_or_else(|| url.to_owned())
        );
        let mut place = || json!({"uri": uri, "node": "node1", "id": self.mint()});
        let count = query
            .strip_prefix("count=")
            .map(|text| text.parse().expect("a count"));
        match count {
            Some(count) => {
                let items: Vec<_> = (0..count).map(|_: usize| place()).collect();
                Reply::json(200, &json!({ "items": items }))
            }
            None => Reply::json(200, &place()),
        }
    }

    fn log(&self, request: &Seen) -> Reply {
        let number = |name| request.parameter(name).map(|text| text.parse::<u64>());
        let after = number("after").and_then(Result::ok).expect("a position");
        let limit = number("limit").and_then(Result::ok).expect("a number");
        let ours = request.parameter("shard").as_deref() == Some("1");
        let lines = self.log.iter();
        let lines = lines.filter(|line| ours && line["lsn"].as_u64().is_some_and(|l| l > after));
        let lines = lines.take(usize::try_from(limit).expect("a small number"));
        Reply {
            status: 200,
            headers: Vec::new(),
            body: lines
                .map(|line| format!("{line}\n"))
                .collect::<String>()
                .into(),
        }
    }

    /// How many replicas are left at this look.
    fn left(&mut self) -> Option<u64> {
        let left = self.draining.as_mut()?;
        if left.len() > 1 {
            return Some(left.remove(0));
        }
        left.first().copied()
    }

    fn store(&mut self, id: ContentId, filename: &str, bytes: &[u8]) -> Reply {
        if self.deleted.contains(&id) {
            return refuse(Code::Deleted);
        }
        let content = Content {
            filename: filename.to_owned(),
            bytes: bytes.to_vec(),
            version: 1,
        };
        match self.contents.get(&id) {
            Some(stored) if stored.bytes != bytes => refuse(Code::Conflict),
            Some(_) => Reply::json(200, &self.receipt(id)),
            None => {
                self.contents.insert(id, content);
                Reply::json(200, &self.receipt(id))
            }
        }
    }

    fn store_form(&mut self, request: &Seen) -> Reply {
        let boundary = request
            .header("content-type")
            .split("boundary=")
            .nth(1)
            .expect("a boundary");
        let (mut id, mut receipts) = (None, Vec::new());
        for (name, filename, bytes) in parts(&request.body, boundary) {
            match (name.as_str(), filename) {
                ("id", _) => {
                    let text = String::from_utf8(bytes).expect("text");
                    id = Some(text.parse().expect("an id"));
                }
                ("file", Some(filename)) => {
                    let minted = id.take().unwrap_or_else(|| self.mint());
                    receipts.push(self.store(minted, &filename, &bytes));
                }
                other => panic!("an unknown field {other:?}"),
            }
        }
        if receipts.len() == 1 {
            return receipts.remove(0);
        }
        let items = receipts.iter().map(|reply| {
            let receipt: Value = serde_json::from_slice(&reply.body).expect("JSON");
            receipt
        });
        Reply::json(200, &json!({ "items": items.collect::<Vec<_>>() }))
    }

    /// What a plain server with WebDAV does: no receipts, and ETags that are no hashes.
    fn plain(&mut self, request: &Seen, id: ContentId) -> Reply {
        let (status, body) = match request.method.as_str() {
            "PUT" => {
                self.store(id, "plain", &request.body);
                (201, Vec::new())
            }
            "DELETE" => (self.contents.remove(&id).map_or(404, |_| 204), Vec::new()),
            _ => match self.contents.get(&id) {
                Some(content) => (200, content.bytes.clone()),
                None => (404, Vec::new()),
            },
        };
        let headers = Vec::new();
        Reply {
            status,
            headers,
            body,
        }
        .with("ETag", "\"65f0-400\"")
    }

    fn update(&mut self, id: ContentId, request: &Seen) -> Reply {
        let (name, bytes) = (request.parameter("filename"), request.body.clone());
        let condition = request.header("if-match").trim_matches('"').to_owned();
        let Some(content) = self.contents.get_mut(&id) else {
            return refuse(Code::NotFound);
        };
        let current = hash(&content.bytes).hex();
        if content.version > 1 && content.bytes == bytes {
            // The repetition of the last update.
            return Reply::json(200, &self.receipt(id));
        }
        if !condition.is_empty() && condition != current {
            return refuse(Code::PreconditionFailed);
        }
        let name = name.unwrap_or_else(|| content.filename.clone());
        *content = Content {
            filename: name,
            bytes,
            version: content.version + 1,
        };
        Reply::json(200, &self.receipt(id))
    }

    fn delete(&mut self, id: ContentId) -> Reply {
        if !self.contents.contains_key(&id) {
            let code = if self.deleted.contains(&id) {
                Code::Deleted
            } else {
                Code::NotFound
            };
            return refuse(code);
        }
        let receipt = self.receipt(id);
        self.contents.remove(&id);
        self.deleted.push(id);
        Reply::json(200, &receipt)
    }

    fn receipt(&self, id: ContentId) -> Value {
        let content = &self.contents[&id];
        json!({
            "id": id, "message": "stored", "filename": content.filename,
            "version": content.version, "size": content.bytes.len(),
            "checksum": hash(&content.bytes), "nodes": ["node1"], "degraded": false,
            "status": "OK",
        })
    }

    fn item(&self, url: &str, id: ContentId) -> Value {
        let content = &self.contents[&id];
        let uris = self.uris.clone().unwrap_or_else(|| vec![url.to_owned()]);
        let uri = uris.first().cloned().unwrap_or_default();
        json!({
            "id": id, "filename": content.filename, "size": content.bytes.len(),
            "content_type": "application/octet-stream", "checksum": hash(&content.bytes),
            "version": content.version, "created_date": "2026-01-31T12:00:00.000Z",
            "updated_date": "2026-01-31T12:00:00.000Z", "status": "OK",
            "uri": uri, "url": format!("{uri}/retrieve/{id}"), "uris": uris,
        })
    }

    fn info(&self, url: &str, id: ContentId) -> Reply {
        match self.contents.contains_key(&id) {
            true => Reply::json(200, &self.item(url, id)),
            false if self.deleted.contains(&id) => refuse(Code::Deleted),
            false => refuse(Code::NotFound),
        }
    }

    fn list(&self, url: &str, query: &str) -> Reply {
        let parameter = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.to_owned())
        };
        let limit: usize = parameter("limit")
            .expect("a limit")
            .parse()
            .expect("a number");
        let after = parameter("after").unwrap_or_default();
        let mut ids: Vec<_> = self
            .contents
            .keys()
            .filter(|id| id.to_string() > after)
            .collect();
        ids.sort();
        // Smaller pages than asked for, so that a walk has several.
        let page: Vec<_> = ids.iter().take(limit.min(2)).collect();
        let next = (page.len() < ids.len()).then(|| page.last().map(|id| id.to_string()));
        let items: Vec<_> = page.iter().map(|id| self.item(url, ***id)).collect();
        Reply::json(200, &json!({"items": items, "next": next.flatten()}))
    }

    fn retrieve(&self, id: ContentId, request: &Seen, ignore_range: bool) -> Reply {
        let Some(content) = self.contents.get(&id) else {
            return refuse(Code::NotFound);
        };
        let tag = format!("\"{}\"", hash(&content.bytes).hex());
        if !["", tag.as_str()].contains(&request.header("if-match")) {
            return refuse(Code::PreconditionFailed);
        }
        let range = request
            .header("range")
            .strip_prefix("bytes=")
            .filter(|_| !ignore_range);
        let Some(first) = range.and_then(|text| text.strip_suffix('-')) else {
            return Reply {
                status: 200,
                headers: Vec::new(),
                body: content.bytes.clone(),
            }
            .with("ETag", &tag);
        };
        let (first, size): (usize, _) = (first.parse().expect("a number"), content.bytes.len());
        let body = content.bytes[first..].to_vec();
        Reply {
            status: 206,
            headers: Vec::new(),
            body,
        }
        .with("ETag", &tag)
        .with(
            "Content-Range",
            &format!("bytes {first}-{}/{size}", size - 1),
        )
    }
}

fn entry(url: &str, role: &str, shards: &Value) -> Value {
    let port = url
        .rsplit(':')
        .next()
        .expect("a port")
        .parse::<u16>()
        .expect("a number");
    json!({
        "host": "127.0.0.1", "port": port, "public_url": url, "role": role,
        "health": "up", "shards": shards,
    })
}

fn storage_node(url: &str, left: Option<u64>) -> Value {
    let led = json!([{"shard": 1, "role": "leader", "state": "open"}]);
    let mut node = entry(url, "node", &led);
    if let Some(left) = left {
        node["draining"] = json!({"replicas_left": left, "bytes_left": left * 1024});
    }
    node
}

fn nodes(url: &str, left: Option<u64>, rebalancing: bool, waits: bool) -> Reply {
    let replica = json!({
        "node": "node1", "role": "leader", "in_sync": true, "position": 7, "committed": 7,
        "lag": 0, "bytes": 2048, "contents": 3, "damaged": 0,
    });
    let shard = json!({
        "shard": 1, "state": "open", "epoch": 4, "leader": "node1", "in_sync": ["node1"],
        "eligible": [], "min_in_sync": 1, "degraded": false, "waits": waits, "bytes": 2048,
        "contents": 3,
        "replicas": [replica],
    });
    let nodes = json!({
        "dist": entry(url, "distributor", &json!([])),
        "node1": storage_node(url, left),
    });
    Reply::json(
        200,
        &json!({
            "cluster": "c9a646d3-9c61-4cb7-bfcd-ee2522c8f633",
            "nodes": nodes,
            "shards": [shard],
            "rebalancing": rebalancing,
        }),
    )
}

/// Shard 1 waits: `node1` is away, `node2` has a copy that is behind, `node3` one that is more so.
fn waiting(waits: bool) -> Reply {
    let held = |lsn: u64| {
        json!({
            "end": {"epoch": 4, "lsn": lsn}, "committed": lsn, "contents": 3, "bytes": 2048,
            "damaged": 0, "halted": false, "complete": true,
        })
    };
    let replica = "c9a646d3-9c61-4cb7-bfcd-ee2522c8f633";
    let copies = json!([
        {"node": "node2", "replica": replica, "part": "outside", "alive": true, "held": held(5),
         "loss": {"records": 2, "more": true}, "objections": []},
        {"node": "node3", "replica": replica, "part": "outside", "alive": true, "held": held(4),
         "loss": {"records": 3, "more": true}, "objections": ["behind"]},
        {"node": "node1", "replica": replica, "part": "in_sync", "alive": false, "held": held(7),
         "loss": null, "objections": []},
    ]);
    let shard = json!({
        "shard": 1, "state": "open", "epoch": 4, "leader": "node1", "restored": false,
        "listed": {"epoch": 4, "lsn": 7}, "copies": copies,
    });
    let items = if waits { vec![shard] } else { Vec::new() };
    Reply::json(200, &json!({ "items": items }))
}

fn recovered(body: &[u8]) -> Reply {
    let choice: Value = serde_json::from_slice(body).expect("JSON");
    if choice["node"] == "node1" {
        return refuse(Code::NoCopy);
    }
    if choice["node"] == "node3" && choice["force"] != true {
        return refuse(Code::NeedsForce);
    }
    Reply::json(
        200,
        &json!({
            "shard": 1, "node": choice["node"], "epoch": 5, "over": ["node1"],
            "loss": {"records": 2, "more": true},
        }),
    )
}

fn stats() -> Reply {
    let node = json!(wire::stats::NodeStats {
        storage: 1 << 20,
        ..Default::default()
    });
    Reply::json(
        200,
        &json!({"nodes": {"node1": node, "node2": null}, "total": node}),
    )
}

/// The fields of a form: their names, their file names and their bytes.
fn parts(body: &[u8], boundary: &str) -> Vec<(String, Option<String>, Vec<u8>)> {
    let find = |text: &str, from: usize| {
        let mut windows = body[from..].windows(text.len());
        let found = windows.position(|part| part == text.as_bytes());
        from + found.unwrap_or_else(|| panic!("no {text:?} in the form"))
    };
    let (opening, mut parts) = (format!("--{boundary}"), Vec::new());
    let mut at = find(&opening, 0) + opening.len();
    while !body[at..].starts_with(b"--") {
        let head_end = find("\r\n\r\n", at);
        let head = std::str::from_utf8(&body[at..head_end]).expect("text");
        let value = |name: &str| {
            let (_, rest) = head.split_once(&format!(" {name}=\""))?;
            Some(rest.split('"').next().expect("a quote").to_owned())
        };
        let end = find(&format!("\r\n{opening}"), head_end + 2);
        let bytes = body[(head_end + 4).min(end)..end].to_vec();
        parts.push((value("name").expect("a name"), value("filename"), bytes));
        at = end + 2 + opening.len();
    }
    parts
}

/// An answer.
struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Reply {
    fn json(status: u16, body: &Value) -> Self {
        Reply {
            status,
            headers: Vec::new(),
            body: body.to_string().into(),
        }
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn write(&self, stream: &mut (impl Read + Write)) -> io::Result<()> {
        self.write_only(stream, usize::MAX)
    }

    fn write_only(&self, stream: &mut (impl Read + Write), bytes: usize) -> io::Result<()> {
        let mut head = format!(
            "HTTP/1.1 {} X\r\nContent-Length: {}\r\n",
            self.status,
            self.body.len()
        );
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        stream.write_all(&self.body[..bytes.min(self.body.len())])
    }
}

fn refuse(code: Code) -> Reply {
    Reply::json(code.status(), &json!(error_body(code)))
}

fn error_body(code: Code) -> ErrorBody {
    ErrorBody::new(code, "refused by the script", "r-1")
}

pub(crate) fn hash(bytes: &[u8]) -> Checksum {
    Checksum(blake3::hash(bytes).into())
}

/// Reads one request, head and body; none at the connection's end.
fn read_request(stream: &mut (impl Read + Write), input: &mut Vec<u8>) -> io::Result<Option<Seen>> {
    let (mut request, taken) = loop {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut parsed = httparse::Request::new(&mut headers);
        if let Ok(httparse::Status::Complete(taken)) = parsed.parse(input) {
            let target = parsed.path.unwrap_or_default();
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let headers = parsed.headers.iter();
            let headers = headers
                .map(|h| (h.name.to_lowercase(), text(h.value)))
                .collect();
            let (path, query) = (path.to_owned(), query.to_owned());
            let method = parsed.method.unwrap_or_default().to_owned();
            break (
                Seen {
                    method,
                    path,
                    query,
                    headers,
                    body: Vec::new(),
                },
                taken,
            );
        }
        if read_more(stream, input)? == 0 {
            return Ok(None);
        }
    };
    input.drain(..taken);
    if request.header("transfer-encoding") == "chunked" {
        let mut chunked = Chunked::default();
        while !chunked.is_ended() {
            if input.is_empty() && read_more(stream, input)? == 0 {
                return Ok(None);
            }
            let (taken, run) = chunked.feed(input).map_err(io::Error::other)?;
            request.body.extend_from_slice(run);
            input.drain(..taken);
        }
        return Ok(Some(request));
    }
    let length = request.header("content-length").parse().unwrap_or(0);
    while input.len() < length {
        if read_more(stream, input)? == 0 {
            return Ok(None);
        }
    }
    request.body = input.drain(..length).collect();
    Ok(Some(request))
}

fn read_more(stream: &mut (impl Read + Write), input: &mut Vec<u8>) -> io::Result<usize> {
    let mut buffer = vec![0; 64 * 1024];
    let read = stream.read(&mut buffer)?;
    input.extend_from_slice(&buffer[..read]);
    Ok(read)
}
