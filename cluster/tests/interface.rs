//! What services say of their interface is what they do.

use std::collections::BTreeSet;
use std::time::Duration;

use cluster::{Options, Running};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use wire::{Code, routes};

/// Methods that some route might have. A HEAD is a GET without its body, and told only where it is
/// more than that.
const METHODS: [&str; 6] = ["get", "post", "put", "delete", "patch", "options"];

/// Longer than any route thinks over a request that makes no sense.
const TIME_MAX: Duration = Duration::from_secs(10);

async fn start(folder: &tempfile::TempDir) -> (Running, Client) {
    let options = Options {
        data: folder.path().to_path_buf(),
        port: 0,
        nodes: 1,
        ..Options::default()
    };
    let cluster = cluster::start(options).await.expect("starts");
    let client = Client::builder().no_proxy().timeout(TIME_MAX).build();
    (cluster, client.expect("a client"))
}

async fn get(client: &Client, url: &str) -> Response {
    client.get(url).send().await.expect("an answer")
}

/// A path of a template, of things that are not there.
fn filled(template: &str) -> String {
    template
        .replace("{id}", "nonsense")
        .replace("{name}", "nobody")
        .replace("{shard}", "65535")
        .replace("{lsn}", "1")
}

/// Whether a service knows this method of this path; none if it thinks too long about it.
async fn knows(client: &Client, base: &str, method: &str, template: &str) -> Option<bool> {
    let method = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
    let url = format!("{base}{}", filled(template));
    let answer = client.request(method, url).send().await.ok()?;
    let body = answer.bytes().await.ok()?;
    let code = serde_json::from_slice::<Value>(&body).unwrap_or_default()["code"].take();
    Some(code != "no_route" && code != "method_not_allowed")
}

/// The operations that a document names.
fn operations(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().expect("paths");
    let each = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().expect("methods");
        methods.keys().map(|method| (method.clone(), path.clone()))
    });
    each.collect()
}

// If this fails, programs that are made from the document miss routes, or call some that there are
// not.
#[tokio::test(flavor = "multi_thread")]
async fn the_document_has_every_route_and_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let (cluster, client) = start(&folder).await;
    let nodes: Vec<&str> = cluster.nodes().map(|(_, url)| url).collect();
    for base in [cluster.url(), nodes[0]] {
        let answer = get(&client, &format!("{base}{}", routes::OPENAPI)).await;
        assert_eq!(answer.headers()["content-type"], "application/json");
        let document: Value = answer.json().await.expect("JSON");
        assert_eq!(document["openapi"], "3.1.0");
        let codes = &document["components"]["schemas"]["Code"]["enum"];
        let words: Vec<String> = Code::ALL.into_iter().map(Code::word).collect();
        assert_eq!(*codes, json!(words), "{base}");
        let told = operations(&document);
        assert!(told.len() > 20, "{told:?}");
        for (method, path) in &told {
            assert!(routes::ALL.contains(&path.as_str()), "{path} is no route");
            let known = knows(&client, base, method, path).await;
            assert_ne!(known, Some(false), "{base} has no {method} {path}");
        }
        for path in routes::ALL {
            for method in METHODS {
                if !told.contains(&(method.to_owned(), path.to_owned())) {
                    let known = knows(&client, base, method, path).await;
                    assert_eq!(known, Some(false), "{method} {path} is not in the document");
                }
            }
        }
    }
    cluster.stop().await;
}

/// Every body of JSON that a request has, or an answer to one that went well, and where it is.
fn bodies(document: &Value) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    for (method, path) in operations(document) {
        let operation = &document["paths"][&path][&method];
        let request = ("request".to_owned(), &operation["requestBody"]);
        let answers = operation["responses"].as_object().expect("answers").iter();
        let answers = answers.filter(|(status, _)| status.starts_with('2'));
        let all = answers.map(|(status, answer)| (status.clone(), answer));
        for (part, body) in all.chain([request]) {
            let body = &body["content"]["application/json"];
            if body.is_object() {
                found.push((format!("{method} {path} {part}"), body));
            }
        }
    }
    found
}

// If this fails, who reads the description has to guess what a body looks like.
#[tokio::test(flavor = "multi_thread")]
async fn every_body_is_shown_by_an_example() {
    let folder = tempfile::tempdir().expect("a folder");
    let (cluster, client) = start(&folder).await;
    let nodes: Vec<&str> = cluster.nodes().map(|(_, url)| url).collect();
    for base in [cluster.url(), nodes[0]] {
        let answer = get(&client, &format!("{base}{}", routes::OPENAPI)).await;
        let document: Value = answer.json().await.expect("JSON");
        let bodies = bodies(&document);
        assert!(bodies.len() > 10, "{base}");
        let without = bodies.iter().filter(|(_, body)| body["example"].is_null());
        let without: Vec<&String> = without.map(|(place, _)| place).collect();
        assert_eq!(without, Vec::<&String>::new(), "{base}");
    }
    cluster.stop().await;
}

// If this fails, people see no description, or what is put into it acts in their browsers.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_shown_and_may_load_only_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let (cluster, client) = start(&folder).await;
    let nodes: Vec<&str> = cluster.nodes().map(|(_, url)| url).collect();
    for base in [cluster.url(), nodes[0]] {
        let parts = [
            (routes::DOCS, "text/html; charset=utf-8"),
            (routes::DOCS_SCRIPT, "text/javascript; charset=utf-8"),
            (routes::DOCS_STYLE, "text/css; charset=utf-8"),
        ];
        for (path, kind) in parts {
            let answer = get(&client, &format!("{base}{path}")).await;
            assert_eq!(answer.status(), 200, "{path}");
            assert_eq!(answer.headers()["content-type"], kind);
            let policy = answer.headers()["content-security-policy"].to_str();
            let policy = policy.expect("text");
            assert!(policy.starts_with("default-src 'none'; script-src 'self'"));
            assert!(!policy.contains("unsafe"), "{policy}");
        }
    }
    cluster.stop().await;
}
