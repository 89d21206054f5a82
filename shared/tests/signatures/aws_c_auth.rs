//! The 38 cases of awslabs/aws-c-auth, in header and in query form.
//!
//! All of them go through the canonicaliser. Most then go through [`Claim::read`] and verify; the rest are requests
//! this platform refuses on purpose, and [`refused`] says which and why.

use lgsp_shared::refusal::Code;
use lgsp_shared::signature::sigv4::canonical::{Explanation, Form, explain};
use lgsp_shared::signature::sigv4::payload_hash;
use lgsp_shared::signature::{AmzDate, Claim};
use serde_json::Value;

use super::request::{Request, key};
use super::{read, third_party};

/// Why a case does not verify here: its target has more than one reading (empty or dot segments, a raw space or
/// non-ASCII byte), or an `x-amz-*` header is left unsigned.
fn refused(case: &str) -> Option<Code> {
    let ambiguous = ["get-relative-", "get-slash", "get-space-", "get-utf8", "get-vanilla-utf8-query"];
    match case {
        "post-sts-header-after" => Some(Code::SignatureIncomplete),
        _ if ambiguous.iter().any(|prefix| case.starts_with(prefix)) => Some(Code::RequestMalformed),
        _ => None,
    }
}

struct Case {
    name: String,
    context: Value,
}

impl Case {
    fn file(&self, name: &str) -> String {
        read(third_party(&format!("sigv4/aws-c-auth-v4/{}/{name}", self.name)))
    }

    /// Signs `request` the way its own words say, and compares all three stages with the files.
    fn compare(&self, form: &str, request: &Request, credential: &str, signed_headers: &str, body: &str) {
        let mut request = request.clone();
        if self.context["normalize"].as_bool().unwrap() {
            request.path = normalised(&request.path);
        }
        let secret = self.context["credentials"]["secret_access_key"].as_str().unwrap();
        let payload = payload_hash(body.as_bytes());
        let date = AmzDate::parse("20150830T123600Z").unwrap();
        let ours = request
            .head(|head| {
                explain(head, credential, &date, signed_headers, &payload, Form::documented("service"), &key(secret))
            })
            .unwrap();
        let theirs = Explanation {
            canonical_request: self.file(&format!("{form}-canonical-request.txt")).into_bytes(),
            string_to_sign: self.file(&format!("{form}-string-to-sign.txt")).into_bytes(),
            signature: self.file(&format!("{form}-signature.txt")),
        };
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        assert_eq!(text(&ours.canonical_request), text(&theirs.canonical_request), "{} {form}", self.name);
        assert_eq!(ours, theirs, "{} {form}", self.name);
    }

    fn judge(&self, form: &str, request: &Request, expected: Option<Code>) {
        let secret = self.context["credentials"]["secret_access_key"].as_str().unwrap();
        let verdict = request.head(|head| match Claim::read(head) {
            Ok(claim) => claim.verify(head, &key(secret)).err().map(|_| Code::SignatureInvalid),
            Err(error) => Some(error.code()),
        });
        assert_eq!(verdict, expected, "{} {form}", self.name);
    }
}

/// RFC 3986 section 5.2.4, and `//` as `/`: what the suite's signer does to paths before it signs them.
fn normalised(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            other => kept.push(other),
        }
    }
    let directory = path.ends_with('/') && !kept.is_empty();
    format!("/{}{}", kept.join("/"), if directory { "/" } else { "" })
}

fn cases() -> Vec<Case> {
    let folder = third_party("sigv4/aws-c-auth-v4");
    let names = folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let case = |name: String| {
        let context = read(third_party(&format!("sigv4/aws-c-auth-v4/{name}/context.json")));
        Case { context: serde_json::from_str(&context).unwrap(), name }
    };
    let cases: Vec<Case> = names.map(case).collect();
    assert_eq!(cases.len(), 38);
    cases
}

#[test]
fn the_header_form_agrees_in_every_case() {
    for case in cases() {
        let (request, body) = Request::parse(&case.file("header-signed-request.txt"));
        let authorization = request.value("authorization").unwrap();
        let part = |name: &str| authorization.split([' ', ',']).find_map(|part| part.strip_prefix(name)).unwrap();
        let body = if case.context["sign_body"].as_bool().unwrap() { body.trim_end_matches('\n') } else { "" };
        case.compare("header", &request, part("Credential="), part("SignedHeaders="), body);
        case.judge("header", &request, refused(&case.name));
    }
}

#[test]
fn the_query_form_agrees_in_every_case() {
    for case in cases() {
        let (request, body) = Request::parse(&case.file("query-signed-request.txt"));
        let sign_body = case.context["sign_body"].as_bool().unwrap();
        let body = if sign_body { body.trim_end_matches('\n') } else { "" };
        let query = request.query.clone().unwrap();
        let part = |name: &str| query.split('&').find_map(|part| part.strip_prefix(name)).unwrap();
        let mut signed = request.clone();
        // The token was added to the query after signing; the suite's canonical request leaves it out.
        if case.name == "post-sts-header-after" {
            let kept = query.split('&').filter(|part| !part.starts_with("X-Amz-Security-Token"));
            signed.query = Some(kept.collect::<Vec<_>>().join("&"));
        }
        case.compare("query", &signed, part("X-Amz-Credential="), part("X-Amz-SignedHeaders="), body);
        let expected = match case.name.as_str() {
            "post-sts-header-after" => Some(Code::SignatureInvalid),
            // A body whose hash is in the canonical request and nowhere in the request cannot be verified as it flows.
            _ if sign_body => Some(Code::DigestMissing),
            name => refused(name),
        };
        case.judge("query", &request, expected);
    }
}
