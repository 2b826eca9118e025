//! Uploads that meet failures.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use client::api::{Client, Condition, Metadata, Meter, Source, SourceError, Upload, UploadError};
use futures_util::stream;
use wire::trace::TraceParent;
use wire::{Code, content::Receipt};

use crate::fake::{Fake, Fault, hash};
use crate::{client_of, client_with, nobody, patient_client, pattern};

fn upload_of(bytes: &[u8]) -> Upload {
    let metadata = Metadata {
        filename: Some("a b&c.txt".to_owned()),
        ..Metadata::default()
    };
    Upload {
        source: Source::Memory(Bytes::copy_from_slice(bytes)),
        metadata,
    }
}

async fn upload(client: &Client, bytes: &[u8]) -> Result<Receipt, UploadError> {
    client.upload(&upload_of(bytes), &Meter::default()).await
}

fn impatient(fake: &Fake) -> Client {
    patient_client(fake, None, Duration::from_secs(1))
}

/// The ids that uploads were sent under.
fn ids(fake: &Fake) -> Vec<String> {
    fake.seen("PUT /store/")
        .into_iter()
        .map(|seen| seen.path["/store/".len()..].to_owned())
        .collect()
}

// If this fails, an upload loses its bytes, its name or its type on the way.
#[tokio::test]
async fn an_upload_arrives_with_its_bytes_and_metadata() {
    let fake = Fake::start();
    let client = client_with(&fake, Some("secret"));
    let receipt = upload(&client, b"hello").await.expect("uploads");
    let stored = fake.content(receipt.id).expect("stored");
    assert_eq!(
        (stored.filename.as_str(), stored.bytes.as_slice()),
        ("a b&c.txt", b"hello".as_slice())
    );
    let seen = &fake.seen("PUT /store/")[0];
    assert_eq!(seen.header("content-type"), "text/plain");
    assert_eq!(seen.header("content-length"), "5");
    assert_eq!(seen.header("authorization"), "Bearer secret");
    assert_eq!(fake.seen("GET /store")[0].query, "size=5");
    // What services log of both requests can be found together.
    let trace = seen.header("traceparent");
    assert!(trace.parse::<TraceParent>().is_ok(), "{trace}");
    assert_eq!(fake.seen("GET /store")[0].header("traceparent"), trace);
    let name = seen.header("x-request-id");
    assert!(name.parse::<uuid::Uuid>().is_ok(), "{name}");
    assert_eq!(fake.seen("GET /store")[0].header("x-request-id"), name);
}

// If this fails, an answer that is lost on its way stores a content twice.
#[tokio::test]
async fn a_lost_answer_is_asked_for_under_the_same_id() {
    let fake = Fake::start();
    fake.fail("PUT /store/", Fault::DoAndDrop);
    fake.fail("PUT /store/", Fault::Drop);
    let receipt = upload(&client_of(&fake), &pattern(600_000))
        .await
        .expect("uploads");
    let sent = ids(&fake);
    assert_eq!(sent, vec![receipt.id.to_string(); 3]);
    assert_eq!(fake.count(), 1);
}

// If this fails, a file is uploaded in part, or not at all, when its first attempt breaks.
#[tokio::test]
async fn a_file_is_read_again_for_a_retry() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("large");
    let bytes = pattern(3_000_000);
    std::fs::write(&path, &bytes).expect("writes");
    let fake = Fake::start();
    fake.fail("PUT /store/", Fault::Refuse(Code::NoLeader));
    let metadata = Metadata {
        filename: Some("large".to_owned()),
        ..Metadata::default()
    };
    let upload = Upload {
        source: Source::File(path),
        metadata,
    };
    let meter = Meter::default();
    let receipt = client_of(&fake)
        .upload(&upload, &meter)
        .await
        .expect("uploads");
    assert_eq!(receipt.checksum, hash(&bytes));
    assert_eq!(fake.content(receipt.id).expect("stored").bytes, bytes);
    assert_eq!(
        meter.bytes(),
        3_000_000,
        "the meter starts anew with each attempt"
    );
}

// If this fails, a full node ends an upload that another one could take.
#[tokio::test]
async fn a_full_or_closed_node_leads_to_another_place() {
    for code in [Code::StorageFull, Code::ShardClosed] {
        let fake = Fake::start();
        fake.fail("PUT /store/", Fault::Refuse(code));
        let receipt = upload(&client_of(&fake), b"x").await.expect("uploads");
        let sent = ids(&fake);
        assert_eq!(sent.len(), 2);
        assert_ne!(sent[0], sent[1], "{code:?}: a new id");
        assert_eq!(sent[1], receipt.id.to_string());
    }
}

// If this fails, an upload that may be stored under one id is stored again under another.
#[tokio::test]
async fn an_uncertain_upload_never_gets_another_id() {
    let fake = Fake::start();
    fake.fail("PUT /store/", Fault::DoAndDrop);
    fake.fail("PUT /store/", Fault::Refuse(Code::StorageFull));
    let receipt = upload(&client_of(&fake), b"x").await.expect("uploads");
    assert_eq!(ids(&fake), vec![receipt.id.to_string(); 3]);
    assert!(
        !fake.seen("GET /nodes").is_empty(),
        "the shard's leader was looked up"
    );
    assert_eq!(fake.count(), 1);
}

// If this fails, a dead node makes uploads fail until the distributor notices.
#[tokio::test]
async fn a_node_that_is_down_leads_to_another_place() {
    let fake = Fake::start();
    let dead = nobody();
    fake.place_at(&dead);
    let revived = fake.clone();
    let moved = tokio::spawn(async move {
        while revived.seen("GET /store").len() < 2 {
            tokio::task::yield_now().await;
        }
        revived.place_at(&revived.url.clone());
    });
    let receipt = upload(&client_of(&fake), b"x").await.expect("uploads");
    moved.await.expect("ends");
    assert!(fake.content(receipt.id).is_some());
    assert!(fake.seen("GET /store").len() >= 2);
}

// If this fails, an upload does not follow its shard to a new leader.
#[tokio::test]
async fn the_leader_that_is_named_gets_the_upload() {
    let (fake, leader) = (Fake::start(), Fake::start());
    fake.fail("PUT /store/", Fault::WrongNode(format!("{}/", leader.url)));
    let receipt = upload(&client_of(&fake), b"x").await.expect("uploads");
    assert!(leader.content(receipt.id).is_some() && fake.content(receipt.id).is_none());
    assert_eq!(ids(&fake), ids(&leader), "under the same id");
}

// If this fails, an overloaded node is asked again before the time that it named.
#[tokio::test]
async fn retry_after_is_waited_for() {
    let fake = Fake::start();
    fake.fail("PUT /store/", Fault::RetryAfter(1));
    let begun = std::time::Instant::now();
    upload(&client_of(&fake), b"x").await.expect("uploads");
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

// If this fails, the client hammers the cluster with what can never succeed.
#[tokio::test]
async fn a_refusal_for_good_is_not_repeated() {
    for code in [
        Code::InvalidMetadata,
        Code::Unauthorized,
        Code::TooLarge,
        Code::IdRefused,
    ] {
        let fake = Fake::start();
        fake.fail("PUT /store/", Fault::Refuse(code));
        let error = upload(&client_of(&fake), b"x").await.expect_err("refused");
        assert!(
            matches!(&error, UploadError::Store(error) if error.code() == Some(code)),
            "{error}"
        );
        assert_eq!(ids(&fake).len(), 1);
    }
}

// If this fails, the user is told that nothing was stored although it may have been.
#[tokio::test]
async fn when_patience_ends_the_user_learns_what_is_known() {
    let fake = Fake::start();
    for _ in 0..100 {
        fake.fail("PUT /store/", Fault::Refuse(Code::NoLeader));
    }
    // Long enough for several attempts wherever each of them takes its time.
    let client = patient_client(&fake, None, Duration::from_secs(4));
    let error = upload(&client, b"x").await.expect_err("refused");
    assert!(matches!(error, UploadError::Store(_)), "{error}");
    assert!(ids(&fake).len() > 3, "several attempts");

    let fake = Fake::start();
    for _ in 0..100 {
        fake.fail("PUT /store/", Fault::Drop);
    }
    let error = upload(&impatient(&fake), b"x").await.expect_err("lost");
    assert!(matches!(error, UploadError::Uncertain { .. }), "{error}");
}

// If this fails, a large upload is given up on when its connection breaks late, as if it had been
// tried again all the time.
#[tokio::test]
async fn a_transfer_that_took_long_is_tried_again_when_it_breaks() {
    let fake = Fake::start();
    let long = Duration::from_millis(1_200);
    fake.fail("PUT /store/", Fault::DropAfter(long));
    let receipt = upload(&impatient(&fake), b"x").await.expect("uploads");
    fake.fail("PUT /update/", Fault::DropAfter(long));
    let (id, meter) = (receipt.id, Meter::default());
    impatient(&fake)
        .update(id, &upload_of(b"y"), Condition::Any, &meter)
        .await
        .expect("updates");
    assert_eq!(fake.content(id).expect("stored").bytes, b"y");

    // What comes no further than before is not tried for ever.
    for _ in 0..20 {
        fake.fail("PUT /store/", Fault::DropAfter(long));
    }
    let error = upload(&impatient(&fake), b"x").await.expect_err("lost");
    assert!(matches!(error, UploadError::Uncertain { .. }), "{error}");
    assert_eq!(ids(&fake).len(), 2 + 2);
}

// If this fails, an error page of a proxy is taken for a receipt, or ends in a panic.
#[tokio::test]
async fn answers_that_are_not_ours_are_errors() {
    let fake = Fake::start();
    fake.fail(
        "PUT /store/",
        Fault::Foreign(502, "<html>Bad Gateway</html>"),
    );
    upload(&client_of(&fake), b"x")
        .await
        .expect("a gateway's hiccup passes");
    fake.fail("PUT /store/", Fault::Foreign(200, "<html>Log in</html>"));
    let error = upload(&client_of(&fake), b"x")
        .await
        .expect_err("no receipt");
    assert!(error.to_string().contains("Log in") || format!("{error:?}").contains("Log in"));
}

// If this fails, bytes that changed on their way count as stored.
#[tokio::test]
async fn a_receipt_for_other_bytes_is_an_error() {
    let (fake, other) = (Fake::start(), Fake::start());
    let id = other.put("x", b"other bytes");
    let receipt = serde_json::json!({
        "id": id, "message": "", "filename": "x", "version": 1, "size": 1,
        "checksum": hash(b"other bytes"), "nodes": [], "degraded": false, "status": "OK",
    });
    let text: &'static str = receipt.to_string().leak();
    fake.fail("PUT /store/", Fault::Foreign(200, text));
    let error = upload(&client_of(&fake), b"mine")
        .await
        .expect_err("another hash");
    assert!(matches!(error, UploadError::Mismatch { .. }), "{error}");
}

// If this fails, a stream of unknown length is stored cut, or under another id than the receipt's.
#[tokio::test]
async fn a_stream_is_stored_whole_in_one_form() {
    let fake = Fake::start();
    let bytes = pattern(500_000);
    let pieces: Vec<_> = bytes
        .chunks(100_000)
        .map(|p| Ok(Bytes::copy_from_slice(p)))
        .collect();
    let metadata = Metadata {
        filename: Some("stream".to_owned()),
        ..Metadata::default()
    };
    let meter = Meter::default();
    let sent = client_of(&fake)
        .upload_stream(&metadata, stream::iter(pieces), &meter)
        .await;
    let receipt = sent.expect("uploads");
    assert_eq!(fake.content(receipt.id).expect("stored").bytes, bytes);
    assert_eq!(
        fake.seen("POST /store")[0].header("transfer-encoding"),
        "chunked"
    );
    assert_eq!(meter.bytes(), 500_000);
}

/// Uploads pieces as a stream, one each few milliseconds.
async fn upload_pieces(client: &Client, pieces: Vec<Vec<u8>>) -> Result<Receipt, UploadError> {
    let metadata = Metadata {
        filename: Some("stream".to_owned()),
        ..Metadata::default()
    };
    let slow = stream::unfold(pieces.into_iter(), |mut pieces| async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let piece = pieces.next()?;
        Some((Ok(Bytes::from(piece)), pieces))
    });
    let meter = Meter::default();
    let receipt = client.upload_stream(&metadata, slow, &meter).await?;
    assert_eq!(meter.bytes(), receipt.size);
    Ok(receipt)
}

// If this fails, a long pipe is lost with a node that was never reached.
#[tokio::test]
async fn a_stream_that_nobody_took_goes_to_another_place() {
    let fake = Fake::start();
    fake.place_at(&nobody());
    let revived = fake.clone();
    let moved = tokio::spawn(async move {
        while revived.seen("GET /store").len() < 2 {
            tokio::task::yield_now().await;
        }
        revived.place_at(&revived.url.clone());
    });
    let bytes = pattern(9 << 20);
    let pieces = vec![bytes[..8 << 20].to_vec(), bytes[8 << 20..].to_vec()];
    let receipt = upload_pieces(&client_of(&fake), pieces).await;
    let id = receipt.expect("uploads").id;
    moved.await.expect("ends");
    assert!(fake.content(id).expect("stored").bytes == bytes);
}

// If this fails, a stream is stored twice, or given up although all that was read of it is kept.
#[tokio::test]
async fn a_stream_is_sent_again_while_it_is_kept() {
    let fake = Fake::start();
    for fault in [
        Fault::Refuse(Code::StorageFull),
        Fault::Drop,
        Fault::DoAndDrop,
    ] {
        fake.fail("POST /store", fault);
    }
    let sent = upload_pieces(&client_of(&fake), vec![pattern(1_000); 3]).await;
    let id = sent.expect("uploads").id;
    assert_eq!(
        fake.content(id).expect("stored").bytes,
        pattern(1_000).repeat(3)
    );
    assert_eq!(fake.count(), 1, "under one id");
    assert_eq!(fake.seen("GET /store").len(), 2, "it is full");

    fake.fail("POST /store", Fault::Refuse(Code::StorageFull));
    let pieces = vec![vec![7; 8 << 20], vec![7]];
    let error = upload_pieces(&client_of(&fake), pieces).await;
    let error = error.expect_err("cannot be sent again");
    assert!(matches!(error, UploadError::Store(_)), "{error}");
}

// If this fails, a pipe that a full node refuses while it still comes is lost, or stored in part.
#[tokio::test]
async fn a_refused_stream_is_whole_elsewhere() {
    let fake = Fake::start();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    fake.place_at(&format!("http://{}", listener.local_addr().expect("bound")));
    let revived = fake.clone();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        stream.read_exact(&mut [0; 1_000]).expect("a head");
        revived.place_at(&revived.url.clone());
        let body = serde_json::to_string(&wire::ErrorBody::new(Code::StorageFull, "m", "r"));
        let body = body.expect("JSON");
        let head = format!("HTTP/1.1 507 X\r\nContent-Length: {}\r\n\r\n", body.len());
        stream
            .write_all((head + &body).as_bytes())
            .expect("a reader");
        std::io::copy(&mut stream, &mut std::io::sink()).ok();
    });
    let pieces: Vec<_> = (0..100).map(|piece| vec![piece; 1_000]).collect();
    let sent = upload_pieces(&client_of(&fake), pieces.clone()).await;
    let id = sent.expect("uploads").id;
    assert!(fake.content(id).expect("stored").bytes == pieces.concat());
}

// If this fails, half of a stream is stored as if it were the whole.
#[tokio::test]
async fn a_stream_that_fails_stores_nothing() {
    let fake = Fake::start();
    let pieces = vec![
        Ok(Bytes::from_static(b"half")),
        Err(std::io::Error::other("gone")),
    ];
    let metadata = Metadata {
        filename: Some("stream".to_owned()),
        ..Metadata::default()
    };
    let (client, meter) = (client_of(&fake), Meter::default());
    let sent = client
        .upload_stream(&metadata, stream::iter(pieces), &meter)
        .await;
    let error = sent.expect_err("the stream failed");
    let is_told = matches!(error, UploadError::Source(SourceError::Stream(_)));
    assert!(is_told, "not as a failure of the network: {error:?}");
    assert_eq!(fake.count(), 0);
}

/// A node that takes some of its first upload, calls `then`, and takes the rest. It counts the
/// connections that it is sent.
fn node_that_pauses(then: impl FnOnce() + Send + 'static) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let uri = format!("http://{}/store", listener.local_addr().expect("bound"));
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    std::thread::spawn(move || {
        let mut then = Some(then);
        for mut stream in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::SeqCst);
            stream.read_exact(&mut [0; 64 * 1024]).ok();
            if let Some(then) = then.take() {
                then();
            }
            std::io::copy(&mut stream, &mut std::io::sink()).ok();
        }
    });
    (uri, connections)
}

// If this fails, a file that cannot be read to its end is told as a failure of the network, and sent
// again and again.
#[tokio::test]
async fn a_file_that_breaks_off_is_told_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log");
    let file = std::fs::File::create(&path).expect("a file");
    file.set_len(64 << 20).expect("grows");
    let fake = Fake::start();
    let (uri, connections) = node_that_pauses(move || file.set_len(100).expect("shrinks"));
    fake.place_at(&uri);
    let mut upload = upload_of(b"");
    upload.source = Source::File(path.clone());
    let sent = impatient(&fake).upload(&upload, &Meter::default()).await;
    match sent.expect_err("it broke off") {
        UploadError::Source(SourceError::Read { path: told, source }) => {
            assert_eq!(told, path);
            assert!(source.to_string().contains("shorter"), "{source}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}
