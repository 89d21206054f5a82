//! HTTP/1.1 in, HTTP/1.1 out: our own exchange loop, one file per section of RFC 9112.
//!
//! The order of a request's way: [`keepalive`] waits for a head, [`head`] parses it, [`decide`] admits it, [`exchange`] asks the target and passes its answer on;
//! [`chunked`] and [`framing`] find the ends of bodies, [`pool`] keeps connections to targets. Budget: one read and one
//! write on each side for a small request, neither buffer nor room for an exchange while waiting.

mod body;
pub mod chunked;
mod connect;
pub mod connection;
mod converse;
pub mod deadline;
mod decide;
mod exchange;
pub mod fault;
pub mod framing;
pub mod head;
mod keepalive;
mod outgoing;
mod pace;
mod platform;
pub mod pool;
mod refuse;
mod relay;
pub mod response;
pub mod rewound;
mod sending;
mod source;
pub mod stock;
pub mod target;
mod turn;
mod turn_away;
mod upload;
pub mod wire;

pub use keepalive::{Handover, serve};
pub use turn_away::turn_away;

#[cfg(test)]
mod tests;
