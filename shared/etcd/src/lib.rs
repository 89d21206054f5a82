//! How both planes reach etcd: which members, over TLS or not, with which login. One reading of the settings, one set of
//! messages.
//!
//! Guarantees: a cluster is spoken to either with TLS by all its members or with TLS by none; over TLS the server is
//! always verified, against the authority the settings name and no other; what the files hold is checked before it is
//! used. Files are read anew for every client, so a renewed certificate or password needs no restart.
//!
//! What is absent: connections, deadlines and retries, which differ between the planes.

mod access;
mod files;
mod written;

pub use access::{Access, explain};
pub use files::{Reason, UnusableFile};
pub use written::{Problem, Written, WrittenTls};
