//! The sockets' side: two faces over the same rooms.

pub mod answer;
pub mod http1;
