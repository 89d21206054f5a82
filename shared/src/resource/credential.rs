//! Credentials: an access key, its sealed secret, and when it may be used.

use serde::{Deserialize, Serialize};

use crate::id::{AccessKey, SystemId};
use crate::seal::Sealed;
use crate::timestamp::{UnixSeconds, Validity};

/// Whether a credential may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialState {
    /// In use.
    Active,
    /// Still accepted while its successor takes over; `not_after` says until when.
    Retiring,
    /// Refused at once.
    Disabled,
}

/// One access key and its secret. Several may be active for a system at a time, so that rotation never interrupts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CredentialSpec {
    /// The system it identifies.
    pub system: SystemId,
    /// Who am I: sent with every request.
    pub access_key: AccessKey,
    /// The secret key, sealed; the platform's key-encryption key opens it.
    pub secret: Sealed,
    /// Whether it may be used.
    pub state: CredentialState,
    /// Refused before this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<UnixSeconds>,
    /// Refused from this instant on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<UnixSeconds>,
}

impl CredentialSpec {
    /// When it may be used, its state apart.
    pub fn validity(&self) -> Validity {
        Validity { not_before: self.not_before, not_after: self.not_after }
    }
}
