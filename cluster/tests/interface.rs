//! What services say of their interface is what they do.

use std::collections::BTreeSet;
use std::time::Duration;

use cluster::{Options, Running};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use webtest::{Browser, Look, Theme};
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

/// The words of the codes that an operation may answer with.
fn codes(document: &Value, method: &str, path: &str) -> BTreeSet<String> {
    let answers = document["paths"][path][method]["responses"].as_object();
    let examples = answers.expect("answers").values().filter_map(|answer| {
        let examples = &answer["content"]["application/json"]["examples"];
        examples.as_object()
    });
    examples.flat_map(|each| each.keys().cloned()).collect()
}

/// A service's description of its interface.
async fn document(client: &Client, base: &str) -> Value {
    let answer = get(client, &format!("{base}{}", routes::OPENAPI)).await;
    answer.json().await.expect("JSON")
}

// If this fails, a program that is made from the document meets errors that it does not know.
#[tokio::test(flavor = "multi_thread")]
async fn errors_of_changes_are_told_where_they_are_passed_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let (cluster, client) = start(&folder).await;
    let (_, node) = cluster.nodes().next().expect("a node");
    let (dist, node) = (
        document(&client, cluster.url()).await,
        document(&client, node).await,
    );
    let passed_on = [("put", routes::DESCRIBE_ID), ("delete", routes::DELETE_ID)];
    for (method, path) in passed_on {
        let mut of_node = codes(&node, method, path);
        assert!(of_node.contains("storage_full"), "{method} {path}");
        // The distributor asks who leads, and tries again.
        assert!(of_node.remove("wrong_node"), "{method} {path}");
        let of_dist = codes(&dist, method, routes::CONTENT_ID);
        let missing: Vec<_> = of_node.difference(&of_dist).collect();
        assert!(missing.is_empty(), "{method} content: {missing:?}");
        assert!(!of_dist.contains("wrong_node"), "{method} content");
    }
    assert!(codes(&dist, "get", routes::CONTENT_ID).contains("damaged"));
    assert!(codes(&node, "get", routes::RECORD).contains("deleted"));
    cluster.stop().await;
}

/// Stores a content, and gives the address of its bytes.
async fn store(client: &Client, dist: &str, filename: &str) -> String {
    let place: Value = get(client, &format!("{dist}/store"))
        .await
        .json()
        .await
        .expect("a place");
    let text = |name: &str| place[name].as_str().expect("text").to_owned();
    let url = format!(
        "{}/{}?filename={filename}&wait=listed",
        text("uri"),
        text("id")
    );
    let answer = client.put(url).body("some bytes").send().await;
    assert_eq!(answer.expect("an answer").status(), 200);
    format!(
        "{}{}",
        text("uri").replace("/store", "/retrieve/"),
        text("id")
    )
}

// If this fails, a program that is made from the document cannot ask for the second page by name.
#[tokio::test(flavor = "multi_thread")]
async fn where_the_next_page_begins_is_of_the_type_that_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let (cluster, client) = start(&folder).await;
    for filename in ["a", "b"] {
        store(&client, cluster.url(), filename).await;
    }
    let url = format!("{}{}?sort=name&limit=1", cluster.url(), routes::CONTENT);
    let page: Value = get(&client, &url).await.json().await.expect("a page");
    assert!(
        page["next"]
            .as_str()
            .is_some_and(|next| next.ends_with("/a"))
    );
    let document = document(&client, cluster.url()).await;
    let parameters = document["paths"][routes::CONTENT]["get"]["parameters"].as_array();
    let mut parameters = parameters.expect("parameters").iter();
    let after = parameters.find(|parameter| parameter["name"] == "after");
    assert_eq!(
        after.expect("it is told")["schema"],
        json!({"type": "string"})
    );
    cluster.stop().await;
}

/// The headers that a document promises of an answer.
fn promised(document: &Value, method: &str, path: &str, status: u16) -> BTreeSet<String> {
    let answer = &document["paths"][path][method]["responses"][status.to_string()];
    let headers = answer["headers"].as_object().expect("headers").iter();
    let each = headers.filter(|(_, header)| match header["$ref"].as_str() {
        Some(reference) => {
            let header = document
                .pointer(&reference[1..])
                .expect("it leads somewhere");
            header["required"] == true
        }
        None => header["required"] == true,
    });
    each.map(|(name, _)| name.to_lowercase()).collect()
}

// If this fails, a program that is made from the document waits for headers that never come.
#[tokio::test(flavor = "multi_thread")]
async fn headers_that_are_told_are_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    let (cluster, client) = start(&folder).await;
    let (_, node) = cluster.nodes().next().expect("a node");
    let url = store(&client, cluster.url(), "a").await;
    let etag = get(&client, &url).await.headers()["etag"].clone();
    let document = document(&client, node).await;
    let asked = [
        (200, "accept", "*/*"),
        (206, "range", "bytes=0-1"),
        (304, "if-none-match", etag.to_str().expect("text")),
        (412, "if-match", "\"another\""),
        (416, "range", "bytes=1000-"),
    ];
    for (status, name, value) in asked {
        let answer = client.get(&url).header(name, value).send().await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), status);
        let promised = promised(&document, "get", routes::RETRIEVE_ID, status);
        assert!(promised.contains("x-request-id"), "{status}: {promised:?}");
        assert_eq!(promised.contains("etag"), status < 400, "{status}");
        for header in promised {
            assert!(answer.headers().contains_key(&header), "{status}: {header}");
        }
    }
    for (status, header) in [(307, "location"), (503, "retry-after")] {
        let promised = promised(&document, "get", routes::RETRIEVE_ID, status);
        assert!(promised.contains(header), "{status}: {promised:?}");
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

// If this fails, people do not see what a parameter may be, which of them must be there, what one of several
// bodies is, or what an error looks like.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_tells_what_the_document_tells() {
    let folder = tempfile::tempdir().expect("a folder");
    let (cluster, _) = start(&folder).await;
    let (_, node) = cluster.nodes().next().expect("a node");
    let look = Look {
        width: 1280,
        height: 900,
        theme: Theme::Light,
    };
    let browser = Browser::start(look).await.expect("the browser starts");
    let url = format!("{node}{}", routes::DOCS);
    browser.open(&url).await.expect("the page opens");
    let told = [
        ("put/store/{id}", "waitquery\"committed\" or \"listed\""),
        ("put/store/{id}", "id (required)path"),
        ("put/store/{id}", "\"code\": \"digest_mismatch\""),
        ("post/store", "Receipt or StoreOutcomes"),
        ("post/store", "Body (required)"),
        ("get/retrieve/{id}", "Location"),
        ("get/retrieve/{id}", "X-Request-Idheader"),
    ];
    for (operation, text) in told {
        let says = format!(
            "[...document.querySelectorAll('details')].find((one) => one.querySelector('summary')\
             .textContent.toLowerCase().startsWith({operation:?}))?.textContent.includes({text:?})"
        );
        browser.until(&says).await.expect("it is shown");
    }
    cluster.stop().await;
}
