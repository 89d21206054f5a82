//! A client that signs (being written).
