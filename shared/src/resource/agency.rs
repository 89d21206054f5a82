//! Who takes part: agencies and their systems.

use serde::{Deserialize, Serialize};

use crate::agency_code::AgencyCode;
use crate::id::AgencyId;

/// An organisation with an identification code.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgencySpec {
    /// The identification code, in either grammar.
    pub code: AgencyCode,
    /// The full name people know it by.
    pub title: String,
}

/// An information system of an agency: the principal that holds credentials, as source, as target, or as both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SystemSpec {
    /// The agency that runs it.
    pub agency: AgencyId,
    /// The full name people know it by.
    pub title: String,
}
