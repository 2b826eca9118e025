//! Reads that meet failures, and the catalog's other routes.

use std::time::Instant;

use client::api::{Client, Endpoint, Filter, Options, Prefix, ReadError};
use wire::{Code, ContentId};

use crate::fake::{Fake, Fault};
use crate::{client_of, client_with, nobody, pattern};

/// All bytes of a content, after a prefix that is here already.
async fn read_from(client: &Client, id: ContentId, prefix: &[u8]) -> Result<Vec<u8>, ReadError> {
    let item = client.info(id, None).await?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(prefix);
    let mut reading = client.read(
        item,
        Prefix {
            hasher,
            bytes: prefix.len() as u64,
        },
    );
    let mut all = prefix.to_vec();
    while let Some(bytes) = reading.next().await? {
        all.extend_from_slice(&bytes);
    }
    Ok(all)
}

async fn read(client: &Client, id: ContentId) -> Result<Vec<u8>, ReadError> {
    read_from(client, id, b"").await
}

// If this fails, a broken connection in the middle of a large download ends it, or spoils it.
#[tokio::test]
async fn a_read_goes_on_where_its_connection_broke() {
    let fake = Fake::start();
    let bytes = pattern(1_000_000);
    let id = fake.put("x", &bytes);
    fake.fail("GET /retrieve/", Fault::CutAfter(400_000));
    fake.fail("GET /retrieve/", Fault::CutAfter(1));
    assert_eq!(read(&client_of(&fake), id).await.expect("reads"), bytes);
    let seen = fake.seen("GET /retrieve/");
    let ranges: Vec<&str> = seen.iter().map(|seen| seen.header("range")).collect();
    assert_eq!(ranges, ["", "bytes=400000-", "bytes=400001-"]);
    let tag = format!("\"{}\"", crate::fake::hash(&bytes).hex());
    assert!(
        seen.iter().all(|seen| seen.header("if-match") == tag),
        "each names the version"
    );
}

// If this fails, resumed downloads start over, or end too early.
#[tokio::test]
async fn a_prefix_is_not_read_again() {
    let fake = Fake::start();
    let bytes = pattern(100_000);
    let id = fake.put("x", &bytes);
    let client = client_of(&fake);
    assert_eq!(
        read_from(&client, id, &bytes[..60_000])
            .await
            .expect("reads"),
        bytes
    );
    assert_eq!(
        fake.seen("GET /retrieve/")[0].header("range"),
        "bytes=60000-"
    );
    assert_eq!(read_from(&client, id, &bytes).await.expect("reads"), bytes);
    assert_eq!(
        fake.seen("GET /retrieve/").len(),
        1,
        "nothing was left to ask for"
    );
}

// If this fails, a server or proxy without ranges spoils resumed downloads.
#[tokio::test]
async fn an_answer_that_ignores_the_range_is_skipped_to_it() {
    let fake = Fake::start();
    let bytes = pattern(100_000);
    let id = fake.put("x", &bytes);
    fake.fail("GET /retrieve/", Fault::IgnoreRange);
    let all = read_from(&client_of(&fake), id, &bytes[..60_000])
        .await
        .expect("reads");
    assert_eq!(all, bytes);
}

// If this fails, wrong bytes are handed out as a good download.
#[tokio::test]
async fn wrong_bytes_are_an_error() {
    let fake = Fake::start();
    let id = fake.put("x", &pattern(10));
    fake.fail("GET /retrieve/", Fault::FlipBit);
    let error = read(&client_of(&fake), id).await.expect_err("another hash");
    assert!(matches!(error, ReadError::Mismatch { .. }), "{error}");
    let error = read_from(&client_of(&fake), id, b"wrong")
        .await
        .expect_err("another prefix");
    assert!(matches!(error, ReadError::Mismatch { .. }), "{error}");
}

// If this fails, a download mixes two versions of a content.
#[tokio::test]
async fn an_update_in_the_middle_ends_the_read() {
    let fake = Fake::start();
    let id = fake.put("x", &pattern(100_000));
    let client = client_of(&fake);
    let item = client.info(id, None).await.expect("there");
    fake.fail("GET /retrieve/", Fault::CutAfter(50_000));
    let mut reading = client.read(item, Prefix::default());
    reading.next().await.expect("reads").expect("bytes");
    fake.overwrite(id, b"new");
    let error = loop {
        match reading.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("two versions were mixed"),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error, ReadError::Changed(changed) if changed == id),
        "{error}"
    );
}

// If this fails, an empty file cannot be downloaded.
#[tokio::test]
async fn an_empty_content_is_read() {
    let fake = Fake::start();
    let id = fake.put("x", b"");
    assert_eq!(read(&client_of(&fake), id).await.expect("reads"), b"");
    assert_eq!(
        fake.seen("GET /retrieve/").len(),
        1,
        "that it exists was checked"
    );
}

// If this fails, a damaged or unreachable copy hides the good ones.
#[tokio::test]
async fn another_copy_is_read_when_one_fails() {
    let (fake, dead) = (Fake::start(), nobody());
    let id = fake.put("x", b"hello");
    fake.contents_at(&[&dead, &fake.url]);
    assert_eq!(read(&client_of(&fake), id).await.expect("reads"), b"hello");
    fake.contents_at(&[&fake.url, &fake.url]);
    fake.fail("GET /retrieve/", Fault::Refuse(Code::Damaged));
    assert_eq!(read(&client_of(&fake), id).await.expect("reads"), b"hello");
}

// If this fails, a redirect to the leader loses the access key, or runs in circles.
#[tokio::test]
async fn redirects_are_followed_with_the_key_up_to_a_bound() {
    let (fake, leader) = (Fake::start(), Fake::start());
    let id = fake.put("x", b"hello");
    let client = client_with(&fake, Some("secret"));
    let there = leader.put("x", b"hello");
    fake.fail(
        "GET /retrieve/",
        Fault::Redirect(307, format!("{}/retrieve/{there}", leader.url)),
    );
    assert_eq!(read(&client, id).await.expect("reads"), b"hello");
    assert_eq!(
        leader.seen("GET /retrieve/")[0].header("authorization"),
        "Bearer secret"
    );
    for _ in 0..20 {
        fake.fail(
            "GET /retrieve/",
            Fault::Redirect(307, format!("/retrieve/{id}")),
        );
    }
    let error = read(&client, id).await.expect_err("circles");
    assert!(error.to_string().contains("redirects"), "{error}");
}

// If this fails, whoever signs users on in front of the cluster gets its access key.
#[tokio::test]
async fn a_redirect_of_another_program_is_not_followed() {
    let (fake, other) = (Fake::start(), Fake::start());
    let id = fake.put("x", b"hello");
    other.mirror(&fake, id);
    let client = client_with(&fake, Some("secret"));
    for status in [301, 302, 303, 308] {
        for path in ["content", "retrieve"] {
            let to = format!("{}/{path}/{id}", other.url);
            fake.fail(
                &format!("GET /{path}/"),
                Fault::Redirect(status, to.clone()),
            );
            let error = read(&client, id).await.expect_err("another program");
            let text = error.to_string();
            assert!(
                text.contains(&status.to_string()) && text.contains(&to),
                "{text}"
            );
        }
    }
    assert!(other.seen("").is_empty());
}

// If this fails, `list` shows the first page only, or more than was asked for.
#[tokio::test]
async fn a_listing_walks_all_pages_up_to_its_limit() {
    let fake = Fake::start();
    let ids: Vec<ContentId> = (0..5).map(|_| fake.put("x", b"")).collect();
    let client = client_of(&fake);
    for (limit, expected) in [(u64::MAX, 5), (5, 5), (3, 3), (0, 0)] {
        let mut listing = client.list(Filter::default(), limit);
        let mut listed = Vec::new();
        while let Some(item) = listing.next().await.expect("lists") {
            listed.push(item.row.id);
        }
        assert_eq!(listed, ids[..expected]);
        assert_eq!(
            listing.next().await.expect("lists"),
            None,
            "the end stays the end"
        );
    }
    let after = Filter {
        after: Some(ids[3]),
        ..Filter::default()
    };
    let last = client
        .list(after, 9)
        .next()
        .await
        .expect("lists")
        .expect("one");
    assert_eq!(last.row.id, ids[4]);
}

// If this fails, filters are sent under names that no distributor knows.
#[tokio::test]
async fn filters_are_sent() {
    let fake = Fake::start();
    let filter = Filter {
        filename: Some("a b*".to_owned()),
        collection: Some("docs".to_owned()),
        after: None,
    };
    client_of(&fake)
        .list(filter, 7)
        .next()
        .await
        .expect("lists");
    let seen = &fake.seen("GET /content")[0];
    assert_eq!(seen.parameter("filename").as_deref(), Some("a b*"));
    assert_eq!(seen.parameter("collection").as_deref(), Some("docs"));
    assert_eq!(seen.parameter("limit").as_deref(), Some("7"));
}

// If this fails, a distributor that restarts makes every command fail.
#[tokio::test]
async fn questions_are_repeated_while_that_can_help() {
    let fake = Fake::start();
    let id = fake.put("x", b"hello");
    fake.fail("GET /content/", Fault::Drop);
    fake.fail("GET /content/", Fault::Refuse(Code::CatalogUnavailable));
    let item = client_of(&fake).info(id, Some(3)).await.expect("there");
    assert_eq!(item.row.id, id);
    assert_eq!(fake.seen("GET /content/")[2].query, "min_version=3");
    let places = client_of(&fake).places(3).await.expect("places");
    assert_eq!(places.len(), 3);
}

// If this fails, a wrong address makes the user wait as long as a restart would.
#[tokio::test]
async fn an_address_without_a_service_fails_soon() {
    let fake = Fake::absent(&nobody());
    let begun = std::time::Instant::now();
    let error = client_of(&fake).nodes().await.expect_err("nobody is there");
    assert!(
        matches!(error, client::api::RequestError::Unreachable { .. }),
        "{error}"
    );
    assert!(begun.elapsed() < std::time::Duration::from_secs(5));
}

// If this fails, a distributor that hangs holds up everybody who knows another one, for half a minute.
#[tokio::test]
async fn a_distributor_that_hangs_is_left_for_the_next() {
    let (hangs, answers) = (Fake::start(), Fake::start());
    let id = answers.put("x", b"bytes");
    for _ in 0..3 {
        hangs.fail("GET /content/", Fault::Silence);
    }
    let at = |fake: &Fake| fake.url.parse::<Endpoint>().expect("a base URL");
    let mut options = Options::new(at(&hangs));
    options.others = vec![at(&answers)];
    let client = Client::new(options).expect("a client");
    let begun = Instant::now();
    let item = client.info(id, None).await.expect("the other one knows it");
    let took = begun.elapsed();
    assert_eq!(item.row.size, 5);
    assert!((2.0..15.0).contains(&took.as_secs_f64()), "{took:?}");
    client
        .info(id, None)
        .await
        .expect("it is asked from now on");
    assert_eq!(hangs.seen("GET /content/").len(), 1);
}
