//! Credentials as changes: issue, rotate, disable. Pure; random bytes and the time are arguments.

use lgsp_shared::id::{AccessKey, CredentialId, ResourceName, SystemId};
use lgsp_shared::resource::{CredentialSpec, CredentialState, Document, Kind, Resource, ResourceKey};
use lgsp_shared::seal::{NONCE_BYTES, SealKey, Secret, credential_identity};
use lgsp_shared::timestamp::UnixSeconds;

use super::ChangeError;
use super::change::Change;
use super::sight::Sight;
use super::whole::Whole;

/// What every access key of this platform starts with.
pub const ACCESS_KEY_PREFIX: &str = "LGSP";
const ACCESS_KEY_RANDOM_CHARS: usize = 16;
const SECRET_BYTES: usize = 32;
/// How long the old credential stays valid when it is rotated and nothing else is said: one day.
pub const OVERLAP_SECS_DEFAULT: u32 = 86_400;
/// The longest overlap: 90 days.
pub const OVERLAP_SECS_MAX: u32 = 90 * 86_400;

/// The random part of one credential, drawn once.
pub struct Draw {
    access_key: [u8; ACCESS_KEY_RANDOM_CHARS],
    secret: [u8; SECRET_BYTES],
    nonce: [u8; NONCE_BYTES],
}

impl std::fmt::Debug for Draw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Draw(..)")
    }
}

impl Draw {
    /// Draws from the operating system.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut draw =
            Self { access_key: [0; ACCESS_KEY_RANDOM_CHARS], secret: [0; SECRET_BYTES], nonce: [0; NONCE_BYTES] };
        getrandom::fill(&mut draw.access_key)?;
        getrandom::fill(&mut draw.secret)?;
        getrandom::fill(&mut draw.nonce)?;
        Ok(draw)
    }

    /// The access key: the prefix and 16 characters of base32 (RFC 4648), 80 random bits.
    pub fn access_key(&self) -> Result<AccessKey, lgsp_shared::id::InvalidId> {
        const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let char = |byte: &u8| ALPHABET.get(usize::from(byte % 32)).map(|char| char::from(*char));
        let random: String = self.access_key.iter().filter_map(char).collect();
        format!("{ACCESS_KEY_PREFIX}{random}").parse()
    }

    /// The secret key: 64 hexadecimal digits, whose text is what signs. Free of characters that shells, `--user a:b`
    /// and configuration files treat specially.
    pub fn secret(&self) -> Secret {
        let text: String = self.secret.iter().map(|byte| format!("{byte:02x}")).collect();
        Secret::new(text.into_bytes())
    }
}

/// A new active credential for `system`, called `name` or else `<system>-<number>`.
pub fn issue(
    whole: &Whole,
    key: &SealKey,
    draw: &Draw,
    system: &SystemId,
    name: Option<&CredentialId>,
) -> Result<(CredentialId, Change), ChangeError> {
    let system_key = resource_key(Kind::System, system.as_str())?;
    if whole.get(&system_key).is_none() {
        return Err(ChangeError::NotFound { what: format!("`{system_key}`; apply it first") });
    }
    let name = match name {
        Some(name) if whole.get(&resource_key(Kind::Credential, name.as_str())?).is_some() => {
            return Err(ChangeError::NotNow(format!(
                "`Credential/{name}` exists; choose another name, or `lgspctl credential rotate {name}`"
            )));
        }
        Some(name) => name.clone(),
        None => free_name(whole, system.as_str())?,
    };
    let document = document(key, draw, system, &name)?;
    Ok((name, Change { puts: vec![document], ..Change::default() }))
}

/// A new active credential beside the old one, which retires `overlap_secs` from `now` (at once when 0).
pub fn rotate(
    whole: &Whole,
    key: &SealKey,
    draw: &Draw,
    old: &CredentialId,
    end: Overlap,
) -> Result<(CredentialId, Change), ChangeError> {
    let mut spec = find(whole, old)?;
    if spec.state != CredentialState::Active {
        return Err(ChangeError::NotNow(format!(
            "`Credential/{old}` is not active, so there is nothing to rotate; \
             `lgspctl credential issue {}` makes a new one",
            spec.system
        )));
    }
    let name = free_name(whole, stem(old.as_str()))?;
    let successor = document(key, draw, &spec.system, &name)?;
    spec.state = if end.secs == 0 { CredentialState::Disabled } else { CredentialState::Retiring };
    let until = UnixSeconds(end.now.0.saturating_add(i64::from(end.secs)));
    spec.not_after = Some(spec.not_after.map_or(until, |earlier| earlier.min(until)));
    let puts = vec![write(old, &spec)?, successor];
    Ok((name, Change { puts, ..Change::default() }))
}

/// When an old credential ends.
#[derive(Debug, Clone, Copy)]
pub struct Overlap {
    /// Now.
    pub now: UnixSeconds,
    /// Seconds from now, at most [`OVERLAP_SECS_MAX`].
    pub secs: u32,
}

/// Refuses the credential from now on.
pub fn disable(whole: &Whole, name: &CredentialId) -> Result<Change, ChangeError> {
    let mut spec = find(whole, name)?;
    spec.state = CredentialState::Disabled;
    Ok(Change { puts: vec![write(name, &spec)?], ..Change::default() })
}

/// Whether it is a credential as those read it who do not see sealed secrets.
pub fn lacks_secret(document: &Document) -> bool {
    document.kind == Kind::Credential.as_str() && document.spec.is_object() && document.spec.get("secret").is_none()
}

/// Gives a credential that lacks its secret the one it has now, so that what was read can be applied again. One that does
/// not exist stays without, and is refused for that.
pub fn keep_secret(whole: &Whole, document: &mut Document) {
    if !lacks_secret(document) {
        return;
    }
    let key = document.key().ok();
    let secret = key.and_then(|key| whole.get(&key)?.spec.get("secret").cloned());
    if let (Some(secret), Some(spec)) = (secret, document.spec.as_object_mut()) {
        spec.insert("secret".to_owned(), secret);
    }
}

/// The credentials that are seen, by name; only those after `after`. Nothing before it is looked at.
pub fn list<'a>(
    whole: &'a Whole,
    sight: &'a Sight,
    after: Option<&'a ResourceName>,
) -> impl Iterator<Item = (CredentialId, CredentialSpec)> + 'a {
    whole.of_kind_after(Kind::Credential, after).filter(|document| sight.sees(document)).filter_map(read)
}

/// Every credential, by name.
pub(super) fn every(whole: &Whole) -> impl Iterator<Item = (CredentialId, CredentialSpec)> {
    whole.of_kind(Kind::Credential).filter_map(read)
}

fn read(document: &Document) -> Option<(CredentialId, CredentialSpec)> {
    match document.read().map(|read| read.resource) {
        Ok(Resource::Credential(name, spec)) => Some((name, spec)),
        Ok(_) | Err(_) => None,
    }
}

fn find(whole: &Whole, name: &CredentialId) -> Result<CredentialSpec, ChangeError> {
    let document = whole.get(&resource_key(Kind::Credential, name.as_str())?);
    match document.and_then(|document| document.read().ok()).map(|read| read.resource) {
        Some(Resource::Credential(_, spec)) => Ok(spec),
        Some(_) | None => Err(ChangeError::NotFound {
            what: format!("`Credential/{name}`; `lgspctl credential list` shows all of them"),
        }),
    }
}

fn document(key: &SealKey, draw: &Draw, system: &SystemId, name: &CredentialId) -> Result<Document, ChangeError> {
    let access_key = draw.access_key().map_err(|error| ChangeError::NotNow(error.to_string()))?;
    let identity = credential_identity(name.as_str(), system.as_str(), access_key.as_str());
    let secret = key.seal(&draw.secret(), &identity, draw.nonce)?;
    let state = CredentialState::Active;
    write(
        name,
        &CredentialSpec { system: system.clone(), access_key, secret, state, not_before: None, not_after: None },
    )
}

pub(super) fn write(name: &CredentialId, spec: &CredentialSpec) -> Result<Document, ChangeError> {
    let spec = serde_json::to_value(spec).map_err(|_| ChangeError::Interrupted)?;
    Ok(Document { kind: Kind::Credential.to_string(), name: name.to_string(), spec })
}

fn resource_key(kind: Kind, name: &str) -> Result<ResourceKey, ChangeError> {
    let name = name.parse().map_err(|_| ChangeError::NotFound { what: format!("`{kind}/{name}`") })?;
    Ok(ResourceKey { kind, name })
}

/// `mot-cua` of `mot-cua-2`.
fn stem(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((stem, number)) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => stem,
        Some(_) | None => name,
    }
}

/// The first of `<stem>-1`, `<stem>-2`, … that nothing has; the stem is cut so that the name fits.
fn free_name(whole: &Whole, stem: &str) -> Result<CredentialId, ChangeError> {
    const STEM_CHARS_MAX: usize = lgsp_shared::id::NAME_BYTES_MAX - 8;
    let stem: String = stem.chars().take(STEM_CHARS_MAX).collect();
    let stem = stem.trim_end_matches(['-', '.']);
    // One more candidate than there are documents: one of them is free.
    for number in 1..=whole.len() + 1 {
        let name = format!("{stem}-{number}");
        if whole.get(&resource_key(Kind::Credential, &name)?).is_none() {
            return name.parse().map_err(|_| ChangeError::NotFound { what: format!("name for `{stem}`") });
        }
    }
    Err(ChangeError::Interrupted)
}
