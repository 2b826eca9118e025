//! One test for each pitfall that a log store is known to fall into; the name says which.

mod damage;
mod deletes;
mod faults;
mod follower;
mod foreign;
mod space;
mod stage;
mod visibility;
