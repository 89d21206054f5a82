//! Credential files, as `lgspctl credential issue --save` writes them.

use std::path::{Path, PathBuf};

use lgsp_shared::id::AccessKey;
use lgsp_shared::seal::Secret;
use lgsp_shared::signature::KeyState;

/// The names under which the keys are written.
const ACCESS_KEY_VARIABLE: &str = "LGSP_ACCESS_KEY";
const SECRET_KEY_VARIABLE: &str = "LGSP_SECRET_KEY";

/// A credential ready to sign and to verify with. Its `Debug` shows the access key only.
#[derive(Clone)]
pub struct Credential {
    /// Who it belongs to.
    pub access_key: AccessKey,
    /// Signs.
    pub key: KeyState,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Credential").field(&self.access_key).finish()
    }
}

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

impl Credential {
    /// Of an access key and its secret.
    pub fn new(access_key: AccessKey, secret: &Secret) -> Self {
        Self { access_key, key: KeyState::new(secret) }
    }

    /// Reads a file.
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
}
