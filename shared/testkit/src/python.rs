//! The tests' own Python (being written).
