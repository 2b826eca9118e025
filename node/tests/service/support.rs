//! A small cluster to test against, and requests that no library would send.

use std::fs::{self, OpenOptions};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use node::{Access, Config};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wire::content::Receipt;
use wire::placement::Place;
use wire::stats::NodeStats;
use wire::{Code, ContentId, ErrorBody, ShardNo};

/// Longer than anything here should take, shorter than anyone would wait.
const PATIENCE: Duration = Duration::from_secs(20);

/// A distributor and some nodes, ended when they are dropped or stopped.
pub(crate) struct Cluster {
    pub(crate) http: reqwest::Client,
    folder: TempDir,
    dist: Option<dist::Running>,
    dist_at: SocketAddr,
    copies: u8,
    nodes: Vec<Slot>,
}

struct Slot {
    config: Config,
    running: Option<node::Running>,
}

impl Cluster {
    /// A cluster of so many nodes; returns when all take uploads.
    pub(crate) async fn start(nodes: usize) -> Cluster {
        Cluster::start_with(nodes, |_| {}).await
    }

    /// A cluster of so many nodes with two copies of everything; returns when uploads are taken.
    pub(crate) async fn start_mirrored(nodes: usize) -> Cluster {
        let mut cluster = Cluster::start_bare(2).await;
        for number in 1..=nodes {
            let config = cluster.config(number);
            cluster.nodes.push(Slot {
                config,
                running: None,
            });
            cluster.start_node_alone(number - 1).await;
        }
        for place in 0..nodes {
            cluster
                .until("the node leads", || async {
                    cluster.stats(place).await.shards_open > 0
                })
                .await;
        }
        cluster
    }

    /// As [`Cluster::start`], with nodes that are configured otherwise.
    pub(crate) async fn start_with(nodes: usize, change: impl Fn(&mut Config)) -> Cluster {
        let mut cluster = Cluster::start_bare(1).await;
        for number in 1..=nodes {
            let mut config = cluster.config(number);
            change(&mut config);
            cluster.nodes.push(Slot {
                config,
                running: None,
            });
            cluster.start_node(number - 1).await;
        }
        cluster
    }

    /// A distributor alone.
    async fn start_bare(copies: u8) -> Cluster {
        // Each test may be the first that needs one, and any but the first finds it there.
        drop(rustls::crypto::ring::default_provider().install_default());
        let redirect = reqwest::redirect::Policy::none();
        let http = reqwest::Client::builder()
            .redirect(redirect)
            .no_proxy()
            .build();
        let mut cluster = Cluster {
            http: http.expect("a client"),
            folder: tempfile::tempdir().expect("a folder"),
            dist: None,
            dist_at: ([127, 0, 0, 1], free_port()).into(),
            copies,
            nodes: Vec::new(),
        };
        cluster.start_dist().await;
        cluster
    }

    fn config(&self, number: usize) -> Config {
        let name = format!("node{number}");
        Config {
            data_dir: self.folder.path().join(&name),
            name: name.parse().expect("a name"),
            bind: ([127, 0, 0, 1], 0).into(),
            internal_url: None,
            public_url: None,
            max_storage: None,
            catch_up_rate: None,
            distributors: vec![self.dist_url()],
            access: Access::default(),
            cors_origins: vec!["http://page.example".to_owned()],
            workers: 2,
            traces: None,
        }
    }

    pub(crate) fn dist_url(&self) -> String {
        format!("http://{}", self.dist_at)
    }

    pub(crate) async fn start_dist(&mut self) {
        let catalog = self.folder.path().join("catalog.db");
        // Whoever mirrors is not to seem dead when a disk holds it up for a moment.
        let session_ms = if self.copies > 1 { 2_000 } else { 600 };
        let running = dist::start(dist::Config {
            name: "dist".parse().expect("a name"),
            bind: self.dist_at,
            public_url: None,
            database_url: format!("sqlite://{}", catalog.display()),
            coordinator: None,
            copies: wire::Copies::try_from(i64::from(self.copies)).expect("a number of copies"),
            access: dist::Access::default(),
            session: Duration::from_millis(session_ms),
            poll: Duration::from_millis(100),
            workers: 1,
            traces: None,
        })
        .await
        .expect("the distributor starts");
        let at = running.url().trim_start_matches("http://").parse();
        self.dist_at = at.expect("an address");
        self.dist = Some(running);
    }

    pub(crate) async fn stop_dist(&mut self) {
        if let Some(dist) = self.dist.take() {
            dist.stop().await;
        }
    }

    /// Starts a node again, on a new port; returns when it takes uploads, if it can.
    pub(crate) async fn start_node(&mut self, place: usize) {
        self.start_node_alone(place).await;
        if self.dist.is_some() {
            self.until("the node leads", || async {
                self.stats(place).await.shards_open > 0
            })
            .await;
        }
    }

    /// Starts a node again, and waits for nothing.
    pub(crate) async fn start_node_alone(&mut self, place: usize) {
        let slot = &mut self.nodes[place];
        let running = node::start(slot.config.clone())
            .await
            .expect("the node starts");
        slot.running = Some(running);
    }

    /// Changes how a stopped node is configured.
    pub(crate) fn reconfigure(&mut self, place: usize, change: impl FnOnce(&mut Config)) {
        assert!(self.nodes[place].running.is_none(), "the node runs");
        change(&mut self.nodes[place].config);
    }

    /// Where a node keeps its data.
    pub(crate) fn data_dir(&self, place: usize) -> &Path {
        &self.nodes[place].config.data_dir
    }

    pub(crate) async fn stop_node(&mut self, place: usize) {
        if let Some(running) = self.nodes[place].running.take() {
            running.stop().await;
        }
    }

    pub(crate) async fn stop(mut self) {
        for place in 0..self.nodes.len() {
            self.stop_node(place).await;
        }
        self.stop_dist().await;
    }

    /// A node's base URI.
    pub(crate) fn url(&self, place: usize) -> String {
        let running = self.nodes[place].running.as_ref();
        running.expect("the node runs").url().to_owned()
    }

    /// A request to a path of the node at `place`.
    pub(crate) fn ask(&self, method: Method, place: usize, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.url(place)))
    }

    pub(crate) async fn get(&self, place: usize, path: &str) -> Response {
        self.ask(Method::GET, place, path)
            .send()
            .await
            .expect("answers")
    }

    /// A fresh id for the node at `place`, from the distributor.
    pub(crate) async fn mint(&self, place: usize) -> ContentId {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let url = format!("{}/store", self.dist_url());
            let response = self.http.get(url).send().await.expect("answers");
            if let Ok(found) = response.json::<Place>().await
                && found.uri.starts_with(&self.url(place))
            {
                return found.id;
            }
            assert!(Instant::now() < deadline, "no place on node {place}");
        }
    }

    /// Uploads a body to the node at `place`; gives its receipt.
    pub(crate) async fn store(&self, place: usize, bytes: &[u8]) -> Receipt {
        let id = self.mint(place).await;
        let path = format!("/store/{id}?filename=a.txt");
        let request = self.ask(Method::PUT, place, &path).body(bytes.to_vec());
        receipt(request.send().await.expect("answers")).await
    }

    pub(crate) async fn bytes(&self, place: usize, id: ContentId) -> Vec<u8> {
        let response = self.get(place, &format!("/retrieve/{id}")).await;
        assert_eq!(response.status(), StatusCode::OK);
        response.bytes().await.expect("a whole body").to_vec()
    }

    pub(crate) async fn stats(&self, place: usize) -> NodeStats {
        self.get(place, "/stats")
            .await
            .json()
            .await
            .expect("statistics")
    }

    /// The lines of a node's operation log.
    pub(crate) async fn log(&self, place: usize) -> Vec<Value> {
        let text = self.get(place, "/log").await.text().await.expect("text");
        text.lines()
            .map(|line| serde_json::from_str(line).expect("a JSON line"))
            .collect()
    }

    /// What the catalog knows of a content.
    pub(crate) async fn listed(&self, id: ContentId) -> Option<Value> {
        let url = format!("{}/content?limit=1000", self.dist_url());
        let page: Value = self.http.get(url).send().await.ok()?.json().await.ok()?;
        let items = page["items"].as_array()?;
        items
            .iter()
            .find(|item| item["id"] == id.to_string())
            .cloned()
    }

    /// Waits for a condition.
    pub(crate) async fn until<F: Future<Output = bool>>(&self, what: &str, holds: impl Fn() -> F) {
        let deadline = Instant::now() + PATIENCE;
        while !holds().await {
            assert!(Instant::now() < deadline, "in vain: {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// A port that was free a moment ago, for a service that comes back to it; below the ephemeral range,
/// so that no outgoing connection takes it meanwhile.
fn free_port() -> u16 {
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let mut tried = (0..1_000).map(|_| rand::random_range(10_000..32_000));
    tried.find(is_free).expect("a free port")
}

/// The receipt of a change that must have worked.
pub(crate) async fn receipt(response: Response) -> Receipt {
    let status = response.status();
    let text = response.text().await.expect("a body");
    assert_eq!(status, StatusCode::OK, "{text}");
    serde_json::from_str(&text).expect("a receipt")
}

/// The error of a request that must have failed; its body is checked against its status.
pub(crate) async fn error(response: Response) -> ErrorBody {
    let status = response.status().as_u16();
    let id = response.headers()["x-request-id"]
        .to_str()
        .expect("text")
        .to_owned();
    let text = response.text().await.expect("a body");
    let error: ErrorBody =
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status} {text}"));
    assert_eq!(
        (error.code.status(), error.request_id.as_str()),
        (status, id.as_str())
    );
    error
}

/// An answer to a request that was written by hand.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn code(&self) -> Code {
        let error: Result<ErrorBody, _> = serde_json::from_slice(&self.body);
        error.unwrap_or_else(|_| panic!("no error: {self:?}")).code
    }
}

/// Opens a connection and writes `request` to it.
pub(crate) async fn connect(url: &str, request: &[u8]) -> TcpStream {
    let address = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.expect("connects");
    stream.write_all(request).await.expect("writes");
    stream
}

/// Reads until the other side closes.
pub(crate) async fn read_answer(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    read.expect("the connection is closed in time")
        .expect("is read");
    let end = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .expect("a head")
        + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|word| word.parse().ok())
        .expect("a status");
    Answer {
        status,
        head,
        body: bytes[end..].to_vec(),
    }
}

/// Sends what was written by hand, ends the sending side, and reads the answer.
pub(crate) async fn send(url: &str, request: &[u8]) -> Answer {
    let mut stream = connect(url, request).await;
    stream.shutdown().await.expect("ends");
    read_answer(stream).await
}

/// Bytes that do not repeat within a chunk, and differ for each seed.
pub(crate) fn noise(length: usize, seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new_keyed(&[seed; 32])
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

/// Flips a bit where the log of a replica has these bytes, which must be in one place.
pub(crate) fn flip(cluster: &Cluster, replica: (usize, ShardNo), bytes: &[u8]) {
    alter(cluster, replica, bytes, &[1]);
}

/// Changes some of these bytes in the log of a replica, so that the checksum of their block stays the same.
pub(crate) fn twist(cluster: &Cluster, replica: (usize, ShardNo), bytes: &[u8]) {
    // The polynomial of CRC-32C itself.
    alter(cluster, replica, bytes, &[0xf1, 0x76, 0xec, 0x05, 0x01]);
}

fn alter(cluster: &Cluster, (place, shard): (usize, ShardNo), bytes: &[u8], by: &[u8]) {
    let log = format!("shards/{shard}/log");
    let mut found = 0;
    for entry in fs::read_dir(cluster.data_dir(place).join(log)).expect("a log") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "seg") {
            continue;
        }
        let stored = fs::read(&path).expect("reads");
        let mut windows = stored.windows(bytes.len());
        let Some(at) = windows.position(|window| window == bytes) else {
            continue;
        };
        let file = OpenOptions::new().write(true).open(&path).expect("opens");
        let altered: Vec<u8> = bytes.iter().zip(by).map(|(byte, by)| byte ^ by).collect();
        file.write_all_at(&altered, at as u64).expect("writes");
        found += 1;
    }
    assert_eq!(found, 1, "the bytes are in one place");
}

/// Makes the header of a content's record unreadable, and that it is one: nothing tells whose it was.
pub(crate) fn break_header(cluster: &Cluster, (place, shard): (usize, ShardNo), id: ContentId) {
    /// Where the id stands in a header.
    const ID_AT: usize = 40;
    let log = cluster.data_dir(place).join(format!("shards/{shard}/log"));
    let mut found = 0;
    for entry in fs::read_dir(log).expect("a log") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "seg") {
            continue;
        }
        let stored = fs::read(&path).expect("reads");
        let mut windows = stored.windows(16);
        let Some(at) = windows.position(|window| window == id.bytes()) else {
            continue;
        };
        let start = at.checked_sub(ID_AT).expect("a header");
        let file = OpenOptions::new().write(true).open(&path).expect("opens");
        for at in [start, start + 9] {
            let flipped = file.write_all_at(&[stored[at] ^ 8], at as u64);
            flipped.expect("writes");
        }
        found += 1;
    }
    assert_eq!(found, 1, "it has one record");
}
