//! A cluster and a browser that looks at it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cluster::{Options, Running};
use tempfile::TempDir;
use webtest::{Browser, Look, Theme};
use wire::content::ContentItem;
use wire::placement::Place;
use wire::routes;

/// The smallest picture there is, as PNG: one pixel.
pub(crate) const PIXEL: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\x9cc\xf8\xcf\xc0\xf0\x1f\0\x05\0\x01\xff\x89\x99=\x1d\0\0\0\0IEND\xaeB`\x82";

/// A desk's window.
pub(crate) const DESK: Look = Look {
    width: 1280,
    height: 900,
    theme: Theme::Light,
};

/// A telephone's.
pub(crate) const PHONE: Look = Look {
    width: 390,
    height: 844,
    theme: Theme::Light,
};

pub(crate) struct Stage {
    pub(crate) cluster: Running,
    pub(crate) browser: Browser,
    folder: TempDir,
}

impl Stage {
    /// Three nodes with two copies of everything.
    pub(crate) async fn set(database_url: Option<String>) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let options = Options {
            data: folder.path().join("data"),
            port: 0,
            database_url,
            session: Duration::from_secs(1),
            ..Options::default()
        };
        let cluster = cluster::start(options).await.expect("the cluster starts");
        let browser = Browser::start(DESK).await.expect("the browser starts");
        Stage {
            cluster,
            browser,
            folder,
        }
    }

    /// Opens a page of the console.
    pub(crate) async fn open(&self, path: &str) {
        let url = format!("{}{path}", self.cluster.url());
        self.browser.open(&url).await.expect("the page opens");
    }

    /// Waits until an element says something.
    pub(crate) async fn says(&self, css: &str, text: &str) {
        self.browser
            .until_says(css, text)
            .await
            .expect("it says so");
    }

    /// Waits until an expression is true.
    pub(crate) async fn until(&self, expression: &str) {
        self.browser.until(expression).await.expect("it comes true");
    }

    pub(crate) async fn click(&self, css: &str) {
        self.browser.click(css).await.expect("it can be clicked");
    }

    /// A file on the disk of whoever uploads.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path
    }

    /// Chooses files where they are uploaded or replaced.
    pub(crate) async fn choose(&self, css: &str, files: &[&Path]) {
        self.browser
            .choose(css, files)
            .await
            .expect("files are chosen");
    }

    /// A page as it is without any script.
    pub(crate) async fn page(&self, path: &str) -> String {
        let url = format!("{}{path}", self.cluster.url());
        let client = reqwest::Client::builder().no_proxy();
        let client = client.build().expect("a client");
        let answer = client.get(url).send().await.expect("answers");
        answer.text().await.expect("a page")
    }

    /// Stores a file as a program does; gives its id.
    pub(crate) async fn store(&self, filename: &str, bytes: &'static [u8]) -> String {
        let client = reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("a client");
        let asked = client.get(format!("{}{}", self.cluster.url(), routes::STORE));
        let place: Place = asked
            .send()
            .await
            .expect("answers")
            .json()
            .await
            .expect("a place");
        let url = format!("{}/{}?filename={filename}", place.uri, place.id);
        let stored = client.put(url).body(bytes).send().await.expect("answers");
        assert_eq!(stored.status(), 200);
        place.id.to_string()
    }

    /// Replaces a content as a program does.
    pub(crate) async fn update(&self, id: &str, bytes: &'static [u8]) {
        let client = reqwest::Client::builder().no_proxy();
        let client = client.build().expect("a client");
        let asked = client.get(format!("{}/content/{id}", self.cluster.url()));
        let found = asked.send().await.expect("answers").json().await;
        let item: ContentItem = found.expect("a content");
        let url = routes::update(&item.uri, item.row.id);
        let updated = client.put(url).body(bytes).send().await.expect("answers");
        assert_eq!(updated.status(), 200);
    }

    /// Nothing on the pages failed that the browser would only tell to a developer.
    pub(crate) async fn end(self) {
        let complaints = self.browser.complaints().await.expect("the browser's log");
        assert!(complaints.is_empty(), "{complaints:?}");
        self.leave().await;
    }

    /// The same where requests were meant to fail.
    pub(crate) async fn leave(self) {
        self.browser.close().await;
        self.cluster.stop().await;
    }
}
