//! Tests of the settings.

use super::*;
use crate::log::{FILTER_DEFAULT, Format};

const DEFAULTS: Defaults = Defaults {
    name: "node1",
    port: 8001,
};

const NODES: &str = "nodes:
  dist: {host: 127.0.0.1, port: 9000, public_url: 'https://files.example/'}
  node1: {host: 127.0.0.1, port: 9001}
  node2: {host: '::1', port: 9002}
  node3: {host: no host, port: 9003}
";

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

    fn read(&self, flags: Flags, variables: &[(&str, &str)]) -> Result<Settings, SettingError> {
        let environment = Environment::new(variables.iter().copied(), self.0.path());
        Settings::read(&flags, &environment, &DEFAULTS)
    }

    fn settings(&self, variables: &[(&str, &str)]) -> Settings {
        self.read(Flags::default(), variables).expect("is read")
    }

    fn refused(&self, flags: Flags, variables: &[(&str, &str)]) -> String {
        let refused = self.read(flags, variables);
        refused.expect_err("is refused").to_string()
    }
}

fn flag(value: &str) -> Option<String> {
    Some(value.to_owned())
}

// If this fails, a service on one's own machine needs settings to start at all.
#[test]
fn without_any_setting_there_are_defaults() {
    let settings = Place::new().settings(&[]);
    assert_eq!(settings.name.as_str(), "node1");
    assert_eq!(settings.bind.to_string(), "127.0.0.1:8001");
    assert_eq!((settings.internal_url, settings.public_url), (None, None));
    assert_eq!(settings.log.filter.value, FILTER_DEFAULT);
    assert_eq!(settings.nodes_file, None);
}

// If this fails, a setting that is documented does nothing, or one further away wins.
#[test]
fn flags_come_before_the_environment_before_the_file() {
    let place = Place::with_nodes(&NODES.replace("no host", "localhost"));
    let file = place.settings(&[]);
    assert_eq!(file.bind.to_string(), "127.0.0.1:9001");
    assert_eq!(file.public_url.as_deref(), Some("http://127.0.0.1:9001"));
    assert_eq!(file.nodes_file.map(|file| file.nodes.len()), Some(4));

    let variables = [
        ("NODE_NAME", "node2"),
        ("HOST", "127.0.0.2"),
        ("PORT", "9102"),
        ("PUBLIC_URL", "https://b.example/"),
        ("LOG", "debug"),
    ];
    let environment = place.settings(&variables);
    assert_eq!(environment.name.as_str(), "node2");
    assert_eq!(environment.bind.to_string(), "127.0.0.2:9102");
    assert_eq!(environment.public_url.as_deref(), Some("https://b.example"));
    assert_eq!(environment.log.filter, Given::new("LOG", "debug"));

    let flags = Flags {
        nodes_file: None,
        name: flag("dist"),
        host: flag("127.0.0.3"),
        port: flag("9202"),
        public_url: flag("http://c.example"),
        log: flag("warn"),
        log_format: flag("json"),
    };
    let flags = place.read(flags, &variables).expect("is read");
    assert_eq!(flags.name.as_str(), "dist");
    assert_eq!(flags.bind.to_string(), "127.0.0.3:9202");
    assert_eq!(flags.public_url.as_deref(), Some("http://c.example"));
    assert_eq!(flags.log.filter, Given::new("--log", "warn"));
    assert_eq!(flags.log.format, Format::Json);
}

// If this fails, a cluster's log cannot be turned up from its file, or a service's own word about
// its log does not count.
#[test]
fn the_log_may_stand_in_the_file() {
    let place = Place::with_nodes("log: debug\nnodes: {dist: {host: 127.0.0.1, port: 1}}");
    let filter = |variables| place.settings(variables).log.filter;
    assert_eq!(filter(&[]), Given::new("nodes file: log", "debug"));
    assert_eq!(filter(&[("LOG", "warn")]), Given::new("LOG", "warn"));
}

// If this fails, a service whose nodes file is deleted goes on with other distributors.
#[test]
fn a_nodes_file_that_was_there_must_be_there() {
    let place = Place::with_nodes("nodes: {dist: {host: 127.0.0.1, port: 1}}");
    let path = place.0.path().join(NODES_FILE);
    let mut environment = Environment::new([("LOG", "")], place.0.path());
    environment.keep_nodes_file();
    let read = || Settings::read(&Flags::default(), &environment, &DEFAULTS);
    assert!(read().is_ok());
    std::fs::remove_file(&path).expect("removes");
    let error = read().expect_err("is refused").to_string();
    let expected = format!("nodes.yml: cannot read {}: ", path.display());
    assert!(error.starts_with(&expected), "{error}");
    let mut none = Environment::new([("LOG", "")], place.0.path());
    none.keep_nodes_file();
    assert!(Settings::read(&Flags::default(), &none, &DEFAULTS).is_ok());
}

// If this fails, others are told the port of the nodes file, where nobody listens; or a proxy is
// no longer named.
#[test]
fn what_others_are_told_has_the_port_that_is_listened_on() {
    let place = Place::with_nodes(&NODES.replace("no host", "localhost"));
    let proxy = "https://files.example";
    let told = |name: &str, more: &[(&str, &str)]| {
        let variables = [&[("NODE_NAME", name)], more].concat();
        let settings = place.settings(&variables);
        (settings.internal_url, settings.public_url)
    };
    let urls = |internal: &str, public: &str| {
        let url = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        (url(internal), url(public))
    };
    let same = |url: &str| urls(url, url);
    let moved = [("PORT", "7")];
    assert_eq!(told("node1", &moved), same("http://127.0.0.1:7"));
    assert_eq!(told("node2", &moved), same("http://[::1]:7"));
    assert_eq!(told("node3", &moved), same("http://localhost:7"));
    assert_eq!(told("node9", &moved), (None, None));
    assert_eq!(told("dist", &moved), urls("http://127.0.0.1:7", proxy));

    // Which port it will be is known only when it is bound.
    let any = [("PORT", "0")];
    assert_eq!(told("node1", &any), (None, None));
    assert_eq!(told("dist", &any), urls("", proxy));

    let given = [("PORT", "7"), ("PUBLIC_URL", "http://given")];
    let expected = urls("http://127.0.0.1:7", "http://given");
    assert_eq!(told("node1", &given), expected);
    assert_eq!(told("dist", &given), expected);

    // The address to listen on is no address to be told: it may be every one.
    let open = [("HOST", "0.0.0.0"), ("PORT", "7")];
    assert_eq!(told("node3", &open), same("http://localhost:7"));
}

// If this fails, a flag is ignored where the same variable is heard.
#[test]
fn the_flag_of_the_port_counts_like_its_variable() {
    let flags = Flags {
        port: flag("7"),
        ..Flags::default()
    };
    let settings = Place::with_nodes(&NODES.replace("no host", "a"))
        .read(flags, &[("PORT", "8")])
        .expect("is read");
    assert_eq!(settings.bind.port(), 7);
    assert_eq!(settings.public_url.as_deref(), Some("http://127.0.0.1:7"));
}

// If this fails, a variable that is not set, and passed on as an empty one, stops the start or
// lets everybody in.
#[test]
fn an_empty_variable_is_not_set() {
    let names = [
        "CLUSTER_KEY",
        "ACCESS_KEY",
        "ANONYMOUS",
        "NODES_FILE",
        "NODE_NAME",
        "HOST",
        "PORT",
        "PUBLIC_URL",
        "LOG",
    ];
    let settings = Place::new().settings(&names.map(|name| (name, "")));
    assert_eq!(settings.access.cluster_key, None);
    assert_eq!(settings.access.access_key, None);
    assert_eq!(settings.access.anonymous, Anonymous::None);
    assert_eq!(settings.bind.to_string(), "127.0.0.1:8001");
}

// If this fails, keys that are set are not asked for.
#[test]
fn keys_come_from_the_environment() {
    let rules = |anonymous| {
        let variables = [
            ("CLUSTER_KEY", "c"),
            ("ACCESS_KEY", "a"),
            ("ANONYMOUS", anonymous),
        ];
        Place::new().settings(&variables).access
    };
    let access = rules("read");
    assert_eq!(access.cluster_key.as_deref(), Some("c"));
    assert_eq!(access.access_key.as_deref(), Some("a"));
    assert_eq!(access.anonymous, Anonymous::Read);
    assert_eq!(rules("write").anonymous, Anonymous::Write);
    assert_eq!(rules("none").anonymous, Anonymous::None);
}

// If this fails, a service starts with something else than was meant, or does not say what is
// wrong.
#[test]
fn a_bad_value_is_named_with_its_source() {
    let place = Place::new();
    let cases = [
        (
            "PORT",
            "70000",
            "PORT: `70000` is not a port from 0 to 65535",
        ),
        ("NODE_NAME", "Node 1", "NODE_NAME: `Node 1` is not a name: "),
        ("HOST", "a host", "HOST: `a host` is neither"),
        ("PUBLIC_URL", "a:1", "PUBLIC_URL: `a:1` does not begin with"),
        (
            "ANONYMOUS",
            "yes",
            "ANONYMOUS: `yes` is not none, read or write",
        ),
        ("NODES_FILE", "none.yml", "NODES_FILE: cannot read "),
    ];
    for (variable, value, expected) in cases {
        let error = place.refused(Flags::default(), &[(variable, value)]);
        assert!(error.starts_with(expected), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    let flags = Flags {
        port: flag(""),
        ..Flags::default()
    };
    assert!(place.refused(flags, &[]).starts_with("--port: `` is not"));
}

// If this fails, a mistake in the nodes file is ignored, or its place is not told.
#[test]
fn a_bad_nodes_file_is_named() {
    let cases = [
        (
            "nodes: {dist: {host: a, port: 0}}",
            "nodes.yml: dist: port: 0",
        ),
        ("nodes: {dist: {host: a, port: x}}", "nodes.yml: "),
        (NODES, "nodes.yml: node3: host: `no host`"),
    ];
    for (text, expected) in cases {
        let error = Place::with_nodes(text).refused(Flags::default(), &[]);
        assert!(error.contains(expected), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    let unknown = "nodes: {dist: {host: a..b, port: 1}}";
    let error = Place::with_nodes(unknown).refused(Flags::default(), &[("NODE_NAME", "dist")]);
    assert!(
        error.starts_with("nodes file: dist: host: `a..b` is neither"),
        "{error}"
    );
}
