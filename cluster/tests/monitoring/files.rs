//! The files of the folder `monitoring`, and what docker-compose.yml makes of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use wire::nodes_file::NodesFile;

/// A file or a folder of the repository.
pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

/// A file of the repository, as text.
pub(crate) fn text(name: &str) -> String {
    let path = path(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A YAML file of the repository.
pub(crate) fn yaml<T: DeserializeOwned>(name: &str) -> T {
    serde_saphyr::from_str(&text(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[derive(Deserialize)]
struct Compose {
    services: BTreeMap<String, Service>,
    volumes: BTreeMap<String, Option<String>>,
}

#[derive(Deserialize)]
struct Service {
    #[serde(default)]
    profiles: Vec<String>,
    #[serde(default)]
    volumes: Vec<String>,
}

#[derive(Deserialize)]
struct Prometheus {
    rule_files: Vec<String>,
    scrape_configs: Vec<Job>,
}

#[derive(Deserialize)]
struct Job {
    job_name: String,
    static_configs: Vec<Targets>,
}

#[derive(Deserialize)]
struct Targets {
    targets: Vec<String>,
}

#[derive(Deserialize)]
struct Sources {
    datasources: Vec<Source>,
}

#[derive(Deserialize)]
struct Source {
    uid: String,
    url: String,
}

#[derive(Deserialize)]
struct Providers {
    providers: Vec<Provider>,
}

#[derive(Deserialize)]
struct Provider {
    options: ProviderOptions,
}

#[derive(Deserialize)]
struct ProviderOptions {
    path: String,
}

/// What is mounted into a service of compose: a file or folder of the repository, and its place.
fn mounts(service: &Service) -> Vec<(&str, &str)> {
    let parts = service
        .volumes
        .iter()
        .map(|volume| volume.split(':').collect::<Vec<_>>());
    let ours = parts.filter(|parts| parts[0].starts_with("./"));
    ours.map(|parts| {
        assert_eq!(parts.get(2), Some(&"ro"), "{parts:?} can be changed");
        (parts[0], parts[1])
    })
    .collect()
}

// If this fails, the profile `monitoring` starts without its configuration.
#[test]
fn compose_mounts_what_there_is() {
    let compose: Compose = yaml("docker-compose.yml");
    for name in ["prometheus", "grafana"] {
        let service = &compose.services[name];
        assert_eq!(service.profiles, ["monitoring"], "{name} starts unasked");
        for (from, _) in mounts(service) {
            assert!(path(from).exists(), "{name}: {from} is not there");
        }
        assert!(compose.volumes.contains_key(name), "{name} forgets");
    }
    let prometheus: Prometheus = yaml("monitoring/prometheus.yml");
    let mounted = mounts(&compose.services["prometheus"]);
    for rules in prometheus.rule_files {
        let place = format!("/etc/prometheus/{rules}");
        assert!(mounted.iter().any(|(_, to)| *to == place), "{rules}");
    }
}

// If this fails, Prometheus watches other services than there are.
#[test]
fn every_service_of_compose_is_watched() {
    let prometheus: Prometheus = yaml("monitoring/prometheus.yml");
    let file = NodesFile::read(&text("docker-compose.nodes.yml")).expect("is a nodes file");
    let mut expected: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, address) in &file.nodes {
        let job = match name.is_distributor() {
            true => "acequia-dist",
            false => "acequia-node",
        };
        let target = format!("{}:{}", address.host, address.port);
        expected.entry(job).or_default().push(target);
    }
    let jobs = prometheus.scrape_configs.into_iter();
    let watched: BTreeMap<String, Vec<String>> = jobs
        .map(|job| {
            let targets = job.static_configs.into_iter();
            (
                job.job_name,
                targets.flat_map(|each| each.targets).collect(),
            )
        })
        .collect();
    assert_eq!(watched.len(), expected.len());
    for (job, targets) in expected {
        assert_eq!(watched[job], targets, "{job}");
    }
}

// If this fails, Grafana shows no dashboard, or one without values.
#[test]
fn grafana_finds_the_dashboard_and_its_values() {
    let compose: Compose = yaml("docker-compose.yml");
    let mounted = mounts(&compose.services["grafana"]);
    let providers: Providers = yaml("monitoring/grafana/provisioning/dashboards/acequia.yml");
    for provider in providers.providers {
        let place = &provider.options.path;
        let from = mounted.iter().find(|(_, to)| to == place);
        let (from, _) = from.unwrap_or_else(|| panic!("nothing is mounted at {place}"));
        assert!(path(from).join("acequia.json").is_file());
    }
    let sources: Sources = yaml("monitoring/grafana/provisioning/datasources/prometheus.yml");
    let [source] = &sources.datasources[..] else {
        panic!("there is one source of values");
    };
    assert_eq!(source.url, "http://prometheus:9090");
    let dashboard: serde_json::Value =
        serde_json::from_str(&text("monitoring/grafana/dashboards/acequia.json")).expect("JSON");
    let variable = &dashboard["templating"]["list"][0];
    assert_eq!(variable["name"], "datasource");
    assert_eq!(variable["current"]["value"], source.uid.as_str());
}
