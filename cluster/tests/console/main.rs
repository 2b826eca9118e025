//! The web console as people use it: a real browser before a whole cluster.

mod killed;
mod life;
mod replace;
mod sign_in;
mod stage;
mod trouble;
mod view;
