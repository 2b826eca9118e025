//! A storage node as a distributor sees one: it says that it is there, and answers calls with what
//! the test tells it to.

use crate::support::{Service, row};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use uuid::Uuid;
use wire::membership::{Heartbeat, HeartbeatAnswer, ReplicaReport};
use wire::shard::ShardRecord;
use wire::stats::NodeStats;
use wire::{Lsn, NodeName, Position, ShardNo};

/// A request that the node got.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) line: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

#[derive(Default)]
struct Script {
    answers: HashMap<String, (u16, String)>,
    /// Requests that begin so are answered before their body has come.
    hasty: Option<String>,
    calls: Vec<Call>,
}

/// A node that does as it is told.
pub(crate) struct FakeNode {
    pub(crate) name: NodeName,
    pub(crate) heartbeat: Heartbeat,
    port: u16,
    script: Arc<Mutex<Script>>,
    server: Option<JoinHandle<()>>,
}

impl FakeNode {
    /// A node that listens, with room for 1 GiB.
    pub(crate) async fn start(name: &str) -> Self {
        let mut node = FakeNode {
            name: name.parse().expect("a name"),
            heartbeat: Heartbeat {
                cluster: None,
                incarnation: Uuid::new_v4(),
                offer: Uuid::new_v4(),
                internal_url: String::new(),
                public_url: String::new(),
                replicas: Vec::new(),
                map_version: 0,
                parting: false,
                linked: None,
            },
            port: 0,
            script: Arc::default(),
            server: None,
        };
        let stats = NodeStats {
            max_storage: 1 << 30,
            disk_free: 1 << 30,
            memory_available: 1,
            memory_total: 1,
            ..NodeStats::default()
        };
        node.answer(
            "GET /stats",
            200,
            &serde_json::to_string(&stats).expect("JSON"),
        );
        node.listen().await;
        let url = format!("http://127.0.0.1:{}", node.port);
        node.heartbeat.internal_url.clone_from(&url);
        node.heartbeat.public_url = url;
        node
    }

    /// Begins to listen, again under the same port.
    pub(crate) async fn listen(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port))
            .await
            .expect("a port");
        self.port = listener.local_addr().expect("an address").port();
        let script = Arc::clone(&self.script);
        self.server = Some(tokio::spawn(async move {
            // Connections end with the server: a node that is stopped answers nobody.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&script)));
            }
        }));
    }

    /// Stops to listen and cuts all connections.
    pub(crate) async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
            assert!(server.await.is_err(), "an aborted task gives no result");
        }
    }

    /// Sets the answer to requests that begin so.
    pub(crate) fn answer(&self, request: &str, status: u16, body: &str) {
        let mut script = self.script.lock().expect("no panic");
        script
            .answers
            .insert(request.to_owned(), (status, body.to_owned()));
    }

    /// Answers requests that begin so before their body has come, and closes their connections.
    pub(crate) fn is_hasty(&self, request: &str) {
        let mut script = self.script.lock().expect("no panic");
        script.hasty = Some(request.to_owned());
    }

    /// The requests that began so.
    pub(crate) fn calls(&self, request: &str) -> Vec<Call> {
        let script = self.script.lock().expect("no panic");
        script
            .calls
            .iter()
            .filter(|call| call.line.starts_with(request))
            .cloned()
            .collect()
    }

    /// Says that it is there.
    pub(crate) async fn beat(&self, dist: &Service) -> reqwest::Response {
        let path = format!("/nodes/{}/heartbeat", self.name);
        dist.post(&path)
            .json(&self.heartbeat)
            .send()
            .await
            .expect("an answer")
    }

    /// Says that it is there, and takes what it is told.
    pub(crate) async fn obey(&mut self, dist: &Service) -> HeartbeatAnswer {
        let answer: HeartbeatAnswer = self.beat(dist).await.json().await.expect("an answer");
        self.heartbeat.cluster = Some(answer.cluster);
        self.heartbeat.map_version = answer.map_version;
        for record in answer.map.iter().flat_map(|map| &map.shards) {
            self.take(record);
        }
        answer
    }

    /// Registers, makes its shard, and waits until it is used.
    pub(crate) async fn join(&mut self, dist: &Service) -> ShardNo {
        dist.until(async || {
            self.obey(dist).await;
            !self.heartbeat.replicas.is_empty()
        })
        .await;
        let name = self.name.to_string();
        dist.until(async || {
            self.beat(dist).await;
            dist.json("/nodes").await["nodes"][&name]["health"] == "up"
        })
        .await;
        self.heartbeat.replicas.last().expect("a replica").shard
    }

    /// Another process of the same node.
    pub(crate) fn restart(&mut self) {
        self.heartbeat.incarnation = Uuid::new_v4();
        self.heartbeat.offer = Uuid::new_v4();
        self.heartbeat.map_version = 0;
    }

    fn take(&mut self, record: &ShardRecord) {
        let Some(member) = record.member_on(&self.name) else {
            return;
        };
        if let Some(report) = self
            .heartbeat
            .replicas
            .iter_mut()
            .find(|report| report.replica == member.replica)
        {
            let revision = report.revision().max(record.revision());
            (report.record_lineage, report.record_version) = (revision.lineage, revision.version);
            report.record_mark = Some(record.mark()).filter(|_| revision == record.revision());
        } else if member.replica == self.heartbeat.offer {
            self.heartbeat.offer = Uuid::new_v4();
            self.heartbeat.replicas.push(ReplicaReport {
                shard: record.shard,
                replica: member.replica,
                record_lineage: record.lineage,
                record_version: record.version,
                record_mark: Some(record.mark()),
                record: None,
                end: Position::default(),
                committed: Lsn::ZERO,
                bytes: 0,
                contents: 0,
                damaged: 0,
                halted: false,
                complete: true,
                log: None,
            });
        }
    }

    /// Answers questions for a content with a row of this shard.
    pub(crate) fn knows(&self, shard: ShardNo, number: u64, version: u64) -> wire::ContentId {
        let mut known = row(shard.0, number);
        known.version = version;
        let body = serde_json::to_string(&known).expect("JSON");
        self.answer(&format!("GET /info/{}", known.id), 200, &body);
        known.id
    }
}

async fn serve(stream: TcpStream, script: Arc<Mutex<Script>>) {
    let mut stream = BufReader::new(stream);
    while let Some(mut call) = read_head(&mut stream).await {
        let is_hasty = {
            let script = script.lock().expect("no panic");
            let hasty = script.hasty.as_ref();
            hasty.is_some_and(|request| call.line.starts_with(request))
        };
        if !is_hasty && read_body(&mut stream, &mut call).await.is_none() {
            return;
        }
        let (status, body) = {
            let mut script = script.lock().expect("no panic");
            let answer = script
                .answers
                .iter()
                .filter(|(request, _)| call.line.starts_with(request.as_str()))
                .max_by_key(|(request, _)| request.len())
                .map(|(_, answer)| answer.clone());
            script.calls.push(call);
            answer.unwrap_or_else(|| (404, NOT_FOUND.to_owned()))
        };
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\netag: \"e\"\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        if stream
            .write_all(format!("{head}{body}").as_bytes())
            .await
            .is_err()
            || is_hasty
        {
            return;
        }
    }
}

const NOT_FOUND: &str = r#"{"status":"error","code":"not_found","message":"no","request_id":"x"}"#;

async fn read_head(stream: &mut BufReader<TcpStream>) -> Option<Call> {
    let mut line = String::new();
    if stream.read_line(&mut line).await.ok()? == 0 {
        return None;
    }
    let mut headers = HashMap::new();
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).await.ok()?;
        let Some((name, value)) = header.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    Some(Call {
        line: line.trim_end().to_owned(),
        headers,
        body: String::new(),
    })
}

async fn read_body(stream: &mut BufReader<TcpStream>, call: &mut Call) -> Option<()> {
    let length = call.headers.get("content-length");
    let length = length.map_or(Some(0), |value| value.parse().ok())?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    call.body = String::from_utf8(body).ok()?;
    Some(())
}
