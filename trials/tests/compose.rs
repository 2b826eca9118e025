//! The services take the environment that docker-compose.yml gives them.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use trials::binaries::Binaries;
use trials::http;
use trials::service::{Recipe, Service};
use wire::content::Receipt;
use wire::placement::Place;

#[derive(Deserialize)]
struct Compose {
    services: BTreeMap<String, ComposeService>,
    volumes: BTreeMap<String, Option<String>>,
}

#[derive(Deserialize)]
struct ComposeService {
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
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

fn compose() -> Compose {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docker-compose.yml");
    let text = std::fs::read_to_string(path).expect("docker-compose.yml is there");
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

/// What compose would start, with the addresses of one machine: ports `base`, `base + 1`, ….
fn recipe(compose: &Compose, name: &str, folder: &Path, database: &str) -> Recipe {
    let service = &compose.services[name];
    let database = database.to_owned();
    let data = folder.join(name).display().to_string();
    let adapt = |(key, value): (&String, &String)| {
        let value = match key.as_str() {
            "HOST" => "127.0.0.1".to_owned(),
            "DATABASE_URL" => database.clone(),
            "DATA_DIR" => data.clone(),
            _ => interpolate(value).replace("http://dist:", "http://127.0.0.1:"),
        };
        (
            key.clone(),
            value.replace(&format!("http://{name}:"), "http://127.0.0.1:"),
        )
    };
    let environment: Vec<(String, String)> = service.environment.iter().map(adapt).collect();
    let of = |wanted: &str| {
        environment
            .iter()
            .find(|(key, _)| key == wanted)
            .map(|(_, value)| value.clone())
    };
    let binaries = Binaries::for_tests().expect("the services build");
    Recipe {
        name: name.to_owned(),
        program: binaries
            .path(&service.command[0])
            .expect("the command is one of the binaries"),
        arguments: service.command[1..].to_vec(),
        url: of("PUBLIC_URL").expect("every service has a public address"),
        log: folder.join(format!("{name}.log")),
        environment,
    }
}

/// Gives every port of the recipes a free one, the same everywhere.
fn on_free_ports(recipes: &mut [Recipe]) {
    let held: Vec<_> = recipes
        .iter()
        .map(|_| std::net::TcpListener::bind("127.0.0.1:0").expect("a free port"))
        .collect();
    let free: Vec<u16> = held
        .iter()
        .map(|listener| listener.local_addr().expect("bound").port())
        .collect();
    for recipe in recipes.iter_mut() {
        for (port, free) in (8000..).zip(&free) {
            let (port, free) = (port.to_string(), free.to_string());
            recipe.url = recipe.url.replace(&format!(":{port}"), &format!(":{free}"));
            for (key, value) in &mut recipe.environment {
                if key == "PORT" && *value == port {
                    *value = free.clone();
                } else {
                    *value =
                        value.replace(&format!("127.0.0.1:{port}"), &format!("127.0.0.1:{free}"));
                }
            }
        }
    }
}

// If this fails, `docker compose up` starts containers that end at once, or cannot be reached.
#[tokio::test(flavor = "multi_thread")]
async fn services_start_and_store_with_the_environment_of_compose() {
    let compose = compose();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let postgres = pgtest::Postgres::start().expect("PostgreSQL starts");
    let database = postgres.fresh_database().expect("a database");
    let names = ["dist", "node1", "node2", "node3"];
    let mut recipes = names.map(|name| recipe(&compose, name, folder.path(), &database));
    on_free_ports(&mut recipes);

    let client = http::client().expect("an HTTP client");
    let mut services = Vec::new();
    for recipe in &recipes {
        let mut service = Service::spawn(recipe.clone()).expect("starts");
        service.ready(&client).await.expect("serves");
        services.push(service);
        check_health(&compose, recipe).await;
    }
    let place: Place = loop {
        let url = format!("{}/store", recipes[0].url);
        if let Ok(place) = http::json(client.get(url)).await {
            break place;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    let upload = client
        .put(format!("{}/{}", place.uri, place.id))
        .body("compose");
    let receipt: Receipt = http::json(upload).await.expect("is stored");
    assert_eq!(receipt.size, 7);
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
    let status = tokio::process::Command::new(&recipe.program)
        .args(&test[2..])
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
