//! A running node (being written).
