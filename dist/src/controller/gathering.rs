//! Going on when nodes that register one after the other have.

use std::time::{Duration, Instant};

use controller::gather;

use super::Controller;

/// Times are told in whole milliseconds.
const JUST_AFTER: Duration = Duration::from_millis(1);

impl Controller {
    /// Decides whenever nodes have gathered, for ever: until the next tick, which may be ten seconds away,
    /// nobody else may have a reason to.
    pub(crate) async fn watch_gathering(&self) {
        loop {
            self.members.registered().await;
            while let Some(left) = gather(&self.members.seen(Instant::now())) {
                tokio::time::sleep(left + JUST_AFTER).await;
            }
            self.heard().await;
        }
    }
}
