//! Every secret sealed anew under the first key: what lets an older key go. Content stays what it was.

use lgsp_shared::id::CredentialId;
use lgsp_shared::resource::CredentialSpec;
use lgsp_shared::seal::{NONCE_BYTES, SealKeys, credential_identity};

use super::ChangeError;
use super::change::Change;
use super::credential::{every, write};
use super::whole::Whole;

/// The change that seals anew what another key than the first sealed. `nonce` draws random bytes.
pub fn change(
    whole: &Whole,
    keys: &SealKeys,
    nonce: impl Fn() -> Result<[u8; NONCE_BYTES], ChangeError>,
) -> Result<Change, ChangeError> {
    let first = keys.sealing().id();
    let others = every(whole).filter(|(_, spec)| spec.secret.key_id() != Some(first));
    let anew = others.map(|(name, spec)| reseal(&name, spec, keys, nonce()?));
    Ok(Change { puts: anew.collect::<Result<_, ChangeError>>()?, ..Change::default() })
}

fn reseal(
    name: &CredentialId,
    mut spec: CredentialSpec,
    keys: &SealKeys,
    nonce: [u8; NONCE_BYTES],
) -> Result<lgsp_shared::resource::Document, ChangeError> {
    let identity = credential_identity(name.as_str(), spec.system.as_str(), spec.access_key.as_str());
    let secret = keys.open(&spec.secret, &identity)?;
    spec.secret = keys.seal(&secret, &identity, nonce)?;
    write(name, &spec)
}
