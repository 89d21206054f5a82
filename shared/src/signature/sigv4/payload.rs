//! What a SigV4 signature says about the body: `x-amz-content-sha256` and the headers of chunk-signed bodies.

use super::super::error::ClaimError;
use super::super::hex;
use super::super::survey::Survey;
use super::checksum::Algorithm;

/// The marker for a body nothing vouches for.
pub const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";
/// The marker for a body signed chunk by chunk.
pub const STREAMING_PAYLOAD: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
/// The marker for a body signed chunk by chunk, with signed trailers.
pub const STREAMING_PAYLOAD_TRAILER: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
/// The marker for a body in chunks that nothing vouches for, with a checksum behind it.
pub const STREAMING_UNSIGNED_TRAILER: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
/// What to do where such a body is not taken.
pub const SIGN_THE_BODY: &str =
    "sign the SHA-256 of the body; AWS SDKs do so with `request_checksum_calculation=when_required`";
/// SHA-256 of nothing, in hexadecimal.
pub const EMPTY_PAYLOAD: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// SHA-256 of nothing.
pub(in super::super) const EMPTY_SHA256: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41,
    0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// What is known of the body before it arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Declared {
    /// No word about it; the signature counts on an empty body.
    Nothing,
    /// Its SHA-256.
    Hash([u8; 32]),
    /// Explicitly nothing.
    Unsigned,
    /// Signatures inside it.
    Chunked {
        /// Its length without framing.
        decoded_bytes: Option<u64>,
    },
    /// Explicitly nothing, but it is framed and has a checksum behind it.
    UnsignedChunks {
        /// Its length without framing.
        decoded_bytes: Option<u64>,
        /// Its checksum's.
        algorithm: Algorithm,
    },
}

/// The last line of the canonical request and what it means.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct PayloadText<'a> {
    text: &'a str,
    declared: Declared,
    trailer_names: Option<&'a str>,
}

impl<'a> PayloadText<'a> {
    /// From the headers. Without `x-amz-content-sha256` (clients of other services than `s3` leave it out) the hash is
    /// unknown up front; it is taken to be that of an empty body.
    pub(super) fn of_header_form(survey: &Survey<'a>) -> Result<Self, ClaimError> {
        let Some(text) = survey.amz_content_sha256 else { return Ok(Self::plain(EMPTY_PAYLOAD, Declared::Nothing)) };
        let chunked = |trailer_names| {
            let decoded_bytes = survey.amz_decoded_length.map(read_length).transpose()?;
            Ok(Self { text, declared: Declared::Chunked { decoded_bytes }, trailer_names })
        };
        match (text, survey.amz_trailer) {
            (STREAMING_PAYLOAD, None) => chunked(None),
            (STREAMING_PAYLOAD, Some(_)) => Err(ClaimError::malformed(
                "x-amz-trailer",
                format!("needs `x-amz-content-sha256: {STREAMING_PAYLOAD_TRAILER}`"),
            )),
            (STREAMING_PAYLOAD_TRAILER, Some(names)) => chunked(Some(names)),
            (STREAMING_UNSIGNED_TRAILER, Some(trailer)) => {
                let unknown = || {
                    let reason = format!(
                        "one of crc32, crc32c, crc64nvme, sha1, sha256 can be checked here; else {SIGN_THE_BODY}"
                    );
                    ClaimError::malformed("x-amz-trailer", reason)
                };
                let algorithm = Algorithm::announced(trailer).ok_or_else(unknown)?;
                let decoded_bytes = survey.amz_decoded_length.map(read_length).transpose()?;
                Ok(Self::plain(text, Declared::UnsignedChunks { decoded_bytes, algorithm }))
            }
            (STREAMING_PAYLOAD_TRAILER | STREAMING_UNSIGNED_TRAILER, None) => {
                Err(ClaimError::NotCovered("x-amz-trailer"))
            }
            (_, _) => Self::simple(text),
        }
    }

    /// From a presigned query, else from the header, else what each kind of client means by silence: `s3` an unsigned
    /// body, others an empty one.
    pub(super) fn of_presigned(
        survey: &Survey<'a>,
        in_query: Option<&'a str>,
        service: &str,
    ) -> Result<Self, ClaimError> {
        match (in_query, survey.amz_content_sha256) {
            (Some(query), Some(header)) if query != header => {
                Err(ClaimError::malformed("x-amz-content-sha256", "differs from `X-Amz-Content-Sha256` in the query"))
            }
            (Some(text), _) | (None, Some(text)) => Self::simple(text),
            (None, None) if service == "s3" => Ok(Self::plain(UNSIGNED_PAYLOAD, Declared::Unsigned)),
            (None, None) => Ok(Self::plain(EMPTY_PAYLOAD, Declared::Nothing)),
        }
    }

    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    pub(in super::super) fn declared(&self) -> Declared {
        self.declared
    }

    /// `x-amz-trailer` as received, for bodies with trailers.
    pub(super) fn trailer_names(&self) -> Option<&'a str> {
        self.trailer_names
    }

    fn plain(text: &'a str, declared: Declared) -> Self {
        Self { text, declared, trailer_names: None }
    }

    fn simple(text: &'a str) -> Result<Self, ClaimError> {
        if text == UNSIGNED_PAYLOAD {
            return Ok(Self::plain(text, Declared::Unsigned));
        }
        let wrong = || {
            let reason = if text.starts_with("STREAMING-") {
                format!(
                    "this streaming form is not accepted here: sign each chunk with HMAC-SHA256 in the header form, or \
                     {SIGN_THE_BODY}"
                )
            } else {
                "give the SHA-256 of the body in hexadecimal".to_owned()
            };
            ClaimError::malformed("x-amz-content-sha256", reason)
        };
        let hash = hex::decode(text.as_bytes()).ok_or_else(wrong)?;
        Ok(Self::plain(text, Declared::Hash(hash)))
    }
}

fn read_length(text: &str) -> Result<u64, ClaimError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let length = if digits { text.parse().ok() } else { None };
    length.ok_or_else(|| ClaimError::malformed("x-amz-decoded-content-length", "give a number of bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_nothing_is_written_twice_alike() {
        assert_eq!(hex::encode(&EMPTY_SHA256), EMPTY_PAYLOAD.as_bytes());
        assert_eq!(super::super::payload_hash(b""), EMPTY_PAYLOAD);
    }
}
