//! How the control plane proves to a node's admin listener that it may ask: an HMAC over the request under a key that is
//! derived from the key-encryption key, which both hold already.
//!
//! The proof names one node, one request and one minute. Whoever sees it can ask that node the same question again
//! within that minute, and nothing else; what is asked changes nothing.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::SealKey;
use crate::id::NodeId;
use crate::timestamp::UnixSeconds;

/// The header that carries the proof.
pub const VOUCH_HEADER: &str = "lgsp-vouched";
/// How far the clocks of the control plane and a node may be apart, either way.
pub const VOUCH_WINDOW_SECS: u64 = 60;

/// What is vouched for.
#[derive(Debug, Clone, Copy)]
pub struct Vouched<'a> {
    /// The node that is asked, so that it cannot pass the proof on to another.
    pub node: &'a NodeId,
    /// The method.
    pub method: &'a str,
    /// The path.
    pub path: &'a str,
    /// The body.
    pub body: &'a [u8],
}

/// Why a proof is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Not in the form of a proof.
    #[error("the proof is malformed")]
    Malformed,
    /// Made under a key this process does not hold.
    #[error("the proof was made under a key-encryption key this node does not hold: add it to the key file")]
    KeyUnknown,
    /// Too long ago, or in the future.
    #[error("the proof was made more than {VOUCH_WINDOW_SECS} s from this node's clock: synchronise the clocks (NTP)")]
    Clock,
    /// For another request or node, or made up.
    #[error("the proof is not for this request to this node")]
    Wrong,
}

/// What the derived key is for; it is used for nothing else.
const PURPOSE: &str = "lgsp vouch";
const PURPOSE_VERSION: &str = "1";

impl SealKey {
    pub(super) fn vouch(&self, request: &Vouched<'_>, at: UnixSeconds) -> String {
        let mac: String = self.mac(request, at).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}.{}.{mac}", self.id(), at.0)
    }

    pub(super) fn check(&self, proof: &str, request: &Vouched<'_>, now: UnixSeconds) -> Result<(), Denied> {
        let mut parts = proof.split('.');
        let (Some(_), Some(at), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(Denied::Malformed);
        };
        let at = UnixSeconds(at.parse().map_err(|_| Denied::Malformed)?);
        if at.0.abs_diff(now.0) > VOUCH_WINDOW_SECS {
            return Err(Denied::Clock);
        }
        let right = self.vouch(request, at);
        if bool::from(right.as_bytes().ct_eq(proof.as_bytes())) { Ok(()) } else { Err(Denied::Wrong) }
    }

    fn mac(&self, request: &Vouched<'_>, at: UnixSeconds) -> [u8; 32] {
        let Vouched { node, method, path, body } = request;
        // A key of 32 bytes fits every HMAC.
        let key = self.derive(PURPOSE, PURPOSE_VERSION);
        let mut mac = Hmac::<Sha256>::new_from_slice(key.as_slice()).unwrap_or_else(|_| Hmac::new(&Default::default()));
        let seconds = at.0.to_string();
        // None of these parts holds a line feed, so that no two requests give one text.
        for part in ["lgsp vouch 1", node.as_str(), method, path, &seconds] {
            mac.update(part.as_bytes());
            mac.update(b"\n");
        }
        mac.update(&Sha256::digest(body));
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> SealKey {
        SealKey::parse(text).unwrap()
    }

    const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    #[test]
    fn a_proof_is_good_for_one_request_to_one_node_for_a_minute() {
        let (node, other): (NodeId, NodeId) = ("node-1".parse().unwrap(), "node-2".parse().unwrap());
        let request = Vouched { node: &node, method: "POST", path: "/v1/explain", body: b"{}" };
        let key = key(KEY);
        let proof = key.vouch(&request, UnixSeconds(1_000));
        for now in [940, 1_000, 1_060] {
            assert_eq!(key.check(&proof, &request, UnixSeconds(now)), Ok(()), "{now}");
        }
        assert_eq!(key.check(&proof, &request, UnixSeconds(1_061)), Err(Denied::Clock));
        let others = [
            Vouched { node: &other, ..request },
            Vouched { method: "GET", ..request },
            Vouched { path: "/v1/decisions/1", ..request },
            Vouched { body: b"{ }", ..request },
        ];
        for wrong in others {
            assert_eq!(key.check(&proof, &wrong, UnixSeconds(1_000)), Err(Denied::Wrong), "{wrong:?}");
        }
        let later = proof.replace(".1000.", ".1001.");
        assert_eq!(key.check(&later, &request, UnixSeconds(1_000)), Err(Denied::Wrong));
        for malformed in ["", "a.b", "00000000.x.y", "1.2.3.4"] {
            assert_eq!(key.check(malformed, &request, UnixSeconds(1_000)), Err(Denied::Malformed), "{malformed}");
        }
    }

    #[test]
    fn another_key_vouches_for_nothing() {
        let node: NodeId = "node-1".parse().unwrap();
        let request = Vouched { node: &node, method: "GET", path: "/", body: b"" };
        let proof = key(&KEY.replace("00", "ff")).vouch(&request, UnixSeconds(1));
        assert_eq!(key(KEY).check(&proof, &request, UnixSeconds(1)), Err(Denied::Wrong));
    }
}
