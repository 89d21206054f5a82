//! A target's answer in any bytes: never a panic, and what is accepted has at most one way to find its end.
#![no_main]

use lgsp_dataplane::edge::http1::head::{Extent, Fields};
use lgsp_dataplane::edge::http1::response::{extent, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (bool, &[u8])| {
    let (to_head, bytes) = input;
    let Ok(Extent::Complete(length)) = extent(bytes, &mut 0) else { return };
    let mut fields = Fields::new();
    let Ok(response) = parse(&bytes[..length], to_head, &mut fields) else { return };
    let named = |name: &str| response.fields.iter().filter(|field| field.is(name)).count();
    assert!(named("content-length") + named("transfer-encoding") <= 1);
    assert!((100..=599).contains(&response.status));
});
