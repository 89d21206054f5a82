//! Fake targets (being written).
