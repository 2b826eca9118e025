//! A collector that is in trouble is nobody else's.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use cluster::Options;
use telemetry::FLUSH_TIME_MAX;

use crate::export::{client, options};

/// What a request may take on a machine that does other things as well.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(5);

/// By how much two clusters may differ in stopping, on such a machine. A call to the collector may take
/// more, and there are two to be made.
const DIFFERENCE_MAX: Duration = Duration::from_secs(5);

/// Starts a cluster, uses it, and stops it; says how long that last part takes.
async fn stopping(options: Options) -> Duration {
    let cluster = cluster::start(options).await.expect("starts");
    let (client, url) = (client(), format!("{}/content", cluster.url()));
    for _ in 0..600 {
        let asked = Instant::now();
        let answer = client.get(&url).send().await.expect("answers");
        assert_eq!(answer.status(), 200);
        assert!(asked.elapsed() < REQUEST_TIME_MAX, "{:?}", asked.elapsed());
    }
    let stopped = Instant::now();
    cluster.stop().await;
    stopped.elapsed()
}

// If this fails, a collector that hangs has requests wait, or a restart killed.
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_never_answers_delays_nothing() {
    // Connections are made, and nobody reads from them.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", silent.local_addr().expect("bound"));
    let folders = [tempfile::tempdir(), tempfile::tempdir()];
    let [plain, exporting] = folders.map(|folder| folder.expect("a folder"));
    let alone = stopping(Options {
        traces: None,
        ..options(plain.path(), &url, &[])
    });
    let alone = alone.await;
    let with = stopping(options(exporting.path(), &url, &[])).await;
    assert!(
        with < alone + FLUSH_TIME_MAX + DIFFERENCE_MAX,
        "{with:?}, and {alone:?} without a collector"
    );
}
