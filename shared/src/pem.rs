//! What stands in a file in place of the PEM that a program looks for, so that the refusal names it.

/// What a text editor may put before the first line.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The end of a sentence that says what the file holds instead; empty where that is not known. Nothing of the file is
/// repeated.
pub fn instead(bytes: &[u8]) -> &'static str {
    let holds = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    match () {
        () if bytes.starts_with(BYTE_ORDER_MARK) => "; it begins with a byte-order mark: save it as UTF-8 without one",
        () if holds(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || holds(b"Proc-Type: 4,ENCRYPTED") => {
            "; its key is encrypted: decrypt it with `openssl pkey -in FILE -out KEY`, readable by this program's user alone"
        }
        () if bytes.is_empty() => "; it is empty",
        () if !holds(b"-----BEGIN ") => {
            "; it is not PEM: DER is converted with `openssl x509` or `openssl pkey`, `-inform DER`"
        }
        () => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_place_of_a_key_is_named() {
        let cases: [(&[u8], &str); 6] = [
            (b"\xef\xbb\xbf-----BEGIN PRIVATE KEY-----\n", "byte-order mark"),
            (b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n", "encrypted"),
            (b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n", "encrypted"),
            (b"", "empty"),
            (b"\x30\x82\x01\x02", "not PEM"),
            (b"-----BEGIN CERTIFICATE-----\n", ""),
        ];
        for (bytes, expected) in cases {
            let told = instead(bytes);
            assert!(told.contains(expected) && told.is_empty() == expected.is_empty(), "{told}");
        }
    }
}
