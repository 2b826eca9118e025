//! Plain load beside what is measured: users that upload, read, update and delete, each in its own
//! way, and what their requests came to.

pub mod library;
pub mod plain;
pub mod tally;
pub mod writes;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use tokio::task::JoinHandle;

/// Users that work until they are told to stop.
#[derive(Default)]
pub struct Load {
    stop: Arc<AtomicBool>,
    users: Vec<JoinHandle<()>>,
}

/// Whether a user should go on.
#[derive(Clone, Debug)]
pub struct GoOn(Arc<AtomicBool>);

impl GoOn {
    /// Whether it should.
    pub fn holds(&self) -> bool {
        !self.0.load(Ordering::Relaxed)
    }
}

impl Load {
    /// One more user.
    pub fn add<U: Future<Output = ()> + Send + 'static>(&mut self, user: impl FnOnce(GoOn) -> U) {
        let go_on = GoOn(Arc::clone(&self.stop));
        self.users.push(tokio::spawn(user(go_on)));
    }

    /// Lets everybody finish what is under way.
    ///
    /// # Errors
    /// When one of them panicked.
    pub async fn end(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        for user in self.users {
            user.await.context("a user panicked")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a measurement never ends, or ends while requests are under way.
    #[tokio::test]
    async fn users_finish_what_they_are_at() {
        let finished = Arc::new(AtomicBool::new(false));
        let mut load = Load::default();
        let seen = Arc::clone(&finished);
        load.add(|go_on| async move {
            while go_on.holds() {
                tokio::task::yield_now().await;
            }
            seen.store(true, Ordering::Relaxed);
        });
        load.end().await.expect("nobody panics");
        assert!(finished.load(Ordering::Relaxed));
    }
}
