//! Repairing damaged copies: what is known to be damaged here is fetched from a replica that has it
//! intact, and written again.
//!
//! It looks at what readers, scrubs and starts have found; it decides nothing about what is damaged
//! ([`store::Reader::damage`]), nor whether a record may be written ([`store::Store::repair`]).
//! Beside that it tells the log what verifications came to.

mod attempts;
mod copies;
mod doubts;
mod hashing;
mod hints;
mod work;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime;
use tokio::sync::watch;
use wire::NodeName;

use crate::driver::Handle;
use crate::membership::distributors::NewError;
use crate::membership::heartbeat::Map;
use crate::metrics::{Metrics, VerifiedCopies};
use copies::Copies;
pub use hashing::Hashing;
pub use hints::Hints;
use work::Work;

/// How often it is looked for damage.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often the log is told what verifications came to.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// What repairs are made with.
pub struct Parts {
    /// This node's name.
    pub name: NodeName,
    /// The key between services.
    pub cluster_key: Option<String>,
    /// The disk thread.
    pub handle: Handle,
    /// Who else has copies, and where they are.
    pub map: Map,
    /// What scrubs find.
    pub hints: Hints,
    /// Where repairs are counted.
    pub metrics: Arc<Metrics>,
}

/// Why repairs could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartRepairsError {
    /// No HTTP client.
    #[error(transparent)]
    Client(#[from] NewError),
    /// No thread or runtime.
    #[error("cannot start a thread")]
    Thread(#[from] std::io::Error),
}

/// The thread that repairs.
pub struct Repairs {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Repairs {
    /// Starts to look for damage.
    ///
    /// # Errors
    /// When a thread or its client cannot be had.
    pub fn start(parts: Parts) -> Result<Repairs, StartRepairsError> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let copies = Copies::new(parts.name, parts.map, parts.cluster_key.as_deref())?;
        let metrics = Arc::clone(&parts.metrics);
        let mut work = Work::new(parts.handle, copies, parts.hints, parts.metrics);
        let (stop, mut stopped) = watch::channel(false);
        let thread = std::thread::Builder::new()
            .name("node-repair".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = repair(&mut work) => {}
                        () = tell(&metrics) => {}
                        _ = stopped.wait_for(|stop| *stop) => {}
                    }
                });
                tell_verified(&metrics);
            })?;
        Ok(Repairs { stop, thread })
    }

    /// Ends; a record that is being written is written to its end by the disk's thread. Blocks.
    pub fn stop(self) {
        self.stop.send_replace(true);
        if self.thread.join().is_err() {
            tracing::error!("the thread that repairs panicked");
        }
    }
}

async fn repair(work: &mut Work) {
    loop {
        // As long as something can be mended there may be more.
        while work.round().await {}
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn tell(metrics: &Metrics) {
    loop {
        tokio::time::sleep(TELL_EVERY).await;
        tell_verified(metrics);
    }
}

/// What verifications came to since this was told last, in one line: of millions of copies that agree,
/// nobody reads one each.
fn tell_verified(metrics: &Metrics) {
    let verified = metrics.take_verified();
    if verified.count() > 0 {
        let VerifiedCopies {
            agreeing,
            absent,
            wrong,
        } = verified;
        let copies = verified.count();
        tracing::info!(copies, agreeing, absent, wrong, "copies were verified");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Verification;

    // If this fails, a run that verifies for hours fills the log, or the log tells of it only when the
    // node ends.
    #[tokio::test(start_paused = true)]
    async fn verifications_are_told_of_once_a_minute() {
        let metrics = Metrics::default();
        let telling = tell(&metrics);
        tokio::pin!(telling);
        for (seconds, untold) in [(59, 1), (2, 0)] {
            metrics.verified(Verification::Agrees);
            let time = Duration::from_secs(seconds);
            let ended = tokio::time::timeout(time, &mut telling).await;
            ended.expect_err("it goes on as long as the node does");
            let copies = metrics.take_verified().count();
            assert_eq!(copies, untold, "after {seconds} s");
        }
    }
}
