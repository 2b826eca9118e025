//! Keys.

use node::{Access, Anonymous};
use reqwest::Method;
use wire::{Code, ContentId, ShardNo};

use crate::support::Cluster;

// If this fails, a route is open that a key should guard.
#[tokio::test]
async fn every_route_asks_for_its_key() {
    let cluster = Cluster::start_with(1, |config| {
        config.access = Access {
            cluster_key: None,
            access_key: Some("right".to_owned()),
            anonymous: Anonymous::Read,
        };
    })
    .await;
    let id = ContentId::mint(ShardNo(1), 1, 1);
    let code = async |method: &Method, path: &str, key: Option<&str>| {
        let request = cluster.ask(method.clone(), 0, path).body("{}");
        let request = match key {
            Some(key) => request.header("authorization", format!("Bearer {key}")),
            None => request,
        };
        let answer = request.send().await.expect("answers");
        let is_guarded = answer.status() == reqwest::StatusCode::UNAUTHORIZED;
        assert_eq!(
            is_guarded,
            answer.headers().contains_key("www-authenticate")
        );
        is_guarded.then_some(Code::Unauthorized)
    };
    let writes = [
        (Method::POST, "/store".to_owned()),
        (Method::PUT, format!("/store/{id}")),
        (Method::PUT, "/update".to_owned()),
        (Method::PUT, format!("/update/{id}")),
        (Method::DELETE, format!("/delete/{id}")),
        (Method::PUT, format!("/describe/{id}")),
        (Method::POST, "/scrub".to_owned()),
    ];
    for (method, path) in &writes {
        assert_eq!(
            code(method, path, None).await,
            Some(Code::Unauthorized),
            "{path}"
        );
        assert_eq!(
            code(method, path, Some("wrong")).await,
            Some(Code::Unauthorized),
            "{path}"
        );
        assert_eq!(code(method, path, Some("right")).await, None, "{path}");
    }
    let reads = [
        "/retrieve/x",
        "/info/x",
        "/log",
        "/stats",
        "/metrics",
        "/health/live",
    ];
    for path in reads {
        assert_eq!(code(&Method::GET, path, None).await, None, "{path}");
    }
    cluster.stop().await;
}

// If this fails, a closed cluster lets everyone read.
#[tokio::test]
async fn without_a_rule_for_strangers_reads_are_guarded_too() {
    // The distributor of this test has no keys, so it cannot place here: the node alone is asked.
    let folder = tempfile::tempdir().expect("a folder");
    let running = node::start(node::Config {
        name: "node1".parse().expect("a name"),
        bind: ([127, 0, 0, 1], 0).into(),
        internal_url: None,
        public_url: None,
        data_dir: folder.path().join("node1"),
        max_storage: None,
        catch_up_rate: None,
        distributors: Vec::new(),
        access: Access {
            cluster_key: Some("cluster".to_owned()),
            access_key: Some("right".to_owned()),
            anonymous: Anonymous::None,
        },
        cors_origins: Vec::new(),
        workers: 1,
        traces: None,
    })
    .await
    .expect("starts");
    let ask = async |path: &str, name: &str, value: &str| {
        let client = reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("a client");
        let request = client
            .get(format!("{}{path}", running.url()))
            .header(name, value);
        request.send().await.expect("answers").status().as_u16()
    };
    for path in [
        "/retrieve/x",
        "/info/x",
        "/verify/x",
        "/log",
        "/scrub",
        "/stats",
        "/metrics",
    ] {
        assert_eq!(ask(path, "x", "y").await, 401, "{path}");
        assert_eq!(
            ask(path, "authorization", "Basic right").await,
            401,
            "{path}"
        );
        assert_ne!(
            ask(path, "authorization", "bearer right").await,
            401,
            "{path}"
        );
        assert_ne!(ask(path, "x-cluster-key", "cluster").await, 401, "{path}");
    }
    for path in ["/record/1/1", "/needed/x"] {
        let as_client = ask(path, "authorization", "bearer right").await;
        assert_eq!(as_client, 401, "{path} is for services");
        assert_ne!(ask(path, "x-cluster-key", "cluster").await, 401, "{path}");
    }
    assert_eq!(ask("/health/live", "x", "y").await, 200);
    assert_eq!(
        ask("/health/ready", "x", "y").await,
        503,
        "it holds no shard"
    );
    running.stop().await;
}
