//! What a user does over connections that break, and with keys.

use serde_json::Value;

use crate::bed::pattern;
use crate::cutter::Cutter;
use crate::services::{Database, Services, Special};

/// Contents, each sent over connections of which most break.
const FILES: u64 = 40;

fn bytes_of(i: u64) -> Vec<u8> {
    pattern(usize::try_from(i * 2003).expect("small"), i)
}

/// Uploads all files; gives the ids in the order of the files.
fn upload(services: &Services) -> Vec<String> {
    let names: Vec<String> = (0..FILES).map(|i| format!("file-{i:02}")).collect();
    for (i, name) in (0..).zip(&names) {
        std::fs::write(services.files().join(name), bytes_of(i)).expect("writes");
    }
    let mut arguments = vec!["upload", "--jobs", "8"];
    arguments.extend(names.iter().map(String::as_str));
    let out = services.run(&arguments).ok();
    let mut lines: Vec<_> = out
        .lines()
        .map(|l| l.split_once('\t').expect("a tab"))
        .collect();
    lines.sort_by_key(|(_, name)| *name);
    assert_eq!(lines.len(), names.len(), "{out}");
    lines.into_iter().map(|(id, _)| id.to_owned()).collect()
}

fn listed(services: &Services) -> Vec<Value> {
    services.run(&["list", "--json"]).json()
}

// If this fails, a bad network loses acknowledged changes, or makes them twice.
pub(crate) fn connections_that_break_lose_and_double_nothing(database: Database) {
    let cutters = (Cutter::start(60_000, 11), Cutter::start(250_000, 12));
    let (before_dist, before_node) = cutters.clone();
    let special = Special {
        cutters: Some(cutters),
        ..Special::default()
    };
    let services = Services::start(database, special);
    let ids = upload(&services);
    std::fs::write(services.files().join("new"), pattern(50_000, 99)).expect("writes");
    for id in &ids[..10] {
        let out = services.run(&["update", id, "new"]).ok();
        assert!(out.contains("\t2\t"), "made exactly once: {out}");
    }
    let mut delete = vec!["delete"];
    delete.extend(ids[30..].iter().map(String::as_str));
    services.run(&delete).ok();
    let mut get = vec!["get", "-o", "back/", "--jobs", "8"];
    get.extend(ids[..30].iter().map(String::as_str));
    services.run(&get).ok();

    let cuts = before_dist.cuts() + before_node.cuts();
    assert!(
        cuts > 20,
        "only {cuts} connections were cut: this proves nothing"
    );
    before_dist.rest();
    before_node.rest();
    for (i, id) in (0..30).zip(&ids) {
        let expected = if i < 10 {
            pattern(50_000, 99)
        } else {
            bytes_of(i)
        };
        let back = std::fs::read(services.files().join(format!("back/file-{i:02}")));
        assert!(back.expect("it is there") == expected, "{id}");
    }
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let mut items = listed(&services);
    while items.len() != 30 && std::time::Instant::now() < end {
        items = listed(&services);
    }
    let mut found: Vec<&str> = items
        .iter()
        .map(|item| item["id"].as_str().expect("text"))
        .collect();
    let mut expected: Vec<&str> = ids[..30].iter().map(String::as_str).collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected, "every content once, and no other");
}

// If this fails, a large download never ends on a bad network, or ends with wrong bytes.
pub(crate) fn a_large_download_is_put_together_from_many_connections(database: Database) {
    let cutters = (Cutter::start(u64::MAX, 1), Cutter::start(700_000, 13));
    let before_node = cutters.1.clone();
    let special = Special {
        cutters: Some(cutters),
        ..Special::default()
    };
    let services = Services::start(database, special);
    let bytes = pattern(10_000_000, 5);
    std::fs::write(services.files().join("big"), &bytes).expect("writes");
    before_node.rest();
    let out = services.run(&["upload", "big"]).ok();
    let id = out.split('\t').next().expect("an id");
    before_node.cut_again();
    services.run(&["get", id, "-o", "back"]).ok();
    assert!(before_node.cuts() > 10, "{} cuts", before_node.cuts());
    assert!(std::fs::read(services.files().join("back")).expect("it is there") == bytes);
}

// If this fails, a cluster with keys is open to everyone, or closed to its users.
pub(crate) fn keys_open_what_they_should(database: Database) {
    let special = Special {
        access_key: Some("open-sesame".to_owned()),
        ..Special::default()
    };
    let services = Services::start(database, special);
    std::fs::write(services.files().join("a"), "treasure").expect("writes");
    let out = services.run(&["upload", "a"]).ok();
    let id = out.split('\t').next().expect("an id");
    assert_eq!(services.run(&["get", id, "-o", "-"]).ok(), "treasure");
    services.run(&["update", id, "a"]).ok();
    for key in [None, Some("wrong")] {
        for arguments in [
            &["upload", "a"][..],
            &["get", id],
            &["update", id, "a"],
            &["delete", id],
        ] {
            let told = services.run_with_key(key, arguments).failed(6);
            assert!(
                told.contains("unauthorized") && told.contains("ACCESS_KEY"),
                "{told}"
            );
        }
    }
    let report = &services
        .run(&["bench", "upload", "--count", "20", "--json"])
        .json()[0];
    assert_eq!(report["operations"], 20, "the benchmark sends the key too");
    services.run(&["delete", id]).ok();
}
