//! `client log` while a node, or the only distributor, is away or says nothing.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout};
use std::time::Duration;

use client::api::Leaderless;
use serde_json::{Value, json};
use wire::{Code, Lsn};

use crate::command::{binary, run, signal};
use crate::fake::{Fake, Fault};
use crate::{client_of, nobody};

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A `client log --follow` that runs.
struct Followed {
    child: Child,
    out: BufReader<ChildStdout>,
    told: BufReader<ChildStderr>,
}

impl Followed {
    fn start(fake: &Fake) -> Followed {
        let mut child = binary(fake, here(), &["log", "--follow"])
            .spawn()
            .expect("starts");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let told = BufReader::new(child.stderr.take().expect("piped"));
        Followed { child, out, told }
    }

    /// The shard and the number of the next line; none when it has ended.
    fn next(&mut self) -> Option<(u64, u64)> {
        let mut line = String::new();
        self.out.read_line(&mut line).expect("text");
        let line: Value = serde_json::from_str(&line).ok()?;
        Some((line["shard"].as_u64()?, line["lsn"].as_u64()?))
    }

    /// The next note.
    fn note(&mut self) -> String {
        let mut line = String::new();
        self.told.read_line(&mut line).expect("text");
        line
    }

    /// Ends it; what else it said.
    fn end(mut self) -> String {
        signal(&self.child, "-INT");
        let mut rest = String::new();
        self.told.read_to_string(&mut rest).expect("text");
        assert_eq!(self.child.wait().expect("ends").code(), Some(130), "{rest}");
        rest
    }
}

/// What a distributor says of these shards: their numbers, where their leaders are, and whether they wait.
fn led_at(shards: &[(u16, &str, bool)]) -> &'static str {
    let node = |number: u16| format!("node{number}");
    let nodes = shards.iter().map(|(number, url, _)| {
        let led = json!({"shard": number, "role": "leader", "state": "open"});
        let entry = json!({
            "host": "127.0.0.1", "port": 1, "public_url": url, "role": "node", "health": "up",
            "shards": [led],
        });
        (node(*number), entry)
    });
    let nodes: serde_json::Map<String, Value> = nodes.collect();
    let shards = shards.iter().map(|(number, _, waits)| {
        json!({
            "shard": number, "state": "open", "epoch": 1, "leader": node(*number),
            "in_sync": [node(*number)], "eligible": [], "min_in_sync": 1, "degraded": false,
            "waits": waits, "bytes": 0, "contents": 0, "replicas": [],
        })
    });
    let shards: Vec<Value> = shards.collect();
    let cluster = "c9a646d3-9c61-4cb7-bfcd-ee2522c8f633";
    let answer = json!({"cluster": cluster, "nodes": nodes, "shards": shards});
    answer.to_string().leak()
}

/// What a distributor says at each look from now on.
fn say(fake: &Fake, answer: &'static str) {
    for _ in 0..1000 {
        fake.fail("GET /nodes", Fault::Foreign(200, answer));
    }
}

/// From now on nobody reaches the distributor, until the fake is healed.
fn lose(fake: &Fake) {
    let away = nobody();
    for _ in 0..1000 {
        fake.fail("GET /nodes", Fault::Redirect(307, away.clone()));
    }
}

/// Heals the fake after more time than a wrong address is borne for.
fn heal_late(fake: &Fake) {
    let fake = fake.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(4500));
        fake.heal();
    });
}

// If this fails, one leader that hangs ends a command long after another one could have answered.
#[test]
fn a_leader_that_hangs_is_asked_no_longer_than_another_one_takes_to_come() {
    let fake = Fake::start();
    fake.logs(3);
    fake.fail("GET /log", Fault::Silence);
    let ran = run(&fake, here(), &["log"]);
    let told = (ran.code, ran.out.lines().count());
    assert_eq!(told, (Some(0), 3), "{}", ran.err);
}

// If this fails, whoever follows the log sees nothing of what is done, since a shard waits for an operator.
#[test]
fn a_shard_that_waits_keeps_no_other_from_being_followed() {
    let (fake, gone) = (Fake::start(), Fake::start());
    fake.logs_in(2, 2026, 1..=1);
    say(
        &fake,
        led_at(&[(1, &gone.url, true), (2, &fake.url, false)]),
    );
    let mut followed = Followed::start(&fake);
    assert_eq!(followed.next(), Some((2, 1)));
    assert_eq!(gone.seen("GET /log").len(), 0, "it does not lead any more");
    let note = followed.note();
    assert!(note.contains("the lines of shard 1"), "{note}");
    fake.logs_in(2, 2026, 2..=2);
    assert_eq!(followed.next(), Some((2, 2)));
    // It is led again, and tells all that was done meanwhile.
    fake.heal();
    fake.logs_in(1, 2026, 1..=1);
    say(
        &fake,
        led_at(&[(1, &fake.url, false), (2, &fake.url, false)]),
    );
    assert_eq!(followed.next(), Some((1, 1)));
    assert_eq!(followed.end().matches("the lines of").count(), 0, "once");
}

// If this fails, one node that hangs takes the time of each shard that it leads, and nothing is followed
// meanwhile.
#[test]
fn a_node_that_hangs_is_waited_for_once_at_each_look() {
    let (fake, hung) = (Fake::start(), Fake::start());
    for _ in 0..100 {
        hung.fail("GET /log", Fault::Silence);
    }
    fake.logs_in(3, 2026, 1..=1);
    let (here, there) = (fake.url.as_str(), hung.url.as_str());
    say(
        &fake,
        led_at(&[(1, there, false), (2, there, false), (3, here, false)]),
    );
    let mut followed = Followed::start(&fake);
    assert_eq!(followed.next(), Some((3, 1)));
    let asked = hung.seen("GET /log");
    assert!(
        asked
            .iter()
            .all(|seen| seen.parameter("shard").as_deref() == Some("1")),
        "{asked:?}"
    );
    let note = followed.note();
    assert!(note.contains("the lines of shards 1, 2"), "{note}");
    hung.heal();
    hung.logs_in(2, 2026, 1..=1);
    assert_eq!(followed.next(), Some((2, 1)));
    followed.end();
}

// If this fails, a shard that was made a moment ago, and that its leader does not have yet, ends the log of all.
#[test]
fn a_leader_without_the_shard_does_not_lead_it() {
    let fake = Fake::start();
    fake.logs(2);
    fake.fail("GET /log", Fault::Refuse(Code::NotFound));
    let ran = run(&fake, here(), &["log"]);
    let told = (ran.code, ran.out.lines().count());
    assert_eq!(told, (Some(0), 2), "{}", ran.err);
    fake.fail("GET /log", Fault::Refuse(Code::NotFound));
    let mut followed = Followed::start(&fake);
    assert_eq!(followed.next(), Some((1, 1)));
    followed.end();
}

// If this fails, whoever follows the log must begin again whenever the only distributor is away for a while.
#[test]
fn the_log_is_followed_when_the_only_distributor_is_back() {
    let fake = Fake::start();
    fake.logs(1);
    let mut followed = Followed::start(&fake);
    assert_eq!(followed.next(), Some((1, 1)));
    lose(&fake);
    let note = followed.note();
    assert!(note.contains("cannot read the log: cannot reach"), "{note}");
    // Long enough to be told again.
    std::thread::sleep(Duration::from_secs(7));
    fake.heal();
    fake.logs(2);
    assert_eq!(followed.next(), Some((1, 2)));
    assert_eq!(followed.end().matches("cannot").count(), 0, "told once");
}

// If this fails, whoever mistypes the address of a cluster waits for its log for ever.
#[test]
fn who_never_answered_is_not_waited_for() {
    // What a retry cannot help is told at once, and so is an address at which nobody ever answered.
    let fake = Fake::start();
    fake.fail("GET /nodes", Fault::Foreign(404, "not this one"));
    let ran = run(&fake, here(), &["log", "--follow"]);
    assert_eq!(ran.code, Some(4), "{}", ran.err);
    let ran = run(&Fake::absent(&nobody()), here(), &["log", "--follow"]);
    assert_eq!(ran.code, Some(4), "{}", ran.err);
}

// If this fails, a restart of the only distributor ends a walk that had begun.
#[tokio::test]
async fn a_walk_that_has_begun_bears_silence_of_the_distributor() {
    tokio::join!(
        silence_is_borne_between_looks(),
        silence_is_borne_in_a_look()
    );
}

async fn silence_is_borne_between_looks() {
    let fake = Fake::start();
    fake.logs(1);
    let client = client_of(&fake);
    let mut followed = client.log(None, Leaderless::PassOver);
    let first = followed.next().await.expect("goes on").expect("a line");
    assert_eq!(first.lsn, Lsn(1));
    assert_eq!(followed.next().await.expect("goes on"), None);
    lose(&fake);
    heal_late(&fake);
    assert_eq!(followed.next().await.expect("is borne"), None);
}

async fn silence_is_borne_in_a_look() {
    let fake = Fake::start();
    fake.logs(1);
    let client = client_of(&fake);
    // Nobody knows another leader for one that is away.
    fake.fail("GET /nodes", Fault::IgnoreRange);
    fake.fail("GET /log", Fault::Drop);
    lose(&fake);
    heal_late(&fake);
    let mut walk = client.log(None, Leaderless::Await);
    let first = walk.next().await.expect("is borne").expect("a line");
    assert_eq!(first.lsn, Lsn(1));
}
