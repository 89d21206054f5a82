//! The project's own vectors (`shared/vectors/*.json`): a request in, a verdict out.

use std::path::Path;

use lgsp_shared::head::Scheme;
use lgsp_shared::signature::{BodyRule, Claim, KeyState, Nonce};
use serde::Deserialize;

use super::request::{Request, key};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    secret: String,
    request: Given,
    /// `verified`, or the code of the refusal.
    verdict: String,
    /// What the refusal's text must name.
    detail: Option<String>,
    body: Option<String>,
    nonce: Option<String>,
    expires: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    method: String,
    scheme: String,
    authority: String,
    path: String,
    query: Option<String>,
    headers: Vec<(String, String)>,
}

impl Given {
    fn into_request(self) -> Request {
        let scheme = if self.scheme == "https" { Scheme::Https } else { Scheme::Http };
        let headers = self.headers.into_iter().map(|(name, value)| (name, value.trim().as_bytes().to_vec())).collect();
        let Given { method, authority, path, query, .. } = self;
        Request { method, scheme, authority, path, query, headers }
    }
}

fn body_label(rule: BodyRule) -> &'static str {
    match rule {
        BodyRule::Empty => "empty",
        BodyRule::Digest(_) => "digest",
        BodyRule::Unsigned => "unsigned",
        BodyRule::Chunked { .. } => "chunked",
        BodyRule::UnsignedChunks { .. } => "unsigned-chunks",
    }
}

/// The verdict on one case, and why it is not the expected one.
fn judge(case: Case) -> Result<(), String> {
    let state = key(&case.secret);
    case.request.into_request().head(|head| {
        let claim = match Claim::read(head) {
            Ok(claim) => claim,
            Err(error) => {
                let named = case.detail.is_none_or(|detail| error.detail().contains(&detail));
                let right = error.code().label() == case.verdict && named;
                return if right { Ok(()) } else { Err(format!("{}: {error}", error.code())) };
            }
        };
        if claim.verify(head, &KeyState::decoy()).is_ok() {
            return Err("verifies under the decoy".into());
        }
        if claim.verify(head, &state).is_err() {
            return if case.verdict == "signature-invalid" { Ok(()) } else { Err("signature-invalid".into()) };
        }
        let found = (body_label(claim.body()), claim.nonce(), claim.expires().map(|at| at.0));
        let as_expected = case.verdict == "verified"
            && case.body.is_none_or(|body| body == found.0)
            && case.nonce.is_none_or(|nonce| Nonce::Given(&nonce) == found.1)
            && case.expires.is_none_or(|expires| Some(expires) == found.2);
        if as_expected { Ok(()) } else { Err(format!("verified with {found:?}")) }
    })
}

fn judge_all(file: &str, count_min: usize) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(file);
    let cases: Vec<Case> = serde_json::from_str(&super::read(path)).unwrap();
    assert!(cases.len() >= count_min, "{file} lost cases: {} left", cases.len());
    let wrong: Vec<String> = cases
        .into_iter()
        .filter_map(|case| {
            let (name, verdict) = (case.name.clone(), case.verdict.clone());
            judge(case).err().map(|got| format!("{name}: expected {verdict}, got {got}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_message_signature_gets_its_verdict() {
    judge_all("rfc9421.json", 140);
}

#[test]
fn every_sigv4_signature_gets_its_verdict() {
    judge_all("sigv4.json", 130);
}

#[test]
fn what_curl_and_botocore_sent_gets_its_verdict() {
    judge_all("recorded.json", 25);
}
