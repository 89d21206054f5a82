//! The one place that turns a refusal into what the caller reads: an RFC 9457 problem document, in Vietnamese or
//! English, with an RFC 9209 `Proxy-Status`; or the error of an S3 or gRPC client's own protocol. It never holds a secret,
//! a payload or a query string.

use lgsp_shared::head::RequestHead;
use lgsp_shared::refusal::{Code, DecisionId, Language};
use serde::Serialize;

use crate::admission::Refusal;
use crate::record::{Names, RequestId};
use crate::session::Reply;

mod form;

pub use form::Form;

/// Seconds to wait when a refusal is temporary and knows no better.
const RETRY_AFTER_SECS_DEFAULT: u32 = 5;
/// Seconds to wait where signing again is all that is needed: signatures say whole seconds.
const RETRY_AFTER_SECS_SIGNED_AGAIN: u32 = 1;

#[derive(Serialize)]
struct Problem<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    code: Code,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    next: &'static str,
    request_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_signature_text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision_id: Option<DecisionId>,
}

/// An answer ready to be written by either face.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Headers but for framing (`Content-Length`, `Connection`); names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The problem document.
    pub body: Vec<u8>,
}

/// How a caller wants to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reader {
    /// The language of the texts.
    pub language: Language,
    /// The form around them.
    pub form: Form,
}

impl Reader {
    /// Reads problem documents in Vietnamese, as any caller of whom nothing is known.
    pub const UNKNOWN: Self = Self { language: Language::Vietnamese, form: Form::Problem };

    /// The sender of this head over HTTP/2, which carries gRPC.
    pub fn of_http2(head: &RequestHead<'_>) -> Self {
        Self { form: Form::of(head), ..Self::of_http1(head) }
    }

    /// The sender of this head over HTTP/1.1.
    pub fn of_http1(head: &RequestHead<'_>) -> Self {
        let accepted = head.all("accept-language").next().and_then(|field| field.text());
        let language = accepted.map_or(Language::Vietnamese, |value| Language::negotiate(Some(value)));
        let form = match Form::of(head) {
            Form::Grpc => Form::Problem,
            form => form,
        };
        Self { language, form }
    }
}

/// The answer to a refused request.
pub fn answer(refusal: &Refusal, names: Names, reader: Reader) -> Answer {
    match reader.form {
        Form::Problem => problem(refusal, names, reader.language),
        Form::S3Error => {
            let advice = refusal.code.advice(reader.language);
            let id = names.request_id.to_string();
            let body = form::s3_error(refusal.code, advice, refusal.detail.as_deref(), &id);
            let mut answer = Answer { body, ..problem(refusal, names, reader.language) };
            answer.headers.retain(|(name, _)| *name != "content-type");
            answer.headers.push(("content-type", "application/xml".to_owned()));
            answer.headers.push(("x-amz-request-id", id));
            answer
        }
        Form::Grpc => {
            let advice = refusal.code.advice(reader.language);
            let message = form::grpc_message(refusal.code, advice, refusal.detail.as_deref());
            let headers = vec![
                ("content-type", "application/grpc".to_owned()),
                ("grpc-status", form::grpc_status(refusal.code).to_string()),
                ("grpc-message", message),
                ("lgsp-request-id", names.request_id.to_string()),
            ];
            Answer { status: 200, headers, body: Vec::new() }
        }
    }
}

fn problem(refusal: &Refusal, names: Names, language: Language) -> Answer {
    let Names { request_id, decision_id } = names;
    let code = refusal.code;
    let advice = code.advice(language);
    let problem = Problem {
        r#type: format!("urn:lgsp:problem:{code}"),
        title: advice.title,
        status: code.status(),
        code,
        detail: refusal.detail.as_deref(),
        next: advice.next,
        request_id: request_id.to_string(),
        expected_signature_text: refusal.expected.as_deref(),
        decision_id,
    };
    let mut headers = vec![
        ("content-type", "application/problem+json".to_owned()),
        ("content-language", language.tag().to_owned()),
        ("cache-control", "no-store".to_owned()),
        ("lgsp-request-id", request_id.to_string()),
        ("proxy-status", format!("lgsp; error={}; details=\"{code}\"", code.proxy_error())),
    ];
    if code.status() == 401 {
        headers.push(("www-authenticate", "Signature realm=\"lgsp\"".to_owned()));
    }
    if !refusal.allow.is_empty() {
        headers.push(("allow", refusal.allow.join(", ")));
    }
    let wait_secs = match (code, code.status()) {
        // A request that is signed again is served at once, or a second later.
        (Code::ReplayUnknown | Code::SignatureRepeated, _) => Some(RETRY_AFTER_SECS_SIGNED_AGAIN),
        (_, 429 | 503) => Some(RETRY_AFTER_SECS_DEFAULT),
        _ => None,
    };
    if let Some(secs) = refusal.retry_after_secs.or(wait_secs) {
        headers.push(("retry-after", secs.to_string()));
        if code == Code::SignatureRepeated {
            // SDKs of AWS wait for nothing else, and begin with some milliseconds.
            headers.push(("x-amz-retry-after", secs.saturating_mul(1_000).to_string()));
        }
    }
    // A struct of texts and numbers always serialises.
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    Answer { status: code.status(), headers, body }
}

/// An answer of the platform's own, with the exchange named.
pub fn reply(reply: Reply, request_id: RequestId) -> Answer {
    let Reply { status, mut headers, body } = reply;
    headers.push(("lgsp-request-id", request_id.to_string()));
    Answer { status, headers, body }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names { request_id: RequestId::new(), decision_id: None }
    }

    #[test]
    fn every_code_has_an_answer_in_both_languages_with_what_happened_and_what_to_do() {
        for code in Code::ALL {
            for language in [Language::Vietnamese, Language::English] {
                let answer = problem(&Refusal::new(*code), names(), language);
                let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
                assert_eq!(problem["code"], code.label());
                assert_eq!(problem["status"], answer.status);
                assert!(
                    !problem["title"].as_str().unwrap().is_empty() && !problem["next"].as_str().unwrap().is_empty()
                );
                let header =
                    |name: &str| answer.headers.iter().find(|(other, _)| *other == name).map(|(_, value)| value);
                assert_eq!(header("content-language").unwrap(), language.tag());
                assert_eq!(header("lgsp-request-id").unwrap(), problem["request_id"].as_str().unwrap());
                assert_eq!(header("retry-after").is_some(), matches!(answer.status, 429 | 503), "{code}");
                assert_eq!(header("www-authenticate").is_some(), answer.status == 401, "{code}");
            }
        }
    }

    #[test]
    fn allowed_methods_and_the_wait_are_told() {
        let refusal = Refusal { allow: vec!["GET".into(), "PUT".into()], ..Refusal::new(Code::MethodNotAllowed) };
        let told = problem(&refusal, names(), Language::English).headers;
        assert!(told.contains(&("allow", "GET, PUT".to_owned())));
        let told = problem(&Refusal::new(Code::QuotaExceeded).with_retry_after(9), names(), Language::English);
        assert!(told.headers.contains(&("retry-after", "9".to_owned())));
    }
}
