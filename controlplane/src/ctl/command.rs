//! One file per group of commands.

pub mod about;
pub mod apply;
pub mod audit;
mod conflict;
pub mod credential;
pub mod describe;
pub mod explain;
pub mod get;
pub mod history;
pub mod login;
pub mod nodes;
pub mod operator;
pub mod registry;
pub mod sign;
pub mod validate;
pub mod wait;
