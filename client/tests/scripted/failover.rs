//! A leader dies, and another node takes over: what the library does meanwhile.

use std::time::Duration;

use bytes::Bytes;
use client::api::{Client, Condition, Metadata, Meter, Options, Prefix, ReadError, Source, Upload};
use wire::{Code, ContentId};

use crate::fake::{Fake, Fault};
use crate::{client_of, nobody, pattern};

fn upload_of(bytes: &'static [u8]) -> Upload {
    Upload {
        source: Source::Memory(Bytes::from_static(bytes)),
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
    let begun = std::time::Instant::now();
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
        .upload(&upload_of(b"x"), &Meter::default())
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
    let upload = upload_of(b"x");
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
        .update(id, &upload_of(b"new"), Condition::Any, &Meter::default())
        .await;
    assert_eq!(updated.expect("updates").version, 2);
    assert_eq!(old.seen("PUT /update/").len(), 1);
    assert_eq!(dist.content(id).expect("there").bytes, b"new");
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
    let begun = std::time::Instant::now();
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
