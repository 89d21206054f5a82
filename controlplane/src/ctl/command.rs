//! One file per group of commands.

pub mod apply;
pub mod credential;
pub mod get;
pub mod history;
pub mod nodes;
pub mod sign;
pub mod validate;
