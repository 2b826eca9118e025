//! Copies compared with a catalog that changes meanwhile, or that is not told all.

use std::path::Path;

use serde_json::{Value, json};
use wire::{Code, ContentId};

use crate::command::{Ran, run};
use crate::fake::{Fake, Fault, hash};

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn all(fake: &Fake) -> Ran {
    run(fake, here(), &["verify", "--all"])
}

/// An answer that is what it was before, once.
fn stale(fake: &Fake, request: &str, answer: &Value) {
    let answer = Box::leak(answer.to_string().into_boxed_str());
    fake.fail(request, Fault::Foreign(200, answer));
}

/// What the catalog says of a content now.
fn listed(fake: &Fake, id: ContentId) -> Value {
    let ran = run(fake, here(), &["info", &id.to_string(), "--json"]);
    serde_json::from_str(&ran.out).expect("JSON")
}

/// What a node says of a copy of these bytes.
fn copy(id: ContentId, version: u64, bytes: &[u8]) -> Value {
    json!({
        "id": id, "version": version, "size": bytes.len(), "checksum": hash(bytes), "lsn": 1,
        "ok": true,
    })
}

// If this fails, a program that verifies everything does not learn what was compared, or people drown in it.
#[test]
fn a_program_is_told_of_each_content() {
    let fake = Fake::start();
    let id = fake.put("a", b"one");
    let ran = run(&fake, here(), &["verify", "--all", "--json"]);
    let lines: Vec<Value> = ran
        .out
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 2, "{}", ran.out);
    let first = &lines[0];
    assert_eq!(first["id"], json!(id));
    assert_eq!(
        (&first["version"], &first["agree"]),
        (&1.into(), &true.into())
    );
    assert_eq!(first["copies"].as_array().map(Vec::len), Some(1));
    assert_eq!(lines[1]["contents"], 1, "the summary comes last");
    assert_eq!(
        all(&fake).out.lines().count(),
        1,
        "people see what is wrong"
    );
}

// If this fails, contents that are updated or deleted while they are verified are told as damaged, and
// operators learn to look away.
#[test]
fn what_changes_meanwhile_is_no_difference() {
    let fake = Fake::start();
    let id = fake.put("a", b"one");
    let before = listed(&fake, id);
    let page = json!({"items": [before], "next": null});
    // The catalog comes later than the copies.
    fake.overwrite(id, b"two");
    stale(&fake, "GET /content", &page);
    stale(&fake, "GET /content/", &before);
    let ran = all(&fake);
    let told = "1 contents (3 B) in 1 copies: 0 do not agree\n";
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), told), "{}", ran.err);
    let looks = fake.seen("GET /content/");
    assert!(
        looks.iter().any(|look| look.query == "min_version=2"),
        "the leader knows"
    );
    // A follower comes later than both.
    stale(&fake, "GET /verify/", &copy(id, 1, b"one"));
    let ran = all(&fake);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), told), "{}", ran.err);
    // It is deleted, and the catalog comes later again.
    let now = listed(&fake, id);
    run(&fake, here(), &["delete", &id.to_string()]);
    stale(&fake, "GET /content", &page);
    stale(&fake, "GET /content/", &now);
    let ran = all(&fake);
    assert!(ran.out.starts_with("0 contents"), "{}", ran.out);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
}

// If this fails, one content that is written all the time fails every verification.
#[test]
fn what_never_stands_still_is_counted_for_itself() {
    let fake = Fake::start();
    let id = fake.put("a", b"one");
    let mut item = listed(&fake, id);
    for version in 2..20 {
        stale(&fake, "GET /verify/", &copy(id, version, b"one"));
        item["version"] = version.into();
        stale(&fake, "GET /content/", &item);
    }
    let ran = all(&fake);
    let told = "0 do not agree, 1 changed again and again meanwhile\n";
    assert!(ran.out.ends_with(told), "{}", ran.out);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
}

// If this fails, a copy that stays what it was passes for one that is about to change.
#[test]
fn what_stays_different_is_a_difference() {
    let fake = Fake::start();
    let id = fake.put("a", b"one");
    fake.overwrite(id, b"two");
    for _ in 0..4 {
        stale(&fake, "GET /verify/", &copy(id, 1, b"one"));
    }
    let ran = all(&fake);
    assert_eq!(ran.code, Some(5), "{}", ran.err);
    assert!(ran.out.contains("another version"), "{}", ran.out);
    fake.heal();
    // The catalog lists a version that nobody has: that is a loss, and no update under way.
    let mut newer = listed(&fake, id);
    newer["version"] = 3.into();
    stale(
        &fake,
        "GET /content",
        &json!({"items": [newer], "next": null}),
    );
    let ran = all(&fake);
    assert_eq!(ran.code, Some(5), "{}", ran.err);
}

// If this fails, one content that nobody can compare hides what is wrong with all others.
#[test]
fn what_cannot_be_compared_stops_nothing() {
    let fake = Fake::start();
    for name in ["a", "b", "c"] {
        fake.put(name, b"xyz");
    }
    fake.fail("GET /verify/", Fault::Refuse(Code::NotFound));
    fake.fail("GET /content/", Fault::Refuse(Code::Unauthorized));
    let ran = all(&fake);
    assert!(ran.err.contains("cannot look up"), "{}", ran.err);
    let told = "3 contents (6 B) in 2 copies: 0 do not agree, 1 could not be compared\n";
    assert_eq!((ran.code, ran.out.as_str()), (Some(6), told), "{}", ran.err);
    // A copy that is not told is not one that differs.
    fake.fail("GET /verify/", Fault::Refuse(Code::Unauthorized));
    let ran = all(&fake);
    assert!(
        ran.out.contains("0 do not agree, 1 could not"),
        "{}",
        ran.out
    );
    assert_eq!(ran.code, Some(6), "{}", ran.err);
}

// If this fails, a listing that breaks off hides what was found until then.
#[test]
fn a_listing_that_breaks_off_is_told_after_what_was_found() {
    let fake = Fake::start();
    let id = fake.put("a", b"xyz");
    let page = json!({"items": [listed(&fake, id)], "next": id});
    fake.fail("GET /verify/", Fault::Refuse(Code::Damaged));
    stale(&fake, "GET /content", &page);
    fake.fail("GET /content", Fault::Refuse(Code::MalformedRequest));
    let ran = all(&fake);
    assert_eq!(ran.code, Some(1), "in several ways: {}", ran.err);
    assert!(ran.out.contains("1 do not agree"), "{}", ran.out);
    assert!(
        ran.err.contains("not everything was compared"),
        "{}",
        ran.err
    );
}

/// What a distributor says of shard 1, which is on `node1` alone and shall have so many copies.
fn one_copy(fake: &Fake, wanted: u8) -> Value {
    let node = json!({
        "host": "127.0.0.1", "port": 1, "public_url": fake.url, "role": "node", "health": "up",
        "shards": [],
    });
    let shard = json!({
        "shard": 1, "state": "open", "epoch": 4, "leader": "node1", "in_sync": ["node1"],
        "eligible": [], "min_in_sync": 1, "degraded": false, "bytes": 0, "contents": 1,
        "replicas": [],
    });
    json!({
        "cluster": "c9a646d3-9c61-4cb7-bfcd-ee2522c8f633", "copies": wanted,
        "nodes": {"node1": node}, "shards": [shard],
    })
}

// If this fails, somebody who has all copies compared learns nothing of those that are not there.
#[test]
fn copies_that_are_missing_are_told_and_counted() {
    let fake = Fake::start();
    let id = fake.put("a", b"one").to_string();
    let wanted = |arguments: &[&str], copies: u8| {
        stale(&fake, "GET /nodes", &one_copy(&fake, copies));
        let ran = run(&fake, here(), arguments);
        assert_eq!(ran.code, Some(0), "no copy is wrong: {}", ran.err);
        ran.out
    };
    let told = "fewer copies than wanted: 1 of 2\n";
    let out = wanted(&["verify", &id], 2);
    assert!(out.ends_with(told), "{out}");
    let out = wanted(&["verify", &id], 1);
    assert!(!out.contains("fewer"), "{out}");
    let out = wanted(&["verify", "--all"], 2);
    let told = "1 contents (3 B) in 1 copies: 0 do not agree, 1 in fewer copies than wanted\n";
    assert_eq!(out, told);
    let out = wanted(&["verify", "--all", "--json"], 2);
    let lines: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines[0]["agree"], true);
    let missing = (&lines[0]["copies_wanted"], &lines[0]["fewer_copies"]);
    assert_eq!(missing, (&2.into(), &true.into()));
    assert_eq!(lines[1]["fewer_copies"], 1);
}
