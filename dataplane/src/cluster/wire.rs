//! The words nodes exchange, all of fixed length: a greeting each way, then questions of 40 bytes and answers of one.
//!
//! Questions are answered in order, so neither carries a number.

use crate::admission::{NONCE_ID_BYTES, NonceId, NonceQuestion, Seen};
use lgsp_shared::timestamp::UnixSeconds;

/// What the asking side says first; the last byte is the version.
pub const GREETING: &[u8; 8] = b"lgspnon\x01";
/// What the answering side says first: which process answers.
pub const INCARNATION_BYTES: usize = 8;
/// The nonce and until when it has to be remembered.
pub const QUESTION_BYTES: usize = NONCE_ID_BYTES + 8;

/// Appends a question.
pub fn push_question(question: &NonceQuestion, out: &mut Vec<u8>) {
    out.extend_from_slice(question.id.as_bytes());
    out.extend_from_slice(&question.until.0.to_be_bytes());
}

/// Reads a question.
pub fn read_question(bytes: &[u8; QUESTION_BYTES]) -> Option<(NonceId, UnixSeconds)> {
    let (id, until) = bytes.split_first_chunk::<NONCE_ID_BYTES>()?;
    Some((NonceId::from_bytes(*id), UnixSeconds(i64::from_be_bytes(until.try_into().ok()?))))
}

/// The answer as a byte.
pub fn answer_byte(seen: Seen) -> u8 {
    match seen {
        Seen::First => b'1',
        Seen::Again => b'2',
        Seen::NoRoom | Seen::OverShare => b'0',
    }
}

/// Reads an answer; `None` for a byte that is none.
pub fn read_answer(byte: u8) -> Option<Seen> {
    match byte {
        b'1' => Some(Seen::First),
        b'2' => Some(Seen::Again),
        b'0' => Some(Seen::NoRoom),
        _ => None,
    }
}
