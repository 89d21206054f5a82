//! What both programs ask of the operating system for their own process: that its memory is not written to a file, how
//! many files it may open, and that a file with a secret is read by those alone who may.
//!
//! What is absent: anything about the network, the configuration or the log. Every rule about secret files is in
//! [`secret_file`] and nowhere else.

pub mod descriptors;
pub mod dumps;
pub mod secret_file;
