//! What a running distributor takes over when its settings are read again.
//!
//! What came from flags and the environment is the same as at the start. So only what can stand in
//! `nodes.yml` can be another one.

use service::current::Reloaded;

use super::Running;
use crate::config::Config;
use crate::controller::Policy;

impl Running {
    /// Takes over what may change while the distributor runs: how many copies there shall be, and
    /// what clients are told.
    pub fn reload(&mut self, new: Config) -> Reloaded {
        let mut done = Reloaded::default();
        let now = &mut self.config;
        done.take("copies", &mut now.copies, new.copies, |copies| {
            self.shared.controller.want(Policy::of(copies.get()));
        });
        if now.bind == new.bind {
            let mut told = now.told(&self.url);
            done.take("host, public_url", &mut told, new.told(&self.url), |told| {
                self.shared.public_url.set(told.clone());
            });
            now.public_url = new.public_url;
        } else {
            done.leave("host, port, public_url");
        }
        done
    }
}
