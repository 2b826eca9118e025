//! The processes of a cluster: distributors and storage nodes, each on an address that it keeps.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::time::{Instant, sleep};
use wire::membership::{Health, NodesAnswer};
use wire::{Copies, routes};

use crate::binaries::Binaries;
use crate::http;
use crate::service::{Recipe, Service};

/// How long services may take to find together.
const TOGETHER_TIME_MAX: Duration = Duration::from_secs(30);

/// How much longer, for each node: on a small machine they start one after the other.
const NODE_TIME_MAX: Duration = Duration::from_secs(1);

const LOOPBACK: &str = "127.0.0.1";

/// What a fleet is made of.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Where its data and logs go.
    pub folder: PathBuf,
    /// How many storage nodes.
    pub nodes: u16,
    /// The catalog; none for SQLite in the folder.
    pub database_url: Option<String>,
    /// Where shards are agreed on; none for the catalog's database.
    pub coordinator: Option<String>,
    /// Where the services run; none for loopback.
    pub places: Option<Vec<Place>>,
    /// Settings of the nodes, by environment variable.
    pub node_settings: Vec<(&'static str, String)>,
    /// Distributors beside the first; they need a database that they share.
    pub more_distributors: u16,
    /// How long a node may be silent; none for the services' own default.
    pub session: Option<Duration>,
}

/// Where a service runs.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its address.
    pub host: String,
    /// What runs its program there, and with which argument.
    pub runner: (&'static str, String),
}

/// A cluster of processes. Place 0 is a distributor, the nodes follow, then the other distributors.
pub struct Fleet {
    folder: PathBuf,
    nodes: usize,
    services: Vec<Option<Service>>,
    recipes: Vec<Recipe>,
    client: reqwest::Client,
}

impl Fleet {
    /// Starts a distributor and its nodes; returns when all of them can be used.
    ///
    /// # Errors
    /// When one of them does not start.
    pub async fn start(binaries: &Binaries, plan: &Plan) -> anyhow::Result<Self> {
        let recipes = recipes(binaries, plan)?;
        let services = recipes.iter().map(|_| None).collect();
        let mut fleet = Fleet {
            folder: plan.folder.clone(),
            nodes: plan.nodes.into(),
            services,
            recipes,
            client: http::client()?,
        };
        for place in 0..fleet.services.len() {
            fleet.spawn(place)?;
            // The first one makes the catalog.
            if let Some(service) = fleet.services[place].as_mut().filter(|_| place == 0) {
                service.ready(&fleet.client).await?;
            }
        }
        fleet.together().await?;
        Ok(fleet)
    }

    /// How many services there are.
    pub fn size(&self) -> usize {
        self.services.len()
    }

    /// How many copies there are of everything: as many as by default.
    pub fn copies(&self) -> u64 {
        let nodes = u16::try_from(self.nodes).unwrap_or(u16::MAX);
        u64::from(Copies::default_on(nodes).get())
    }

    /// The first distributor's base URI.
    pub fn url(&self) -> &str {
        &self.recipes[0].url
    }

    /// All distributors' base URIs.
    pub fn distributor_urls(&self) -> Vec<&str> {
        let others = &self.recipes[1 + self.nodes..];
        let all = std::iter::once(&self.recipes[0]).chain(others);
        all.map(|recipe| recipe.url.as_str()).collect()
    }

    /// The nodes' base URIs.
    pub fn node_urls(&self) -> impl Iterator<Item = &str> {
        self.recipes[self.node_places()]
            .iter()
            .map(|recipe| recipe.url.as_str())
    }

    /// The places of the nodes.
    pub fn node_places(&self) -> std::ops::Range<usize> {
        1..1 + self.nodes
    }

    /// The service at a place, if it runs.
    pub fn service(&self, place: usize) -> Option<&Service> {
        self.services.get(place)?.as_ref()
    }

    /// A service's name.
    pub fn name(&self, place: usize) -> &str {
        &self.recipes[place].name
    }

    /// The folder that holds a node's data.
    pub fn data(&self, place: usize) -> PathBuf {
        self.folder.join(self.name(place))
    }

    /// The place of the node with this base URI.
    pub fn place_of(&self, url: &str) -> Option<usize> {
        self.recipes.iter().position(|recipe| recipe.url == url)
    }

    /// Starts the service at this place if it does not run; it does not serve yet.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn spawn(&mut self, place: usize) -> anyhow::Result<()> {
        if self.services[place].is_none() {
            self.services[place] = Some(Service::spawn(self.recipes[place].clone())?);
        }
        Ok(())
    }

    /// Kills the service at this place (`kill -9`), if it runs.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn kill(&mut self, place: usize) -> anyhow::Result<()> {
        if let Some(service) = self.services[place].take() {
            service.kill().await?;
        }
        Ok(())
    }

    /// Stops the service at this place cleanly, if it runs.
    ///
    /// # Errors
    /// When it does not end with success.
    pub async fn stop_one(&mut self, place: usize) -> anyhow::Result<()> {
        if let Some(service) = self.services[place].take() {
            service.stop().await?;
        }
        Ok(())
    }

    /// Stops every service cleanly, nodes first.
    ///
    /// # Errors
    /// When one does not end with success.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        for place in self.node_places().chain(0..self.size()) {
            self.stop_one(place).await?;
        }
        Ok(())
    }

    /// Waits until every service serves and the distributor knows every node as up.
    ///
    /// # Errors
    /// When a service ends, or they do not find together within half a minute.
    pub async fn together(&mut self) -> anyhow::Result<()> {
        for service in self.services.iter_mut().flatten() {
            service.ready(&self.client).await?;
        }
        let nodes = self.services[self.node_places()].iter();
        let running = nodes.flatten().count();
        for url in self.distributor_urls() {
            nodes_up(&self.client, url, running).await?;
        }
        Ok(())
    }
}

/// Waits until the distributor at `url` knows `count` nodes as up, each with a shard.
///
/// # Errors
/// When that is not so within half a minute, and a second for each node.
pub(crate) async fn nodes_up(
    client: &reqwest::Client,
    url: &str,
    count: usize,
) -> anyhow::Result<()> {
    let nodes = u32::try_from(count).unwrap_or(u32::MAX);
    let deadline = Instant::now() + TOGETHER_TIME_MAX + NODE_TIME_MAX * nodes;
    loop {
        let asked = client.get(format!("{url}{}", routes::NODES));
        let up = http::json::<NodesAnswer>(asked)
            .await
            .map(|answer| usable(&answer));
        match up {
            Ok(up) if up >= count => return Ok(()),
            other if Instant::now() >= deadline => bail!("{} of {count} nodes are up", other?),
            _ => sleep(Duration::from_millis(20)).await,
        }
    }
}

fn usable(answer: &NodesAnswer) -> usize {
    let nodes = answer
        .nodes
        .iter()
        .filter(|(name, _)| !name.is_distributor());
    nodes
        .filter(|(_, entry)| entry.health == Health::Up && !entry.shards.is_empty())
        .count()
}

fn recipes(binaries: &Binaries, plan: &Plan) -> anyhow::Result<Vec<Recipe>> {
    std::fs::create_dir_all(&plan.folder)?;
    let nodes = usize::from(plan.nodes);
    let ports = free_ports(1 + nodes + usize::from(plan.more_distributors))?;
    let mut recipes = Vec::new();
    for (place, port) in ports.iter().enumerate() {
        let name = match place {
            0 => "dist".to_owned(),
            number if number <= nodes => format!("node{number}"),
            number => format!("dist{}", number - nodes + 1),
        };
        let mut own = match name.starts_with("dist") {
            true => of_a_distributor(plan),
            false => [("DIST_URL", distributors(plan, &ports))]
                .into_iter()
                .chain(plan.node_settings.iter().cloned())
                .collect(),
        };
        own.push(("DATA_DIR", plan.folder.join(&name).display().to_string()));
        let place = plan.places.as_ref().map(|places| &places[place]);
        recipes.push(recipe(binaries, &plan.folder, (&name, *port, place), own)?);
    }
    Ok(recipes)
}

/// The base URIs of all distributors, as nodes are told them.
fn distributors(plan: &Plan, ports: &[u16]) -> String {
    let places = ports.iter().enumerate();
    let theirs = places.filter(|(place, _)| *place == 0 || *place > usize::from(plan.nodes));
    let urls = theirs.map(|(place, port)| {
        let host = plan.places.as_ref().map(|places| &*places[place].host);
        format!("http://{}:{port}", host.unwrap_or(LOOPBACK))
    });
    urls.collect::<Vec<_>>().join(",")
}

fn of_a_distributor(plan: &Plan) -> Vec<(&'static str, String)> {
    let catalog = match &plan.database_url {
        Some(url) => url.clone(),
        None => format!("sqlite://{}", plan.folder.join("catalog.db").display()),
    };
    let coordinator = plan.coordinator.iter();
    let session = plan.session.iter();
    [("DATABASE_URL", catalog)]
        .into_iter()
        .chain(coordinator.map(|url| ("COORDINATOR", url.clone())))
        .chain(session.map(|session| ("SESSION", session.as_secs_f64().to_string())))
        .collect()
}

fn recipe(
    binaries: &Binaries,
    folder: &Path,
    (name, port, place): (&str, u16, Option<&Place>),
    own: Vec<(&'static str, String)>,
) -> anyhow::Result<Recipe> {
    let is_distributor = name.starts_with("dist");
    let binary = binaries.path(if is_distributor { "dist" } else { "node" })?;
    let host = place.map_or(LOOPBACK, |place| &place.host);
    let mut environment = vec![
        ("NODE_NAME", name.to_owned()),
        ("HOST", host.to_owned()),
        ("PORT", port.to_string()),
        ("LOG", "warn".to_owned()),
    ];
    environment.extend(own);
    let (program, arguments) = match place {
        None => (binary, Vec::new()),
        Some(Place { runner, .. }) => {
            environment.push(("CLUSTER_KEY", "only-for-trials".to_owned()));
            environment.push(("ANONYMOUS", "write".to_owned()));
            let binary = binary.to_string_lossy().into_owned();
            (runner.0.into(), vec![runner.1.clone(), binary])
        }
    };
    let environment = environment.into_iter();
    Ok(Recipe {
        name: name.to_owned(),
        program,
        environment: environment
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
        arguments,
        url: format!("http://{host}:{port}"),
        folder: folder.to_path_buf(),
        log: folder.join(format!("{name}.log")),
    })
}

/// Ports that were free a moment ago. A service keeps its port over restarts, so it cannot be left
/// to the service; below the ephemeral range, so that no outgoing connection takes it meanwhile.
fn free_ports(count: usize) -> anyhow::Result<Vec<u16>> {
    let mut ports = Vec::with_capacity(count);
    let mut held = Vec::with_capacity(count);
    for _ in 0..10_000 {
        let port = rand::random_range(10_000..32_000);
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            ports.push(port);
            held.push(listener);
        }
        if ports.len() == count {
            return Ok(ports);
        }
    }
    None.context("no free ports between 10000 and 32000")
}

/// The first of `count` ports in a row that were free a moment ago.
///
/// # Errors
/// When there are none.
pub(crate) fn free_row_of_ports(count: u16) -> anyhow::Result<u16> {
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    (0..1_000)
        .map(|_| rand::random_range(10_000..32_000))
        .find(|&first| (first..first + count).all(is_free))
        .context("no free ports between 10000 and 32000")
}
