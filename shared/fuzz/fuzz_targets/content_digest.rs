//! A `Content-Digest` in any text: what is read is written back and read again alike.
#![no_main]

use lgsp_shared::signature::ContentDigest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(expected) = ContentDigest::parse(text) {
        let mut written = Vec::new();
        ContentDigest::format(&expected, &mut written);
        let written = String::from_utf8(written).expect("base64 is text");
        assert_eq!(ContentDigest::parse(&written), Ok(expected));
    }
});
