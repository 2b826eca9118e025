//! Files on this machine: what is uploaded, and what is downloaded where.
//!
//! It knows no network. All of it is synchronous; callers move it off their async threads.

pub mod destination;
pub mod folder;
mod mode;
pub mod part;
pub mod safe_name;
pub mod special;
pub mod walk;
