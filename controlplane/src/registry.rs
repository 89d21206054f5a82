//! Who takes part: the directory of agencies, contacts, applications for connection, reorganisations, notices.
//!
//! ```text
//! concern         which agencies a document concerns
//! fold            what search compares: no accents, no case, no punctuation
//! directory       agencies by identification code, a hundred thousand and more; never listed whole
//! contact         people; kept in the database, never in a document, so that no node ever holds them
//! application     asks for a connection; a closed state machine whose transitions are one function
//! reorganisation  rename, split, merge, dissolve: what was asked, when it takes effect, where old codes lead
//! notice          maintenance announced ahead of time
//! ```
//!
//! Pure: what is here knows neither the database nor HTTP nor the time. `desired` turns applications and
//! reorganisations into changes, `store` keeps them. Only agencies with a system become documents: a directory of
//! 120 000 does not travel to every node.

pub mod application;
pub mod concern;
pub mod contact;
pub mod directory;
pub mod fold;
pub mod notice;
pub mod reorganisation;
