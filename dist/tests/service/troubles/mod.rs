//! What happens to a distributor, its database and its coordinator.

mod crash;
mod outage;
mod rebuild;
mod recovery;
mod zookeeper_outage;
