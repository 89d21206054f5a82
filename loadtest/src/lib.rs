//! Load and targets: what capacity testers run, and the target service of demos and tests.
//!
//! What is absent, and why: nothing here decides who may do what, and nothing here keeps a payload or a sample. The
//! target measures and counts what it is sent; bodies pass through it. The generator keeps counts (histograms), signs
//! with the signer of `lgsp-shared` and no other, and publishes no number it could not stand behind.

mod blame;
mod canary;
mod capacity;
pub mod cli;
mod compare;
mod compliance;
mod conditions;
pub mod credential;
pub mod echo;
mod engine;
mod live;
mod machine;
mod measurement;
mod merge;
mod plan;
mod record;
mod report;
mod scenario;
mod slo;
mod verdict;
