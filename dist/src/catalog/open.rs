//! From a database URL to a catalog and a coordinator that are ready.

use std::sync::Arc;

use super::Catalog;
use super::error::OpenError;
use super::{postgres, sqlite};
use crate::coordinator::{Coordinator, PostgresCoordinator, SqliteCoordinator};

/// One database, in both of its parts.
#[derive(Clone)]
pub struct Database {
    /// The metadata of all contents.
    pub catalog: Arc<dyn Catalog>,
    /// The register of shard records, and the election of the controller.
    pub coordinator: Arc<dyn Coordinator>,
}

/// Opens `sqlite://path` or `postgres://…`, and applies the migrations.
///
/// # Errors
/// When the URL is of neither, the database cannot be reached or migrated, or another distributor
/// uses the same SQLite file.
pub async fn open(url: &str) -> Result<Database, OpenError> {
    if let Some(path) = url.strip_prefix("sqlite:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        let (catalog, writer) = sqlite::open(path.as_ref()).await?;
        let coordinator = Arc::new(SqliteCoordinator::new(writer));
        return Ok(Database {
            catalog: Arc::new(catalog),
            coordinator,
        });
    }
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        let (catalog, options) = postgres::open(url).await?;
        let coordinator = Arc::new(PostgresCoordinator::new(options));
        return Ok(Database {
            catalog: Arc::new(catalog),
            coordinator,
        });
    }
    Err(OpenError::Scheme(
        url.split_once(':')
            .map_or(url, |(scheme, _)| scheme)
            .to_owned(),
    ))
}
