//! The only place where the store and the rest of the node meet.
//!
//! One thread owns every log, and the replication cores around them ([`disk`]); requests reach it through a bounded queue
//! ([`Handle`]), and see what it publishes ([`table`]). Readers of committed contents go around it.

pub mod admission;
pub mod command;
mod disk;
#[cfg(test)]
mod faulty_disk;
mod handle;
mod presence;
pub mod repair;
pub mod table;
#[cfg(test)]
mod tests;
pub mod upload;

use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use store::disk::Disk;

pub use handle::Handle;
pub use presence::Presence;

use crate::lister::Feed;
use crate::membership::data_dir::{DataDir, DataDirError};
use crate::membership::duty::Me;
use crate::membership::register::Ask;
use crate::metrics::Metrics;
use admission::Admission;
use disk::aside::Asides;
use disk::upkeep::Upkeep;
use disk::{DiskThread, Inbound, Surroundings};
use table::Table;

/// Commands that may wait for the disk thread. With a sync of 10 ms and the thousand commands of a
/// round this is a tenth of a second of work; a request beyond it is better refused.
const COMMANDS_MAX: usize = 8192;

/// The running disk thread.
pub struct Driver {
    handle: Handle,
    thread: JoinHandle<()>,
}

/// What the driver is built from.
pub struct Parts {
    /// This node, as shard records name it.
    pub me: Me,
    /// Its data directory.
    pub dir: DataDir,
    /// Where its logs are.
    pub disk: Arc<dyn Disk>,
    /// Room for uploads.
    pub admission: Arc<Admission>,
    /// Where committed changes go.
    pub feed: Arc<Feed>,
    /// Where it measures itself.
    pub metrics: Arc<Metrics>,
    /// Where it asks the register.
    pub register: tokio::sync::mpsc::Sender<Ask>,
}

/// Tells when the disk thread ends by a panic.
struct Watch(Arc<Presence>);

impl Drop for Watch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("the disk thread panicked: the node must be started again");
            self.0.died();
        }
    }
}

/// Why the driver could not be started.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// A thread cannot be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

impl Driver {
    /// Opens all replicas, then starts the disk thread.
    ///
    /// # Errors
    /// When the data directory cannot be listed, or a thread cannot be started.
    pub fn start(parts: Parts) -> Result<Driver, DriverError> {
        let (commands, queue) = sync_channel(COMMANDS_MAX);
        let identity = parts.dir.identity();
        let presence = Arc::new(Presence::new(identity.cluster, identity.offer()));
        let abandoned = Arc::new(Mutex::new(Vec::new()));
        let around = Surroundings {
            me: parts.me,
            table: Table::default(),
            presence: Arc::clone(&presence),
            admission: parts.admission,
            feed: parts.feed,
            metrics: parts.metrics,
            abandoned,
            register: parts.register,
        };
        let mailbox = Arc::default();
        let upkeep = Upkeep::start(commands.clone()).map_err(DriverError::Thread)?;
        let asides = Asides::start(commands.clone(), Arc::clone(&around.metrics));
        let asides = asides.map_err(DriverError::Thread)?;
        let handle = Handle::new(commands, &around, Arc::clone(&mailbox));
        let inbound = Inbound {
            commands: queue,
            mailbox,
        };
        let mut disk_thread =
            DiskThread::new(parts.dir, parts.disk, around, inbound, (upkeep, asides));
        disk_thread.open_replicas()?;
        let thread = std::thread::Builder::new()
            .name("node-disk".to_owned())
            .spawn(move || {
                let _watch = Watch(presence);
                disk_thread.run();
            })
            .map_err(DriverError::Thread)?;
        Ok(Driver { handle, thread })
    }

    /// The way to the disk thread.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Carries out what waits, syncs everything, and ends. Blocks until then.
    pub fn stop(self) {
        self.handle.stop();
        if self.thread.join().is_err() {
            tracing::error!("the disk thread panicked");
        }
    }
}
