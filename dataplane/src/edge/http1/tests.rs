//! The loop over real rooms: a signing source on an in-memory connection, targets on loopback.

mod answers;
mod bodies;
mod clients;
mod connections;
mod failures;
mod fixture;
mod splits;
