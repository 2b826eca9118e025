//! Tests of the settings.

use super::*;
use clap::CommandFactory;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Place(tempfile::tempdir().expect("a folder"))
    }

    fn with_nodes(text: &str) -> Self {
        let place = Place::new();
        std::fs::write(place.0.path().join(NODES_FILE), text).expect("writes");
        place
    }

    fn config(&self, flags: &[&str], variables: &[(&str, &str)]) -> Result<Config, SettingError> {
        let arguments = std::iter::once("node").chain(flags.iter().copied());
        let flags = Flags::try_parse_from(arguments).expect("flags that are understood");
        let variable = |name: &str| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        };
        flags.config(&Environment {
            variable: &variable,
            folder: self.0.path(),
        })
    }

    fn refused(&self, flags: &[&str], variables: &[(&str, &str)]) -> String {
        self.config(flags, variables)
            .expect_err("is refused")
            .to_string()
    }
}

const NODES: &str = "nodes:
  dist: {host: 127.0.0.1, port: 9000, public_url: 'http://files.example'}
  node1: {host: 127.0.0.1, port: 9001}
  node2: {host: 127.0.0.1, port: 9002, public_url: 'http://files.example:9002'}
";

// If this fails, `node --help` crashes.
#[test]
fn the_flags_are_consistent() {
    Flags::command().debug_assert();
}

// If this fails, a node on one's own machine needs settings to start at all.
#[test]
fn without_any_setting_there_are_defaults() {
    let place = Place::new();
    let config = place.config(&[], &[]).expect("is enough");
    assert_eq!(config.name.as_str(), "node1");
    assert_eq!(config.bind.to_string(), "127.0.0.1:8001");
    assert_eq!(config.data_dir, place.0.path().join("data/node1"));
    assert_eq!(config.distributors, ["http://127.0.0.1:8000"]);
    assert_eq!((config.max_storage, config.public_url), (None, None));
}

// If this fails, what is set closer to the program does not win.
#[test]
fn flags_come_before_the_environment_before_the_file() {
    let place = Place::with_nodes(NODES);
    let file = place.config(&["--name", "node2"], &[]).expect("reads");
    assert_eq!(file.bind.port(), 9002);
    assert_eq!(
        file.public_url.as_deref(),
        Some("http://files.example:9002")
    );
    assert_eq!(file.internal_url.as_deref(), Some("http://127.0.0.1:9002"));
    assert_eq!(file.distributors, ["http://127.0.0.1:9000"]);
    assert_eq!(file.cors_origins, ["http://files.example"]);

    let variables = [
        ("NODE_NAME", "node2"),
        ("PORT", "9102"),
        ("DIST_URL", "http://a/, http://b"),
    ];
    let environment = place.config(&[], &variables).expect("reads");
    assert_eq!(
        (environment.name.as_str(), environment.bind.port()),
        ("node2", 9102)
    );
    assert_eq!(environment.distributors, ["http://a", "http://b"]);

    let flags = ["--port", "9202", "--dist", "http://c", "--dist", "http://d"];
    let flags = place.config(&flags, &variables).expect("reads");
    assert_eq!(flags.bind.port(), 9202);
    assert_eq!(flags.distributors, ["http://c", "http://d"]);
}

// If this fails, a size that people write is read as another one.
#[test]
fn sizes_are_read_as_people_write_them() {
    let max = |text| {
        Place::new()
            .config(&["--max-storage", text], &[])
            .map(|c| c.max_storage)
    };
    assert_eq!(max("100M"), Ok(Some(100_000_000)));
    assert_eq!(max("2TiB"), Ok(Some(2 << 40)));
    assert_eq!(max("123"), Ok(Some(123)));
    assert!(max("0").is_err());
}

// If this fails, a node starts with something else than was meant, or does not say what is wrong.
#[test]
fn a_bad_value_is_named_with_its_source() {
    let place = Place::new();
    type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);
    let cases: [Case<'_>; 8] = [
        (
            &["--port", "x"],
            &[],
            "--port: `x` is not a port from 0 to 65535",
        ),
        (&[], &[("PORT", "70000")], "PORT: `70000` is not a port"),
        (&["--name", "Node 1"], &[], "--name: `Node 1` is not a name"),
        (
            &[],
            &[("MAX_STORAGE", "much")],
            "MAX_STORAGE: `much` is not a size",
        ),
        (
            &[],
            &[("ANONYMOUS", "yes")],
            "ANONYMOUS: `yes` is not none, read or write",
        ),
        (
            &["--dist", "a:1"],
            &[],
            "--dist: `a:1` does not begin with http",
        ),
        (&["--host", "a host"], &[], "--host: `a host` is neither"),
        (
            &["--nodes-file", "none.yml"],
            &[],
            "--nodes-file: cannot read",
        ),
    ];
    for (flags, variables, expected) in cases {
        let error = place.refused(flags, variables);
        assert!(error.starts_with(expected), "{error}");
        assert_eq!(error.lines().count(), 1);
    }
    let broken = Place::with_nodes("nodes: {dist: {host: a, port: 0}}").refused(&[], &[]);
    assert!(broken.contains("nodes.yml: dist: port: 0"), "{broken}");
}

// If this fails, keys can be read in the list of processes, or in a log.
#[test]
fn keys_come_from_the_environment_and_are_not_printed() {
    let variables = [
        ("CLUSTER_KEY", "secret"),
        ("ACCESS_KEY", "other"),
        ("ANONYMOUS", "read"),
    ];
    let config = Place::new().config(&[], &variables).expect("reads");
    assert_eq!(config.access.cluster_key.as_deref(), Some("secret"));
    assert_eq!(config.access.anonymous, Anonymous::Read);
    let printed = format!("{config:?}");
    assert!(
        !printed.contains("secret") && !printed.contains("other"),
        "{printed}"
    );
}
