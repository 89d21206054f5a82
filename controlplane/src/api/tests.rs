use super::*;

mod matrix;

#[test]
fn every_path_under_v1_is_described_with_its_security() {
    let openapi = serde_json::to_value(openapi()).unwrap();
    let paths: Vec<&str> = openapi["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "/livez",
        "/readyz",
        "/v1/audit",
        "/v1/changes",
        "/v1/credentials",
        "/v1/credentials/{name}/disable",
        "/v1/credentials/{name}/rotate",
        "/v1/documents",
        "/v1/documents/{kind}/{name}",
        "/v1/explain",
        "/v1/login",
        "/v1/login/oidc/finish",
        "/v1/login/oidc/start",
        "/v1/logout",
        "/v1/me",
        "/v1/me/factor",
        "/v1/me/factor/confirm",
        "/v1/me/factor/remove",
        "/v1/me/password",
        "/v1/nodes",
        "/v1/operators",
        "/v1/operators/{name}/disable",
        "/v1/operators/{name}/enable",
        "/v1/operators/{name}/grant",
        "/v1/operators/{name}/reset-password",
        "/v1/operators/{name}/revoke",
        "/v1/publish",
        "/v1/reseal",
        "/v1/revisions",
        "/v1/revisions/{revision}",
        "/v1/revisions/{revision}/documents",
        "/v1/revisions/{revision}/rollback",
        "/v1/tokens",
        "/v1/tokens/{id}/revoke",
    ];
    assert_eq!(paths, expected);
    assert!(openapi["components"]["securitySchemes"]["operator_token"].is_object());
}
