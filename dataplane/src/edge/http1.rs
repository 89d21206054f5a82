//! HTTP/1.1 in, HTTP/1.1 out: our own exchange loop, one file per section of RFC 9112.
//!
//! The order of a request's way: [`keepalive`] waits for a head, [`head`] parses it, `exchange` decides and forwards,
//! [`chunked`] and [`framing`] find the ends of bodies, [`pool`] keeps connections to targets. Budget: one read and one
//! write on each side for a small request, no allocation for a request without a body, no buffer while waiting.

pub mod chunked;
pub mod connection;
pub mod deadline;
pub mod fault;
pub mod framing;
pub mod head;
pub mod pool;
pub mod response;
pub mod rewound;
pub mod stock;
pub mod target;
pub mod wire;
