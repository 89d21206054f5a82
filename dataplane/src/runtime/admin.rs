//! The admin listener: `/livez`, `/readyz`, `/metrics` and `/v1/config`, on its own thread so that it answers while the
//! workers are busy.

use std::fmt::Write as _;

use async_trait::async_trait;
use http::{Response, StatusCode, header};
use pingora_core::apps::http_app::ServeHttp;
use pingora_core::protocols::http::ServerSession;
use serde_json::Value;

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
}

/// The admin listener's application.
#[derive(Debug)]
pub struct Admin<F>(pub F);

#[async_trait]
impl<F: Facts> ServeHttp for Admin<F> {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let request = session.req_header();
        let head = request.method == http::Method::HEAD;
        if !head && request.method != http::Method::GET {
            return answer(StatusCode::METHOD_NOT_ALLOWED, TEXT, b"use GET\n".to_vec());
        }
        let mut response = self.answer(request.uri.path(), request.uri.query());
        if head {
            response.body_mut().clear();
        }
        response
    }
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
/// The exposition format's own media type.
const METRICS: &str = "text/plain; version=0.0.4";

impl<F: Facts> Admin<F> {
    fn answer(&self, path: &str, query: Option<&str>) -> Response<Vec<u8>> {
        match path {
            "/livez" => answer(StatusCode::OK, TEXT, b"ok\n".to_vec()),
            "/readyz" => self.ready(query.is_some_and(|query| query.split('&').any(|part| part == "verbose"))),
            "/metrics" => answer(StatusCode::OK, METRICS, self.0.metrics()),
            "/v1/config" => answer(StatusCode::OK, JSON, format!("{:#}\n", self.0.config()).into_bytes()),
            _ => {
                let known = b"try /livez, /readyz?verbose, /metrics or /v1/config\n".to_vec();
                answer(StatusCode::NOT_FOUND, TEXT, known)
            }
        }
    }

    fn ready(&self, verbose: bool) -> Response<Vec<u8>> {
        let conditions = self.0.conditions();
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
mod tests {
    use super::*;

    struct Fixed(bool);

    impl Facts for Fixed {
        fn conditions(&self) -> Vec<Condition> {
            vec![
                Condition { name: "configuration", holds: self.0, detail: "revision 7".into() },
                Condition { name: "records", holds: true, detail: "written".into() },
            ]
        }
        fn metrics(&self) -> Vec<u8> {
            b"x 1\n".to_vec()
        }
        fn config(&self) -> Value {
            serde_json::json!({"revision": 7})
        }
    }

    fn get(ready: bool, path: &str, query: Option<&str>) -> (u16, String) {
        let response = Admin(Fixed(ready)).answer(path, query);
        (response.status().as_u16(), String::from_utf8(response.into_body()).unwrap())
    }

    #[test]
    fn liveness_does_not_depend_on_readiness() {
        assert_eq!(get(false, "/livez", None), (200, "ok\n".into()));
    }

    #[test]
    fn readiness_names_what_is_missing() {
        assert_eq!(get(true, "/readyz", None), (200, "ready\n".into()));
        assert_eq!(get(false, "/readyz", None), (503, "[-] configuration: revision 7\nnot ready\n".into()));
        let (status, text) = get(true, "/readyz", Some("verbose"));
        assert_eq!((status, text.contains("[+] records: written")), (200, true));
    }

    #[test]
    fn the_rest_is_served_and_the_unknown_points_to_the_known() {
        assert_eq!(get(true, "/metrics", None), (200, "x 1\n".into()));
        assert!(get(true, "/v1/config", None).1.contains("\"revision\": 7"));
        assert!(get(true, "/", None).1.contains("/readyz?verbose"));
    }
}
