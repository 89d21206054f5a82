//! The language both planes speak: identifiers, resource documents, signatures, sealed secrets, refusal codes.
//!
//! What is absent, and why: no I/O, no async, no clock and no source of randomness. Time and random bytes are
//! arguments, so that every rule here can be tried with any instant and any nonce. Neither plane imports the other;
//! what they must agree on lives here and nowhere else.

pub mod agency_code;
pub mod bundle;
pub mod explain;
pub mod field_name;
pub mod head;
pub mod id;
pub mod keyspace;
pub mod network;
pub mod path;
pub mod pem;
pub mod refusal;
pub mod resource;
pub mod seal;
pub mod session;
pub mod signature;
pub mod sorted;
pub mod timestamp;
pub mod usage;
pub mod validate;
pub mod yaml;
