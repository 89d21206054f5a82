//! The sockets' side: two faces over the same rooms.

pub mod http1;
