//! The program `node`: its start, its end, what it takes over meanwhile, and what survives when it
//! is killed.

mod reload;
mod requests;

use std::cell::{Cell, RefCell};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use wire::ContentId;
use wire::placement::Place;

const PATIENCE: Duration = Duration::from_secs(20);

fn program(folder: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_node"));
    command
        .current_dir(folder.path())
        .env_clear()
        .stdin(Stdio::null());
    command
}

fn output(command: &mut Command) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = command.output().expect("runs");
    (status.code(), String::from_utf8(stderr).expect("text"))
}

/// A node as a process of its own, killed when it is dropped.
struct Process {
    child: Child,
    url: String,
    log: Receiver<String>,
}

impl Process {
    fn start(command: &mut Command) -> Process {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("starts");
        let log = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut lines = log.lines().map(|line| line.expect("text"));
        let url = lines
            .find_map(|line| Some(line.split_once("url=\"")?.1.split_once('"')?.0.to_owned()))
            .expect("the node says where it serves");
        // Its log is read on, so that the pipe never fills up. Few listen to it.
        let (said, log) = channel();
        std::thread::spawn(move || lines.for_each(|line| drop(said.send(line))));
        Process { child, url, log }
    }

    /// The next line of its log with these words.
    fn says(&self, words: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let rest = deadline.checked_duration_since(Instant::now());
            let line = rest.and_then(|rest| self.log.recv_timeout(rest).ok());
            let line = line.unwrap_or_else(|| panic!("it does not say `{words}`"));
            if line.contains(words) {
                return line;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process"), signal).expect("is signalled");
    }

    fn end(mut self) -> Option<i32> {
        self.child.wait().expect("ends").code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

// If this fails, people and supervisors cannot tell why a node did not start.
#[test]
fn a_failed_start_is_one_line_and_an_exit_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let (code, text) = output(program(&folder).env("PORT", "70000"));
    assert_eq!(
        (code, text.as_str()),
        (
            Some(2),
            "node: PORT: `70000` is not a port from 0 to 65535\n"
        )
    );
    assert_eq!(output(program(&folder).arg("--nonsense")).0, Some(2));

    // Whoever collects logs in JSON can read that, too.
    let json = [("PORT", "70000"), ("LOG_FORMAT", "json")];
    let (code, text) = output(program(&folder).envs(json));
    let line: serde_json::Value = serde_json::from_str(&text).expect("one value of JSON");
    assert_eq!((code, &line["level"]), (Some(2), &"ERROR".into()), "{text}");
    assert_eq!(
        line["message"],
        "PORT: `70000` is not a port from 0 to 65535"
    );

    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let port = taken.local_addr().expect("an address").port().to_string();
    let (code, text) = output(program(&folder).args(["--port", &port]));
    assert_eq!((code, text.lines().count()), (Some(1), 1), "{text}");
    assert!(
        text.starts_with(&format!("node: cannot listen on 127.0.0.1:{port}: ")),
        "{text}"
    );

    let open = ["--host", "0.0.0.0", "--port", "0"];
    let (code, text) = output(program(&folder).args(open).env("CLUSTER_KEY", ""));
    let expected = "node: CLUSTER_KEY is needed to listen on 0.0.0.0:0, which is not loopback\n";
    assert_eq!((code, text.as_str()), (Some(1), expected));
}

// If this fails, a variable that is not set, and passed on as an empty one, stops the start.
#[test]
fn an_empty_key_is_not_set() {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = [("ACCESS_KEY", ""), ("CLUSTER_KEY", "")];
    let process = Process::start(program(&folder).args(["--port", "0"]).envs(keys));
    process.signal(Signal::TERM);
    assert_eq!(process.end(), Some(0));
}

// If this fails, uploads are sent to the port of the nodes file, where nobody listens.
#[tokio::test]
async fn an_overridden_port_is_told_to_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = "nodes: {dist: {host: 127.0.0.1, port: 1}, node1: {host: 127.0.0.1, port: 2}}";
    std::fs::write(folder.path().join("nodes.yml"), file).expect("writes");
    let dist = distributor(&folder).await;
    let port = free_port().to_string();
    let arguments = ["--dist", dist.url(), "--log", "info"];
    let process = Process::start(program(&folder).args(arguments).env("PORT", &port));
    let story = Story {
        http: client(),
        dist: dist.url().to_owned(),
        node: process.url.clone(),
    };
    story.used().await;
    assert!(process.url.ends_with(&format!(":{port}")));
    drop(process);
    dist.stop().await;
}

// If this fails, container engines restart healthy nodes, or kill them when they stop.
#[test]
fn a_node_tells_its_health_and_ends_when_it_is_told_to() {
    let folder = tempfile::tempdir().expect("a folder");
    for signal in [Signal::TERM, Signal::INT] {
        let process = Process::start(program(&folder).args(["--port", "0"]));
        let port = process.url.rsplit(':').next().expect("a port").to_owned();
        let health = || output(program(&folder).args(["--port", &port, "health"]));
        assert_eq!(health(), (Some(0), String::new()));
        let told = Instant::now();
        process.signal(signal);
        assert_eq!(process.end(), Some(0));
        assert!(told.elapsed() < Duration::from_secs(10));
        let (code, text) = health();
        assert_eq!((code, text.lines().count()), (Some(1), 1), "{text}");
    }
    assert!(folder.path().join("data/node1/node.json").is_file());
}

// If this fails, a container that is stopped while it starts counts as crashed, or is killed after its
// time of grace.
#[test]
fn a_start_can_be_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("slow.yml");
    let made = Command::new("mkfifo").arg(&file).status();
    assert!(made.expect("mkfifo runs").success());
    let mut child = program(&folder)
        .arg("--nodes-file")
        .arg(&file)
        .spawn()
        .expect("starts");
    // Opens as soon as the node reads, which waits for what is never written.
    let settings = std::fs::OpenOptions::new().write(true).open(&file);
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    kill_process(pid.expect("a process"), Signal::TERM).expect("is signalled");
    assert_eq!(child.wait().expect("ends").code(), Some(0));
    drop(settings.expect("the node reads"));
}

/// What is known of a content after the node was killed.
#[derive(Clone, Debug, PartialEq)]
enum Known {
    /// These bytes were acknowledged, or they are the only ones ever sent.
    Bytes(Vec<u8>),
    /// One of two, as the last change was not acknowledged.
    Either(Vec<u8>, Vec<u8>),
    /// Its delete was acknowledged.
    Deleted,
}

/// What is done between a start of the node and its end.
#[derive(Default)]
struct Life {
    known: RefCell<Vec<(ContentId, Known)>>,
    is_over: Cell<bool>,
}

impl Life {
    /// Returns when so many contents are as they were left.
    async fn until_settled(&self, contents: usize) {
        let deadline = Instant::now() + PATIENCE;
        while settled(&self.known.borrow()) < contents {
            assert!(Instant::now() < deadline, "too little happens");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// How many contents are known to be as they were left.
fn settled(all: &[(ContentId, Known)]) -> usize {
    let each = all.iter();
    each.filter(|(_, known)| !matches!(known, Known::Either(..)))
        .count()
}

struct Story {
    http: reqwest::Client,
    dist: String,
    node: String,
}

impl Story {
    async fn place(&self) -> Option<Place> {
        let answer = self
            .http
            .get(format!("{}/store", self.dist))
            .send()
            .await
            .ok()?;
        answer.json().await.ok()
    }

    /// Returns when the distributor sends uploads to the node, under the address it serves at.
    async fn used(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self
            .place()
            .await
            .is_some_and(|place| place.uri.starts_with(&self.node))
        {
            assert!(Instant::now() < deadline, "the node is not used");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn change(&self, method: Method, path: String, body: Vec<u8>) -> Option<StatusCode> {
        let request = self
            .http
            .request(method, format!("{}{path}", self.node))
            .body(body);
        request.send().await.ok().map(|answer| answer.status())
    }

    /// Uploads, updates and deletes until the node is killed.
    async fn live(&self, seed: u8, life: &Life) {
        let learn = |id, known| life.known.borrow_mut().push((id, known));
        for round in 0.. {
            if life.is_over.get() {
                return;
            }
            let Some(place) = self.place().await else {
                // A node that came too late with its heartbeat is used again soon.
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            let (id, first) = (place.id, noise(200 + 90_000 * (round % 17), seed));
            let path = format!("/store/{id}");
            match self.change(Method::PUT, path, first.clone()).await {
                Some(StatusCode::OK) => {}
                // Not acknowledged: it may be there, or not.
                _ => continue,
            }
            if round % 3 == 0 {
                learn(id, Known::Bytes(first));
                continue;
            }
            let second = noise(300, seed ^ 0x80);
            let path = format!("/update/{id}");
            match self.change(Method::PUT, path, second.clone()).await {
                Some(StatusCode::OK) => {}
                _ => {
                    learn(id, Known::Either(first, second));
                    continue;
                }
            }
            if round % 3 == 1 {
                learn(id, Known::Bytes(second));
                continue;
            }
            let path = format!("/delete/{id}");
            let deleted = self.change(Method::DELETE, path, Vec::new()).await;
            if deleted == Some(StatusCode::OK) {
                learn(id, Known::Deleted);
            }
        }
    }

    async fn check(&self, id: ContentId, known: &Known) {
        let url = format!("{}/retrieve/{id}", self.node);
        let mut answer = self.http.get(&url).send().await.expect("answers");
        let mut tries = 0;
        while answer.status() == StatusCode::SERVICE_UNAVAILABLE && tries < 500 {
            tries += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
            answer = self.http.get(&url).send().await.expect("answers");
        }
        let status = answer.status();
        let bytes = answer.bytes().await.expect("a body");
        match known {
            Known::Bytes(expected) => {
                assert!(status == StatusCode::OK && bytes == *expected, "{id}")
            }
            Known::Either(one, other) => {
                assert!(
                    status == StatusCode::OK && (bytes == *one || bytes == *other),
                    "{id}"
                );
            }
            Known::Deleted => assert_eq!(status, StatusCode::GONE, "{id}"),
        }
    }
}

async fn distributor(folder: &TempDir) -> dist::Running {
    dist::start(dist::Config {
        name: "dist".parse().expect("a name"),
        bind: ([127, 0, 0, 1], 0).into(),
        public_url: None,
        database_url: format!("sqlite://{}", folder.path().join("catalog.db").display()),
        coordinator: None,
        copies: wire::Copies::ONE,
        access: dist::Access::default(),
        session: Duration::from_millis(600),
        poll: Duration::from_millis(50),
        workers: 1,
        traces: None,
    })
    .await
    .expect("the distributor starts")
}

fn client() -> reqwest::Client {
    // Another test of this process may have installed it before: that is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client")
}

/// A port that was free a moment ago; below the ephemeral range, so that no outgoing connection takes
/// it meanwhile.
fn free_port() -> u16 {
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let mut tried = (0..1_000).map(|_| rand::random_range(10_000..32_000));
    tried.find(is_free).expect("a free port")
}

fn noise(length: usize, seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new_keyed(&[seed; 32])
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

// If this fails, a node that is killed loses what it had acknowledged, or brings back what it had
// deleted.
#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let dist = distributor(&folder).await;
    let http = client();
    let mut known: Vec<(ContentId, Known)> = Vec::new();
    for round in 0..6_u8 {
        let arguments = ["--port", "0", "--dist", dist.url(), "--log", "info"];
        let process = Process::start(program(&folder).args(arguments));
        let node = process.url.clone();
        let story = Story {
            http: http.clone(),
            dist: dist.url().to_owned(),
            node,
        };
        story.used().await;
        for (id, known) in &known {
            story.check(*id, known).await;
        }
        let life = Life::default();
        let kill = async {
            life.until_settled(6).await;
            tokio::time::sleep(Duration::from_millis(77 * u64::from(round))).await;
            process.signal(Signal::KILL);
            life.is_over.set(true);
        };
        let [a, b, c] = [0, 1, 2].map(|lane| story.live(round * 3 + lane, &life));
        tokio::join!(a, b, c, kill);
        known.append(&mut life.known.into_inner());
    }
    assert!(settled(&known) > 30, "that proves nothing: {known:?}");
    dist.stop().await;
}
