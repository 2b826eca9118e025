//! The benchmark as a library.

use client::bench::{self, BenchError, Bound, Keep, Load, Stored};
use wire::{Code, ContentId, ShardNo};

use crate::fake::{Fake, Fault, hash};

fn load(fake: &Fake, operations: u64) -> Load {
    Load {
        endpoint: fake.url.clone(),
        access_key: Some("secret".to_owned()),
        size: 2000,
        concurrency: 2,
        threads: 1,
        bound: Bound::Count(operations),
    }
}

fn stored(fake: &Fake, bytes: &[u8], expected: &[u8]) -> Stored {
    let id = fake.put("x", bytes);
    let expected = Some((expected.len() as u64, hash(expected)));
    Stored {
        id,
        node: fake.url.clone(),
        expected,
    }
}

// If this fails, a node that gives out another content's bytes passes a benchmark.
#[test]
fn other_bytes_than_were_uploaded_are_counted() {
    let fake = Fake::start();
    let report = bench::get(&load(&fake, 1), &[stored(&fake, b"these", b"those")]);
    assert_eq!(report.expect("runs").mismatches, 1);
    let report = bench::get(&load(&fake, 1), &[stored(&fake, b"longer", b"short")]);
    let report = report.expect("runs");
    assert_eq!((report.operations, report.errors["wrong_size"]), (0, 1));
    let report = bench::get(&load(&fake, 9), &[stored(&fake, b"same", b"same")]);
    let report = report.expect("runs");
    assert_eq!(
        (report.operations, report.mismatches, report.errors.len()),
        (9, 0, 0)
    );
    assert_eq!(
        fake.seen("GET /retrieve/")[0].header("authorization"),
        "Bearer secret"
    );
}

// If this fails, a benchmark reports uploads whose receipts are of other bytes.
#[test]
fn receipts_of_other_bytes_are_counted() {
    let fake = Fake::start();
    let receipt = serde_json::json!({"status": "OK", "size": 2000, "checksum": hash(b"other")});
    fake.fail(
        "PUT /store/",
        Fault::Foreign(200, receipt.to_string().leak()),
    );
    let (report, _) = bench::upload(&load(&fake, 1), Keep::Nothing).expect("runs");
    assert_eq!((report.hashed, report.mismatches), (1, 1));
    fake.fail("PUT /store/", Fault::Foreign(200, "{}"));
    let (report, _) = bench::upload(&load(&fake, 1), Keep::Nothing).expect("runs");
    assert_eq!(report.errors["unreadable_receipt"], 1);
}

// If this fails, what was uploaded cannot be read by the benchmark that follows.
#[test]
fn what_was_uploaded_is_remembered_and_found() {
    let fake = Fake::start();
    let (report, stored) = bench::upload(&load(&fake, 30), Keep::All).expect("runs");
    assert_eq!(
        (report.operations, report.listed, stored.len()),
        (30, 30, 30)
    );
    for one in &stored {
        let bytes = fake.content(one.id).expect("stored").bytes;
        assert_eq!(one.expected, Some((2000, hash(&bytes))));
        assert_eq!(one.node, fake.url);
    }
    let ids: Vec<ContentId> = stored.iter().map(|one| one.id).collect();
    let found = bench::locate(&load(&fake, 1), &ids).expect("finds");
    assert!(
        found
            .iter()
            .zip(&stored)
            .all(|(a, b)| (a.id, &a.node) == (b.id, &b.node))
    );
    let elsewhere = ContentId::mint(ShardNo(77), 1, 1);
    let missing = bench::locate(&load(&fake, 1), &[elsewhere]);
    assert!(matches!(missing, Err(BenchError::NoLeader(ShardNo(77)))));
}

// If this fails, a benchmark hides that the distributor refused it, or never ends.
#[test]
fn refused_places_are_counted() {
    let fake = Fake::start();
    for _ in 0..3 {
        fake.fail("GET /store", Fault::Refuse(Code::NoNode));
    }
    let (report, _) = bench::upload(&load(&fake, 5), Keep::Nothing).expect("runs");
    assert_eq!((report.operations, report.errors["no_node"]), (2, 3));
    let nothing = bench::get(&load(&fake, 5), &[]);
    assert!(matches!(nothing, Err(BenchError::NoContent)));
}

// If this fails, `--duration` is not how long a benchmark runs.
#[test]
fn a_duration_ends_the_load() {
    let fake = Fake::start();
    let bound = Bound::Duration(std::time::Duration::from_millis(300));
    let load = Load {
        bound,
        ..load(&fake, 0)
    };
    let (report, _) = bench::upload(&load, Keep::Nothing).expect("runs");
    assert!(report.operations > 0);
    assert!((0.2..10.0).contains(&report.seconds), "{}", report.seconds);
}
