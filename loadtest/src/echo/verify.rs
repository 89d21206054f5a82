//! Proof that a request came through the platform: its signature under the target's own secret.

use std::fmt;
use std::path::PathBuf;

use lgsp_shared::id::AccessKey;
use lgsp_shared::seal::Secret;
use lgsp_shared::signature::Claim;

use super::head::Head;
use crate::credential::{Credential, CredentialFileError};

/// What the platform says about a caller; a signature that leaves any of it out says nothing about who is calling.
const IDENTITY: [&str; 3] = ["lgsp-source", "lgsp-agency", "lgsp-request-id"];

/// Verifies what the platform signs for one target, with any of the target's credentials.
pub struct PlatformVerifier {
    keys: Vec<Credential>,
}

impl fmt::Debug for PlatformVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|credential| &credential.access_key)).finish()
    }
}

impl PlatformVerifier {
    /// Verifies with this credential.
    pub fn new(access_key: AccessKey, secret: &Secret) -> Self {
        Self { keys: vec![Credential::new(access_key, secret)] }
    }

    /// Verifies with the credentials in files, as `lgspctl credential issue --save` writes them; `None` without files.
    pub fn from_files(paths: &[PathBuf]) -> Result<Option<Self>, CredentialFileError> {
        let keys = paths.iter().map(|path| Credential::from_file(path)).collect::<Result<Vec<_>, _>>()?;
        Ok((!keys.is_empty()).then_some(Self { keys }))
    }

    /// Whether the platform signed this head for this target; otherwise why not. The body is vouched for where there is
    /// a `content-digest`: one that the source signed chunk by chunk, or was allowed to leave unsigned, has none.
    pub(super) fn verify(&self, head: &Head) -> Result<(), String> {
        let vouched = head.value("content-digest").is_some();
        let is_framing = |name: &str| matches!(name, "content-length" | "transfer-encoding");
        head.with_request_head(
            |name| vouched || !is_framing(&name.to_ascii_lowercase()),
            |head| {
                if let Some(absent) = IDENTITY.into_iter().find(|name| head.all(name).next().is_none()) {
                    return Err(format!("`{absent}` is missing"));
                }
                let claim = Claim::read_forwarded(head).map_err(|error| error.to_string())?;
                let signer = claim.access_key();
                let key = self.keys.iter().find(|credential| credential.access_key.as_str() == signer);
                let Credential { key, .. } =
                    key.ok_or_else(|| format!("signed with `{signer}`, which is not this target's"))?;
                claim.verify(head, key).map_err(|error| error.to_string())
            },
        )
    }
}
