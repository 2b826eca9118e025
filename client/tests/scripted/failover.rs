//! A leader dies, and another node takes over: what the library does meanwhile.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use bytes::Bytes;
use client::api::{Client, Condition, Metadata, Meter, Options, Prefix, ReadError, Source, Upload};
use wire::{Code, ContentId};

use crate::fake::{Fake, Fault};
use crate::{client_of, nobody, patient_client, pattern};

fn upload_of(bytes: impl Into<Bytes>) -> Upload {
    Upload {
        source: Source::Memory(bytes.into()),
        metadata: Metadata {
            filename: Some("x".to_owned()),
            ..Metadata::default()
        },
    }
}

async fn read(client: &Client, id: ContentId) -> Result<Vec<u8>, ReadError> {
    let item = client.info(id, None).await?;
    let mut reading = client.read(item, Prefix::default());
    let mut all = Vec::new();
    while let Some(bytes) = reading.next().await? {
        all.extend_from_slice(&bytes);
    }
    Ok(all)
}

// If this fails, a download ends with the node that it came from, although another one has it.
#[tokio::test]
async fn a_read_goes_on_at_another_copy() {
    let (first, second) = (Fake::start(), Fake::start());
    let bytes = pattern(1_000_000);
    let id = first.put("x", &bytes);
    second.mirror(&first, id);
    first.contents_at(&[&first.url, &second.url]);
    first.fail("GET /retrieve/", Fault::CutAfter(400_000));
    assert_eq!(read(&client_of(&first), id).await.expect("reads"), bytes);
    let there = &second.seen("GET /retrieve/")[0];
    assert_eq!(there.header("range"), "bytes=400000-");
    assert_eq!(first.seen("GET /retrieve/").len(), 1);
}

// If this fails, a node that hangs holds up every read of what others have, too.
#[tokio::test]
async fn a_copy_that_hangs_is_not_waited_for() {
    let (first, second) = (Fake::start(), Fake::start());
    let id = first.put("x", b"hello");
    second.mirror(&first, id);
    first.contents_at(&[&first.url, &second.url]);
    first.fail("GET /retrieve/", Fault::DropAfter(Duration::from_secs(60)));
    let begun = Instant::now();
    assert_eq!(read(&client_of(&first), id).await.expect("reads"), b"hello");
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "{:?}",
        begun.elapsed()
    );
}

// If this fails, a follower that is a moment behind makes a read fail that the leader could serve.
#[tokio::test]
async fn one_copy_that_is_behind_ends_no_read() {
    let (behind, leader) = (Fake::start(), Fake::start());
    let id = behind.put("x", b"old");
    leader.mirror(&behind, id);
    leader.overwrite(id, b"newer");
    leader.contents_at(&[&behind.url, &leader.url]);
    assert_eq!(
        read(&client_of(&leader), id).await.expect("reads"),
        b"newer"
    );
    assert_eq!(behind.seen("GET /retrieve/").len(), 1);
}

// If this fails, a read gives up when all nodes that it knew are gone, although others are named now.
#[tokio::test]
async fn it_is_asked_again_who_has_a_content() {
    let (dist, other) = (Fake::start(), Fake::start());
    let id = dist.put("x", b"hello");
    other.mirror(&dist, id);
    let (dead, gone) = (nobody(), nobody());
    dist.contents_at(&[&dead, &gone]);
    let client = client_of(&dist);
    let item = client.info(id, None).await.expect("there");
    dist.contents_at(&[]);
    let mut reading = client.read(item, Prefix::default());
    let named = dist.clone();
    let url = other.url.clone();
    let taken_over = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(500)).await;
        named.contents_at(&[&url]);
    });
    let bytes = reading.next().await.expect("reads").expect("bytes");
    assert_eq!(bytes, "hello");
    taken_over.await.expect("ends");
}

// If this fails, an upload waits for a shard without a leader although another shard could take it.
#[tokio::test]
async fn a_new_upload_goes_elsewhere_while_nobody_leads() {
    let fake = Fake::start();
    fake.fail("PUT /store/", Fault::Refuse(Code::NoLeader));
    let receipt = client_of(&fake)
        .upload(&upload_of("x"), &Meter::default())
        .await
        .expect("uploads");
    let sent = fake.seen("PUT /store/");
    assert_ne!(sent[0].path, sent[1].path, "another place, another id");
    assert!(sent[1].path.ends_with(&receipt.id.to_string()));
    assert_eq!(fake.seen("GET /store").len(), 2);
}

// If this fails, an upload whose leader died is stored twice, or given up before another one leads.
#[tokio::test]
async fn an_upload_that_may_be_stored_follows_its_shard_for_ten_seconds() {
    let (dist, old) = (Fake::start(), Fake::start());
    dist.place_at(&old.url);
    old.fail("PUT /store/", Fault::DoAndDrop);
    for _ in 0..100 {
        dist.fail("PUT /store/", Fault::Refuse(Code::NoLeader));
    }
    let client = client_of(&dist);
    let upload = upload_of("x");
    let meter = Meter::default();
    let uploading = client.upload(&upload, &meter);
    let elected = dist.clone();
    let electing = async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        elected.heal();
    };
    let (receipt, ()) = tokio::join!(uploading, electing);
    let receipt = receipt.expect("uploads");
    let ids = |fake: &Fake| {
        let seen = fake.seen("PUT /store/").into_iter();
        seen.map(|seen| seen.path).collect::<Vec<_>>()
    };
    let expected = format!("/store/{}", receipt.id);
    let sent = [ids(&old), ids(&dist)].concat();
    assert!(sent.iter().all(|path| *path == expected), "{sent:?}");
    assert_eq!(ids(&old).len(), 1);
}

// If this fails, an update fails whenever the leader of its content dies.
#[tokio::test]
async fn an_update_goes_to_the_next_leader() {
    let (dist, old) = (Fake::start(), Fake::start());
    let id = dist.put("x", b"old");
    dist.contents_at(&[&old.url]);
    old.fail("PUT /update/", Fault::Drop);
    dist.fail("PUT /update/", Fault::Refuse(Code::NoLeader));
    let client = client_of(&dist);
    let updated = client
        .update(id, &upload_of("new"), Condition::Any, &Meter::default())
        .await;
    assert_eq!(updated.expect("updates").version, 2);
    assert_eq!(old.seen("PUT /update/").len(), 1);
    assert_eq!(dist.content(id).expect("there").bytes, b"new");
}

/// A node whose process stands still: the system takes connections for it, and some of what is sent.
fn hung() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    (listener, url)
}

/// What comes about in a few seconds.
async fn soon<T>(outcome: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(Duration::from_secs(10), outcome).await;
    outcome.expect("not held up")
}

// If this fails, a node that hangs, or lost its power, holds uploads up for a minute although another
// one leads.
#[tokio::test]
async fn uploads_leave_a_leader_that_hangs() {
    let leaves = async |bytes| {
        let (dist, (_old, url)) = (Fake::start(), hung());
        dist.place_at(&url);
        let (client, upload) = (client_of(&dist), upload_of(bytes));
        let uploaded = soon(client.upload(&upload, &Meter::default())).await;
        let id = uploaded.expect("uploads").id;
        assert_eq!(
            dist.seen("PUT /store/")[0].path,
            format!("/store/{id}"),
            "under the same id"
        );
        assert_eq!(dist.seen("GET /store").len(), 1, "there is one place");
    };
    // The second one is more than the system takes.
    tokio::join!(leaves(pattern(1)), leaves(pattern(32_000_000)));
}

// If this fails, an empty file is given up on with its leader: no byte of it says that it came further.
#[tokio::test]
async fn an_empty_upload_has_patience_for_the_next_leader() {
    let (dist, (_old, url)) = (Fake::start(), hung());
    dist.place_at(&url);
    dist.fail("PUT /store/", Fault::Refuse(Code::NoLeader));
    let client = patient_client(&dist, None, Duration::from_secs(1));
    let upload = upload_of("");
    let uploaded = soon(client.upload(&upload, &Meter::default())).await;
    let id = uploaded.expect("uploads").id;
    assert!(dist.content(id).expect("stored").bytes.is_empty());
}

// If this fails, a node that hangs holds an update up for a minute although another one leads.
#[tokio::test]
async fn updates_leave_a_leader_that_hangs() {
    let (dist, (_old, url)) = (Fake::start(), hung());
    let id = dist.put("x", b"old");
    dist.contents_at(&[&url]);
    let client = patient_client(&dist, None, Duration::from_secs(1));
    let (upload, meter) = (upload_of(""), Meter::default());
    let updated = soon(client.update(id, &upload, Condition::Any, &meter)).await;
    assert_eq!(updated.expect("updates").version, 2);
}

/// Returns when so many requests have come whose method and path begin so.
async fn until_seen(fake: &Fake, request: &str, least: usize) {
    soon(async {
        while fake.seen(request).len() < least {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

// If this fails, every slow answer costs the distributors requests, or a node that leads is left while
// it still syncs.
#[tokio::test]
async fn a_leader_that_is_slow_is_waited_for() {
    let fake = Fake::start();
    for _ in 0..16 {
        fake.fail("PUT /store/", Fault::DropAfter(Duration::from_secs(60)));
    }
    let client = client_of(&fake);
    let begun = Instant::now();
    for _ in 0..16 {
        let client = client.clone();
        tokio::spawn(async move { client.upload(&upload_of("x"), &Meter::default()).await });
    }
    until_seen(&fake, "PUT /store/", 16).await;
    tokio::time::sleep(Duration::from_millis(1_500).saturating_sub(begun.elapsed())).await;
    let is_soon = fake.seen("GET /nodes").is_empty();
    let waited = begun.elapsed() >= Duration::from_secs(2);
    assert!(is_soon || waited, "most answers come soon");
    until_seen(&fake, "GET /nodes", 1).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let asked = fake.seen("GET /nodes").len() as u64;
    let seconds = begun.elapsed().as_secs();
    assert!(asked <= seconds, "{asked} in {seconds} s for all together");
    assert_eq!(fake.seen("PUT /store/").len(), 16);
}

// If this fails, an upload goes to and fro between two nodes for as long as a distributor is wrong about
// who leads, and neither has the time to answer.
#[tokio::test]
async fn the_same_node_is_left_once() {
    let (dist, leader) = (Fake::start(), Fake::start());
    dist.place_at(&leader.url);
    dist.fail("PUT /store/", Fault::WrongNode(leader.url.clone()));
    for _ in 0..2 {
        let slow = Fault::DropAfter(Duration::from_secs(5));
        leader.fail("PUT /store/", slow);
    }
    let begun = Instant::now();
    client_of(&dist)
        .upload(&upload_of("x"), &Meter::default())
        .await
        .expect("uploads");
    assert_eq!(leader.seen("PUT /store/").len(), 2);
    assert!(begun.elapsed() > Duration::from_secs(2 + 5));
}

// If this fails, a delete fails while its shard has no leader.
#[tokio::test]
async fn a_delete_is_repeated_until_somebody_leads() {
    let fake = Fake::start();
    let id = fake.put("x", b"hello");
    for _ in 0..3 {
        fake.fail("DELETE /content/", Fault::Refuse(Code::NoLeader));
    }
    let deleted = client_of(&fake).delete(id, None).await;
    assert_eq!(deleted.expect("deletes").id, id);
}

// If this fails, one distributor that is restarted takes the whole cluster away from a client that
// knows another.
#[tokio::test]
async fn another_distributor_is_asked_at_once() {
    let fake = Fake::start();
    let id = fake.put("x", b"hello");
    let mut options = Options::new(nobody().parse().expect("a base URL"));
    options.others = vec![fake.url.parse().expect("a base URL")];
    let client = Client::new(options).expect("a client");
    let begun = Instant::now();
    assert_eq!(read(&client, id).await.expect("reads"), b"hello");
    assert_eq!(client.delete(id, None).await.expect("deletes").id, id);
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "nobody is asked again"
    );
    assert_eq!(client.endpoint().as_str(), fake.url);
}

// If this fails, a distributor that lost its catalog keeps a client from the one that has it.
#[tokio::test]
async fn another_distributor_is_asked_when_one_is_unable() {
    for code in [Code::CatalogUnavailable, Code::Overloaded, Code::NoNode] {
        let (unable, able) = (Fake::start(), Fake::start());
        let id = able.put("x", b"hello");
        for _ in 0..50 {
            unable.fail("", Fault::Refuse(code));
        }
        let mut options = Options::new(unable.url.parse().expect("a base URL"));
        options.others = vec![able.url.parse().expect("a base URL")];
        let client = Client::new(options).expect("a client");
        assert_eq!(client.info(id, None).await.expect("answers").row.id, id);
        client.nodes().await.expect("answers");
        assert_eq!(unable.seen("").len(), 1, "{code:?}");
    }
}

// If this fails, distributors that are all unable for a moment are given up after one round.
#[tokio::test]
async fn all_distributors_are_asked_again_when_all_were_unable() {
    let (first, second) = (Fake::start(), Fake::start());
    let id = first.put("x", b"hello");
    second.mirror(&first, id);
    for fake in [&first, &second] {
        fake.fail("GET /content/", Fault::Refuse(Code::CatalogUnavailable));
    }
    let mut options = Options::new(first.url.parse().expect("a base URL"));
    options.others = vec![second.url.parse().expect("a base URL")];
    let client = Client::new(options).expect("a client");
    assert_eq!(client.info(id, None).await.expect("answers").row.id, id);
    assert_eq!(first.seen("").len() + second.seen("").len(), 3);
}

// If this fails, a user whose distributors are all restarting gets an error after one round.
#[tokio::test]
async fn all_distributors_are_asked_again_when_all_were_away() {
    let (first, second) = (Fake::start(), Fake::start());
    let id = second.put("x", b"hello");
    first.fail("GET /content/", Fault::Drop);
    second.fail("GET /content/", Fault::Drop);
    first.mirror(&second, id);
    let mut options = Options::new(first.url.parse().expect("a base URL"));
    options.others = vec![second.url.parse().expect("a base URL")];
    let client = Client::new(options).expect("a client");
    assert_eq!(client.info(id, None).await.expect("answers").row.id, id);
}
