//! A cluster that asks for a key.

use std::time::Duration;

use crate::stage::DESK;
use dist::{Access, Anonymous};
use webtest::Browser;
use wire::limits::SESSION_DEFAULT;

/// A distributor that asks for the key `open sesame`, and has no nodes.
async fn locked(folder: &std::path::Path) -> dist::Running {
    let config = dist::Config {
        name: "dist".parse().expect("a name"),
        bind: "127.0.0.1:0".parse().expect("an address"),
        public_url: None,
        database_url: format!("sqlite://{}/catalog.db", folder.display()),
        coordinator: None,
        copies: wire::Copies::ONE,
        access: Access {
            cluster_key: None,
            access_key: Some("open sesame".to_owned()),
            anonymous: Anonymous::None,
        },
        session: SESSION_DEFAULT,
        poll: Duration::from_secs(1),
        workers: 1,
        traces: None,
    };
    dist::start(config).await.expect("the distributor starts")
}

// If this fails, a cluster with a key has no console, or one that everybody gets into.
#[tokio::test(flavor = "multi_thread")]
async fn the_key_is_asked_for_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dist = locked(folder.path()).await;
    let browser = Browser::start(DESK).await.expect("the browser starts");
    let page = format!("{}/console/contents?sort=name", dist.url());
    browser.open(&page).await.expect("opens");
    browser.until_says("h1", "Sign in").await.expect("asks");
    browser
        .write("#key", "open wheat\u{e007}")
        .await
        .expect("types");
    browser
        .until_says(".wrong", "That is not the key")
        .await
        .expect("refuses");
    browser
        .write("#key", "open sesame\u{e007}")
        .await
        .expect("types");
    browser
        .until_says("main", "Nothing stored yet")
        .await
        .expect("opens");
    browser
        .until("location.search === '?sort=name'")
        .await
        .expect("is where it was wanted");
    assert_eq!(browser.eval("document.cookie").await.ok(), Some("".into()));
    browser.open(dist.url()).await.expect("opens");
    browser
        .until_says("#verdict", "No storage node has come yet")
        .await
        .expect("is open");
    browser.click(".sign button").await.expect("signs out");
    browser
        .until_says("h1", "Sign in")
        .await
        .expect("is closed");
    browser.close().await;
    dist.stop().await;
}
