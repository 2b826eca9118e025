//! The program, as its environment sets it.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::collector::Collector;
use crate::export::client;

/// A running cluster; ended with what has started it.
struct Program {
    child: Child,
    dist: String,
}

impl Program {
    fn start(data: &Path, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cluster"));
        command.args(["--port", "0", "--nodes", "1", "--data"]);
        for name in ["DATABASE_URL", "MAX_STORAGE", "LOG", "COPIES"] {
            command.env_remove(name);
        }
        let command = command.arg(data).envs(environment.iter().copied());
        let mut child = command.stdout(Stdio::piped()).spawn().expect("runs");
        let output = child.stdout.take().expect("its output is piped");
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let line = lines.find(|line| line.starts_with("  dist "));
        let line = line.expect("says where the distributor is");
        let dist = line.split_whitespace().nth(1).expect("an address");
        let dist = dist.to_owned();
        // What it says after that is not read; it goes on without.
        Program { child, dist }
    }

    async fn use_it(&self) {
        let asked = client().get(format!("{}/nodes", self.dist)).send().await;
        assert_eq!(asked.expect("answers").status(), 200);
    }

    fn stop(mut self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).expect("can be signalled");
        let status = self.child.wait().expect("ends");
        assert!(status.success(), "{status}");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // A test that fails must not leave its cluster behind; one that passes has none any more.
        if let Ok(None) = self.child.try_wait() {
            self.child.kill().expect("a running child can be killed");
        }
    }
}

// If this fails, the variables that every other program understands do nothing here.
#[tokio::test(flavor = "multi_thread")]
async fn the_variables_of_opentelemetry_are_understood() {
    let collector = Collector::start();
    let folder = tempfile::tempdir().expect("a folder");
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=acequia"),
        ("OTEL_SERVICE_NAME", "files"),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "deployment.environment.name=test",
        ),
    ];
    let program = Program::start(folder.path(), &environment);
    program.use_it().await;
    program.stop();
    let (calls, spans) = (collector.calls(), collector.spans());
    assert!(!calls.is_empty());
    for call in calls {
        assert!(call.starts_with("post /v1/traces http/1.1"), "{call}");
        assert!(call.contains("x-tenant: acequia"), "{call}");
        assert!(call.contains("application/x-protobuf"), "{call}");
    }
    let span = spans.iter().find(|span| span.name == "GET /nodes");
    let span = span.unwrap_or_else(|| panic!("was asked: {spans:#?}"));
    assert_eq!(span.parent, "", "nobody sent a trace");
    assert_eq!(span.service["service.name"], "files");
    assert_eq!(span.service["deployment.environment.name"], "test");
    // Heartbeats and polls came all the time.
    assert!(spans.iter().all(|span| !span.name.contains("heartbeat")));
}

// If this fails, a service tells strangers of its requests, or spends on it, though nobody asked.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_exported_where_no_collector_of_traces_is_named() {
    let collector = Collector::start();
    let folder = tempfile::tempdir().expect("a folder");
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", ""),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", ""),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", collector.url()),
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", collector.url()),
        ("OTEL_BSP_SCHEDULE_DELAY", "10"),
    ];
    let program = Program::start(folder.path(), &environment);
    program.use_it().await;
    program.stop();
    assert!(collector.calls().is_empty(), "{:?}", collector.calls());
}

// If this fails, a mistyped collector is found out weeks later, when its traces are needed.
#[test]
fn a_collector_that_cannot_be_is_refused_at_once() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cluster"));
    let child = command
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317")
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.expect("runs");
    assert_eq!(child.wait().expect("ends").code(), Some(2));
    let mut text = String::new();
    let mut errors = child.stderr.take().expect("is piped");
    errors.read_to_string(&mut text).expect("is text");
    let expected =
        "cluster: OTEL_EXPORTER_OTLP_ENDPOINT: does not begin with http:// or https://\n";
    assert_eq!(text, expected);
}
