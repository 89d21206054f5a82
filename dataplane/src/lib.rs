//! The data plane: decides on signed requests from one immutable snapshot and streams their bodies, keeping nothing.
//!
//! What is absent, and why: no database, no temporary file, no cache. A request asks nobody: not etcd, not the control
//! plane. Payload lives in bounded memory while it flows and is gone at the end (regulation, A7.2).
//!
//! Rooms, in the order a request walks through them, and what each may import (a test reads the `use crate::` lines):
//! `edge` → `admission` → `snapshot` → `upstream`; beside the path `stream`, `forward`, `record`; `session` answers what
//! is asked of the platform itself; `once` asks whether a request was taken before, `cluster` asks other nodes; `sync` feeds `snapshot`; `runtime` builds all of them and nobody imports it.

pub mod admission;
pub mod clock;
pub mod cluster;
pub mod edge;
pub mod forward;
pub mod once;
pub mod record;
pub mod runtime;
pub mod session;
pub mod snapshot;
pub mod stream;
pub mod sync;
pub mod upstream;
