use super::*;

mod matrix;

#[test]
fn every_path_under_v1_is_described_with_its_security() {
    let openapi = serde_json::to_value(openapi()).unwrap();
    let paths: Vec<&str> = openapi["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "/livez",
        "/readyz",
        "/v1/changes",
        "/v1/credentials",
        "/v1/credentials/{name}/disable",
        "/v1/credentials/{name}/rotate",
        "/v1/documents",
        "/v1/documents/{kind}/{name}",
        "/v1/nodes",
        "/v1/publish",
        "/v1/revisions",
        "/v1/revisions/{revision}",
        "/v1/revisions/{revision}/documents",
        "/v1/revisions/{revision}/rollback",
    ];
    assert_eq!(paths, expected);
    assert!(openapi["components"]["securitySchemes"]["operator_token"].is_object());
}
