//! The benchmark as a library.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use client::bench::mix::{Mix, Operation};
use client::bench::probe::commit_time;
use client::bench::report::Report;
use client::bench::sizes::Sizes;
use client::bench::{self, BenchError, Bound, Keep, Load, Stored, Target, Wait};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wire::{Code, ContentId, ShardNo};

use crate::fake::{Fake, Fault, hash};

fn load(fake: &Fake, operations: u64) -> Load {
    Load {
        access_key: Some("secret".to_owned()),
        sizes: Sizes::fixed(2000),
        concurrency: 2,
        bound: Bound::Count(operations),
        ..Load::on(Target::Cluster(fake.url.clone()))
    }
}

fn upload(load: &Load, keep: Keep) -> (Report, Vec<Stored>) {
    bench::run(load, &Mix::only(Operation::Upload), &[], keep).expect("runs")
}

fn on(load: &Load, operation: Operation, contents: &[Stored]) -> Report {
    bench::run(load, &Mix::only(operation), contents, Keep::Nothing)
        .expect("runs")
        .0
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
    let get = |count, content| on(&load(&fake, count), Operation::Get, &[content]).all;
    assert_eq!(get(1, stored(&fake, b"these", b"those")).mismatches, 1);
    let other = get(1, stored(&fake, b"longer", b"short"));
    assert_eq!((other.operations, other.errors["wrong_size"]), (0, 1));
    let same = get(9, stored(&fake, b"same", b"same"));
    assert_eq!((same.operations, same.compared, same.mismatches), (9, 9, 0));
    assert!(same.errors.is_empty());
    assert_eq!(
        fake.seen("GET /retrieve/")[0].header("authorization"),
        "Bearer secret"
    );
}

// If this fails, a benchmark reports uploads whose receipts are of other bytes.
#[test]
fn receipts_of_other_bytes_are_counted() {
    let fake = Fake::start();
    let receipt = serde_json::json!({"id": ContentId::mint(ShardNo(1), 1, 1), "status": "OK", "size": 2000, "checksum": hash(b"other")});
    fake.fail(
        "PUT /store/",
        Fault::Foreign(200, receipt.to_string().leak()),
    );
    let (report, _) = upload(&load(&fake, 1), Keep::Nothing);
    assert_eq!((report.all.compared, report.all.mismatches), (1, 1));
    fake.fail("PUT /store/", Fault::Foreign(200, "{}"));
    let (report, _) = upload(&load(&fake, 1), Keep::Nothing);
    assert_eq!(report.all.errors["unreadable_receipt"], 1);
}

// If this fails, what was uploaded cannot be read by the benchmark that follows.
#[test]
fn what_was_uploaded_is_remembered_and_found() {
    let fake = Fake::start();
    let listed = Load {
        wait: Wait::Listed,
        ..load(&fake, 30)
    };
    let (report, stored) = upload(&listed, Keep::All);
    let counts = (report.all.operations, report.all.listed, stored.len());
    assert_eq!(counts, (30, 30, 30));
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
    let (report, _) = upload(&load(&fake, 5), Keep::Nothing);
    assert_eq!(
        (report.all.operations, report.all.errors["no_node"]),
        (2, 3)
    );
    let mix = Mix::only(Operation::Get);
    let nothing = bench::run(&load(&fake, 5), &mix, &[], Keep::Nothing);
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
    let (report, _) = upload(&load, Keep::Nothing);
    assert!(report.all.operations > 0);
    assert!((0.2..10.0).contains(&report.seconds), "{}", report.seconds);
}

// If this fails, `--wait` measures something else than it says, or only one of both.
#[test]
fn the_commit_and_the_catalog_are_waited_for() {
    let fake = Fake::start();
    let with = |wait| Load {
        wait,
        ..load(&fake, 200)
    };
    let asked = |fake: &Fake, wait: &str| {
        let seen = fake.seen("PUT /store/");
        let asked = seen.iter();
        asked
            .filter(|s| s.parameter("wait").as_deref() == Some(wait))
            .count()
    };
    let committed = |fake: &Fake| asked(fake, "committed");
    let (report, _) = upload(&with(Wait::Listed), Keep::Nothing);
    assert_eq!((committed(&fake), report.all.committed_ms), (0, None));
    assert_eq!(asked(&fake, "listed"), 200);
    let (report, _) = upload(&with(Wait::Both), Keep::Nothing);
    let sampled = committed(&fake);
    assert!((1..100).contains(&sampled), "{sampled}");
    assert!(report.all.committed_ms.is_some());
    assert_eq!(
        (report.all.operations, report.all.listed),
        (200, 200 - sampled as u64)
    );
    upload(&with(Wait::Committed), Keep::Nothing);
    assert_eq!(committed(&fake), sampled + 200);
}

// If this fails, a load of several files a request counts others than it stored.
#[test]
fn forms_carry_several_files() {
    let fake = Fake::start();
    let forms = Load {
        files_per_request: 3,
        ..load(&fake, 4)
    };
    let (report, stored) = upload(&forms, Keep::All);
    assert_eq!(report.all.errors, [].into());
    assert_eq!(
        (report.all.operations, report.all.contents, stored.len()),
        (4, 12, 12)
    );
    assert!(report.all.mismatches == 0 && report.all.compared > 0);
    for one in &stored {
        let bytes = fake.content(one.id).expect("stored").bytes;
        assert_eq!(one.expected, Some((2000, hash(&bytes))));
    }
}

// If this fails, contents of one size are measured where a range was asked for.
#[test]
fn sizes_come_from_their_range() {
    let fake = Fake::start();
    let range = Load {
        sizes: "100..300".parse().expect("a range"),
        ..load(&fake, 50)
    };
    let (_, stored) = upload(&range, Keep::All);
    let sizes: std::collections::BTreeSet<u64> = stored
        .iter()
        .filter_map(|one| one.expected)
        .map(|(size, _)| size)
        .collect();
    assert!(sizes.len() > 5 && sizes.iter().all(|size| (100..=300).contains(size)));
}

// If this fails, an update or delete benchmark changes nothing, or the same content twice.
#[test]
fn contents_are_changed_and_deleted() {
    let fake = Fake::start();
    let (_, stored) = upload(&load(&fake, 20), Keep::All);
    let report = on(&load(&fake, 40), Operation::Update, &stored).all;
    assert_eq!((report.operations, report.errors.len()), (40, 0));
    let changed = stored.iter().filter_map(|one| fake.content(one.id));
    assert_eq!(changed.map(|content| content.version - 1).sum::<u64>(), 40);
    // There are fewer than it was asked to delete: it ends when all are gone.
    let report = on(&load(&fake, 90), Operation::Delete, &stored).all;
    assert_eq!(
        (report.operations, report.errors.len(), fake.count()),
        (20, 0, 0)
    );
}

// If this fails, the catalog's figures are those of answers that nobody looked at.
#[test]
fn rows_and_pages_are_compared() {
    let fake = Fake::start();
    let (_, mut stored) = upload(&load(&fake, 9), Keep::All);
    let report = on(&load(&fake, 10), Operation::Metadata, &stored).all;
    assert_eq!(
        (report.operations, report.compared, report.mismatches),
        (10, 10, 0)
    );
    let report = on(&load(&fake, 10), Operation::List, &stored).all;
    assert_eq!(
        (report.operations, report.mismatches, report.errors.len()),
        (10, 0, 0)
    );
    assert!(report.contents > 0);
    for one in &mut stored {
        one.expected = Some((2000, hash(b"others")));
    }
    let report = on(&load(&fake, 3), Operation::Metadata, &stored).all;
    assert_eq!(report.mismatches, 3);
}

// If this fails, a mixed load reads what it changed itself, and calls that damage.
#[test]
fn mixed_loads_change_only_their_own() {
    let fake = Fake::start();
    let (_, stored) = upload(&load(&fake, 10), Keep::All);
    let mix: Mix = "get=40,upload=30,update=20,delete=10"
        .parse()
        .expect("a mix");
    let varied = Load {
        sizes: "1KiB..4KiB".parse().expect("a range"),
        ..load(&fake, 300)
    };
    let (report, _) = bench::run(&varied, &mix, &stored, Keep::Nothing).expect("runs");
    assert_eq!((report.all.mismatches, report.failures()), (0, 0));
    assert_eq!((report.all.operations, report.parts.len()), (300, 4));
    for one in &stored {
        assert_eq!(fake.content(one.id).expect("still there").version, 1);
    }
    let deleted = report.parts["delete"].operations;
    let uploaded = report.parts["upload"].operations;
    assert_eq!(fake.count() as u64, 10 + uploaded - deleted);
}

// If this fails, a comparison with a plain server compares nothing, or needs a cluster.
#[test]
fn plain_servers_are_measured_with_the_same_load() {
    let fake = Fake::start();
    let plain = |operations| Load {
        target: Target::Plain(format!("{}/plain", fake.url)),
        ..load(&fake, operations)
    };
    let (report, stored) = upload(&plain(20), Keep::All);
    assert_eq!(
        (report.all.operations, report.failures(), stored.len()),
        (20, 0, 20)
    );
    let report = on(&plain(160), Operation::Get, &stored).all;
    assert_eq!(
        (report.operations, report.mismatches, report.errors.len()),
        (160, 0, 0)
    );
    assert!(report.compared >= 10, "{}", report.compared);
    fake.fail("GET /plain/", Fault::FlipBit);
    assert_eq!(on(&plain(1), Operation::Get, &stored).all.mismatches, 1);
    let report = on(&plain(20), Operation::Delete, &stored).all;
    assert_eq!((report.operations, fake.count()), (20, 0));
    assert!(
        fake.seen("GET /store").is_empty(),
        "no distributor is asked"
    );
}

// If this fails, the probe of a cluster whose uploads fail gives a time all the same.
#[test]
fn a_probe_tells_commit_and_catalog() {
    let fake = Fake::start();
    let time = commit_time(&load(&fake, 1)).expect("a time");
    assert!(time.committed_ms.p50 > 0.0 && time.listed_ms.p50 > 0.0);
    fake.fail("PUT /store/", Fault::Refuse(Code::StorageFull));
    let failed = commit_time(&load(&fake, 1)).expect_err("one upload failed");
    assert_eq!(failed.to_string(), "an upload failed: storage_full");
}

/// A server that answers every request with `same`, and what each of its connections asked.
fn counting_server() -> (String, Arc<Mutex<Vec<u64>>>) {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(any).expect("is bound");
    let url = format!("http://{}", socket.local_addr().expect("is bound"));
    let counts = Arc::<Mutex<Vec<u64>>>::default();
    let counted = Arc::clone(&counts);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    // The queue holds all that connect at once: one that does not fit tries again after a second,
    // when the others are done.
    let listener = {
        let _entered = runtime.enter();
        socket.listen(1024).expect("listens")
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            while let Ok((mut stream, _)) = listener.accept().await {
                let counts = Arc::clone(&counted);
                tokio::spawn(async move {
                    let place = {
                        let mut counts = counts.lock().expect("no panic");
                        counts.push(0);
                        counts.len() - 1
                    };
                    let mut request = [0; 1024];
                    while let Ok(1..) = stream.read(&mut request).await {
                        counts.lock().expect("no panic")[place] += 1;
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nsame";
                        stream.write_all(answer).await.expect("is read");
                    }
                });
            }
        });
    });
    (url, counts)
}

// If this fails, a benchmark with many connections uses a few of them, and calls the rest's waiting
// the service's latency.
#[test]
fn all_connections_are_served_alike() {
    const CONNECTIONS: usize = 400;
    const EACH: u64 = 40;
    let (url, counts) = counting_server();
    let load = Load {
        concurrency: CONNECTIONS,
        threads: 1,
        bound: Bound::Count(CONNECTIONS as u64 * EACH),
        ..Load::on(Target::Plain(url.clone()))
    };
    let content = Stored {
        id: ContentId::mint(ShardNo(1), 1, 1),
        node: url,
        expected: Some((4, hash(b"same"))),
    };
    let report = on(&load, Operation::Get, &[content]);
    assert_eq!(report.all.operations, CONNECTIONS as u64 * EACH);
    let mut counts = counts.lock().expect("no panic").clone();
    counts.sort_unstable();
    let few = counts[CONNECTIONS / 10];
    assert!(
        few >= EACH / 2,
        "a tenth asked {few} times at most: {counts:?}"
    );
}
