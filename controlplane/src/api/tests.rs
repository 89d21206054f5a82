use super::*;

mod matrix;

#[test]
fn every_path_under_v1_is_described_with_its_security() {
    let openapi = serde_json::to_value(openapi()).unwrap();
    let paths: Vec<&str> = openapi["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "/livez",
        "/readyz",
        "/v1/agencies",
        "/v1/agencies/import",
        "/v1/agencies/{code}",
        "/v1/agencies/{code}/history",
        "/v1/applications",
        "/v1/applications/{number}",
        "/v1/applications/{number}/approve",
        "/v1/applications/{number}/cancel",
        "/v1/applications/{number}/refuse",
        "/v1/applications/{number}/review",
        "/v1/audit",
        "/v1/changes",
        "/v1/contacts/{kind}/{name}",
        "/v1/contacts/{kind}/{name}/remove",
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
        "/v1/notices",
        "/v1/notices/{number}/cancel",
        "/v1/operators",
        "/v1/operators/{name}/disable",
        "/v1/operators/{name}/enable",
        "/v1/operators/{name}/grant",
        "/v1/operators/{name}/reset-password",
        "/v1/operators/{name}/revoke",
        "/v1/publish",
        "/v1/reorganisations",
        "/v1/reorganisations/{number}",
        "/v1/reorganisations/{number}/cancel",
        "/v1/reorganisations/{number}/resume",
        "/v1/reseal",
        "/v1/revisions",
        "/v1/revisions/{revision}",
        "/v1/revisions/{revision}/arrival",
        "/v1/revisions/{revision}/documents",
        "/v1/revisions/{revision}/documents/{kind}/{name}",
        "/v1/revisions/{revision}/rollback",
        "/v1/services",
        "/v1/systems",
        "/v1/systems/{system}/approval",
        "/v1/systems/{system}/approve",
        "/v1/systems/{system}/cancel",
        "/v1/tokens",
        "/v1/tokens/{id}/revoke",
    ];
    assert_eq!(paths, expected);
    assert!(openapi["components"]["securitySchemes"]["operator_token"].is_object());
}

#[tokio::test]
async fn the_answer_to_a_bad_change_is_bounded_however_much_is_wrong() {
    use axum::response::IntoResponse as _;
    use lgsp_shared::validate;

    let one = |at: usize| validate::Problem {
        document: format!("Agency/{at}"),
        path: "kind".into(),
        message: "ộ".repeat(1 << 12),
    };
    let errors: Vec<_> = (0..5_000).map(one).collect();
    let response = problem::Problem::from(crate::desired::ChangeError::Refused(errors)).into_response();
    let bytes = axum::body::to_bytes(response.into_body(), 8 << 20).await.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!((body["errors"].as_array().unwrap().len(), &body["errors_total"]), (1_000, &serde_json::json!(5_000)));
    assert!(body["detail"].as_str().unwrap().contains("5000 problems"), "{}", body["detail"]);
}
