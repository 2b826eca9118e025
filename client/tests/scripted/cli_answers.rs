//! What the other commands print, and how failures end.

mod verify;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use wire::Code;

use crate::command::{binary, run};
use crate::fake::{Fake, Fault, hash};
use crate::nobody;

const HERE: &str = env!("CARGO_MANIFEST_DIR");

/// Well below the time that a small exchange may take.
const SOON: Duration = Duration::from_secs(20);

fn here() -> &'static Path {
    Path::new(HERE)
}

fn json_lines(out: &str) -> Vec<Value> {
    out.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

// If this fails, `list` cannot be cut into columns, or leaves contents out.
#[test]
fn contents_are_listed_line_by_line() {
    let fake = Fake::start();
    let ids: Vec<String> = ["a b", "c", "d"]
        .map(|name| fake.put(name, b"xyz").to_string())
        .into();
    let ran = run(&fake, here(), &["list"]);
    let expected: String = ids
        .iter()
        .zip(["a b", "c", "d"])
        .map(|(id, name)| format!("{id}\t3\t2026-01-31T12:00:00.000Z\t{name}\n"))
        .collect();
    assert_eq!((ran.code, ran.out), (Some(0), expected), "{}", ran.err);
    let ran = run(
        &fake,
        here(),
        &["list", "--limit", "1", "--after", &ids[0], "--json"],
    );
    assert_eq!(json_lines(&ran.out)[0]["id"], ids[1].as_str());
    assert_eq!(ran.out.lines().count(), 1);
}

// If this fails, people and programs cannot see what is known of a content.
#[test]
fn one_content_is_shown() {
    let fake = Fake::start();
    let id = fake.put("a", b"xyz").to_string();
    let ran = run(&fake, here(), &["info", &id]);
    assert!(
        ran.out.contains(&format!("checksum   {}", hash(b"xyz"))),
        "{}",
        ran.out
    );
    let ran = run(&fake, here(), &["info", &id, "--json"]);
    assert_eq!(json_lines(&ran.out)[0]["size"], 3);
}

// If this fails, an operator cannot see which nodes there are, or how full they are.
#[test]
fn nodes_and_statistics_are_shown() {
    let fake = Fake::start();
    let ran = run(&fake, here(), &["nodes"]);
    let rows: Vec<Vec<&str>> = ran
        .out
        .lines()
        .map(|l| l.split_whitespace().collect())
        .collect();
    assert_eq!(
        rows[0],
        [
            "name", "role", "health", "shards", "led", "short", "behind", "damaged", "url"
        ]
    );
    // The fake's replica does not say that it is in sync.
    let url = fake.url.as_str();
    assert_eq!(
        rows[2],
        ["node1", "node", "up", "1", "1", "1", "0", "0", url]
    );
    let ran = run(&fake, here(), &["nodes", "--json"]);
    let names: Vec<_> = json_lines(&ran.out)
        .iter()
        .map(|line| line["name"].clone())
        .collect();
    assert_eq!(names, ["dist", "node1"]);
    let ran = run(&fake, here(), &["stats"]);
    assert!(
        ran.out.contains("node1") && ran.out.contains("1.0 MiB"),
        "{}",
        ran.out
    );
    assert!(
        ran.out
            .lines()
            .any(|line| line.starts_with("node2") && line.ends_with("down"))
    );
    let ran = run(&fake, here(), &["stats", "--json"]);
    assert_eq!(json_lines(&ran.out)[0]["total"]["storage"], 1 << 20);
}

// If this fails, `stats --watch` shows one look only, or does not end with its reader.
#[test]
fn watching_goes_on_until_its_reader_is_gone() {
    use std::io::{BufRead, BufReader};
    let fake = Fake::start();
    let mut child = binary(&fake, here(), &["stats", "--watch", "--json"])
        .spawn()
        .expect("starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    for _ in 0..2 {
        let line = lines.next().expect("a line").expect("reads");
        serde_json::from_str::<Value>(&line).expect("JSON");
    }
    drop(lines);
    let ended = child.wait_with_output().expect("ends");
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
}

// If this fails, `stats --watch` in a pipe is a picture, or a script cannot cut its columns.
#[test]
fn watching_without_a_terminal_is_a_row_for_each_look() {
    use std::io::{BufRead, BufReader};
    let fake = Fake::start();
    let mut child = binary(&fake, here(), &["stats", "--watch"])
        .spawn()
        .expect("starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut next = || {
        let line = lines.next().expect("a line").expect("reads");
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let heading = next();
    assert_eq!(
        (heading[0].as_str(), heading[5].as_str()),
        ("time", "in_MiB/s")
    );
    let rows = [next(), next()];
    assert!(
        rows.iter().all(|row| row.len() == heading.len()),
        "{rows:?}"
    );
    assert_eq!(
        (rows[0][1].as_str(), rows[0][2].as_str()),
        ("1", "2"),
        "one of two nodes is up"
    );
    assert_eq!((rows[0][5].as_str(), rows[1][5].as_str()), ("-", "0.00"));
    crate::command::signal(&child, "-INT");
    assert_eq!(child.wait().expect("ends").code(), Some(130));
}

// If this fails, a script's log does not say why the numbers stopped.
#[test]
fn watching_tells_whose_answer_is_late() {
    use std::io::{BufRead, BufReader};
    let fake = Fake::start();
    fake.fail("GET /stats", Fault::Silence);
    let mut child = binary(&fake, here(), &["stats", "--watch"])
        .spawn()
        .expect("starts");
    let mut told = String::new();
    let mut lines = BufReader::new(child.stderr.take().expect("piped"));
    lines.read_line(&mut told).expect("reads");
    let expected = format!("nothing newer: {} did not answer within 5 s\n", fake.url);
    assert_eq!(told, expected);
    crate::command::signal(&child, "-INT");
    assert_eq!(child.wait().expect("ends").code(), Some(130));
}

// If this fails, a content on a node that hangs is not explained, or for minutes not.
#[test]
fn who_is_silent_is_named_and_not_waited_for() {
    let fake = Fake::start();
    let id = fake.put("a", b"xyz").to_string();
    fake.fail("GET /info/", Fault::Silence);
    fake.fail("GET /content/", Fault::Silence);
    let begun = Instant::now();
    let ran = run(&fake, here(), &["explain", &id]);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    for path in ["content", "info"] {
        let told = format!("({}/{path}/{id} did not answer in time", fake.url);
        assert!(ran.out.contains(&told), "{told} in {}", ran.out);
    }
    assert_eq!(fake.seen("GET /verify/").len(), 0, "it would be silent too");
}

// If this fails, one look at a node's log stands for reading its disk.
#[test]
fn who_answers_reads_its_copy_again() {
    let fake = Fake::start();
    let id = fake.put("a", b"xyz").to_string();
    run(&fake, here(), &["explain", &id]);
    assert_eq!(fake.seen("GET /verify/").len(), 1);
    run(&fake, here(), &["explain", &id, "--quick"]);
    assert_eq!(fake.seen("GET /verify/").len(), 1);
}

// If this fails, deletes print nothing, or a deleted content looks like one that never was.
#[test]
fn contents_are_deleted() {
    let fake = Fake::start();
    let (a, b) = (
        fake.put("a", b"x").to_string(),
        fake.put("b", b"x").to_string(),
    );
    let ran = run(&fake, here(), &["delete", &a, &b, "--jobs", "1"]);
    assert_eq!(
        (ran.code, ran.out),
        (Some(0), format!("{a}\n{b}\n")),
        "{}",
        ran.err
    );
    let ran = run(&fake, here(), &["info", &a]);
    assert_eq!(ran.code, Some(3));
    assert!(ran.err.contains("deleted"), "{}", ran.err);
}

// If this fails, one content that cannot be looked up keeps the others from being verified, or hides
// that one of them is damaged.
#[test]
fn all_contents_are_verified_whatever_becomes_of_one() {
    let fake = Fake::start();
    let [damaged, missing, good] = ["a", "b", "c"].map(|name| fake.put(name, b"xyz").to_string());
    run(&fake, here(), &["delete", &missing]);
    fake.fail("GET /verify/", Fault::Refuse(Code::Damaged));
    let ran = run(&fake, here(), &["verify", &damaged, &missing, &good]);
    assert_eq!(ran.code, Some(1), "in several ways: {}", ran.err);
    assert!(
        ran.out.contains(&damaged) && ran.out.contains(&good),
        "{}",
        ran.out
    );
    let told = format!("cannot look up {missing}");
    assert!(
        ran.err.contains(&told) && ran.err.contains("2 of 3 failed"),
        "{}",
        ran.err
    );
    assert_eq!(run(&fake, here(), &["verify", &good]).code, Some(0));
    let ran = run(&fake, here(), &["verify", &missing]);
    assert_eq!(
        (ran.code, ran.err.matches("error:").count()),
        (Some(3), 1),
        "{}",
        ran.err
    );
}

// If this fails, scripts cannot tell failures apart.
#[test]
fn every_kind_of_refusal_has_its_exit_code() {
    for (code, exit) in [
        (Code::NotFound, 3),
        (Code::Deleted, 3),
        (Code::Unauthorized, 6),
        (Code::PreconditionFailed, 7),
        (Code::MalformedRequest, 1),
        (Code::WrongCluster, 1),
    ] {
        let fake = Fake::start();
        fake.fail("GET /nodes", Fault::Refuse(code));
        let ran = run(&fake, here(), &["nodes"]);
        assert_eq!(ran.code, Some(exit), "{code:?}: {}", ran.err);
        assert!(
            ran.err.starts_with("error: ") && ran.err.contains("request r-1"),
            "{}",
            ran.err
        );
    }
}

// If this fails, a cluster that is not running looks like any other failure.
#[test]
fn an_unreachable_cluster_is_told_with_a_hint() {
    let fake = Fake::absent(&nobody());
    // At the same time: each gives up after some seconds.
    let (text, ran) = std::thread::scope(|both| {
        let text = both.spawn(|| run(&fake, here(), &["nodes"]));
        let json = run(&fake, here(), &["nodes", "--json"]);
        (text.join().expect("ends"), json)
    });
    assert_eq!(text.code, Some(4));
    for part in ["cannot reach", "cause:", "refused", "hint:", "ACEQUIA_URL"] {
        assert!(text.err.contains(part), "{part} in {}", text.err);
    }
    assert!(!text.err.contains('\u{1b}'), "no colours on a pipe");
    let told = &json_lines(&ran.err)[0]["error"];
    assert_eq!(
        (&told["kind"], ran.out.as_str()),
        (&"unreachable".into(), "")
    );
}

// If this fails, nobody finds in a service's log what a run of a script failed at.
#[test]
fn a_failure_names_the_requests_of_its_run() {
    let fake = Fake::start();
    fake.fail("GET /nodes", Fault::Foreign(404, "no"));
    let ran = run(&fake, here(), &["nodes", "--json"]);
    let told = &json_lines(&ran.err)[0]["error"];
    let sent = fake.seen("GET /nodes");
    assert_eq!(told["request_id"], sent[0].header("x-request-id"));
    assert_eq!(told["request_id"].as_str().map(str::len), Some(36));
    run(&fake, here(), &["nodes"]);
    let next = fake.seen("GET /nodes").pop().expect("it asked");
    assert_ne!(told["request_id"], next.header("x-request-id"));
}

// If this fails, a benchmark counts failures as successes, or measures nothing.
#[test]
fn a_benchmark_counts_what_it_does() {
    let fake = Fake::start();
    fake.fail("PUT /store/", Fault::Refuse(Code::NoLeader));
    fake.fail("PUT /store/", Fault::Drop);
    let arguments = [
        "bench", "upload", "--count", "50", "-c", "4", "--size", "100", "--wait", "listed",
        "--json",
    ];
    let ran = run(&fake, here(), &arguments);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let report = &json_lines(&ran.out)[0];
    assert_eq!(
        (&report["operations"], &report["listed"]),
        (&48.into(), &48.into())
    );
    assert_eq!(report["errors"]["no_leader"], 1);
    assert_eq!(report["errors"]["connection_broken"], 1);
    assert_eq!(report["mismatches"], 0);
    assert!(
        report["compared"].as_u64() > Some(0) && report["latency_ms"]["p99"].as_f64() > Some(0.0)
    );
    assert_eq!(fake.count(), 48);
}

// If this fails, a read benchmark does not notice wrong bytes, or reads what is not there.
#[test]
fn a_read_benchmark_checks_what_it_reads() {
    let fake = Fake::start();
    let read = [
        "bench",
        "get",
        "-n",
        "40",
        "-c",
        "3",
        "--threads",
        "2",
        "--contents",
        "5",
        "--json",
    ];
    let ran = run(&fake, here(), &read);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let report = &json_lines(&ran.out)[0];
    assert_eq!(
        (&report["operations"], &report["size"]),
        (&40.into(), &"1.0 KiB".into())
    );
    assert_eq!(fake.count(), 5);
    fake.fail("GET /retrieve/", Fault::FlipBit);
    let ran = run(
        &fake,
        here(),
        &["bench", "get", "-n", "1", "-c", "1", "--contents", "1"],
    );
    assert_eq!(ran.code, Some(5), "{}", ran.err);
}

// If this fails, what one benchmark uploads cannot be read by another.
#[test]
fn ids_go_from_one_benchmark_to_the_next() {
    let (fake, folder) = (Fake::start(), tempfile::tempdir().expect("a folder"));
    let upload = ["bench", "upload", "-n", "7", "--ids-out", "ids"];
    let ran = run(&fake, folder.path(), &upload);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let ids = std::fs::read_to_string(folder.path().join("ids")).expect("reads");
    assert_eq!(ids.lines().count(), 7);
    let ran = run(
        &fake,
        folder.path(),
        &["bench", "get", "-n", "20", "--ids", "ids", "--json"],
    );
    assert_eq!(json_lines(&ran.out)[0]["operations"], 20, "{}", ran.err);
    let ran = run(&fake, folder.path(), &["bench", "get", "--ids", "missing"]);
    assert_eq!(ran.code, Some(9), "{}", ran.err);
}

// If this fails, a benchmark of a cluster that is down looks like a slow one.
#[test]
fn a_benchmark_of_nothing_fails() {
    let fake = Fake::absent(&nobody());
    let ran = run(&fake, here(), &["bench", "upload", "-n", "3", "-c", "1"]);
    assert_eq!(ran.code, Some(4), "{}{}", ran.out, ran.err);
    let ran = run(
        &fake,
        here(),
        &["bench", "upload", "-n", "3", "--url", "https://127.0.0.1:1"],
    );
    assert_eq!(ran.code, Some(2), "{}", ran.err);
    let folder = tempfile::tempdir().expect("a folder");
    let ran = run(
        &fake,
        folder.path(),
        &["bench", "probe", "--dir", ".", "--no-commit", "--json"],
    );
    assert!(
        json_lines(&ran.out)[0]["sync"]["p50_ms"].as_f64() > Some(0.0),
        "{}",
        ran.err
    );
}

// If this fails, clusters behind TLS cannot be used, or anyone can pose as one.
#[test]
fn https_works_with_a_trusted_certificate_only() {
    let (fake, folder) = (Fake::start_tls(), tempfile::tempdir().expect("a folder"));
    let bytes = crate::pattern(600_000);
    std::fs::write(folder.path().join("a"), &bytes).expect("writes");
    let authority = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/scripted/tls/authority.pem"
    );
    let trusting = |arguments: &[&str]| {
        let mut command = binary(&fake, folder.path(), arguments);
        command
            .env("SSL_CERT_FILE", authority)
            .output()
            .expect("runs")
    };
    let uploaded = trusting(&["upload", "a"]);
    assert!(
        uploaded.status.success(),
        "{}",
        String::from_utf8_lossy(&uploaded.stderr)
    );
    let line = String::from_utf8(uploaded.stdout).expect("text");
    let id = line.split('\t').next().expect("an id");
    assert_eq!(trusting(&["get", id, "-o", "-"]).stdout, bytes);
    let ran = run(&fake, folder.path(), &["nodes"]);
    assert_eq!(ran.code, Some(4), "{}", ran.out);
    assert!(ran.err.contains("certificate"), "{}", ran.err);
    let plain = Fake::start();
    fake.fail(
        "GET /nodes",
        Fault::Redirect(307, format!("{}/nodes", plain.url)),
    );
    assert_eq!(trusting(&["nodes"]).status.code(), Some(4));
    assert!(
        plain.seen("").is_empty(),
        "everybody could read the key there"
    );
}
