//! The simulator: a whole cluster in virtual time, decided by one seed.
//!
//! The stores, the replication core and the controller's decisions are the real ones; disks,
//! network, register, clocks and clients are simulated. After each step the invariants of
//! `docs/replication.md` are checked; at the end all faults stop, and the cluster must converge.

mod bug;
mod clients;
mod cluster;
mod faults;
mod judge;
mod network;
mod node;
mod queue;
mod register;
mod run;
mod uploads;

/// A schedule allocates some hundred thousand times.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub use bug::{BUGS, SeededBug};
pub use run::{Outcome, Plan, RESTLESS, run, run_many};
