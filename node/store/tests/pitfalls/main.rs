//! One test for each pitfall that a log store is known to fall into; the name says which.

mod damage;
mod deletes;
mod faults;
mod follower;
mod foreign;
mod power;
mod readers;
mod space;
mod stage;
mod truncation;
mod visibility;
