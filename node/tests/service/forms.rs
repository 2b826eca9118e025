//! Uploads as forms, written byte by byte as a browser sends them.

use reqwest::{Method, Response, StatusCode};
use wire::Code;
use wire::content::{StoreOutcome, StoreOutcomes};

use crate::support::{Cluster, error, noise, receipt};

/// A form of parts, each a disposition with other headers, and bytes.
fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (head, bytes) in parts {
        body.extend_from_slice(b"--B\r\nContent-Disposition: form-data; ");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(b"\r\n\r\n");
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--B--\r\n");
    body
}

async fn post(cluster: &Cluster, method: Method, path: &str, body: Vec<u8>) -> Response {
    let request = cluster.ask(method, 0, path).body(body);
    let request = request.header("content-type", "multipart/form-data; boundary=B");
    request.send().await.expect("answers")
}

async fn store(cluster: &Cluster, parts: &[(&str, &[u8])]) -> Response {
    post(cluster, Method::POST, "/store", form(parts)).await
}

// If this fails, the upload form of every browser, and `curl -F`, stop working.
#[tokio::test]
async fn one_file_is_answered_with_its_receipt() {
    let cluster = Cluster::start(1).await;
    let id = cluster.mint(0).await.to_string();
    let stored = receipt(
        store(
            &cluster,
            &[
                ("name=\"id\"", id.as_bytes()),
                ("name=\"collection\"", b"photos"),
                ("name=\"attributes\"", br#"{"year":2026}"#),
                (
                    "name=\"file\"; filename=\"a b.png\"\r\nContent-Type: image/png",
                    b"bytes",
                ),
                ("name=\"submit\"", b"Upload"),
            ],
        )
        .await,
    )
    .await;
    assert_eq!(
        (stored.id.to_string(), stored.filename.as_str()),
        (id, "a b.png")
    );
    assert_eq!(cluster.bytes(0, stored.id).await, b"bytes");
    let listed = cluster.listed(stored.id).await.expect("is listed");
    assert_eq!(listed["collection"], "photos");
    assert_eq!(listed["attributes"]["year"], 2026);
    assert_eq!(listed["content_type"], "image/png");

    let minted = receipt(store(&cluster, &[("name=file; filename=x.bin", b"")]).await).await;
    assert_eq!((minted.size, minted.filename.as_str()), (0, "x.bin"));
    assert_eq!(cluster.bytes(0, minted.id).await, b"");

    // Some programs say how long each part is.
    let head = "name=file; filename=y\r\nContent-Length: 3";
    let told = receipt(store(&cluster, &[(head, b"abc")]).await).await;
    assert_eq!(cluster.bytes(0, told.id).await, b"abc");
    cluster.stop().await;
}

// If this fails, browsers do not know what to do with what `curl -F` and `curl -T` stored.
#[tokio::test]
async fn a_type_that_nobody_told_is_that_of_the_file_name() {
    let cluster = Cluster::start(1).await;
    let file = "name=file; filename=README.md";
    let octets = format!("{file}\r\nContent-Type: application/octet-stream");
    for part in [file, octets.as_str()] {
        let stored = receipt(store(&cluster, &[(part, b"# Title")]).await).await;
        let read = cluster.get(0, &format!("/retrieve/{}", stored.id)).await;
        assert_eq!(read.headers()["content-type"], "text/markdown", "{part}");
    }
    for (sent, kept) in [
        (None, "text/markdown"),
        (Some("application/octet-stream"), "text/markdown"),
        (Some("text/plain"), "text/plain"),
    ] {
        let path = format!("/store/{}?filename=README.md", cluster.mint(0).await);
        let request = cluster.ask(Method::PUT, 0, &path).body("# Title");
        let request = match sent {
            Some(sent) => request.header("content-type", sent),
            None => request,
        };
        let stored = receipt(request.send().await.expect("answers")).await;
        let read = cluster.get(0, &format!("/retrieve/{}", stored.id)).await;
        assert_eq!(read.headers()["content-type"], kept, "{sent:?}");
    }
    cluster.stop().await;
}

// If this fails, one bad file of a form loses the others, or hides behind them.
#[tokio::test]
async fn several_files_have_an_outcome_each_in_their_order() {
    let cluster = Cluster::start(1).await;
    let large = noise(3 << 20, 3);
    let all = store(
        &cluster,
        &[
            ("name=file; filename=1", b"one"),
            ("name=file; filename=2", &large),
            ("name=file; filename=3", b"three"),
        ],
    )
    .await;
    assert_eq!(all.status(), StatusCode::OK);
    let all: StoreOutcomes = all.json().await.expect("outcomes");
    let [
        StoreOutcome::Stored(one),
        StoreOutcome::Stored(two),
        StoreOutcome::Stored(three),
    ] = &all.items[..]
    else {
        panic!("{all:?}");
    };
    assert_eq!((one.size, two.size, three.size), (3, 3 << 20, 5));
    assert!(cluster.bytes(0, two.id).await == large);

    let taken = one.id.to_string();
    let mixed = store(
        &cluster,
        &[
            ("name=file; filename=4", b"four"),
            ("name=id", taken.as_bytes()),
            ("name=file; filename=5", b"other bytes"),
            ("name=\"file\"; filename*=UTF-8''a%00b", b"six"),
            ("name=file; filename=7", b"seven"),
        ],
    )
    .await;
    assert_eq!(mixed.status(), StatusCode::MULTI_STATUS);
    let id = mixed.headers()["x-request-id"]
        .to_str()
        .expect("text")
        .to_owned();
    let mixed: StoreOutcomes = mixed.json().await.expect("outcomes");
    let codes: Vec<_> = mixed
        .items
        .iter()
        .map(|item| match item {
            StoreOutcome::Stored(_) => None,
            StoreOutcome::Failed(error) => {
                assert_eq!(error.request_id, id);
                Some(error.code)
            }
        })
        .collect();
    assert_eq!(
        codes,
        [
            None,
            Some(Code::Conflict),
            Some(Code::InvalidMetadata),
            None
        ]
    );
    cluster.stop().await;
}

// If this fails, a program is told that some files of its form are stored when the only one is refused,
// or gets the reason wrapped up with another one that is not true.
#[tokio::test]
async fn a_large_file_that_is_refused_is_answered_with_its_error() {
    let cluster = Cluster::start(1).await;
    let taken = cluster.store(0, b"other").await.id.to_string();
    let large = noise(4 << 20, 9);
    let refused = [
        ("name=\"id\"", taken.as_bytes()),
        ("name=\"file\"; filename*=UTF-8''a%00b", &large[..]),
    ];
    let answer = store(&cluster, &refused).await;
    assert_eq!(error(answer).await.code, Code::InvalidMetadata);

    // What comes after it is not read, and nothing is said of it.
    let file: (&str, &[u8]) = ("name=file; filename=a", b"a");
    let mixed = store(&cluster, &[file, refused[0], refused[1], file]).await;
    assert_eq!(mixed.status(), StatusCode::MULTI_STATUS);
    let mixed: StoreOutcomes = mixed.json().await.expect("outcomes");
    assert!(
        matches!(
            &mixed.items[..],
            [StoreOutcome::Stored(_), StoreOutcome::Failed(failed)]
                if failed.code == Code::InvalidMetadata
        ),
        "{mixed:?}"
    );
    assert_eq!(cluster.stats(0).await.contents, 2);
    cluster.stop().await;
}

// If this fails, a form replaces nothing, or another content than it names.
#[tokio::test]
async fn a_form_updates_the_content_that_it_names() {
    let cluster = Cluster::start(1).await;
    let stored = cluster.store(0, b"old").await;
    let id = stored.id.to_string();
    let file: (&str, &[u8]) = ("name=file; filename=new.txt", b"new");

    let named = form(&[("name=id", id.as_bytes()), file]);
    for (method, version) in [(Method::PUT, 2), (Method::POST, 3)] {
        let updated = receipt(post(&cluster, method, "/update", named.clone()).await).await;
        assert_eq!(
            (updated.version, updated.filename.as_str()),
            (version, "new.txt")
        );
    }
    let path = format!("/update/{id}");
    assert_eq!(
        receipt(post(&cluster, Method::PUT, &path, form(&[file])).await)
            .await
            .version,
        4
    );
    assert_eq!(cluster.bytes(0, stored.id).await, b"new");

    let other = cluster.store(0, b"other").await.id.to_string();
    let twice = form(&[("name=id", other.as_bytes()), file]);
    let twice = post(&cluster, Method::PUT, &path, twice).await;
    assert_eq!(error(twice).await.code, Code::MalformedRequest);

    let nameless = post(&cluster, Method::PUT, "/update", form(&[file])).await;
    assert_eq!(error(nameless).await.code, Code::MalformedRequest);
    let two = post(&cluster, Method::PUT, &path, form(&[file, file])).await;
    assert_eq!(two.status(), StatusCode::MULTI_STATUS);
    let unknown = cluster.mint(0).await.to_string();
    let unknown = form(&[("name=id", unknown.as_bytes()), file]);
    let unknown = post(&cluster, Method::PUT, "/update", unknown).await;
    assert_eq!(error(unknown).await.code, Code::NotFound);
    cluster.stop().await;
}

// If this fails, half a file is taken for a whole one.
#[tokio::test]
async fn a_broken_form_leaves_nothing_of_its_last_file() {
    let cluster = Cluster::start(1).await;
    let whole = form(&[("name=file; filename=a", b"some bytes")]);
    let end = whole.len();
    // Without the last line, its dashes, the boundary, and in the middle of the file.
    for cut in [end - 3, end - 4, end - 6, end - 9, end - 12, end - 20] {
        let answer = post(&cluster, Method::POST, "/store", whole[..cut].to_vec()).await;
        let code = error(answer).await.code;
        assert_eq!(code, Code::MalformedMultipart, "cut to {cut} of {end}");
    }
    assert_eq!(cluster.stats(0).await.contents, 0);

    let mut second = form(&[
        ("name=file; filename=a", b"1"),
        ("name=file; filename=b", b"2"),
    ]);
    second.truncate(second.len() - 8);
    let answer = post(&cluster, Method::POST, "/store", second).await;
    assert_eq!(answer.status(), StatusCode::MULTI_STATUS);
    let outcomes: StoreOutcomes = answer.json().await.expect("outcomes");
    assert!(matches!(
        &outcomes.items[..],
        [StoreOutcome::Stored(_), StoreOutcome::Failed(failed)]
            if failed.code == Code::MalformedMultipart
    ));
    assert_eq!(cluster.stats(0).await.contents, 1);
    cluster.stop().await;
}

// If this fails, a form that cannot be understood is answered with a riddle, or half obeyed.
#[tokio::test]
async fn forms_that_cannot_be_understood_are_refused() {
    let cluster = Cluster::start(1).await;
    let send = |kind: &'static str, body: Vec<u8>| {
        let request = cluster
            .ask(Method::POST, 0, "/store")
            .header("content-type", kind);
        request.body(body).send()
    };
    let file = || form(&[("name=file; filename=a", b"x")]);
    for kind in [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "text/plain",
        "x",
    ] {
        let answer = send(kind, file()).await.expect("answers");
        assert_eq!(error(answer).await.code, Code::MalformedMultipart, "{kind}");
    }
    for (parts, code) in [
        (vec![], Code::NoFile),
        (vec![("name=other", &b"x"[..])], Code::NoFile),
        (vec![("name=id", b"nonsense")], Code::MalformedId),
        (vec![("name=id", b"\xff")], Code::MalformedRequest),
        (
            vec![("name=collection", b"UPPER"), ("name=file", b"x")],
            Code::InvalidMetadata,
        ),
        (
            vec![("name=attributes", b"[1]"), ("name=file", b"x")],
            Code::InvalidMetadata,
        ),
        (vec![("name=attributes", &[b' '; 20_000])], Code::TooLarge),
        (vec![("filename=a", b"x")], Code::MalformedMultipart),
        (
            vec![("name=file; filename=\"open", b"x")],
            Code::MalformedMultipart,
        ),
        // Parts that lie about their length, both ways.
        (
            vec![("name=file\r\nContent-Length: 3", b"12345")],
            Code::MalformedMultipart,
        ),
        (
            vec![("name=file\r\nContent-Length: 500", b"12345")],
            Code::MalformedMultipart,
        ),
        (
            vec![("name=file\r\nContent-Length: x", b"12345")],
            Code::MalformedMultipart,
        ),
    ] {
        let answer = store(&cluster, &parts).await;
        assert_eq!(error(answer).await.code, code, "{parts:?}");
    }
    assert_eq!(cluster.stats(0).await.contents, 0);
    cluster.stop().await;
}
