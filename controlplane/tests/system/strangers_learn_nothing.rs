//! Without an operator token there is nothing but health and the description.

use serde_json::Value;

use crate::platform::Platform;

fn ask(method: &str, url: &str, token: Option<&str>) -> (u16, String, Value) {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().new_agent();
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    if let Some(token) = token {
        request = request.header("authorization", token);
    }
    let mut response = agent.run(request.body("{}".to_owned()).unwrap()).unwrap();
    let kind = response.headers().get("content-type").unwrap().to_str().unwrap().to_owned();
    let text = response.body_mut().read_to_string().unwrap();
    (response.status().as_u16(), kind, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// Every method and path of the description, with its parameters filled in.
fn operations(openapi: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (path, item) in openapi["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys().filter(|key| ["get", "post", "put"].contains(&key.as_str())) {
            let filled = path.replace("{revision}", "1").replace("{kind}", "Agency").replace("{name}", "a");
            let filled = filled.replace("{id}", "a").replace("{number}", "1").replace("{system}", "a");
            let filled = filled.replace("{code}", "H61.1");
            found.push((method.to_uppercase(), filled));
        }
    }
    found
}

#[tokio::test]
async fn every_route_that_is_described_exists_and_wants_a_token() {
    let platform = Platform::start().await;
    let url = platform.url();
    let openapi = ask("GET", &format!("{url}/openapi.json"), None).2;
    let token = format!("Bearer {}", std::fs::read_to_string(platform.path("token")).unwrap().trim());
    let operations = operations(&openapi);
    assert_eq!(operations.len(), 69);
    for (method, path) in operations {
        let (status, kind, problem) = ask(&method, &format!("{url}{path}"), None);
        if path.starts_with("/v1/login") {
            // How one becomes known: understood without a token, and refused without a name.
            assert_eq!((status, problem["code"].as_str()), (400, Some("malformed")), "{problem}");
            continue;
        }
        if path.starts_with("/v1") {
            assert_eq!((status, kind.as_str()), (401, "application/problem+json"), "{method} {path}");
            assert_eq!(problem["code"], "unauthorized");
        } else {
            assert_eq!(status, 200, "{method} {path}");
        }
        for wrong in ["Bearer lgsp_op_00", "Basic b3A6b3A=", "Bearer", &token.to_uppercase()] {
            let refused = ask(&method, &format!("{url}{path}"), Some(wrong)).0;
            assert_eq!(refused, if path.starts_with("/v1") { 401 } else { 200 }, "{method} {path} {wrong}");
        }
        let (status, _, answer) = ask(&method, &format!("{url}{path}"), Some(&token));
        let known = answer["detail"].as_str().is_none_or(|detail| !detail.starts_with("there is nothing at"));
        assert!(status != 405 && known, "{method} {path} is described, but answers {status} {answer}");
    }
}

#[tokio::test]
async fn every_mistake_is_answered_with_a_problem_document() {
    let platform = Platform::start().await;
    let url = platform.url();
    let token = format!("Bearer {}", std::fs::read_to_string(platform.path("token")).unwrap().trim());
    let cases = [
        ("GET", "/v1/nothing", 404, "not-found"),
        ("GET", "/nothing", 404, "not-found"),
        ("DELETE", "/v1/changes", 405, "method-not-allowed"),
        ("GET", "/v1/revisions/1", 404, "not-found"),
        ("GET", "/v1/revisions/x", 404, "not-found"),
        ("GET", "/v1/revisions?limit=x", 400, "malformed"),
        ("GET", "/v1/documents?mood=1", 400, "malformed"),
        ("GET", "/v1/documents/Agency/a", 404, "not-found"),
        ("POST", "/v1/credentials", 400, "malformed"),
        ("POST", "/v1/credentials/x/rotate", 404, "not-found"),
    ];
    for (method, path, status, code) in cases {
        let (found, kind, problem) = ask(method, &format!("{url}{path}"), Some(&token));
        assert_eq!((found, problem["code"].as_str()), (status, Some(code)), "{method} {path}: {problem}");
        assert_eq!(kind, "application/problem+json");
        assert!(!problem["next"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_body_that_is_too_long_or_not_understood_is_refused_by_path() {
    let platform = Platform::start().await;
    let token = format!("Bearer {}", std::fs::read_to_string(platform.path("token")).unwrap().trim());
    let post = |path: &str, body: String| {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().new_agent();
        let request = ureq::http::Request::post(format!("{}{path}", platform.url())).header("authorization", &token);
        let mut response = agent.run(request.body(body).unwrap()).unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), serde_json::from_str::<Value>(&text).unwrap())
    };
    let (status, problem) = post("/v1/changes", r#"{"puts": [{"kind": "Agency", "name": 1}]}"#.into());
    assert_eq!(status, 400);
    assert!(problem["detail"].as_str().unwrap().contains("puts[0].name"), "{problem}");
    let (status, problem) = post("/v1/changes", r#"{"put": []}"#.into());
    assert!(status == 400 && problem["detail"].as_str().unwrap().contains("`put`"), "{problem}");
    let (status, problem) = post("/v1/credentials", format!(r#"{{"system": "{}"}}"#, "a".repeat(70 << 10)));
    assert_eq!((status, problem["code"].as_str()), (413, Some("too-large")));
}

/// One request to the API with these headers; the status and the problem.
fn post(platform: &Platform, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().new_agent();
    let request = ureq::http::Request::post(format!("{}{path}", platform.url()));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let mut response = agent.run(request.body(body.to_owned()).unwrap()).unwrap();
    let text = response.body_mut().read_to_string().unwrap();
    (response.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::Null))
}

#[tokio::test]
async fn a_page_of_another_site_makes_no_browser_try_a_login() {
    let platform = Platform::start().await;
    let guess = r#"{"name": "operator", "password": "guess"}"#;
    let json = ("content-type", "application/json");
    assert_eq!(post(&platform, "/v1/login", &[json], guess).0, 401, "a program is answered");
    assert_eq!(post(&platform, "/v1/login", &[("content-type", "text/plain")], guess).0, 400);
    assert_eq!(post(&platform, "/v1/login", &[], guess).0, 400);
    for foreign in [("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
        let (status, problem) = post(&platform, "/v1/login", &[json, foreign], guess);
        assert_eq!((status, problem["code"].as_str()), (403, Some("forbidden")), "{foreign:?}: {problem}");
    }
}

#[tokio::test]
async fn no_control_character_passes_the_edge() {
    let platform = Platform::start().await;
    let token = format!("Bearer {}", std::fs::read_to_string(platform.path("token")).unwrap().trim());
    let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
    for (path, body, found) in [
        ("/v1/changes", r#"{"message": "a\u0000b"}"#, "U+0000"),
        ("/v1/changes", r#"{"message": "\u001b]52;c;eA==\u0007"}"#, "U+001B"),
        ("/v1/notices", "{\"text\": \"\u{9b}2J\"}", "U+009B"),
    ] {
        let (status, problem) = post(&platform, path, &headers, body);
        assert_eq!(status, 400, "{body}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(found), "{problem}");
    }
    let (status, _, problem) = ask("GET", &format!("{}/v1/operators?after=%00", platform.url()), Some(&token));
    assert!(status == 400 && problem["detail"].as_str().unwrap().contains("U+0000"), "{status} {problem}");
}

/// Found by trying: after a stranger's 25 requests the refused attempts of an operator were in no audit.
#[tokio::test]
async fn what_is_refused_to_an_operator_is_in_the_audit_whatever_strangers_do() {
    let platform = Platform::start().await;
    platform.join("lan", &["--role", "observer"], "gió mùa đông bắc");
    for _ in 0..30 {
        assert_eq!(ask("GET", &format!("{}/v1/documents", platform.url()), Some("Bearer x")).0, 401);
    }
    for _ in 0..5 {
        assert_eq!(platform.run_as("lan", &["credential", "disable", "ho-tich-1"], "").code, 3);
    }
    let audit = platform.json(&["audit", "list", "--limit", "1000"]);
    let entries = audit["entries"].as_array().unwrap();
    let refused = entries.iter().filter(|entry| entry["operator"] == "lan" && entry["outcome"] == "forbidden");
    let targets: Vec<_> = refused.map(|entry| entry["target"].as_str().unwrap()).collect();
    assert_eq!(targets, ["credentials/ho-tich-1/disable"; 5], "{audit}");
}
