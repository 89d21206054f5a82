//! Names one exchange: in the answer, at the target, in the record, and as the W3C trace id.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// 128 bits as 32 hexadecimal digits. Kept as it is written, because that is done four times per exchange.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId([u8; REQUEST_ID_BYTES]);

/// Bytes of the written form.
pub const REQUEST_ID_BYTES: usize = 32;
const SPAN_ID_BYTES: usize = 16;

impl RequestId {
    /// A new one. Unique, not secret: a random half chosen at start, and a counter scattered over the other half.
    pub fn new() -> Self {
        static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one("process"));
        static START: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one("start"));
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self::of((u128::from(*PROCESS) << 64) | u128::from(scatter(START.wrapping_add(count))))
    }

    fn of(bits: u128) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        Self(std::array::from_fn(|at| {
            let shift = 4 * (REQUEST_ID_BYTES - 1 - at);
            DIGITS.get((bits >> shift) as usize & 0xf).copied().unwrap_or(b'0')
        }))
    }

    /// The written form.
    pub fn to_ascii(self) -> [u8; REQUEST_ID_BYTES] {
        self.0
    }

    /// Reads the written form.
    pub fn parse(text: &str) -> Option<Self> {
        let is_id = text.len() == REQUEST_ID_BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_id.then(|| u128::from_str_radix(text, 16).ok().map(Self::of)).flatten()
    }

    /// Appends the `traceparent` of the call to the target (W3C Trace Context, section 3.2): this id as the trace, sampled.
    pub fn append_traceparent(self, out: &mut Vec<u8>) {
        let id = &self.0;
        let span = id.get(REQUEST_ID_BYTES - SPAN_ID_BYTES..).unwrap_or_default();
        for part in [b"00-".as_slice(), id, b"-", span, b"-01"] {
            out.extend_from_slice(part);
        }
    }
}

/// A permutation of 64 bits (the finaliser of SplitMix64), so that neighbouring ids do not look alike.
fn scatter(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

impl Default for RequestId {
    fn default() -> Self {
        Self([b'0'; REQUEST_ID_BYTES])
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).unwrap_or_default())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_both_written_forms_agree() {
        let ids: std::collections::HashSet<RequestId> = (0..10_000).map(|_| RequestId::new()).collect();
        assert_eq!(ids.len(), 10_000);
        for id in ids.iter().take(100) {
            assert_eq!(id.to_string().as_bytes(), id.to_ascii());
            assert_eq!(RequestId::parse(&id.to_string()), Some(*id));
            let (text, mut traceparent) = (id.to_string(), Vec::new());
            id.append_traceparent(&mut traceparent);
            assert_eq!(traceparent, format!("00-{text}-{}-01", &text[16..]).as_bytes());
        }
    }
}
