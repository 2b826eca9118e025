//! The storage node over real HTTP, beside a real distributor, on free ports and in folders of
//! their own.

mod access;
mod bad_input;
mod damage;
mod forms;
mod life;
mod limits;
mod membership;
mod mirrors;
mod outage;
mod reads;
mod retries;
mod support;
