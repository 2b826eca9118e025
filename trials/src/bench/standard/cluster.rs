//! The cluster that is measured: a distributor, three nodes, two copies, PostgreSQL.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use client::bench::Stored;
use pgtest::Postgres;

use super::{Limits, Processes, catalog};
use crate::bench::{probe, small};
use crate::binaries::Binaries;
use crate::fleet::{Fleet, Plan};
use crate::http;

/// Three nodes, so that copies are on other pairs of nodes.
const NODES: u16 = 3;

/// A running cluster with its own database.
pub(super) struct Cluster {
    fleet: Fleet,
    processes: Processes,
    database_url: String,
    folder: std::path::PathBuf,
}

impl Cluster {
    /// Starts an empty one.
    ///
    /// # Errors
    /// When a service does not start.
    pub(super) async fn start(
        binaries: &Binaries,
        folder: &Path,
        postgres: &Postgres,
    ) -> anyhow::Result<Self> {
        let database_url = postgres.fresh_database()?;
        let plan = Plan {
            folder: folder.to_path_buf(),
            nodes: NODES,
            database_url: Some(database_url.clone()),
            ..Plan::default()
        };
        let fleet = Fleet::start(binaries, &plan).await?;
        small::takes_uploads(&http::client()?, fleet.url()).await?;
        let mut services = Vec::new();
        for place in 0..fleet.size() {
            let service = fleet.service(place).context("it was just started")?;
            services.push(service.process_id().context("it runs")?);
        }
        let storage = services[1..].to_vec();
        let processes = Processes {
            services,
            storage,
            database: postgres.process_id(),
        };
        Ok(Cluster {
            fleet,
            processes,
            database_url,
            folder: folder.to_path_buf(),
        })
    }

    pub(super) fn url(&self) -> &str {
        self.fleet.url()
    }

    pub(super) fn processes(&self) -> &Processes {
        &self.processes
    }

    /// What disk and database allow at this moment.
    ///
    /// # Errors
    /// When one of them fails.
    pub(super) async fn probe(&self) -> anyhow::Result<Limits> {
        Ok(Limits {
            sync_ms: probe::sync_ms(&self.folder)?,
            commit_ms: probe::commit_ms(&self.folder, Some(&self.database_url)).await?,
        })
    }

    /// Puts rows straight into the catalog; gives some of them, from all over it.
    ///
    /// # Errors
    /// When the database refuses.
    pub(super) async fn fill_catalog(
        &self,
        rows: u64,
        out: &mut dyn Write,
    ) -> anyhow::Result<Vec<Stored>> {
        let shard = catalog::any_shard(self.url()).await?;
        let begun = std::time::Instant::now();
        let ids = catalog::fill(&self.database_url, &[shard], rows).await?;
        let took = begun.elapsed().as_secs_f64();
        writeln!(out, "  {rows} rows put into the catalog in {took:.0} s")?;
        let stored = |id| Stored {
            id,
            node: self.url().to_owned(),
            expected: None,
        };
        Ok(ids.into_iter().map(stored).collect())
    }

    /// Stops it.
    ///
    /// # Errors
    /// When a service does not end with success.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.fleet.stop().await
    }
}
