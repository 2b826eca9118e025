//! What the logs of both services say when they say most: enough to follow a change, and no key.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use dist::{Access, Anonymous};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;
use service::given::Given;
use service::log::Log;
use tokio::time::{Instant, sleep};
use wire::placement::Place;
use wire::{Copies, routes};

/// How long the services may take to find together.
const PATIENCE: Duration = Duration::from_secs(30);

/// Set where this program is to be the services, and to log by this filter.
const FILTER: &str = "SERVICES_THAT_LOG";

const CLUSTER_KEY: &str = "only-among-services";
const ACCESS_KEY: &str = "only-for-clients";

/// What somebody sends by mistake: it may open something else.
const WRONG_KEY: &str = "of-another-door";

/// A form with two files.
const FORM: &str = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\na\r\n\
    --x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"b\"\r\n\r\nb\r\n--x--\r\n";

/// What services say, as JSON, while [`use_them`] uses them. They run in a process of their own, for the
/// test of this name, which comes here again: a process has one log.
fn said(test: &str, filter: &str) -> Option<Vec<String>> {
    if let Ok(filter) = std::env::var(FILTER) {
        serve(&filter);
        return None;
    }
    let itself = std::env::current_exe().expect("this program");
    let mut command = Command::new(itself);
    let command = command.args(["--exact", test, "--nocapture"]);
    let output = command.env(FILTER, filter).output().expect("runs");
    let log = String::from_utf8(output.stderr).expect("text");
    assert!(output.status.success(), "{log}");
    Some(log.lines().map(str::to_owned).collect())
}

/// Is a distributor and two nodes, which mirror each other, until they were used.
fn serve(filter: &str) {
    let format = Given::new("LOG_FORMAT", "json");
    let log = Log::read(Some(Given::new("LOG", filter)), Some(format)).expect("is read");
    let _filter = log.start().expect("logs");
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    runtime.block_on(async {
        let dist = dist::start(distributor(folder.path())).await;
        let dist = dist.expect("the distributor starts");
        let mut nodes = Vec::new();
        for name in ["node1", "node2"] {
            let node = node::start(node(folder.path(), name, dist.url())).await;
            nodes.push(node.expect("the node starts"));
        }
        use_them(dist.url()).await;
        for node in nodes {
            node.stop().await;
        }
        dist.stop().await;
    });
}

fn access() -> Access {
    Access {
        cluster_key: Some(CLUSTER_KEY.to_owned()),
        access_key: Some(ACCESS_KEY.to_owned()),
        anonymous: Anonymous::None,
    }
}

fn distributor(folder: &Path) -> dist::Config {
    dist::Config {
        name: "dist".parse().expect("a name"),
        bind: "127.0.0.1:0".parse().expect("an address"),
        public_url: None,
        database_url: format!("sqlite://{}/catalog.db", folder.display()),
        coordinator: None,
        copies: Copies::default_on(2),
        access: access(),
        session: Duration::from_secs(1),
        poll: Duration::from_millis(200),
        workers: 1,
        traces: None,
    }
}

fn node(folder: &Path, name: &str, dist: &str) -> node::Config {
    node::Config {
        name: name.parse().expect("a name"),
        bind: "127.0.0.1:0".parse().expect("an address"),
        internal_url: None,
        public_url: None,
        data_dir: folder.join(name),
        max_storage: None,
        catch_up_rate: None,
        distributors: vec![dist.to_owned()],
        access: access(),
        cors_origins: Vec::new(),
        workers: 1,
        traces: None,
    }
}

/// Uploads one content and then two in a form, deletes the first one through the distributor, and shows
/// all kinds of keys to everybody.
async fn use_them(dist: &str) {
    let client = Client::builder().no_proxy().timeout(PATIENCE);
    let client = client.build().expect("a client");
    let place = place(&client, dist).await;
    let node = place.uri.trim_end_matches(routes::STORE);
    let stored = client.put(routes::store(node, place.id)).body("a content");
    sent(named(stored, "the-upload")).await;
    let form = client.post(place.uri.clone()).body(FORM);
    let form = form.header("content-type", "multipart/form-data; boundary=x");
    sent(named(form, "the-form")).await;
    let deleted = client.delete(routes::content(dist, place.id));
    sent(named(deleted, "the-delete")).await;
    for base in [dist, node] {
        for key in [CLUSTER_KEY, WRONG_KEY] {
            let url = format!("{base}{}?from=here", routes::STATS);
            let asked = client.get(url).header(routes::CLUSTER_KEY_HEADER, key);
            let status = asked.send().await.expect("answers").status();
            assert_eq!(status.is_success(), key == CLUSTER_KEY, "{base}: {status}");
            let told = client.request(Method::DELETE, routes::delete(base, place.id));
            told.bearer_auth(key).send().await.expect("answers");
        }
    }
    for key in [ACCESS_KEY, WRONG_KEY] {
        let signed = client.post(format!("{dist}/console/sign-in"));
        let signed = signed.body(format!("key={key}&next=%2F"));
        signed.send().await.expect("answers");
    }
}

/// A place for a content, as soon as it is mirrored.
async fn place(client: &Client, dist: &str) -> Place {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let asked = client.get(format!("{dist}/nodes")).bearer_auth(ACCESS_KEY);
        let known = asked.send().await.expect("answers").text().await;
        let asked = client.get(format!("{dist}{}", routes::STORE));
        let answer = asked.bearer_auth(ACCESS_KEY).send().await;
        let answer = answer.expect("answers");
        // Both have come, and each has a part in every shard.
        let known = known.expect("text");
        if answer.status().is_success() && known.contains("node1") && known.contains("node2") {
            return answer.json().await.expect("a place");
        }
        assert!(Instant::now() < deadline, "{known}");
        sleep(Duration::from_millis(20)).await;
    }
}

fn named(request: RequestBuilder, id: &str) -> RequestBuilder {
    request.header(routes::REQUEST_ID_HEADER, id)
}

async fn sent(request: RequestBuilder) -> Response {
    let answer = request.bearer_auth(ACCESS_KEY).send().await;
    let answer = answer.expect("answers");
    assert_eq!(answer.status(), 200);
    answer
}

// If this fails, whoever reads a log, or is sent one to find a fault, has the keys of the cluster.
#[test]
fn no_key_is_in_a_log_that_says_everything() {
    let Some(log) = said("no_key_is_in_a_log_that_says_everything", "trace") else {
        return;
    };
    let has = |word: &str| log.iter().any(|line| line.contains(word));
    assert!(has("the-delete") && has("hyper"), "it says everything");
    for key in [CLUSTER_KEY, ACCESS_KEY, WRONG_KEY] {
        let line = log.iter().find(|line| line.contains(key));
        assert_eq!(line, None, "{key}");
    }
}

// If this fails, nobody finds out what became of a change at its mirrors.
#[test]
fn a_change_is_followed_to_its_mirrors_by_shard_and_lsn() {
    let test = "a_change_is_followed_to_its_mirrors_by_shard_and_lsn";
    let Some(log) = said(test, "node=debug") else {
        return;
    };
    let log = log.iter().map(|line| serde_json::from_str(line));
    let log: Vec<Value> = log.map(|line| line.expect("JSON")).collect();
    for (request, message, records) in [
        ("the-upload", "answered", 1),
        ("the-form", "changed", 2),
        ("the-delete", "answered", 1),
    ] {
        let is_its = |line: &&Value| line["request_id"] == request && line["message"] == message;
        let own: Vec<&Value> = log.iter().filter(is_its).collect();
        assert_eq!(own.len(), records, "{request}: {own:?}");
        for line in own {
            let (shard, lsn) = (&line["shard"], &line["lsn"]);
            assert!(shard.is_string() && lsn.is_string(), "{line}");
            let is_taken =
                |line: &&Value| line["message"] == "a record is taken" && line["shard"] == *shard;
            let mut taken = log.iter().filter(is_taken);
            assert!(taken.any(|line| line["lsn"] == *lsn), "{request}: {line}");
        }
    }
}
