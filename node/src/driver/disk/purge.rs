//! Having deleted what was kept long enough, and measuring what is left then.

use super::DiskThread;
use crate::membership::purge::Purge;

impl DiskThread {
    /// Begins to delete what was kept long enough, or measures when that is done. To be called now and
    /// then.
    pub(super) fn purge(&mut self) {
        if let Some(done) = self.purge.take_if(|purge| purge.is_done()) {
            done.end();
            self.measure_quarantines();
        }
        if self.purge.is_some() {
            return;
        }
        let due = self.dir.kept_long_enough();
        if due.is_empty() {
            return;
        }
        match Purge::start(due) {
            Ok(purge) => self.purge = Some(purge),
            Err(error) => tracing::warn!(%error, "what was kept long enough is deleted later"),
        }
    }

    fn measure_quarantines(&mut self) {
        for (shard, replica) in &mut self.replicas {
            if let Err(error) = replica.store.measure_quarantine() {
                tracing::warn!(%shard, %error, "what is in quarantine cannot be measured");
            }
            replica.measure();
        }
    }
}
