//! Signatures: one canonicaliser for verifier and signer alike, so that they cannot drift apart.
//!
//! Two schemes are spoken: HTTP Message Signatures (RFC 9421, `hmac-sha256`) and AWS Signature Version 4. The verifier,
//! never the client, decides what has to be signed; [`Claim::read`] refuses a request that leaves out any of it, and
//! [`Claim::verify`] compares in constant time.
//!
//! What is absent, and why: no I/O, no clock and no randomness (instants and nonces are arguments), no re-serialising
//! of what a client sent (the signature is over its bytes, not over our reading of them), and on the way to a
//! successful verification no heap allocation: everything lies in arrays whose bounds are named below.

mod byte_sequence;
mod claim;
mod component;
mod digest;
pub mod doctor;
mod error;
pub(crate) mod hex;
mod key;
pub mod rfc9421;
pub mod sigv4;
mod sink;
mod survey;
mod target_check;

pub use claim::{BodyRule, Claim, Nonce, SessionClaim, SignatureScheme};
pub use digest::{ContentDigest, ContentDigestError, DigestMismatch, DigestVerifier, ExpectedDigest};
pub use error::{ClaimError, Mismatch, SignError};
pub use key::KeyState;
pub use rfc9421::sign::{Rfc9421Params, Rfc9421Plan, sign_rfc9421};
pub use sigv4::chunk_sign::ChunkSigner;
pub use sigv4::chunked::{ChunkError, ChunkVerifier};
pub use sigv4::sign::{SigV4Params, presign_sigv4, sign_sigv4_header};
pub use sigv4::timestamp::AmzDate;
pub use target_check::{EncodedSlash, TargetError, check_target};

/// The most components one RFC 9421 signature may cover; 32 bytes of stack each.
pub const COMPONENTS_MAX: usize = 32;
/// The most headers one SigV4 signature may cover. Names are read in place; the bound is on time, not on memory.
pub const SIGNED_HEADERS_MAX: usize = 64;
/// The most own-prefix headers (`lgsp-*`, `x-amz-*`) in one request: each is looked up among the signed ones.
pub const OWN_HEADERS_MAX: usize = 32;
/// The most parameters in a query that has to be sorted (SigV4); 32 bytes of stack each, 4 KiB in all.
pub const QUERY_PARAMETERS_MAX: usize = 128;
/// The longest `keyid` or access key, in bytes; it is borrowed from the request.
pub const KEY_ID_BYTES_MAX: usize = 128;
/// The longest nonce, in bytes; it is borrowed from the request.
pub const NONCE_BYTES_MAX: usize = 128;
/// The signed `tag` (RFC 9421 section 2.3) of what the platform forwards. Platform and system sign with the same secret:
/// without it, whoever sees a forwarded request could send it back to the platform in the target's name.
pub const FORWARDED_TAG: &str = "lgsp-forwarded";
/// Bytes of an HMAC-SHA256.
pub const SIGNATURE_BYTES: usize = 32;
