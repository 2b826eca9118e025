//! A cluster in which something happened, and what its services expose then.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster::{Options, Running};
use reqwest::{Client, Method, RequestBuilder, StatusCode, header};
use tokio::time::{Instant, sleep};
use wire::content::Receipt;
use wire::placement::Place;

/// How long what was done may take to be seen.
const SEEN_TIME_MAX: Duration = Duration::from_secs(20);

/// A cluster, and a client.
pub(crate) struct Scene {
    pub(crate) cluster: Running,
    client: Client,
    /// Holds its files until the end.
    _folder: tempfile::TempDir,
}

/// The samples of one service, by name and labels as they are written.
#[derive(Debug, Default)]
pub(crate) struct Samples(pub(crate) BTreeMap<String, f64>);

impl Samples {
    /// Reads the text of either format.
    pub(crate) fn read(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let samples = lines.map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("a series and a value");
            (series.to_owned(), value.parse().expect("a number"))
        });
        Samples(samples.collect())
    }

    /// The sum over all series of this name whose labels hold `labels`.
    pub(crate) fn sum(&self, name: &str, labels: &str) -> f64 {
        let such = |series: &str| {
            let rest = series.strip_prefix(name);
            rest.is_some_and(|rest| {
                (rest.is_empty() || rest.starts_with('{')) && rest.contains(labels)
            })
        };
        let values = self.0.iter().filter(|(series, _)| such(series));
        values.map(|(_, value)| value).sum()
    }
}

impl Scene {
    /// Starts services and uses them: two uploads, one of them read and deleted, and errors of
    /// client and distributor.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = Options {
            data: folder.path().to_path_buf(),
            port: 0,
            session: Duration::from_secs(2),
            ..Options::default()
        };
        let cluster = cluster::start(options).await.expect("starts");
        let client = Client::builder().no_proxy().build().expect("a client");
        let scene = Scene {
            cluster,
            client,
            _folder: folder,
        };
        scene.use_it().await;
        scene
    }

    async fn use_it(&self) {
        let (first, _) = self.upload(b"kept").await;
        let (second, base) = self.upload(b"and deleted").await;
        assert_ne!(first.id, second.id);
        let retrieve = format!("{base}/retrieve/{}", second.id);
        assert_eq!(self.ask(Method::GET, &retrieve).await, StatusCode::OK);
        let delete = format!("{base}/delete/{}?wait=listed", second.id);
        assert_eq!(self.ask(Method::DELETE, &delete).await, StatusCode::OK);
        let nonsense = format!("{base}/retrieve/nonsense");
        let refused = self.ask(Method::GET, &nonsense).await;
        assert_eq!(refused, StatusCode::BAD_REQUEST);
        let nowhere = format!("{}/no/such/route", self.cluster.url());
        let refused = self.ask(Method::GET, &nowhere).await;
        assert_eq!(refused, StatusCode::NOT_FOUND);
    }

    /// Uploads a content and waits until it is listed; gives the base URI of the node as well.
    async fn upload(&self, bytes: &'static [u8]) -> (Receipt, String) {
        let url = format!("{}/store?size={}", self.cluster.url(), bytes.len());
        let place: Place = json(self.client.get(url)).await;
        let url = format!("{}/{}?wait=listed", place.uri, place.id);
        let upload = self.client.put(url).body(bytes);
        let receipt = json(upload).await;
        let base = place.uri.strip_suffix("/store").expect("a route");
        (receipt, base.to_owned())
    }

    async fn ask(&self, method: Method, url: &str) -> StatusCode {
        let answer = self.client.request(method, url).send().await;
        answer.expect("an answer").status()
    }

    /// `/metrics` of a service in the format that is asked for, and its media type.
    pub(crate) async fn text(&self, url: &str, accept: &str) -> (String, String) {
        let asked = self.client.get(format!("{url}/metrics"));
        let answer = asked.header(header::ACCEPT, accept).send().await;
        let answer = answer.expect("an answer");
        let kind = answer.headers()[header::CONTENT_TYPE].to_str();
        let kind = kind.expect("text").to_owned();
        (answer.text().await.expect("text"), kind)
    }

    /// The distributor's samples, and those of all nodes together.
    pub(crate) async fn samples(&self) -> (Samples, Vec<Samples>) {
        let (dist, _) = self.text(self.cluster.url(), "*/*").await;
        let mut nodes = Vec::new();
        for (_, url) in self.cluster.nodes() {
            nodes.push(Samples::read(&self.text(url, "*/*").await.0));
        }
        (Samples::read(&dist), nodes)
    }

    /// Waits until the samples are as they should be.
    pub(crate) async fn until(&self, mut check: impl FnMut(&Samples, &[Samples]) -> Vec<String>) {
        let deadline = Instant::now() + SEEN_TIME_MAX;
        loop {
            let (dist, nodes) = self.samples().await;
            let wrong = check(&dist, &nodes);
            if wrong.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "{wrong:#?}");
            sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn json<T: serde::de::DeserializeOwned>(request: RequestBuilder) -> T {
    let answer = request.send().await.expect("an answer");
    let body = answer.bytes().await.expect("a body");
    let text = || String::from_utf8_lossy(&body).into_owned();
    serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{error}: {}", text()))
}
