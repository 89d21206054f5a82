//! stub
#![allow(missing_docs, clippy::all, missing_debug_implementations, unused)]
use crate::head::RequestHead;
use crate::refusal::Code;
use crate::seal::Secret;
use crate::timestamp::UnixSeconds;
use bytes::Bytes;
#[derive(Debug)]
pub struct ChunkError;
impl ChunkError {
    pub fn code(&self) -> Code {
        Code::ChunkSignatureInvalid
    }
}
pub struct ChunkVerifier;
impl ChunkVerifier {
    pub fn push(&mut self, _i: Bytes, _o: &mut Vec<Bytes>) -> Result<(), ChunkError> {
        Ok(())
    }
    pub fn finish(&mut self) -> Result<(), ChunkError> {
        Ok(())
    }
}
#[derive(Clone)]
pub struct KeyState;
impl KeyState {
    pub fn new(_: &Secret) -> Self {
        Self
    }
    pub fn decoy() -> Self {
        Self
    }
}
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignatureScheme {
    Rfc9421,
    SigV4Header,
    SigV4Presigned,
}
impl SignatureScheme {
    pub fn label(self) -> &'static str {
        ""
    }
}
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nonce<'a> {
    Given(&'a str),
    Signature([u8; 32]),
}
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyRule {
    Empty,
    Digest(ExpectedDigest),
    Unsigned,
    Chunked { decoded_bytes: Option<u64> },
}
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpectedDigest;
impl ExpectedDigest {
    pub fn sha256(_: [u8; 32]) -> Self {
        Self
    }
    pub fn verifier(self) -> DigestVerifier {
        DigestVerifier
    }
}
pub struct DigestVerifier;
impl DigestVerifier {
    pub fn update(&mut self, _: &[u8]) {}
    pub fn finish(self) -> Result<(), ()> {
        Ok(())
    }
}
pub struct ContentDigest;
impl ContentDigest {
    pub fn format(_: &ExpectedDigest, _: &mut Vec<u8>) {}
}
#[derive(Debug)]
pub struct Mismatch;
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct ClaimError;
impl ClaimError {
    pub fn code(&self) -> Code {
        Code::Internal
    }
}
pub struct Claim<'a>(&'a str);
impl<'a> Claim<'a> {
    pub fn read(h: &RequestHead<'a>) -> Result<Self, ClaimError> {
        Ok(Self(h.path))
    }
    pub fn access_key(&self) -> &'a str {
        self.0
    }
    pub fn created(&self) -> UnixSeconds {
        UnixSeconds(0)
    }
    pub fn expires(&self) -> Option<UnixSeconds> {
        None
    }
    pub fn nonce(&self) -> Nonce<'a> {
        Nonce::Given(self.0)
    }
    pub fn scheme(&self) -> SignatureScheme {
        SignatureScheme::Rfc9421
    }
    pub fn verify(&self, _: &RequestHead<'a>, _: &KeyState) -> Result<(), Mismatch> {
        Ok(())
    }
    pub fn body(&self) -> BodyRule {
        BodyRule::Empty
    }
    pub fn chunk_verifier(&self, _: &KeyState) -> Option<ChunkVerifier> {
        None
    }
}
pub struct Rfc9421Params<'a> {
    pub created: UnixSeconds,
    pub expires: Option<UnixSeconds>,
    pub nonce: &'a str,
    pub key_id: &'a str,
    pub label: &'a str,
}
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct SignError;
pub fn sign_rfc9421(
    _: &RequestHead<'_>,
    _: &[&str],
    _: &Rfc9421Params<'_>,
    _: &KeyState,
    _: &mut Vec<u8>,
    _: &mut Vec<u8>,
) -> Result<(), SignError> {
    Ok(())
}
