//! Load and targets: what capacity testers run, and the target service of demos and tests.
//!
//! What is absent, and why: nothing here decides who may do what, and nothing here keeps a payload. The target measures
//! and counts what it is sent; bodies pass through it.

pub mod echo;
