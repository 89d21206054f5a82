//! Who takes part: agencies and their systems.

use serde::{Deserialize, Serialize};

use crate::agency_code::AgencyCode;
use crate::id::AgencyId;
use crate::timestamp::UnixSeconds;

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
    /// The code its agency had before a reorganisation, for as long as targets are told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_agency: Option<FormerAgency>,
}

/// A code that is no longer an agency's, and until when targets still see it beside the new one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerAgency {
    /// The code before.
    pub code: AgencyCode,
    /// Not told from this instant on.
    pub until: UnixSeconds,
}
