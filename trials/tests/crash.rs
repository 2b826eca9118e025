//! Services are killed at random moments, for a few rounds; `cargo xtask crash` does it for long.

use trials::binaries::Binaries;
use trials::crash::{self, Settings};

async fn nothing_acknowledged_is_lost(database_url: Option<String>, seed: u64) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = Settings {
        rounds: 2,
        seed,
        nodes: 3,
        database_url,
        folder: folder.path().to_path_buf(),
    };
    let binaries = Binaries::for_tests().expect("the services build");
    let mut lines = Vec::new();
    let report = crash::run(&binaries, &settings, &mut lines)
        .await
        .expect("the services start");
    let log = String::from_utf8_lossy(&lines);
    assert_eq!(report.violations, Vec::<String>::new(), "{log}");
    assert!(
        report.kills >= 8 && report.acknowledged > 0,
        "nothing was put to the test: {log}"
    );
    assert!(report.verified > 0, "nothing was read back: {log}");
}

// If this fails, a crash of a service loses what users were told is safe.
#[tokio::test(flavor = "multi_thread")]
async fn kills_lose_nothing_with_sqlite() {
    nothing_acknowledged_is_lost(None, 1).await;
}

// If this fails, a crash of a service loses what users were told is safe, with PostgreSQL.
#[tokio::test(flavor = "multi_thread")]
async fn kills_lose_nothing_with_postgres() {
    let postgres = pgtest::Postgres::start().expect("PostgreSQL starts");
    let database = postgres.fresh_database().expect("a database");
    nothing_acknowledged_is_lost(Some(database), 2).await;
}
