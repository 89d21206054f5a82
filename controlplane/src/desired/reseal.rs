//! Every secret sealed anew under the first key: what lets an older key go. Content stays what it was.

use lgsp_shared::id::CredentialId;
use lgsp_shared::resource::{CredentialSpec, Document, Kind};
use lgsp_shared::seal::{KeyId, NONCE_BYTES, SealError, SealKeys, Sealed, credential_identity};

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

/// Which credential it is, and which key it needs.
fn cannot_open(name: &CredentialId, error: SealError) -> ChangeError {
    match error {
        SealError::KeyUnknown { wanted } => ChangeError::NotNow(format!(
            "`Credential/{name}` is sealed under key {wanted}, which is not in the key file: put that key back, or issue \
             the credential again"
        )),
        other => other.into(),
    }
}

/// What is still sealed under `id`: the credentials of this revision, as `Kind/name`.
pub fn sealed_under<'a>(documents: impl Iterator<Item = &'a Document>, id: KeyId) -> Vec<String> {
    let secret =
        |document: &Document| serde_json::from_value::<Sealed>(document.spec.get("secret")?.clone()).ok()?.key_id();
    let credentials = documents.filter(|document| document.kind == Kind::Credential.as_str());
    credentials.filter(|document| secret(document) == Some(id)).map(Document::label).collect()
}

fn reseal(
    name: &CredentialId,
    mut spec: CredentialSpec,
    keys: &SealKeys,
    nonce: [u8; NONCE_BYTES],
) -> Result<Document, ChangeError> {
    let identity = credential_identity(name.as_str(), spec.system.as_str(), spec.access_key.as_str());
    let secret = keys.open(&spec.secret, &identity).map_err(|error| cannot_open(name, error))?;
    spec.secret = keys.seal(&secret, &identity, nonce)?;
    write(name, &spec)
}

#[cfg(test)]
mod tests {
    use lgsp_shared::id::Revision;
    use lgsp_shared::seal::Secret;
    use serde_json::json;

    use super::*;

    const OLD: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const NEW: &str = "3f9a0c17d25b8e6410f7c2a95d3e8b60714fd2ac9e05b83361c8f47a2d90be15";

    #[test]
    fn what_a_key_still_seals_is_named_and_without_the_key_nothing_is_resealed() {
        let (old, new) = (SealKeys::parse(OLD).unwrap(), SealKeys::parse(NEW).unwrap());
        let identity = credential_identity("c-1", "s", "AAAAAAAA");
        let sealed = old.seal(&Secret::new(b"secret".to_vec()), &identity, [7; NONCE_BYTES]).unwrap();
        let spec = json!({"system": "s", "access_key": "AAAAAAAA", "secret": sealed, "state": "active"});
        let document = Document { kind: "Credential".into(), name: "c-1".into(), spec };
        let whole = Whole::new(Revision(1), vec![document]).unwrap();
        assert_eq!(sealed_under(whole.documents(), old.sealing().id()), ["Credential/c-1"]);
        assert!(sealed_under(whole.documents(), new.sealing().id()).is_empty());
        let both = SealKeys::parse(&format!("{NEW}\n{OLD}")).unwrap();
        let resealed = change(&whole, &both, || Ok([9; NONCE_BYTES])).unwrap();
        assert!(sealed_under(resealed.puts.iter(), old.sealing().id()).is_empty());
        let told = change(&whole, &new, || Ok([9; NONCE_BYTES])).unwrap_err().to_string();
        assert!(told.contains("Credential/c-1") && told.contains(&old.sealing().id().to_string()), "{told}");
    }
}
