//! A request's head in any bytes: reading it never panics, and nothing verifies without the secret.
#![no_main]

use std::sync::LazyLock;

use lgsp_shared::head::{Field, RequestHead, Scheme};
use lgsp_shared::seal::Secret;
use lgsp_shared::signature::{Claim, KeyState};
use libfuzzer_sys::fuzz_target;

static KEY: LazyLock<KeyState> = LazyLock::new(|| KeyState::new(&Secret::new(b"no fuzzer guesses this".to_vec())));

// The first line is method, authority, path and query, each but the last ended by a space; fields follow as
// `name:value` lines.
fuzz_target!(|text: &str| {
    let mut lines = text.split('\n');
    let mut words = lines.next().unwrap_or_default().splitn(4, ' ');
    let mut word = || words.next().unwrap_or_default();
    let (method, authority, path) = (word(), word(), word());
    let query = words.next();
    let fields: Vec<Field<'_>> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| Field { name, value: value.trim().as_bytes() })
        .collect();
    let head = RequestHead { method, scheme: Scheme::Http, authority, path, query, fields: &fields };
    if let Ok(claim) = Claim::read(&head) {
        assert!(claim.verify(&head, &KEY).is_err());
        assert!(claim.verify(&head, &KeyState::decoy()).is_err());
    }
});
