//! Who takes part: agencies and their systems.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::agency_code::AgencyCode;
use crate::id::AgencyId;
use crate::network::Network;
use crate::path::{document_form, is_below};
use crate::timestamp::UnixSeconds;

/// An organisation with an identification code.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgencySpec {
    /// The identification code, in either grammar.
    pub code: AgencyCode,
    /// The full name people know it by.
    pub title: String,
    /// Networks in which the endpoints of its services may be, as far as its own operators write them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<Network>,
    /// Hosts for which its own operators may write routes, lower case, without a port.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Path prefixes below which its own operators may write routes for any host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
}

impl AgencySpec {
    /// Whether an endpoint may be at `address`. Nothing is assigned where nothing is written.
    pub fn has_network_of(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(address))
    }

    /// Whether a route may take this host.
    pub fn has_host(&self, host: &str) -> bool {
        self.hosts.iter().any(|assigned| assigned == host)
    }

    /// Whether a route for any host may take this path, however it is spelt.
    pub fn has_path(&self, path: &str) -> bool {
        let path = document_form(path);
        self.paths.iter().any(|assigned| is_below(&path, &document_form(assigned.trim_end_matches('/'))))
    }
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
