//! What a running node takes over when its settings are read again.
//!
//! What came from flags and the environment is the same as at the start. So only what can stand in
//! `nodes.yml` can be another one.

use std::net::SocketAddr;
use std::sync::Arc;

use service::current::{Current, Reloaded};

use super::{StartError, addresses};
use crate::config::Config;
use crate::driver::admission::Admission;
use crate::links::Pace;
use crate::membership::heartbeat::Addresses;

/// The settings that may change, where those who use them look.
pub(super) struct Changeable {
    /// As it counts now.
    config: Config,
    bound: SocketAddr,
    pub(super) pace: Arc<Pace>,
    pub(super) distributors: Current<Vec<String>>,
    pub(super) cors_origins: Current<Vec<String>>,
    pub(super) addresses: Current<Addresses>,
}

impl Changeable {
    /// Those of a node that is bound to an address.
    ///
    /// # Errors
    /// When nobody could be told where the node is.
    pub(super) fn new(config: &Config, bound: SocketAddr) -> Result<Self, StartError> {
        Ok(Changeable {
            config: config.clone(),
            bound,
            pace: Arc::new(Pace::new(config.catch_up_rate)),
            distributors: Current::new(config.distributors.clone()),
            cors_origins: Current::new(config.cors_origins.clone()),
            addresses: Current::new(addresses(config, bound)?),
        })
    }

    /// Takes over what is another one now.
    pub(super) fn reload(&mut self, new: Config, admission: &Admission) -> Reloaded {
        let mut done = Reloaded::default();
        self.move_to(&new, &mut done);
        let now = &mut self.config;
        done.take(
            "max_storage",
            &mut now.max_storage,
            new.max_storage,
            |max| admission.set_max_storage(*max),
        );
        done.take(
            "catch_up_rate",
            &mut now.catch_up_rate,
            new.catch_up_rate,
            |rate| self.pace.set(*rate),
        );
        done.take(
            "distributors",
            &mut now.distributors,
            new.distributors,
            |urls| self.distributors.set(urls.clone()),
        );
        done.take(
            "origins of pages",
            &mut now.cors_origins,
            new.cors_origins,
            |origins| self.cors_origins.set(origins.clone()),
        );
        done
    }

    /// Tells others another address, unless it is one that the node does not listen on.
    fn move_to(&mut self, new: &Config, done: &mut Reloaded) {
        if new.bind != self.config.bind {
            done.leave("host, port, public_url");
            return;
        }
        match addresses(new, self.bound) {
            Ok(told) => {
                let mut now = (*self.addresses.get()).clone();
                done.take("host, public_url", &mut now, told, |told| {
                    self.addresses.set(told.clone());
                });
            }
            Err(_) => done.leave("host, public_url"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::tests::config;
    use crate::gauges::Sampler;

    fn changeable(config: &Config) -> Changeable {
        let bound = "127.0.0.1:9".parse().expect("an address");
        Changeable::new(config, bound).expect("is reachable")
    }

    fn admission() -> (Sampler, tempfile::TempDir, Admission) {
        let dir = tempfile::tempdir().expect("a folder");
        let (sampler, gauges) = Sampler::start(dir.path()).expect("samples");
        (sampler, dir, Admission::new(None, gauges))
    }

    // If this fails, a setting is said to count and does not, or counts and is not said.
    #[test]
    fn each_setting_reaches_those_who_use_it() {
        let (_sampler, _dir, admission) = admission();
        let old = config("127.0.0.1:9");
        let mut changeable = changeable(&old);
        assert_eq!(
            changeable.reload(old.clone(), &admission),
            Reloaded::default()
        );
        let new = Config {
            max_storage: Some(1000),
            catch_up_rate: Some(10),
            distributors: vec!["http://b:1".to_owned()],
            cors_origins: vec!["http://c:1".to_owned()],
            public_url: Some("https://files.example/".to_owned()),
            ..old
        };
        let taken = vec![
            "host, public_url",
            "max_storage",
            "catch_up_rate",
            "distributors",
            "origins of pages",
        ];
        let left = Vec::new();
        let done = changeable.reload(new.clone(), &admission);
        assert_eq!(done, Reloaded { taken, left });
        assert_eq!(admission.max_storage(), 1000);
        assert_eq!(*changeable.distributors.get(), ["http://b:1"]);
        assert_eq!(*changeable.cors_origins.get(), ["http://c:1"]);
        let told = changeable.addresses.get();
        assert_eq!(told.public, "https://files.example");
        assert_eq!(told.internal, "http://127.0.0.1:9");
        assert_eq!(changeable.reload(new, &admission), Reloaded::default());
    }

    // If this fails, uploads are sent to an address that the node would only have after a restart.
    #[test]
    fn an_address_that_nobody_listens_on_is_not_told() {
        let (_sampler, _dir, admission) = admission();
        let old = config("127.0.0.1:9");
        let mut changeable = changeable(&old);
        let moved = Config {
            internal_url: Some("http://127.0.0.1:10".to_owned()),
            ..config("127.0.0.1:10")
        };
        for _ in 0..2 {
            let done = changeable.reload(moved.clone(), &admission);
            assert_eq!(
                done.left,
                ["host, port, public_url"],
                "it is said each time"
            );
            assert_eq!(changeable.addresses.get().internal, "http://127.0.0.1:9");
        }
    }
}
