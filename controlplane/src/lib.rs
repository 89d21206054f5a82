//! The control plane: who exists, who may do what, which revision is current, and whether nodes have it.
//!
//! ```text
//! api      HTTP under /v1: thin handlers, OpenAPI, problem documents
//! desired  change → the whole → validated → revision N+1; knows neither HTTP nor etcd
//! store    revisions, registry, operators and the audit in SQLite or PostgreSQL
//! operator who may use the API, in which roles, and within which agency
//! audit    who attempted what, and what became of it: a chain that shows what was done to it
//! backup   every table into one file and back
//! registry who takes part: agencies, contacts, applications, reorganisations, notices
//! calendar what happens on its day: scheduled reorganisations
//! publish  the current revision to etcd or to a bundle file, at least once
//! rollout  what nodes report, folded into where the revision has arrived
//! usage    when each credential was last used, on whatever node
//! keys     the key file while the server runs
//! inquiry  nodes asked why a request was, or would be, refused
//! serve    the API's connections, bounded in number and time
//! runtime  builds the rooms and owns shutdown
//! ctl      `lgspctl`, the operator's command line: speaks HTTP to the server, nothing else
//! ```
//!
//! What is absent, and why: no payload and no record of one passes here; no secret is kept or published in the clear;
//! nothing on a request's path asks this program, so it may be down without one exchange failing.

pub mod api;
pub mod audit;
pub mod backup;
pub mod calendar;
pub mod ctl;
pub mod desired;
pub mod inquiry;
pub mod keys;
pub mod operator;
pub mod publish;
pub mod registry;
pub mod rollout;
pub mod runtime;
pub mod serve;
pub mod settings;
pub mod store;
pub mod tls;
pub mod usage;
