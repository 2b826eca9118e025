//! `client log`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use client::api::{LeaderError, Leaderless, LogError};
use client::cli::failure::{Caused, Kind};
use serde_json::{Value, json};
use wire::{Code, Lsn, ShardNo};

use crate::command::{binary, run, signal};
use crate::fake::{Fake, Fault};
use crate::patient_client;

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

// If this fails, the log is told in part, twice, or not where the leader went.
#[test]
fn the_log_is_told_once_and_whole() {
    let fake = Fake::start();
    fake.logs(2500);
    fake.fail("GET /log", Fault::Drop);
    fake.fail("GET /log", Fault::Refuse(Code::NoLeader));
    let ran = run(&fake, here(), &["log"]);
    let lsns: Vec<u64> = ran
        .out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .map(|line| line["lsn"].as_u64().expect("a number"))
        .collect();
    assert_eq!(lsns, (1..=2500).collect::<Vec<u64>>(), "{}", ran.err);
    assert_eq!(ran.code, Some(0));
    let ran = run(&fake, here(), &["log", "--shard", "7"]);
    let told = "there is no shard 7";
    assert_eq!((ran.code, ran.out.as_str()), (Some(3), ""), "{}", ran.err);
    assert!(ran.err.contains(told), "{}", ran.err);
}

// If this fails, a log that nobody could tell looks like one in which nothing was done.
#[test]
fn a_distributor_that_knows_of_no_shard_tells_no_log() {
    let fake = Fake::start();
    let none = r#"{"cluster": "c9a646d3-9c61-4cb7-bfcd-ee2522c8f633", "nodes": {}, "shards": []}"#;
    for arguments in [&["log"][..], &["log", "--tail", "1"]] {
        fake.fail("GET /nodes", Fault::Foreign(200, none));
        let ran = run(&fake, here(), arguments);
        assert_eq!((ran.code, ran.out.as_str()), (Some(8), ""), "{}", ran.err);
        for told in ["knows of no shard yet", "hint: "] {
            assert!(ran.err.contains(told), "{}", ran.err);
        }
    }
    // Whoever follows waits, and is told what for.
    fake.logs(1);
    for _ in 0..2 {
        fake.fail("GET /nodes", Fault::Foreign(200, none));
    }
    let mut child = binary(&fake, here(), &["log", "--follow"])
        .spawn()
        .expect("starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    assert!(lines.next().expect("a line").is_ok());
    signal(&child, "-INT");
    let told = child.wait_with_output().expect("ends").stderr;
    let told = String::from_utf8(told).expect("text");
    assert_eq!(told.matches("knows of no shard yet").count(), 1, "{told}");
}

/// Shard 1 without a leader.
const LEADERLESS: &str = r#"{
    "cluster": "c9a646d3-9c61-4cb7-bfcd-ee2522c8f633", "nodes": {},
    "shards": [{
        "shard": 1, "state": "open", "epoch": 4, "leader": null, "in_sync": ["node1"],
        "eligible": [], "min_in_sync": 1, "degraded": false, "bytes": 0, "contents": 0,
        "replicas": []
    }]
}"#;

// If this fails, a log is told without a shard that had no leader for a moment, as if it were whole.
#[tokio::test]
async fn a_shard_that_nobody_leads_is_waited_for() {
    let fake = Fake::start();
    fake.logs(3);
    for _ in 0..3 {
        fake.fail("GET /nodes", Fault::Foreign(200, LEADERLESS));
    }
    let ran = run(&fake, here(), &["log"]);
    assert_eq!(
        (ran.code, ran.out.lines().count()),
        (Some(0), 3),
        "{}",
        ran.err
    );
    for _ in 0..100 {
        fake.fail("GET /nodes", Fault::Foreign(200, LEADERLESS));
    }
    let client = patient_client(&fake, None, Duration::from_millis(500));
    let error = client
        .log(None, Leaderless::Await)
        .next()
        .await
        .expect_err("nobody leads");
    let none = |error: &LogError| matches!(error, LogError::Leader(LeaderError::None(ShardNo(1))));
    assert!(none(&error), "{error}");
    assert_eq!(error.kind(), Kind::Unavailable);
    let mut followed = client.log(None, Leaderless::PassOver);
    assert_eq!(followed.next().await.expect("goes on"), None);
    fake.heal();
    let first = followed.next().await.expect("goes on").expect("a line");
    assert_eq!(first.lsn, Lsn(1));
}

// If this fails, whoever wants to see what is done now is shown years of it first, or misses some.
#[test]
fn the_log_can_begin_near_its_end() {
    let fake = Fake::start();
    let lsns = |arguments: &[&str]| {
        let ran = run(&fake, here(), arguments);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        let lines = ran
            .out
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        lines
            .filter_map(|line| line["lsn"].as_u64())
            .collect::<Vec<_>>()
    };
    fake.logs(9);
    assert_eq!(lsns(&["log", "--tail", "2"]), [8, 9]);
    let asked = fake.seen("GET /log");
    assert!(asked[0].query.contains("after=5"), "{}", asked[0].query);
    assert_eq!(lsns(&["log", "--tail", "99"]).len(), 9);
    assert_eq!(lsns(&["log", "--tail", "0"]), Vec::<u64>::new());
    // Of the newest records none is a line: it is looked for further back.
    fake.logs(3);
    assert_eq!(lsns(&["log", "--tail", "2"]), [2, 3]);
    fake.logs(9);
    let before = fake.seen("GET /log").len();
    let mut child = binary(&fake, here(), &["log", "--follow", "--tail", "0"])
        .spawn()
        .expect("starts");
    // It has looked at the log twice: now comes what is new.
    while fake.seen("GET /log").len() < before + 2 {
        std::thread::sleep(Duration::from_millis(20));
    }
    fake.logs(10);
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let line = lines.next().expect("a line").expect("text");
    assert!(line.contains(r#""lsn":10"#), "{line}");
    signal(&child, "-INT");
    assert_eq!(child.wait().expect("ends").code(), Some(130));
}

// If this fails, whoever follows the log misses what is done from now on, or sees the old again.
#[test]
fn the_log_is_followed_from_where_it_was() {
    let fake = Fake::start();
    fake.logs(2);
    let mut child = binary(&fake, here(), &["log", "--follow"])
        .spawn()
        .expect("starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut next = || {
        let line = lines.next().expect("a line").expect("text");
        let line: Value = serde_json::from_str(&line).expect("JSON");
        line["lsn"].as_u64()
    };
    assert_eq!([next(), next()], [Some(1), Some(2)]);
    fake.logs(3);
    assert_eq!(next(), Some(3));
    signal(&child, "-INT");
    assert_eq!(child.wait().expect("ends").code(), Some(130));
}

/// What a distributor says of shards 1 and 2, which `node1` leads and which are committed up to 100,000.
fn two_large_logs(fake: &Fake) -> &'static str {
    let shard = |number: u16| {
        let replica = json!({
            "node": "node1", "role": "leader", "in_sync": true, "position": 100_000,
            "committed": 100_000,
        });
        json!({
            "shard": number, "state": "open", "epoch": 1, "leader": "node1",
            "in_sync": ["node1"], "eligible": [], "min_in_sync": 1, "degraded": false, "bytes": 0,
            "contents": 0, "replicas": [replica],
        })
    };
    let led = |number: u16| json!({"shard": number, "role": "leader", "state": "open"});
    let node = json!({
        "host": "127.0.0.1", "port": 1, "public_url": fake.url, "role": "node", "health": "up",
        "shards": [led(1), led(2)],
    });
    let answer = json!({
        "cluster": "c9a646d3-9c61-4cb7-bfcd-ee2522c8f633", "nodes": {"node1": node},
        "shards": [shard(1), shard(2)],
    });
    answer.to_string().leak()
}

// If this fails, to see the last lines of a log all logs are read from their beginnings, some records often.
#[test]
fn a_log_is_read_no_further_back_than_its_last_lines_lie() {
    let fake = Fake::start();
    // What each log was asked for, and what came of it.
    let tail = || -> (Vec<u64>, Vec<u64>, Vec<u64>) {
        let before = fake.seen("GET /log").len();
        fake.fail("GET /nodes", Fault::Foreign(200, two_large_logs(&fake)));
        let ran = run(&fake, here(), &["log", "--tail", "5"]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        let told = ran
            .out
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let told = told.map(|line| line["lsn"].as_u64().expect("a number"));
        let seen = fake.seen("GET /log").split_off(before);
        let of = |shard: &str| {
            let asked = seen.iter();
            let asked = asked.filter(|s| s.parameter("shard").as_deref() == Some(shard));
            let after = asked.filter_map(|s| s.parameter("after"));
            after
                .map(|after| after.parse().expect("a number"))
                .collect()
        };
        (of("1"), of("2"), told.collect())
    };
    fake.logs_in(1, 2026, 99_001..=100_000);
    // All that is new in the other one is older.
    fake.logs_in(2, 2025, [1, 99_998]);
    let newest: Vec<u64> = (99_996..=100_000).collect();
    assert_eq!(tail(), (vec![99_995], vec![99_995], newest.clone()));
    // None of its last records is a line.
    fake.logs(0);
    fake.logs_in(1, 2026, 99_001..=100_000);
    fake.logs_in(2, 2025, [1, 99_000]);
    let steps = vec![99_995, 99_955, 99_635, 97_075];
    assert_eq!(tail(), (vec![99_995], steps, newest));
    // They are further back, and newer than those of the other one.
    fake.logs(0);
    fake.logs_in(1, 2025, 99_001..=100_000);
    fake.logs_in(2, 2026, 90_001..=95_000);
    let (first, second, told) = tail();
    assert_eq!(first, [99_995]);
    assert_eq!(second[..4], [99_995, 99_955, 99_635, 97_075]);
    // One step back from there, in pages.
    assert_eq!(second[4], 76_595);
    assert!(
        second[5..]
            .iter()
            .all(|after| (90_001..=95_000).contains(after))
    );
    assert_eq!(told, (94_996..=95_000).collect::<Vec<u64>>());
}
