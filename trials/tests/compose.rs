//! The services take the environment that docker-compose.yml gives them.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Deserialize;
use trials::binaries::Binaries;
use trials::http;
use trials::service::{Recipe, Service};
use wire::content::Receipt;
use wire::membership::{Health, NodesAnswer};
use wire::nodes_file::NodesFile;
use wire::placement::Place;

#[derive(Deserialize)]
struct Compose {
    services: BTreeMap<String, ComposeService>,
    volumes: BTreeMap<String, Option<String>>,
}

#[derive(Deserialize)]
struct ComposeService {
    #[serde(default)]
    entrypoint: Vec<String>,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    environment: BTreeMap<String, Option<String>>,
    #[serde(default)]
    ports: Vec<String>,
    #[serde(default)]
    volumes: Vec<String>,
    #[serde(default)]
    healthcheck: Option<HealthCheck>,
}

#[derive(Deserialize)]
struct HealthCheck {
    test: Vec<String>,
}

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn compose() -> Compose {
    let text = read("docker-compose.yml");
    serde_saphyr::from_str(&text).expect("docker-compose.yml is YAML of its form")
}

/// Puts in the defaults of `${NAME:-default}`, as compose does when nothing is set.
fn interpolate(text: &str) -> String {
    let Some((before, rest)) = text.split_once("${") else {
        return text.to_owned();
    };
    let (variable, after) = rest.split_once('}').expect("a variable has an end");
    let (_, default) = variable.split_once(":-").expect("a variable has a default");
    format!("{before}{default}{}", interpolate(after))
}

/// The services of docker-compose.nodes.yml on loopback, at free ports.
fn nodes_file(folder: &Path) -> NodesFile {
    let text = read("docker-compose.nodes.yml");
    let mut file = NodesFile::read(&text).expect("docker-compose.nodes.yml is a nodes file");
    let held: Vec<TcpListener> = file
        .nodes
        .keys()
        .map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"))
        .collect();
    for (service, listener) in file.nodes.values_mut().zip(&held) {
        let public = service
            .public_url
            .take()
            .expect("clients outside are told an address");
        assert_eq!(
            public,
            format!("http://127.0.0.1:{}", service.port),
            "is what is published"
        );
        service.host = "127.0.0.1".to_owned();
        service.port = listener.local_addr().expect("bound").port();
    }
    let json = serde_json::to_string(&file).expect("serialises");
    std::fs::write(folder.join("nodes.yml"), json).expect("writes the file");
    file
}

/// A service's entry, as its container runs it.
fn entrypoint(service: &ComposeService) -> Vec<String> {
    let words = service.entrypoint.iter();
    words.map(|word| word.replace("$$", "$")).collect()
}

/// A binary of the workspace.
fn path(program: &str) -> PathBuf {
    let binaries = Binaries::for_tests().expect("the services build");
    let path = binaries.path(program);
    path.expect("the command is one of the binaries")
}

/// What compose would start, but on this machine: another address, database and data folder.
fn recipe(compose: &Compose, name: &str, folder: &Path, database: &str) -> Recipe {
    let service = &compose.services[name];
    let adapt = |(key, value): (&String, &Option<String>)| {
        let value = match key.as_str() {
            "HOST" => "127.0.0.1".to_owned(),
            "DATABASE_URL" => database.to_owned(),
            "DATA_DIR" => folder.join(name).display().to_string(),
            "NODES_FILE" => folder.join("nodes.yml").display().to_string(),
            _ => interpolate(value.as_deref()?),
        };
        Some((key.clone(), value))
    };
    let mut words = entrypoint(service);
    words.push(path(&service.command[0]).display().to_string());
    words.extend_from_slice(&service.command[1..]);
    Recipe {
        name: name.to_owned(),
        program: words.remove(0).into(),
        arguments: words,
        environment: service.environment.iter().filter_map(adapt).collect(),
        url: String::new(),
        folder: folder.to_path_buf(),
        log: folder.join(format!("{name}.log")),
    }
}

/// Whether so many nodes are up, and each shard has the copies in sync that compose asks for.
fn are_together(answer: &NodesAnswer, nodes: usize) -> bool {
    let up = answer
        .nodes
        .iter()
        .filter(|(name, entry)| !name.is_distributor() && entry.health == Health::Up);
    let copies = answer.copies.map_or(1, usize::from);
    let mut shards = answer.shards.iter();
    up.filter(|(_, entry)| !entry.shards.is_empty()).count() == nodes
        && shards.all(|shard| shard.leader.is_some() && shard.in_sync.len() == copies)
}

/// Waits until the distributor's nodes are registered, and mirror each other.
async fn until_together(client: &reqwest::Client, dist: &str, nodes: usize) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = http::json(client.get(format!("{dist}/nodes"))).await;
        if answer
            .as_ref()
            .is_ok_and(|answer| are_together(answer, nodes))
        {
            return;
        }
        assert!(Instant::now() < deadline, "they do not mirror: {answer:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

// If this fails, `docker compose up` starts containers that end at once, cannot be reached, or keep each
// content on one volume only.
#[tokio::test(flavor = "multi_thread")]
async fn services_start_and_mirror_with_the_environment_of_compose() {
    let compose = compose();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let postgres = pgtest::Postgres::start().expect("PostgreSQL starts");
    let database = postgres.fresh_database().expect("a database");
    let nodes = nodes_file(folder.path());
    let recipes: Vec<Recipe> = nodes
        .nodes
        .iter()
        .map(|(name, address)| Recipe {
            url: address.public_url(),
            ..recipe(&compose, name.as_str(), folder.path(), &database)
        })
        .collect();
    assert_eq!(recipes.len(), 4);

    let client = http::client().expect("an HTTP client");
    let mut services = Vec::new();
    for recipe in &recipes {
        let mut service = Service::spawn(recipe.clone()).expect("starts");
        service.ready(&client).await.expect("serves");
        services.push(service);
        check_health(&compose, recipe).await;
    }
    let dist = &recipes[0].url;
    until_together(&client, dist, 3).await;
    let place: Place = loop {
        if let Ok(place) = http::json(client.get(format!("{dist}/store"))).await {
            break place;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let upload = client
        .put(format!("{}/{}", place.uri, place.id))
        .body("compose");
    let receipt: Receipt = http::json(upload).await.expect("is stored");
    assert_eq!(receipt.size, 7);
    assert_eq!(receipt.nodes.len(), 2, "{receipt:?}");
    assert!(
        recipes[1..]
            .iter()
            .any(|recipe| place.uri == format!("{}/store", recipe.url)),
        "{} is not a public address of a node",
        place.uri
    );
    for service in services.into_iter().rev() {
        service.stop().await.expect("ends cleanly");
    }
}

/// Runs a service's own health check, as the container engine would.
async fn check_health(compose: &Compose, recipe: &Recipe) {
    let test = &compose.services[&recipe.name]
        .healthcheck
        .as_ref()
        .expect("has a check")
        .test;
    assert_eq!(test[0], "CMD");
    let status = tokio::process::Command::new(path(&test[1]))
        .args(&test[2..])
        .current_dir(&recipe.folder)
        .envs(recipe.environment.iter().map(|(key, value)| (key, value)))
        .status()
        .await
        .expect("the check runs");
    assert!(status.success(), "{}: {test:?} says {status}", recipe.name);
}

// If this fails, someone on the network can write to a cluster that was only tried out.
#[test]
fn everything_is_published_on_loopback_until_told_otherwise() {
    for (name, service) in compose().services {
        for port in &service.ports {
            assert!(
                interpolate(port).starts_with("127.0.0.1:"),
                "{name} publishes {port}"
            );
        }
    }
}

// If this fails, everybody who knows this project can change a cluster that was published.
#[test]
fn who_publishes_the_cluster_needs_keys_of_his_own() {
    let compose = compose();
    let published = compose.services.iter();
    let published = published.filter(|(_, service)| service.ports.join("").contains("${PUBLISH"));
    assert_eq!(published.clone().count(), 4);
    for (name, service) in published {
        // What the service is given, of what stands in `.env`.
        let given = |set: &[(&str, &str)]| {
            let is_passed_on = |(key, _): &&(&str, &str)| {
                let passed = service.environment.get(*key);
                passed.is_some_and(Option::is_none)
            };
            let words = entrypoint(service);
            let output = std::process::Command::new(&words[0])
                .args(&words[1..])
                .args(["sh", "-c", "echo ${CLUSTER_KEY-none} ${ANONYMOUS-none}"])
                .env_remove("PUBLISH")
                .env_remove("CLUSTER_KEY")
                .env_remove("ANONYMOUS")
                .envs(set.iter().filter(is_passed_on).copied())
                .output()
                .expect("runs");
            String::from_utf8(output.stdout).expect("text")
        };
        let known = "only-for-a-cluster-that-nobody-else-can-reach write\n";
        assert_eq!(given(&[]), known, "{name}");
        assert_eq!(given(&[("PUBLISH", "127.0.0.2")]), known, "{name}");
        // Then the service says what it lacks, and ends.
        assert_eq!(given(&[("PUBLISH", "0.0.0.0")]), "none none\n", "{name}");
        let own = [("CLUSTER_KEY", "own"), ("ANONYMOUS", "read")];
        assert_eq!(given(&own), "own read\n", "{name}");
        let published = [("PUBLISH", "0.0.0.0"), own[0], own[1]];
        assert_eq!(given(&published), "own read\n", "{name}");
    }
}

// If this fails, a container's end takes its data with it.
#[test]
fn what_must_last_lies_in_volumes() {
    let compose = compose();
    let mut used = std::collections::BTreeSet::new();
    for name in ["db", "node1", "node2", "node3"] {
        let volume = compose.services[name]
            .volumes
            .first()
            .expect("has a volume");
        let (volume, _) = volume.split_once(':').expect("a volume has a place");
        assert!(
            compose.volumes.contains_key(volume),
            "{volume} is not declared"
        );
        assert!(used.insert(volume.to_owned()), "{volume} is used twice");
    }
}
