//! `operator` and `token`: who may use the control plane, and by what.

use serde_json::{Value, json};

use crate::ctl::arguments::operators::{OperatorCommand, TokenCommand};
use crate::ctl::client::Client;
use crate::ctl::failure::{Exit, Failure};
use crate::ctl::listing::{Listing, encoded};
use crate::ctl::output::{Output, items, table, text};
use crate::ctl::shown;

pub fn operator(client: &Client, output: &Output, command: OperatorCommand) -> Result<Exit, Failure> {
    let (path, body) = match command {
        OperatorCommand::List => return list(client, output),
        OperatorCommand::Add { name, roles, agency, identity, without_password } => (
            "/v1/operators".to_owned(),
            json!({
                "name": name, "roles": roles, "agency": agency, "identity": identity,
                "without_password": without_password,
            }),
        ),
        OperatorCommand::Grant { name, roles } => (of(&name, "grant")?, json!({"roles": roles})),
        OperatorCommand::Revoke { name, roles } => (of(&name, "revoke")?, json!({"roles": roles})),
        OperatorCommand::Disable { name } => (of(&name, "disable")?, json!({})),
        OperatorCommand::Enable { name } => (of(&name, "enable")?, json!({})),
        OperatorCommand::ResetPassword { name, second_factor } => {
            (of(&name, "reset-password")?, json!({"second_factor": second_factor}))
        }
    };
    let answer = client.post(&path, &body)?;
    output.write(&answer, || people(&answer))?;
    Ok(Exit::Done)
}

/// The path of something done to an operator.
fn of(name: &str, what: &str) -> Result<String, Failure> {
    let valid = name.parse::<lgsp_shared::id::ResourceName>();
    valid
        .map_err(|error| Failure::new(Exit::Usage, error.to_string(), "`lgspctl operator list` shows all of them."))?;
    Ok(format!("/v1/operators/{name}/{what}"))
}

fn people(answer: &Value) -> String {
    let operator = answer.get("operator").unwrap_or(&Value::Null);
    let mut lines = table(HEADER, &[row(operator)]);
    if let Some(password) = answer.get("password").and_then(Value::as_str) {
        lines.push_str(&format!("password, shown once and to be changed at the first login: {password}\n"));
    }
    lines
}

/// Tokens asked for at once.
const TOKENS_AT_ONCE: u32 = 1_000;

const HEADER: [&str; 6] = ["OPERATOR", "ROLES", "AGENCY", "STATE", "FACTOR", "IDENTITY"];

fn row(one: &Value) -> [String; 6] {
    let is = |field: &str| one.get(field) == Some(&Value::Bool(true));
    let roles: Vec<String> = items(one, "roles").iter().filter_map(Value::as_str).map(shown::inline).collect();
    let state = match (is("disabled"), is("must_change_password")) {
        (true, _) => "disabled",
        (false, true) => "new password",
        (false, false) => "active",
    };
    let factor = if is("second_factor") { "yes" } else { "no" };
    let roles = if roles.is_empty() { "-".to_owned() } else { roles.join(",") };
    [text(one, "name"), roles, text(one, "agency"), state.to_owned(), factor.to_owned(), text(one, "identity")]
}

fn list(client: &Client, output: &Output) -> Result<Exit, Failure> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("/v1/operators{after}"))?;
        all.extend_from_slice(items(&page, "operators"));
        match page.get("next").and_then(Value::as_str) {
            Some(next) => after = format!("?after={}", encoded(next)),
            None => break,
        }
    }
    let (answer, listed) = (json!({"operators": all}), all.as_slice());
    let people = |_| table(HEADER, &listed.iter().map(row).collect::<Vec<_>>());
    output.write_list(&answer, listed, |one| text(one, "name"), people)?;
    Ok(Exit::Done)
}

pub fn token(client: &Client, output: &Output, command: TokenCommand) -> Result<Exit, Failure> {
    match command {
        TokenCommand::Issue { title, roles, agency, expires } => {
            let roles = (!roles.is_empty()).then_some(roles);
            let body = json!({"title": title, "roles": roles, "agency": agency, "expires_secs": expires});
            let answer = client.post("/v1/tokens", &body)?;
            output.write(&answer, || {
                let terms = answer.get("terms").unwrap_or(&Value::Null);
                format!(
                    "token {}, until {}; shown once:\n{}\n",
                    text(terms, "id"),
                    text(terms, "expires_at"),
                    text(&answer, "token")
                )
            })?;
        }
        TokenCommand::List { all } => {
            let path = if all { "/v1/tokens?all=true" } else { "/v1/tokens" };
            let (field, cursor) = ("tokens", "after");
            let answer = Listing { path, field, cursor, page_max: TOKENS_AT_ONCE, from: None }.all(client)?;
            let listed = items(&answer, field);
            output.write_list(
                &answer,
                listed,
                |one| text(one, "id"),
                |_| {
                    let fields = ["id", "kind", "operator", "title", "agency", "expires_at", "used_at"];
                    let rows: Vec<_> = listed.iter().map(|one| fields.map(|field| text(one, field))).collect();
                    table(["ID", "KIND", "OPERATOR", "TITLE", "AGENCY", "UNTIL", "USED"], &rows)
                },
            )?;
        }
        TokenCommand::Revoke { id } => {
            if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.') {
                let message = format!("`{id}` is not the identifier of a token");
                return Err(Failure::new(Exit::Usage, message, "`lgspctl token list` shows yours."));
            }
            client.post(&format!("/v1/tokens/{id}/revoke"), &json!({}))?;
            output.write(&json!({"revoked": id}), || format!("token {id} is revoked\n"))?;
        }
    }
    Ok(Exit::Done)
}
