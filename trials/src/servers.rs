//! The database and the ZooKeeper of one run, which can be ended, started and held up.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::Context;
use pgtest::Postgres;
use zktest::ZooKeeper;

use crate::passage::Passage;

/// The servers that the distributor relies on, each reached through a passage.
#[derive(Default)]
pub struct Servers {
    postgres: Option<(Postgres, Passage)>,
    zookeeper: Option<(ZooKeeper, Passage)>,
    database_url: Option<String>,
    coordinator: Option<String>,
    down: BTreeSet<usize>,
}

/// What is done to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Outage {
    /// It ends, and all connections with it.
    Down,
    /// It keeps its connections and answers nobody.
    Silent,
}

impl Servers {
    /// Starts those that are wanted; the services reach them at `host`.
    ///
    /// # Errors
    /// When one is not installed, or does not start.
    pub async fn start(host: &str, postgres: bool, zookeeper: bool) -> anyhow::Result<Self> {
        let mut servers = Servers::default();
        if postgres {
            let server = Postgres::start()?;
            let url = server.fresh_database()?;
            let passage = passage(host, server.port()).await?;
            servers.database_url = Some(moved(&url, server.port(), &passage)?);
            servers.postgres = Some((server, passage));
        }
        if zookeeper {
            let server = ZooKeeper::start()?;
            let passage = passage(host, server.port()).await?;
            servers.coordinator = Some(moved(&server.fresh_path(), server.port(), &passage)?);
            servers.zookeeper = Some((server, passage));
        }
        Ok(servers)
    }

    /// The catalog; none for SQLite.
    pub fn database_url(&self) -> Option<String> {
        self.database_url.clone()
    }

    /// Where shards are agreed on; none for the catalog's database.
    pub fn coordinator(&self) -> Option<String> {
        self.coordinator.clone()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        usize::from(self.postgres.is_some()) + usize::from(self.zookeeper.is_some())
    }

    /// Takes one away, by its number.
    pub fn take(&mut self, number: usize, outage: Outage) {
        if outage == Outage::Down {
            self.down.insert(number);
        }
        let is_first = number == 0;
        match (&mut self.postgres, &mut self.zookeeper, outage) {
            (Some((server, _)), _, Outage::Down) if is_first => server.stop_server(),
            (Some((_, passage)), _, Outage::Silent) if is_first => passage.hold(),
            (_, Some((server, _)), Outage::Down) => server.stop_server(),
            (_, Some((_, passage)), Outage::Silent) => passage.hold(),
            (_, None, _) => {}
        }
    }

    /// Writes a backup of the catalog's database to a file.
    ///
    /// # Errors
    /// When there is no PostgreSQL, or it does not do it.
    pub fn back_up(&self, file: &Path) -> anyhow::Result<()> {
        let (server, database) = self.database()?;
        Ok(server.back_up(database, file)?)
    }

    /// Puts the catalog's database back to a backup, whoever uses it.
    ///
    /// # Errors
    /// When there is no PostgreSQL, or it does not do it.
    pub fn put_back(&self, file: &Path) -> anyhow::Result<()> {
        let (server, database) = self.database()?;
        Ok(server.put_back(database, file)?)
    }

    fn database(&self) -> anyhow::Result<(&Postgres, &str)> {
        let (server, _) = self.postgres.as_ref().context("no PostgreSQL runs")?;
        let url = self.database_url.as_deref().unwrap_or_default();
        let (_, name) = url.rsplit_once('/').context("a URL names a database")?;
        Ok((server, name))
    }

    /// All of them serve again.
    ///
    /// # Errors
    /// When one does not start.
    pub fn give_back(&mut self) -> anyhow::Result<()> {
        let down = std::mem::take(&mut self.down);
        if let Some((server, passage)) = &mut self.postgres {
            passage.release();
            if down.contains(&0) {
                server.start_server()?;
            }
        }
        let number = usize::from(self.postgres.is_some());
        if let Some((server, passage)) = &mut self.zookeeper {
            passage.release();
            if down.contains(&number) {
                server.start_server()?;
            }
        }
        Ok(())
    }
}

async fn passage(host: &str, port: u16) -> anyhow::Result<Passage> {
    Passage::open(host, SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await
}

/// The URL of a server, by way of its passage.
fn moved(url: &str, port: u16, passage: &Passage) -> anyhow::Result<String> {
    let direct = format!("127.0.0.1:{port}");
    let (before, after) = url
        .split_once(&direct)
        .context("a server's URL has its address")?;
    Ok(format!("{before}{}{after}", passage.address()))
}
