//! Proof that a request came through the platform: its signature under the target's own secret.

use std::fmt;
use std::path::{Path, PathBuf};

use lgsp_shared::id::AccessKey;
use lgsp_shared::seal::Secret;
use lgsp_shared::signature::{Claim, KeyState};

use super::head::Head;

/// The names under which `lgspctl credential issue --save` writes the keys.
const ACCESS_KEY_VARIABLE: &str = "LGSP_ACCESS_KEY";
const SECRET_KEY_VARIABLE: &str = "LGSP_SECRET_KEY";

/// What the platform says about a caller; a signature that leaves any of it out says nothing about who is calling.
const IDENTITY: [&str; 3] = ["lgsp-source", "lgsp-agency", "lgsp-request-id"];

/// Why a credential file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialFileError {
    /// Not there, or not readable.
    #[error("the credential file `{}` cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not an access key and a secret key.
    #[error(
        "`{}` holds no credential: give a file that `lgspctl credential issue --save` wrote, with \
         `{ACCESS_KEY_VARIABLE}=` and `{SECRET_KEY_VARIABLE}=`",
        path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

/// Verifies what the platform signs for one target.
pub struct PlatformVerifier {
    access_key: AccessKey,
    key: KeyState,
}

impl fmt::Debug for PlatformVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlatformVerifier({})", self.access_key)
    }
}

impl PlatformVerifier {
    /// Verifies with this credential.
    pub fn new(access_key: AccessKey, secret: &Secret) -> Self {
        Self { access_key, key: KeyState::new(secret) }
    }

    /// Verifies with the credential in a file, as `lgspctl credential issue --save` writes it.
    pub fn from_file(path: &Path) -> Result<Self, CredentialFileError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| CredentialFileError::Unreadable { path: path.to_owned(), source })?;
        let value = |name: &str| {
            let pairs = text.lines().filter_map(|line| line.split_once('='));
            pairs.filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim()).find(|value| !value.is_empty())
        };
        let access_key = value(ACCESS_KEY_VARIABLE).and_then(|text| text.parse().ok());
        match (access_key, value(SECRET_KEY_VARIABLE)) {
            (Some(access_key), Some(secret)) => Ok(Self::new(access_key, &Secret::new(secret.as_bytes().to_vec()))),
            (_, _) => Err(CredentialFileError::Malformed { path: path.to_owned() }),
        }
    }

    /// Whether the platform signed this head for this target; otherwise why not.
    pub(super) fn verify(&self, head: &Head) -> Result<(), String> {
        head.with_request_head(|head| {
            if let Some(absent) = IDENTITY.into_iter().find(|name| head.all(name).next().is_none()) {
                return Err(format!("`{absent}` is missing"));
            }
            let claim = Claim::read(head).map_err(|error| error.to_string())?;
            if claim.access_key() != self.access_key.as_str() {
                return Err(format!("signed with `{}`, not with `{}`", claim.access_key(), self.access_key));
            }
            claim.verify(head, &self.key).map_err(|error| error.to_string())
        })
    }
}
