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

/// Verifies what the platform signs for one target, with any of the target's credentials.
pub struct PlatformVerifier {
    keys: Vec<(AccessKey, KeyState)>,
}

impl fmt::Debug for PlatformVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|(access_key, _)| access_key)).finish()
    }
}

impl PlatformVerifier {
    /// Verifies with this credential.
    pub fn new(access_key: AccessKey, secret: &Secret) -> Self {
        Self { keys: vec![(access_key, KeyState::new(secret))] }
    }

    /// Verifies with the credentials in files, as `lgspctl credential issue --save` writes them; `None` without files.
    pub fn from_files(paths: &[PathBuf]) -> Result<Option<Self>, CredentialFileError> {
        let keys = paths.iter().map(|path| read_credential(path)).collect::<Result<Vec<_>, _>>()?;
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
                let claim = Claim::read(head).map_err(|error| error.to_string())?;
                let signer = claim.access_key();
                let key = self.keys.iter().find(|(access_key, _)| access_key.as_str() == signer);
                let (_, key) = key.ok_or_else(|| format!("signed with `{signer}`, which is not this target's"))?;
                claim.verify(head, key).map_err(|error| error.to_string())
            },
        )
    }
}

fn read_credential(path: &Path) -> Result<(AccessKey, KeyState), CredentialFileError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| CredentialFileError::Unreadable { path: path.to_owned(), source })?;
    let value = |name: &str| {
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim()).find(|value| !value.is_empty())
    };
    let access_key = value(ACCESS_KEY_VARIABLE).and_then(|text| text.parse().ok());
    match (access_key, value(SECRET_KEY_VARIABLE)) {
        (Some(access_key), Some(secret)) => Ok((access_key, KeyState::new(&Secret::new(secret.as_bytes().to_vec())))),
        (_, _) => Err(CredentialFileError::Malformed { path: path.to_owned() }),
    }
}
