//! (to come)

pub mod edge;
