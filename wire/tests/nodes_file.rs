//! `nodes.yml`: every form that is read, and every mistake that stops a start.

use wire::nodes_file::{NodesFile, ReadNodesError};

const FULL: &str = r#"
# The cluster.
log: info,node=debug
nodes:
  dist:
    host: 10.0.0.1
    port: 8000
    public_url: "https://files.example.com/"
  dist2: {host: dist2.internal, port: 8000}
  node1: {host: "::1", port: 8001, max_storage: 2TiB, catch_up_rate: 0}
  node2: {host: node2, port: 65535, public_url: http://files.example.com:8002}
"#;

fn read(text: &str) -> NodesFile {
    NodesFile::read(text).expect("it can be read")
}

// If this fails, the services of a cluster do not find each other.
#[test]
fn services_are_told_apart_and_have_their_addresses() {
    let file = read(FULL);
    let urls = |services: Vec<(String, String, String)>| services;
    let described = |(name, service): (&wire::NodeName, &wire::nodes_file::ServiceEntry)| {
        (
            name.to_string(),
            service.internal_url(),
            service.public_url(),
        )
    };
    let expected = |rows: &[[&str; 3]]| {
        let rows = rows.iter();
        rows.map(|[a, b, c]| ((*a).to_owned(), (*b).to_owned(), (*c).to_owned()))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        urls(file.distributors().map(described).collect()),
        expected(&[
            ["dist", "http://10.0.0.1:8000", "https://files.example.com"],
            [
                "dist2",
                "http://dist2.internal:8000",
                "http://dist2.internal:8000"
            ],
        ])
    );
    assert_eq!(
        urls(file.storage_nodes().map(described).collect()),
        expected(&[
            ["node1", "http://[::1]:8001", "http://[::1]:8001"],
            [
                "node2",
                "http://node2:65535",
                "http://files.example.com:8002"
            ],
        ])
    );
}

// If this fails, a bound that stands in the file does not bind, or a plain number is refused.
#[test]
fn bounds_and_the_log_are_texts() {
    let file = read(FULL);
    assert_eq!(file.log.as_deref(), Some("info,node=debug"));
    let bounds = |name: &str| {
        let entry = &file.nodes[&name.parse().expect("a name")];
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        (text(&entry.max_storage), text(&entry.catch_up_rate))
    };
    assert_eq!(bounds("node1"), ("2TiB".to_owned(), "0".to_owned()));
    assert_eq!(bounds("node2"), (String::new(), String::new()));
}

// If this fails, a file that a program wrote cannot be read by another.
#[test]
fn what_is_written_is_read_back() {
    let file = read(FULL);
    let json = serde_json::to_string(&file).expect("it can be written");
    assert_eq!(read(&json), file, "JSON is YAML");
}

// If this fails, a typo starts a service with defaults, or at an address that nobody can reach.
#[test]
fn mistakes_are_named() {
    for (text, words) in [
        ("nodes: {dist: {host: a}}", "port"),
        ("nodes: {dist: {port: 1}}", "host"),
        ("nodes: {dist: {host: a, port: 1, hots: b}}", "hots"),
        ("nodes: {dist: {host: a, port: 1}}\nnode: {}", "node"),
        ("nodes: {dist: {host: a, port: -1}}", "-1"),
        ("nodes: {dist: {host: a, port: 65536}}", "65536"),
        ("nodes: {dist: {host: a, port: http}}", "http"),
        (
            "nodes: {dist: {host: '', port: 1}}",
            "dist: host: `` is not",
        ),
        (
            "nodes: {dist: {host: 'a b', port: 1}}",
            "dist: host: `a b` is not",
        ),
        (
            "nodes: {dist: {host: 'u@h', port: 1}}",
            "dist: host: `u@h` is not",
        ),
        (
            "nodes: {dist: {host: 'http://a', port: 1}}",
            "dist: host: `http://a`",
        ),
        ("nodes: {dist: {host: a, port: 0}}", "dist: port: 0 is not"),
        (
            "nodes: {dist: {host: a, port: 1}, node1: {host: b, port: 0}}",
            "node1: port: 0",
        ),
        (
            "nodes: {dist: {host: a, port: 1, public_url: 'ftp://a'}}",
            "dist: public_url: `ftp://a` does not begin with http:// or https://",
        ),
        (
            "nodes: {dist: {host: a, port: 1, public_url: files.example.com}}",
            "dist: public_url: `files.example.com`",
        ),
        ("nodes: {DIST: {host: a, port: 1}}", "the node's name"),
        ("nodes: {'a b': {host: a, port: 1}}", "the node's name"),
        ("nodes: []", ""),
        ("", ""),
        ("- a", ""),
        ("nodes: {dist: {host: a, port: 1}", ""),
    ] {
        let error = NodesFile::read(text).expect_err(text).to_string();
        assert!(error.contains(words), "{text}: {error}");
        assert!(!error.is_empty());
    }
}

// If this fails, a cluster without a distributor starts, and nobody can use it.
#[test]
fn a_distributor_is_demanded() {
    for text in [
        "nodes: {}",
        "nodes: {node1: {host: a, port: 1}}",
        "nodes: {distributor: {host: a, port: 1}}",
    ] {
        let refused = NodesFile::read(text);
        assert!(
            matches!(refused, Err(ReadNodesError::NoDistributor)),
            "{text}"
        );
    }
}

// If this fails, one of two services of the same name is silently left out.
#[test]
fn a_name_is_given_once() {
    let text = "nodes:\n  dist: {host: a, port: 1}\n  dist: {host: b, port: 2}\n";
    let refused = NodesFile::read(text);
    assert!(
        matches!(refused, Err(ReadNodesError::Form(_))),
        "{refused:?}"
    );
}
