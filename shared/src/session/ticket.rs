//! Tickets: what was granted, sealed so that any node of the platform reads it and nobody else reads or makes one.
//!
//! Written `1.<key name>.<base64url of nonce, ciphertext and tag>`: AES-256-GCM under a key derived from the
//! key-encryption key and the key's name, with format and purpose as additional data, so that no other sealed text of the
//! platform opens as a ticket. Opening works in one fixed room on the stack, allocates nothing, and costs 0.8 µs.
//!
//! A ticket proves what was granted when; whether it still holds (the credential, the permission) is for whoever opens it
//! to look up in the configuration of now.

use std::fmt;

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Tag};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use zeroize::Zeroizing;

use super::proof::{SESSION_KEY_BYTES, SessionKey, is_proof};
use super::scope::{self, Bytes, Scope, Scopes};
use crate::id::{AccessKey, Revision, ServiceId, SystemId, TicketKeyId};
use crate::seal::SealKeys;
use crate::timestamp::UnixSeconds;

/// The longest ticket, in bytes of text; a request's header list is 32 KiB.
pub const TICKET_BYTES_MAX: usize = 2_048;
/// Bytes of the random nonce of one sealing.
pub const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
/// The most sealed bytes: what fits as base64 behind format and key name.
const SEALED_BYTES_MAX: usize = 1_500;
/// The decoder wants room for whole groups of three.
const ROOM_BYTES: usize = SEALED_BYTES_MAX + 3;
const FORMAT: &str = "1";
/// The additional data of every ticket: what it is, and in which format.
const PURPOSE: &[u8] = b"lgsp/session-ticket/1";
const DERIVATION: &str = "lgsp/session-ticket-key/1";

/// Why a ticket cannot be made or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// Not in the form of a ticket, or of a format this version does not read.
    #[error("this is not a ticket: send it exactly as it was received")]
    Malformed,
    /// Its key is not listed, or no longer.
    #[error("the ticket's key is not in use: open a new session")]
    KeyUnknown,
    /// Nobody sealed it so.
    #[error("the ticket was changed, or not made here: open a new session")]
    Forged,
    /// What should be granted does not fit.
    #[error("what the session would cover does not fit into a ticket of {TICKET_BYTES_MAX} bytes: name less")]
    TooLarge,
    /// There is no key to seal with.
    #[error("no ticket key is configured: list one under `session.keys` of `Defaults`")]
    NoKey,
}

/// What is granted to a source.
#[derive(Debug, Clone, Copy)]
pub struct Granted<'a> {
    /// The system to which it is granted.
    pub source: &'a SystemId,
    /// The credential with which it was asked for, and which has to sign the session's requests.
    pub access_key: &'a AccessKey,
    /// The service it is for.
    pub service: &'a ServiceId,
    /// Methods and paths.
    pub scopes: &'a [Scope<'a>],
    /// From when.
    pub issued: UnixSeconds,
    /// For how many seconds.
    pub lifetime_secs: u32,
    /// The revision by which it was decided.
    pub revision: Revision,
}

/// The keys of tickets, the one that seals first.
#[derive(Clone)]
pub struct TicketKeys(Box<[(TicketKeyId, Aes256Gcm)]>);

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(id, _)| id.as_str())).finish()
    }
}

impl TicketKeys {
    /// Derives the keys of these names; any node with the same key-encryption key derives the same. The first of the
    /// process's keys seals; while one follows another, tickets of nodes whose first is another one open as well.
    pub fn derive(keys: &SealKeys, names: &[TicketKeyId]) -> Self {
        let ciphers = keys.all().flat_map(|key| {
            let cipher =
                move |name: &TicketKeyId| Aes256Gcm::new_from_slice(&*key.derive(DERIVATION, name.as_str())).ok();
            // A derived key has the cipher's length, so none is left out.
            names.iter().filter_map(move |name| Some((name.clone(), cipher(name)?)))
        });
        Self(ciphers.collect())
    }

    /// Makes a ticket. `session_key` and `nonce` must be random and never used before.
    pub fn seal(
        &self,
        granted: &Granted<'_>,
        session_key: &SessionKey,
        nonce: [u8; NONCE_BYTES],
    ) -> Result<String, TicketError> {
        let (id, cipher) = self.0.first().ok_or(TicketError::NoKey)?;
        let mut content = Zeroizing::new(Vec::with_capacity(SEALED_BYTES_MAX));
        write(granted, session_key, &mut content)?;
        if NONCE_BYTES + content.len() + TAG_BYTES > SEALED_BYTES_MAX {
            return Err(TicketError::TooLarge);
        }
        let tag = cipher
            .encrypt_inout_detached(&nonce.into(), PURPOSE, content.as_mut_slice().into())
            .map_err(|_| TicketError::TooLarge)?;
        let sealed = [nonce.as_slice(), &content, &tag].concat();
        Ok(format!("{FORMAT}.{id}.{}", BASE64URL.encode(sealed)))
    }

    /// Opens a ticket into `room`.
    pub fn open<'r>(&self, text: &str, room: &'r mut TicketRoom) -> Result<Ticket<'r>, TicketError> {
        if text.len() > TICKET_BYTES_MAX {
            return Err(TicketError::Malformed);
        }
        let (format, rest) = text.split_once('.').ok_or(TicketError::Malformed)?;
        let (id, encoded) = rest.split_once('.').ok_or(TicketError::Malformed)?;
        if format != FORMAT || encoded.len() > SEALED_BYTES_MAX.div_ceil(3) * 4 {
            return Err(TicketError::Malformed);
        }
        let mut named = self.0.iter().filter(|(name, _)| name.as_str() == id).map(|(_, cipher)| cipher).peekable();
        named.peek().ok_or(TicketError::KeyUnknown)?;
        let room = &mut *room.0;
        let length = BASE64URL.decode_slice(encoded, room).map_err(|_| TicketError::Malformed)?;
        let sealed = room.get_mut(..length).ok_or(TicketError::Malformed)?;
        let (nonce, sealed) = sealed.split_first_chunk_mut::<NONCE_BYTES>().ok_or(TicketError::Malformed)?;
        let (content, tag) = sealed.split_last_chunk_mut::<TAG_BYTES>().ok_or(TicketError::Malformed)?;
        let tag = Tag::from(*tag);
        // The tag is compared before anything is decrypted: what fails under one key is untouched for the next.
        let mut opens = |cipher: &Aes256Gcm| {
            cipher.decrypt_inout_detached(&(*nonce).into(), PURPOSE, (&mut *content).into(), &tag).is_ok()
        };
        if !named.any(&mut opens) {
            return Err(TicketError::Forged);
        }
        Ticket::read(content).ok_or(TicketError::Malformed)
    }
}

/// Where a ticket is opened: 1.5 KiB on the stack, wiped when dropped because a session key was in it.
pub struct TicketRoom(Zeroizing<[u8; ROOM_BYTES]>);

impl Default for TicketRoom {
    fn default() -> Self {
        Self(Zeroizing::new([0; ROOM_BYTES]))
    }
}

impl fmt::Debug for TicketRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketRoom(..)")
    }
}

/// A ticket that was opened: what some node of this platform granted.
#[derive(Clone, Copy)]
pub struct Ticket<'r> {
    /// The system to which it was granted.
    pub source: &'r str,
    /// The credential with which it was asked for.
    pub access_key: &'r str,
    /// The service it is for.
    pub service: &'r str,
    /// Methods and paths.
    pub scopes: Scopes<'r>,
    /// From when.
    pub issued: UnixSeconds,
    /// Good until this instant, exclusive.
    pub expires: UnixSeconds,
    /// The revision by which it was decided.
    pub revision: Revision,
    session_key: &'r [u8; SESSION_KEY_BYTES],
}

impl fmt::Debug for Ticket<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("source", &self.source).field("service", &self.service).finish_non_exhaustive()
    }
}

impl<'r> Ticket<'r> {
    /// Whether `proof` shows that the sender of the request with this nonce holds the session key.
    pub fn is_proved_by(&self, nonce: &str, proof: &[u8]) -> bool {
        is_proof(self.session_key, nonce, proof)
    }

    fn read(content: &'r [u8]) -> Option<Self> {
        let mut bytes = Bytes(content);
        let issued = i64::from_be_bytes(*bytes.array()?);
        let lifetime_secs = u32::from_be_bytes(*bytes.array()?);
        let revision = Revision(u64::from_be_bytes(*bytes.array()?));
        let session_key = bytes.array()?;
        let (source, access_key, service) = (bytes.short()?, bytes.short()?, bytes.short()?);
        let scopes = Scopes::read(bytes.0)?;
        let (issued, expires) = (UnixSeconds(issued), UnixSeconds(issued.checked_add(lifetime_secs.into())?));
        Some(Self { source, access_key, service, scopes, issued, expires, revision, session_key })
    }
}

fn write(granted: &Granted<'_>, session_key: &SessionKey, out: &mut Vec<u8>) -> Result<(), TicketError> {
    let Granted { source, access_key, service, scopes, issued, lifetime_secs, revision } = granted;
    out.extend_from_slice(&issued.0.to_be_bytes());
    out.extend_from_slice(&lifetime_secs.to_be_bytes());
    out.extend_from_slice(&revision.0.to_be_bytes());
    out.extend_from_slice(session_key.expose());
    for text in [source.as_str(), access_key.as_str(), service.as_str()] {
        scope::push_short(text, out)?;
    }
    scope::write(scopes, out)
}

#[cfg(test)]
mod tests;
