//! What distributors tell each other through the catalog.

use std::time::{Duration, Instant};

use wire::membership::ServiceRole;

use super::Shared;
use crate::catalog::Sighting;

impl Shared {
    /// Tells the other distributors what is heard here, and hears what they do.
    pub(super) async fn exchange(&self) -> Result<(), String> {
        let now = Instant::now();
        let mut heard = self.members.heard_here(now);
        heard.push(self.sighting());
        let board = self
            .catalog
            .exchange(&heard)
            .await
            .map_err(|error| error.to_string())?;
        if board.cluster != Some(self.identity.cluster) {
            return Err(format!(
                "the database belongs to cluster {:?} now, not to {}; it was replaced",
                board.cluster, self.identity.cluster
            ));
        }
        self.members.set_orders(&board);
        let others = board
            .sightings
            .into_iter()
            .filter(|each| each.name != self.name);
        for name in self.members.learn(others.collect(), now) {
            self.poller.watch(&name);
        }
        Ok(())
    }

    fn sighting(&self) -> Sighting {
        let url = self.public_url.get();
        Sighting {
            name: self.name.clone(),
            role: ServiceRole::Distributor,
            internal_url: (*url).clone(),
            public_url: (*url).clone(),
            incarnation: self.controller.candidate(),
            heartbeat: None,
            age: Duration::ZERO,
        }
    }
}
