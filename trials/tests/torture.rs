//! Services are killed, stand still and lose bits, for a moment; `cargo xtask torture` does that and
//! more for long.

use std::time::Duration;

use trials::binaries::Binaries;
use trials::torture::fault::Fault;
use trials::torture::{self, Settings};

async fn nothing_acknowledged_is_lost(postgres: bool, seed: u64) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = Settings {
        time: Duration::from_secs(4),
        seed,
        nodes: 3,
        faults: vec![Fault::Kill, Fault::Pause, Fault::Flip],
        postgres,
        zookeeper: false,
        distributors: 2,
        folder: folder.path().to_path_buf(),
    };
    let binaries = Binaries::for_tests().expect("the services build");
    let mut lines = Vec::new();
    let report = torture::run(&binaries, &settings, &mut lines)
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
}

// If this fails, a fault of a service loses what users were told is safe.
#[tokio::test(flavor = "multi_thread")]
async fn faults_lose_nothing_with_sqlite() {
    nothing_acknowledged_is_lost(false, 1).await;
}

// If this fails, a fault of a service loses what users were told is safe, with PostgreSQL.
#[tokio::test(flavor = "multi_thread")]
async fn faults_lose_nothing_with_postgres() {
    nothing_acknowledged_is_lost(true, 2).await;
}
