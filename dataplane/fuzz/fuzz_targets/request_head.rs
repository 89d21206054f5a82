//! A request head in any bytes: never a panic, and what is accepted has one line per field, one host and one length.
#![no_main]

use lgsp_dataplane::edge::http1::head::{Extent, Fields, extent, parse};
use lgsp_shared::head::Scheme;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let whole = extent(bytes, &mut 0);
    // Arriving byte by byte it ends in the same place.
    let mut scanned = 0;
    let trickled = (0..=bytes.len()).map(|length| extent(&bytes[..length], &mut scanned));
    let trickled = trickled.into_iter().find(|extent| *extent != Ok(Extent::Partial)).unwrap_or(Ok(Extent::Partial));
    let Ok(Extent::Complete(length)) = whole else { return };
    assert_eq!(trickled, whole);
    let mut fields = Fields::new();
    let Ok(request) = parse(&bytes[..length], Scheme::Http, &mut fields) else { return };
    let lines = bytes[..length].windows(2).filter(|window| window == b"\r\n").count();
    assert_eq!(lines, request.head.fields.len() + 2);
    assert_eq!(request.head.all("host").count(), 1);
    let framing = request.head.all("content-length").count() + request.head.all("transfer-encoding").count();
    assert!(framing <= 1);
});
