//! Starting and stopping the services of one cluster.

use tokio::task::JoinSet;
use wire::NodeName;

use crate::ready;
use crate::{Options, StartError};

/// A cluster that serves. Dropping it ends the services without draining; [`Running::stop`] drains.
pub struct Running {
    options: Options,
    dist: dist::Running,
    nodes: Vec<Slot>,
}

/// A node's place in the cluster, kept while the node itself is stopped.
struct Slot {
    name: NodeName,
    url: String,
    running: Option<node::Running>,
}

/// Starts a cluster; returns when every node that has room takes uploads.
///
/// # Errors
/// When a service does not start, or a node is not used within half a minute. What was started
/// until then is stopped.
pub async fn start(mut options: Options) -> Result<Running, StartError> {
    options.make_folder()?;
    let dist = dist::start(distributor(&options)?).await?;
    let mut cluster = Running {
        options,
        dist,
        nodes: Vec::new(),
    };
    match cluster.start_nodes().await {
        Ok(()) => Ok(cluster),
        Err(error) => {
            cluster.stop().await;
            Err(error)
        }
    }
}

impl Running {
    /// The distributor's base URI.
    pub fn url(&self) -> &str {
        self.dist.url()
    }

    /// Each node's name and base URI, in the order of their numbers.
    pub fn nodes(&self) -> impl Iterator<Item = (&NodeName, &str)> {
        self.nodes
            .iter()
            .map(|slot| (&slot.name, slot.url.as_str()))
    }

    /// What the cluster was made of, with the data folder's absolute path.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Stops the node at this place (from 0) and leaves the others running; nothing if it is
    /// stopped already.
    pub async fn stop_node(&mut self, place: usize) {
        if let Some(running) = self
            .nodes
            .get_mut(place)
            .and_then(|slot| slot.running.take())
        {
            running.stop().await;
        }
    }

    /// Starts the node at this place (from 0) again, on the port it had; returns when it takes
    /// uploads.
    ///
    /// # Errors
    /// As [`start`].
    pub async fn start_node(&mut self, place: usize) -> Result<(), StartError> {
        self.spawn_again(place).await?;
        self.wait().await
    }

    /// Starts every node that is stopped: copies of one may be needed before another takes uploads.
    ///
    /// # Errors
    /// As [`start`].
    pub async fn start_stopped(&mut self) -> Result<(), StartError> {
        for place in 0..self.nodes.len() {
            self.spawn_again(place).await?;
        }
        self.wait().await
    }

    async fn spawn_again(&mut self, place: usize) -> Result<(), StartError> {
        if let Some(slot) = self.nodes.get(place).filter(|slot| slot.running.is_none()) {
            let name = slot.name.clone();
            let port = slot
                .url
                .rsplit(':')
                .next()
                .and_then(|port| port.parse().ok())
                .unwrap_or(0);
            let running = self.spawn(&name, port).await?;
            self.nodes[place].running = Some(running);
        }
        Ok(())
    }

    /// Stops everything: the nodes at the same time, then the distributor, so that they can list
    /// what is left.
    pub async fn stop(self) {
        let mut stopping = JoinSet::new();
        for running in self.nodes.into_iter().filter_map(|slot| slot.running) {
            stopping.spawn(running.stop());
        }
        stopping.join_all().await;
        self.dist.stop().await;
    }

    async fn start_nodes(&mut self) -> Result<(), StartError> {
        for number in 1..=self.options.nodes {
            let name: NodeName = format!("node{number}")
                .parse()
                .expect("`node` and a number make a node's name");
            let port = self.options.address(number)?.port();
            let running = self.spawn(&name, port).await?;
            let url = running.url().to_owned();
            self.nodes.push(Slot {
                name,
                url,
                running: Some(running),
            });
        }
        self.wait().await
    }

    async fn wait(&self) -> Result<(), StartError> {
        let running = self.nodes.iter().filter(|slot| slot.running.is_some());
        let names: Vec<NodeName> = running.map(|slot| slot.name.clone()).collect();
        Ok(ready::wait(self.dist.url(), &names).await?)
    }

    async fn spawn(&self, name: &NodeName, port: u16) -> Result<node::Running, StartError> {
        let mut bind = self.options.address(0)?;
        bind.set_port(port);
        let config = node::Config {
            name: name.clone(),
            bind,
            internal_url: None,
            public_url: None,
            data_dir: self.options.data.join(name.as_str()),
            max_storage: self.options.max_storage,
            catch_up_rate: None,
            distributors: vec![self.dist.url().to_owned()],
            access: node::Access::default(),
            cors_origins: vec![self.dist.url().to_owned()],
            workers: self.options.workers(),
            traces: self.options.traces.clone(),
        };
        let started = node::start(config).await;
        started.map_err(|source| StartError::Node {
            name: name.clone(),
            source,
        })
    }
}

fn distributor(options: &Options) -> Result<dist::Config, StartError> {
    Ok(dist::Config {
        name: "dist".parse().expect("`dist` is a valid name"),
        bind: options.address(0)?,
        public_url: None,
        database_url: options.catalog(),
        coordinator: None,
        copies: options.copies(),
        access: dist::Access::default(),
        session: options.session,
        poll: dist::POLL_DEFAULT,
        workers: options.workers(),
        traces: options.traces.clone(),
    })
}
