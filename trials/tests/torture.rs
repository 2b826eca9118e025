//! Services are killed, stand still and lose bits, for a moment, with each place where shards are agreed
//! on; `cargo xtask torture` does that and more for long.

use std::time::Duration;

use tempfile::TempDir;
use trials::binaries::Binaries;
use trials::torture::fault::Fault;
use trials::torture::report::Report;
use trials::torture::{self, Settings};

/// Short, with an SQLite.
fn settings(folder: &TempDir, seed: u64) -> Settings {
    Settings {
        time: Duration::from_secs(4),
        seed,
        nodes: 3,
        faults: vec![Fault::Kill, Fault::Pause, Fault::Flip],
        postgres: false,
        zookeeper: false,
        distributors: 2,
        folder: folder.path().to_path_buf(),
    }
}

async fn nothing_acknowledged_is_lost(settings: &Settings) -> Report {
    let binaries = Binaries::for_tests().expect("the services build");
    let mut lines = Vec::new();
    let report = torture::run(&binaries, settings, &mut lines)
        .await
        .expect("the services start");
    let log = String::from_utf8_lossy(&lines);
    assert_eq!(report.violations, Vec::<String>::new(), "{log}");
    let faults: u64 = report.faults.values().sum();
    assert!(
        faults >= 3 && report.counts.acknowledged > 0,
        "nothing was put to the test: {log}"
    );
    assert!(report.verified > 0, "nothing was read back: {log}");
    let judged = &report.judged;
    assert!(judged.operations > 0 && judged.undecided == 0, "{log}");
    report
}

// If this fails, a fault of a service loses what users were told is safe.
#[tokio::test(flavor = "multi_thread")]
async fn faults_lose_nothing_with_sqlite() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    nothing_acknowledged_is_lost(&settings(&folder, 1)).await;
}

// If this fails, a fault of a service loses what users were told is safe, with PostgreSQL.
#[tokio::test(flavor = "multi_thread")]
async fn faults_lose_nothing_with_postgres() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = Settings {
        postgres: true,
        ..settings(&folder, 2)
    };
    nothing_acknowledged_is_lost(&settings).await;
}

// If this fails, a fault of a service, or of ZooKeeper, loses what users were told is safe where shards
// are agreed on in ZooKeeper.
#[tokio::test(flavor = "multi_thread")]
async fn faults_lose_nothing_with_zookeeper() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut settings = Settings {
        zookeeper: true,
        ..settings(&folder, 6)
    };
    // The only server that can be taken away is ZooKeeper: the catalog is a file of the distributor's.
    settings.faults.push(Fault::Catalog);
    let report = nothing_acknowledged_is_lost(&settings).await;
    let outages = report.count(Fault::Catalog);
    assert!(outages > 0, "ZooKeeper was never away: {report:?}");
}
