//! The form in which a caller reads a refusal.
//!
//! A problem document unless the caller can read only its own protocol's errors: AWS SDKs show the code of an S3 error
//! and act on it (a wrong clock is corrected, a throttled request is repeated), gRPC clients read `grpc-status`.

use lgsp_shared::head::RequestHead;
use lgsp_shared::refusal::{Advice, Code};

/// The form of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// RFC 9457, `application/problem+json`.
    #[default]
    Problem,
    /// The XML error of S3.
    S3Error,
    /// A gRPC status without messages.
    Grpc,
}

impl Form {
    /// The form that the sender of this head reads. Every AWS SDK sends `amz-sdk-invocation-id`; other S3 clients may ask
    /// with `Accept: application/xml`.
    pub fn of(head: &RequestHead<'_>) -> Self {
        let first = |name| head.all(name).next().and_then(|field| field.text());
        if first("content-type").is_some_and(|kind| kind.starts_with("application/grpc")) {
            Form::Grpc
        } else if first("amz-sdk-invocation-id").is_some()
            || first("accept").is_some_and(|accept| accept.starts_with("application/xml"))
        {
            Form::S3Error
        } else {
            Form::Problem
        }
    }
}

/// An S3 error document.
pub fn s3_error(code: Code, advice: Advice, detail: Option<&str>, request_id: &str) -> Vec<u8> {
    let mut text = String::with_capacity(512);
    text.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>");
    text.push_str(s3_code(code).unwrap_or(code.label()));
    text.push_str("</Code><Message>");
    push_escaped(&mut text, advice.title);
    for part in detail.into_iter().chain([advice.next]) {
        text.push_str(". ");
        push_escaped(&mut text, part);
    }
    text.push_str("</Message><RequestId>");
    text.push_str(request_id);
    text.push_str("</RequestId></Error>");
    text.into_bytes()
}

/// What S3 calls this, where its clients know a name for it; SDKs act on some.
fn s3_code(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::SignatureInvalid | Code::ChunkSignatureInvalid => "SignatureDoesNotMatch",
        Code::KeyUnknown => "InvalidAccessKeyId",
        Code::ClockSkew => "RequestTimeTooSkewed",
        Code::SignatureExpired => "ExpiredToken",
        Code::DigestMismatch => "XAmzContentSHA256Mismatch",
        Code::BodyIncomplete => "IncompleteBody",
        Code::BodyTimeout => "RequestTimeout",
        Code::BodyTooLarge => "EntityTooLarge",
        Code::MethodNotAllowed => "MethodNotAllowed",
        Code::QuotaExceeded | Code::SourceBusy | Code::TargetBusy => "SlowDown",
        _ if code.status() == 503 => "ServiceUnavailable",
        _ if matches!(code.status(), 401 | 403) => "AccessDenied",
        _ => return None,
    })
}

fn push_escaped(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // XML 1.0 has no way to write other control characters.
            character if character.is_control() && !matches!(character, '\n' | '\t') => out.push('\u{fffd}'),
            character => out.push(character),
        }
    }
}

/// The gRPC status code of a refusal (grpc/doc/statuscodes.md).
pub fn grpc_status(code: Code) -> u8 {
    match code.status() {
        401 => 16,
        403 => 7,
        404 | 405 | 505 => 12,
        408 | 504 => 4,
        413 | 414 | 429 | 431 => 8,
        502 | 503 => 14,
        500 => 13,
        _ => 3,
    }
}

/// A `grpc-message`: percent-encoded but for printable ASCII.
pub fn grpc_message(code: Code, advice: Advice, detail: Option<&str>) -> String {
    let text = match detail {
        Some(detail) => format!("{code}: {}. {detail}. {}", advice.title, advice.next),
        None => format!("{code}: {}. {}", advice.title, advice.next),
    };
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use lgsp_shared::refusal::Language;

    use super::*;

    #[test]
    fn an_s3_error_is_well_formed_whatever_the_detail_holds() {
        let advice = Code::SignatureInvalid.advice(Language::English);
        let text = s3_error(Code::SignatureInvalid, advice, Some("<a&b>\u{0}"), "id");
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("<Code>SignatureDoesNotMatch</Code>"), "{text}");
        assert!(text.contains("&lt;a&amp;b&gt;\u{fffd}") && text.contains("<RequestId>id</RequestId>"), "{text}");
    }

    #[test]
    fn a_grpc_message_is_ascii_and_decodes_to_the_text() {
        let message = grpc_message(Code::Replayed, Code::Replayed.advice(Language::Vietnamese), Some("100 %"));
        assert!(message.is_ascii() && message.starts_with("replayed: "), "{message}");
        assert!(message.contains("100 %25") && message.contains("%C3"), "{message}");
        assert!(Code::ALL.iter().all(|code| (1..=16).contains(&grpc_status(*code))));
    }
}
