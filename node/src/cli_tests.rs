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
        std::fs::write(place.0.path().join("nodes.yml"), text).expect("writes");
        place
    }

    fn config(&self, flags: &[&str], variables: &[(&str, &str)]) -> Result<Config, SettingError> {
        let arguments = std::iter::once("node").chain(flags.iter().copied());
        let flags = Flags::try_parse_from(arguments).expect("flags that are understood");
        let environment = Environment::new(variables.iter().copied(), self.0.path());
        flags.settings(&environment).map(|(config, _)| config)
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
    assert!(config.traces.is_none());
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
        ("DATA_DIR", "d"),
        ("MAX_STORAGE", "1k"),
        ("CLUSTER_KEY", "c"),
        ("DIST_URL", "http://a/, http://b"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"),
    ];
    let environment = place.config(&[], &variables).expect("reads");
    assert_eq!(environment.name.as_str(), "node2");
    assert_eq!(environment.data_dir, place.0.path().join("d"));
    assert_eq!(environment.max_storage, Some(1000));
    assert!(environment.traces.is_some());
    assert_eq!(environment.access.cluster_key.as_deref(), Some("c"));
    assert_eq!(environment.distributors, ["http://a", "http://b"]);

    let flags = [
        "--data",
        "/e",
        "--max-storage",
        "2k",
        "--dist",
        "http://c",
        "--dist",
        "http://d",
    ];
    let flags = place.config(&flags, &variables).expect("reads");
    assert_eq!(flags.data_dir, std::path::Path::new("/e"));
    assert_eq!(flags.max_storage, Some(2000));
    assert_eq!(flags.distributors, ["http://c", "http://d"]);
}

// If this fails, the bounds of another node count, or those of the file win over what is closer.
#[test]
fn bounds_may_stand_in_the_file() {
    let place = Place::with_nodes(
        "nodes:
  dist: {host: 127.0.0.1, port: 1}
  node1: {host: 127.0.0.1, port: 2, max_storage: 1k, catch_up_rate: 5M}
  node2: {host: 127.0.0.1, port: 3, max_storage: many}
",
    );
    let bounds = |flags: &[&str], variables: &[(&str, &str)]| {
        let config = place.config(flags, variables).expect("reads");
        (config.max_storage, config.catch_up_rate)
    };
    assert_eq!(bounds(&[], &[]), (Some(1000), Some(5_000_000)));
    let variables = [("MAX_STORAGE", "2k"), ("CATCH_UP_RATE", "0")];
    assert_eq!(bounds(&[], &variables), (Some(2000), None));
    let flags = ["--catch-up-rate", "1k"];
    assert_eq!(bounds(&flags, &variables), (Some(2000), Some(1000)));
    let other = place.config(&["--name", "node2"], &[]);
    let error = other.expect_err("is refused").to_string();
    let expected = "nodes file: node2: max_storage: `many` is not a size";
    assert!(error.starts_with(expected), "{error}");
    let unnamed = place.config(&["--name", "node3"], &[]).expect("reads");
    assert_eq!(unnamed.catch_up_rate, Some(CATCH_UP_RATE_DEFAULT));
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
    type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);
    let cases: [Case<'_>; 4] = [
        (
            &["--max-storage", "0"],
            &[],
            "--max-storage: `0` leaves no room",
        ),
        (
            &[],
            &[("MAX_STORAGE", "much")],
            "MAX_STORAGE: `much` is not a size",
        ),
        (
            &["--dist", "a:1"],
            &[],
            "--dist: `a:1` does not begin with http",
        ),
        (
            &[],
            &[("DIST_URL", "http://a,b")],
            "DIST_URL: `b` does not begin with http",
        ),
    ];
    for (flags, variables, expected) in cases {
        let refused = Place::new().config(flags, variables);
        let error = refused.expect_err("is refused").to_string();
        assert!(error.starts_with(expected), "{error}");
        assert_eq!(error.lines().count(), 1);
    }
}

// If this fails, a variable that is not set, and passed on as an empty one, stops the start.
#[test]
fn an_empty_variable_is_not_set() {
    let names = ["DATA_DIR", "MAX_STORAGE", "DIST_URL"];
    let place = Place::new();
    let config = place.config(&[], &names.map(|name| (name, "")));
    let config = config.expect("is enough");
    assert_eq!(config.data_dir, place.0.path().join("data/node1"));
    assert_eq!(config.distributors, ["http://127.0.0.1:8000"]);
    assert_eq!(config.max_storage, None);
}
