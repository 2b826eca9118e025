//! Updates and deletes that meet failures.

use bytes::Bytes;
use client::api::{Client, Condition, Metadata, Meter, Source, UpdateError, Upload};
use wire::content::Receipt;
use wire::{Code, ContentId};

use crate::client_of;
use crate::fake::{Fake, Fault, hash};

async fn update(
    client: &Client,
    id: ContentId,
    bytes: &'static [u8],
    condition: Condition,
) -> Result<Receipt, UpdateError> {
    let metadata = Metadata {
        filename: Some("new".to_owned()),
        ..Metadata::default()
    };
    let upload = Upload {
        source: Source::Memory(Bytes::from_static(bytes)),
        metadata,
    };
    client
        .update(id, &upload, condition, &Meter::default())
        .await
}

fn conditions(fake: &Fake) -> Vec<String> {
    let seen = fake.seen("PUT /update/");
    seen.iter()
        .map(|seen| seen.header("if-match").trim_matches('"').to_owned())
        .collect()
}

// If this fails, an update is not made, or not recognised when it is repeated.
#[tokio::test]
async fn an_update_names_the_version_that_it_replaces() {
    let fake = Fake::start();
    let id = fake.put("x", b"old");
    let receipt = update(&client_of(&fake), id, b"new", Condition::Any)
        .await
        .expect("updates");
    assert_eq!((receipt.version, receipt.checksum), (2, hash(b"new")));
    assert_eq!(conditions(&fake), [hash(b"old").hex()]);
    assert_eq!(fake.content(id).expect("there").filename, "new");
}

// If this fails, an update whose answer is lost is made twice.
#[tokio::test]
async fn a_lost_answer_is_asked_for_with_the_same_condition() {
    let fake = Fake::start();
    let id = fake.put("x", b"old");
    fake.fail("PUT /update/", Fault::DoAndDrop);
    let receipt = update(&client_of(&fake), id, b"new", Condition::Any)
        .await
        .expect("updates");
    assert_eq!(receipt.version, 2);
    assert_eq!(conditions(&fake), vec![hash(b"old").hex(); 2]);
}

// If this fails, `update` fails by chance when others update too, or overwrites what it must not.
#[tokio::test]
async fn an_overtaken_update_is_made_again_only_without_a_condition() {
    let fake = Fake::start();
    let id = fake.put("x", b"old");
    fake.fail("PUT /update/", Fault::Refuse(Code::PreconditionFailed));
    update(&client_of(&fake), id, b"new", Condition::Any)
        .await
        .expect("updates");
    assert_eq!(
        fake.seen("GET /content/")[1].query,
        "min_version=2",
        "it looked for a newer one"
    );

    let only = Condition::Only(hash(b"something else"));
    let error = update(&client_of(&fake), id, b"newer", only)
        .await
        .expect_err("refused");
    let refused = Some(Code::PreconditionFailed);
    assert!(
        matches!(&error, UpdateError::Store(e) if e.code() == refused),
        "{error}"
    );
    assert_eq!(fake.content(id).expect("there").bytes, b"new");
}

// If this fails, an update overwrites what came after its own lost first attempt.
#[tokio::test]
async fn an_uncertain_update_that_was_overtaken_is_not_made_again() {
    let fake = Fake::start();
    let id = fake.put("x", b"old");
    fake.fail("PUT /update/", Fault::DoAndDrop);
    fake.fail("PUT /update/", Fault::Refuse(Code::PreconditionFailed));
    let error = update(&client_of(&fake), id, b"new", Condition::Any)
        .await
        .expect_err("unknown");
    assert!(matches!(error, UpdateError::Uncertain { .. }), "{error}");
}

// If this fails, updates fail after a leader change, or without a catalog.
#[tokio::test]
async fn the_leader_is_found() {
    let (fake, follower) = (Fake::start(), Fake::start());
    let id = fake.put("x", b"old");
    fake.contents_at(&[&follower.url]);
    follower.fail("PUT /update/", Fault::WrongNode(fake.url.clone()));
    update(&client_of(&fake), id, b"new", Condition::Any)
        .await
        .expect("updates");
    fake.contents_at(&[]);
    update(&client_of(&fake), id, b"newer", Condition::Any)
        .await
        .expect("updates");
    assert_eq!(
        fake.seen("GET /nodes").len(),
        1,
        "the catalog named no node"
    );
}

// If this fails, an unknown content is created by an update.
#[tokio::test]
async fn what_is_not_there_is_not_updated() {
    let fake = Fake::start();
    let id = fake.put("x", b"old");
    client_of(&fake).delete(id, None).await.expect("deletes");
    let error = update(&client_of(&fake), id, b"new", Condition::Any)
        .await
        .expect_err("gone");
    assert!(matches!(error, UpdateError::Look { .. }), "{error}");
    assert!(fake.seen("PUT /update/").is_empty());
}

// If this fails, a delete is lost when its connection breaks, or deletes other bytes.
#[tokio::test]
async fn a_delete_is_repeated_and_names_its_condition() {
    let fake = Fake::start();
    let id = fake.put("x", b"old");
    fake.fail("DELETE /content/", Fault::Drop);
    let only = Some(hash(b"old"));
    client_of(&fake).delete(id, only).await.expect("deletes");
    assert_eq!(fake.count(), 0);
    let seen = fake.seen("DELETE /content/");
    assert_eq!(seen.len(), 2);
    assert_eq!(
        seen[1].header("if-match"),
        format!("\"{}\"", hash(b"old").hex())
    );
}

// If this fails, bytes that changed on their way count as the new version.
#[tokio::test]
async fn a_receipt_for_other_bytes_than_the_updates_is_an_error() {
    let fake = Fake::start();
    let id = fake.put("x", b"old");
    let receipt = serde_json::json!({
        "id": id, "message": "", "filename": "x", "version": 2, "size": 1,
        "checksum": hash(b"other bytes"), "nodes": [], "degraded": false, "status": "OK",
    });
    let text: &'static str = receipt.to_string().leak();
    fake.fail("PUT /update/", Fault::Foreign(200, text));
    let error = update(&client_of(&fake), id, b"mine", Condition::Any)
        .await
        .expect_err("another hash");
    assert!(matches!(error, UpdateError::Mismatch { .. }), "{error}");
}
