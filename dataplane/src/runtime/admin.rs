//! The admin listener: `/livez`, `/readyz` and `/metrics` for anyone who reaches it; `/v1/config`, and why a request was or
//! would be refused, for who proves to hold the platform's key and on the Unix socket. On its own thread, so that it
//! answers while the workers are busy.
//!
//! The address a request comes from proves nothing: the node itself connects from this machine, on behalf of others.

use std::fmt::Write as _;
use std::time::Duration;

use async_trait::async_trait;
use http::{Response, StatusCode, header};
use lgsp_shared::explain::{Explanation, QUESTION_BYTES_MAX, Question};
use lgsp_shared::seal::vouch::{Denied, VOUCH_HEADER};
use pingora_core::apps::http_app::ServeHttp;
use pingora_core::protocols::http::ServerSession;
use serde_json::Value;

use crate::record::{REFUSALS_KEPT_MAX, REFUSALS_KEPT_SECS, RequestId};

/// One thing that has to hold for the node to be ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Its name, such as `configuration`.
    pub name: &'static str,
    /// Whether it holds.
    pub holds: bool,
    /// In a few words, what is so.
    pub detail: String,
}

/// What the admin listener tells, asked for at each request.
pub trait Facts: Send + Sync + 'static {
    /// Everything that has to hold for the node to be ready.
    fn conditions(&self) -> Vec<Condition>;
    /// The metrics as Prometheus text.
    fn metrics(&self) -> Vec<u8>;
    /// The configuration in use: revision, hash, age, source.
    fn config(&self) -> Value;
    /// Whether a request would be refused, and why; none before the first revision.
    fn explain(&self, question: &Question) -> Option<Explanation>;
    /// Why a request was refused, if this node remembers it.
    fn decision(&self, request_id: RequestId) -> Option<Explanation>;
    /// Whether `proof` says that a holder of the platform's key asks for this.
    fn check(&self, proof: &str, method: &str, path: &str, body: &[u8]) -> Result<(), Denied>;
}

/// Where a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// A network address.
    Network,
    /// The Unix socket, which only the node's own user can open.
    Socket,
}

/// The admin listener's application.
#[derive(Debug)]
pub struct Admin<F> {
    /// What it tells.
    pub facts: F,
    /// Where requests come in.
    pub door: Door,
}

/// What is asked of the admin listener.
#[derive(Debug, Clone, Copy)]
struct Asked<'a> {
    method: &'a str,
    path: &'a str,
    query: Option<&'a str>,
    /// The proof that whoever asks holds the platform's key.
    proof: Option<&'a str>,
    body: &'a [u8],
}

/// How long a body may take to arrive.
const BODY_DEADLINE: Duration = Duration::from_secs(5);

#[async_trait]
impl<F: Facts> ServeHttp for Admin<F> {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let body = match tokio::time::timeout(BODY_DEADLINE, body(session)).await {
            Ok(Some(body)) => body,
            Ok(None) | Err(_) => {
                session.set_keepalive(None);
                return problem(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long or did not arrive in time");
            }
        };
        let request = session.req_header();
        let head = request.method == http::Method::HEAD;
        let asked = Asked {
            method: if head { "GET" } else { request.method.as_str() },
            path: request.uri.path(),
            query: request.uri.query(),
            proof: request.headers.get(VOUCH_HEADER).and_then(|value| value.to_str().ok()),
            body: &body,
        };
        let mut response = self.answer(&asked);
        if head {
            response.body_mut().clear();
        }
        response
    }
}

/// The whole body; `None` when it is longer than any question or is cut.
async fn body(session: &mut ServerSession) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(part) = session.read_request_body().await.ok()? {
        body.extend_from_slice(&part);
        if body.len() > QUESTION_BYTES_MAX {
            return None;
        }
    }
    Some(body)
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
/// The exposition format's own media type.
const METRICS: &str = "text/plain; version=0.0.4";
const DECISIONS: &str = "/v1/decisions/";

impl<F: Facts> Admin<F> {
    fn answer(&self, asked: &Asked<'_>) -> Response<Vec<u8>> {
        match (asked.method, asked.path) {
            ("POST", "/v1/explain") => self.may_ask(asked).unwrap_or_else(|| self.explain(asked.body)),
            ("GET", path) if path.starts_with(DECISIONS) => {
                let id = path.strip_prefix(DECISIONS).unwrap_or_default();
                self.may_ask(asked).unwrap_or_else(|| self.decision(id))
            }
            (_, "/v1/explain") => answer(StatusCode::METHOD_NOT_ALLOWED, TEXT, b"use POST\n".to_vec()),
            ("GET", "/v1/config") => self
                .may_ask(asked)
                .unwrap_or_else(|| answer(StatusCode::OK, JSON, format!("{:#}\n", self.facts.config()).into_bytes())),
            ("GET", path) => self.get(path, asked.query),
            (_, _) => answer(StatusCode::METHOD_NOT_ALLOWED, TEXT, b"use GET\n".to_vec()),
        }
    }

    /// What is configured and who may do what is for the node's own user and for holders of the platform's key: any other
    /// caller sees no more than health and numbers. `None` when the question may be answered.
    fn may_ask(&self, asked: &Asked<'_>) -> Option<Response<Vec<u8>>> {
        let refuse = |detail: &str| Some(problem(StatusCode::FORBIDDEN, detail));
        match asked.proof {
            Some(proof) => match self.facts.check(proof, asked.method, asked.path, asked.body) {
                Ok(()) => None,
                Err(denied) => refuse(&denied.to_string()),
            },
            None if self.door == Door::Socket => None,
            None => refuse(
                "ask on the node's own machine through its Unix socket (`admin.socket`, `admin.sock` in `state_dir` when \
                 absent), or through the control plane: `lgspctl explain`",
            ),
        }
    }

    fn explain(&self, body: &[u8]) -> Response<Vec<u8>> {
        let mut json = serde_json::Deserializer::from_slice(body);
        let question: Question = match serde_path_to_error::deserialize(&mut json) {
            Ok(question) => question,
            Err(error) => {
                let (path, inner) = (error.path().to_string(), error.inner().to_string());
                return problem(StatusCode::BAD_REQUEST, &format!("the question, at `{path}`: {inner}"));
            }
        };
        match self.facts.explain(&question) {
            Some(explanation) => json_answer(StatusCode::OK, &explanation),
            None => problem(StatusCode::SERVICE_UNAVAILABLE, "this node has no revision yet, so it refuses everything"),
        }
    }

    fn decision(&self, id: &str) -> Response<Vec<u8>> {
        let Some(request_id) = RequestId::parse(id) else {
            return problem(StatusCode::BAD_REQUEST, "a request id is 32 hexadecimal digits, as in the refusal");
        };
        match self.facts.decision(request_id) {
            Some(explanation) => json_answer(StatusCode::OK, &explanation),
            None => {
                let minutes = REFUSALS_KEPT_SECS / 60;
                let detail = format!(
                    "this node remembers no refusal of that name; it keeps the last {REFUSALS_KEPT_MAX} for {minutes} \
                     minutes, and nothing of what was not refused"
                );
                problem(StatusCode::NOT_FOUND, &detail)
            }
        }
    }

    fn get(&self, path: &str, query: Option<&str>) -> Response<Vec<u8>> {
        match path {
            "/livez" => answer(StatusCode::OK, TEXT, b"ok\n".to_vec()),
            "/readyz" => self.ready(query.is_some_and(|query| query.split('&').any(|part| part == "verbose"))),
            "/metrics" => answer(StatusCode::OK, METRICS, self.facts.metrics()),
            _ => {
                let known =
                    b"try /livez, /readyz?verbose, /metrics, /v1/config, /v1/explain or /v1/decisions/{request_id}\n";
                answer(StatusCode::NOT_FOUND, TEXT, known.to_vec())
            }
        }
    }

    fn ready(&self, verbose: bool) -> Response<Vec<u8>> {
        let conditions = self.facts.conditions();
        let ready = conditions.iter().all(|condition| condition.holds);
        let mut text = String::new();
        for Condition { name, holds, detail } in conditions {
            if verbose || !holds {
                let mark = if holds { "+" } else { "-" };
                // Writing to a string does not fail.
                let _ = writeln!(text, "[{mark}] {name}: {detail}");
            }
        }
        text.push_str(if ready { "ready\n" } else { "not ready\n" });
        answer(if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, TEXT, text.into_bytes())
    }
}

fn json_answer(status: StatusCode, value: &impl serde::Serialize) -> Response<Vec<u8>> {
    // Structs of texts and numbers always serialise.
    answer(status, JSON, serde_json::to_vec(value).unwrap_or_default())
}

fn problem(status: StatusCode, detail: &str) -> Response<Vec<u8>> {
    json_answer(status, &serde_json::json!({"status": status.as_u16(), "detail": detail}))
}

fn answer(status: StatusCode, media_type: &'static str, body: Vec<u8>) -> Response<Vec<u8>> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let length = response.body().len();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(media_type));
    headers.insert(header::CONTENT_LENGTH, length.into());
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
