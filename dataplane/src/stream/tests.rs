use std::sync::Arc;

use lgsp_shared::signature::ExpectedDigest;
use sha2::{Digest, Sha256};

use super::*;

const NO_LIMIT: u64 = u64::MAX;

fn digest_of(body: &[u8]) -> BodyRule {
    BodyRule::Digest(ExpectedDigest::sha256(Sha256::digest(body).into()))
}

fn gate(rule: BodyRule, declared: Declared) -> BodyGate {
    BodyGate::new(rule, None, declared, NO_LIMIT, memory()).unwrap()
}

fn memory() -> Held {
    Held::new(&Arc::new(HeldBudget::new(1 << 20)), &Arc::default())
}

fn push(gate: &mut BodyGate, piece: &'static [u8]) -> Vec<u8> {
    let mut out = Vec::new();
    gate.push(Bytes::from_static(piece), &mut out).unwrap();
    out.concat()
}

fn finish(gate: &mut BodyGate) -> Result<Vec<u8>, Code> {
    let mut out = Vec::new();
    gate.finish(&mut out).map(|()| out.concat())
}

#[test]
fn the_last_piece_is_held_back_until_the_digest_matches() {
    let mut gate = gate(digest_of(b"onetwothree"), Declared::Bytes(11));
    assert_eq!(push(&mut gate, b"one"), b"");
    assert_eq!(push(&mut gate, b"two"), b"one");
    assert_eq!(push(&mut gate, b""), b"");
    assert_eq!(push(&mut gate, b"three"), b"two");
    assert_eq!(finish(&mut gate), Ok(b"three".to_vec()));
}

#[test]
fn a_body_that_does_not_match_never_comes_out_whole() {
    for body in [[b"one".as_slice(), b"two", b"threE"], [b"one", b"two", b"thre"]] {
        let mut gate = gate(digest_of(b"onetwothree"), Declared::Unbounded);
        let released: Vec<u8> = body.iter().flat_map(|piece| push(&mut gate, piece)).collect();
        assert_eq!(released, b"onetwo");
        assert_eq!(finish(&mut gate), Err(Code::DigestMismatch));
    }
}

#[test]
fn a_digest_of_nothing_admits_nothing() {
    assert_eq!(finish(&mut gate(digest_of(b""), Declared::Nothing)), Ok(Vec::new()));
    assert_eq!(finish(&mut gate(digest_of(b"x"), Declared::Nothing)), Err(Code::DigestMismatch));
}

#[test]
fn a_body_that_nothing_vouches_for_is_refused_at_its_declaration_or_its_first_byte() {
    let refused = BodyGate::new(BodyRule::Empty, None, Declared::Bytes(1), NO_LIMIT, memory());
    assert_eq!(refused.unwrap_err(), Code::DigestMissing);
    let mut empty = gate(BodyRule::Empty, Declared::Unbounded);
    assert_eq!(finish(&mut gate(BodyRule::Empty, Declared::Bytes(0))), Ok(Vec::new()));
    assert_eq!(empty.push(Bytes::from_static(b"x"), &mut Vec::new()), Err(Code::DigestMissing));
}

#[test]
fn an_unsigned_body_passes_piece_by_piece() {
    let mut gate = gate(BodyRule::Unsigned, Declared::Bytes(6));
    assert_eq!(push(&mut gate, b"one"), b"one");
    assert_eq!(push(&mut gate, b"two"), b"two");
    assert_eq!(finish(&mut gate), Ok(Vec::new()));
}

#[test]
fn a_size_cap_holds_for_what_is_declared_and_for_what_arrives() {
    let declared = BodyGate::new(BodyRule::Unsigned, None, Declared::Bytes(11), 10, memory());
    assert_eq!(declared.unwrap_err(), Code::BodyTooLarge);
    let mut gate = BodyGate::new(BodyRule::Unsigned, None, Declared::Unbounded, 10, memory()).unwrap();
    assert_eq!(push(&mut gate, b"0123456789"), b"0123456789");
    assert_eq!(gate.push(Bytes::from_static(b"x"), &mut Vec::new()), Err(Code::BodyTooLarge));
}

#[test]
fn a_shorter_body_than_declared_is_incomplete_and_a_finished_gate_stays_finished() {
    let mut gate = gate(BodyRule::Unsigned, Declared::Bytes(6));
    push(&mut gate, b"one");
    assert_eq!(finish(&mut gate), Err(Code::BodyIncomplete));
    assert_eq!(gate.push(Bytes::from_static(b"x"), &mut Vec::new()), Err(Code::BodyIncomplete));
}
