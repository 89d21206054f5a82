//! One HTTP exchange with the control plane; problem documents become failures.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use ureq::http::{Method, Request, StatusCode};

use super::arguments::Connection;
use super::failure::{Exit, Failure};
use super::{session, shown};
use crate::tls::{self, DEBIAN_CA_FILE};

/// A change of 100,000 documents takes a few seconds.
const EXCHANGE_WAIT: Duration = Duration::from_secs(120);
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// The longest answer: a change's outcome with all documents before and after.
const ANSWER_BYTES_MAX: u64 = 128 << 20;
/// The environment variable that names the certificates servers are checked against, as in other programs.
const CA_FILE_VARIABLE: &str = "SSL_CERT_FILE";
/// The environment variable that holds the operator token.
const TOKEN_VARIABLE: &str = "LGSPCTL_TOKEN";
/// The one that names a file with it.
const TOKEN_FILE_VARIABLE: &str = "LGSPCTL_TOKEN_FILE";

/// Speaks to one control plane as one operator.
#[derive(Debug)]
pub struct Client {
    agent: ureq::Agent,
    server: String,
    /// Absent before a login.
    authorization: Option<String>,
}

impl Client {
    /// Finds the operator token: in a file, in the environment, or in the session that `login` began.
    pub fn new(connection: &Connection) -> Result<Self, Failure> {
        let mut client = Self::open(connection)?;
        let token = match (&connection.token_file, std::env::var(TOKEN_VARIABLE)) {
            (Some(path), _) => std::fs::read_to_string(path).map_err(|error| {
                let message = format!("cannot read the token file `{}`: {error}", path.display());
                Failure::new(Exit::Unreachable, message, "Write the operator token to it, and `chmod 600` it.")
            })?,
            (None, Ok(token)) if token.trim().is_empty() => {
                let hint =
                    format!("`unset {TOKEN_VARIABLE}` to use the session of `lgspctl login`, or put the token in it.");
                return Err(Failure::new(Exit::Usage, format!("`{TOKEN_VARIABLE}` is set and empty"), hint));
            }
            (None, Ok(token)) => token,
            (None, Err(_)) => session::find(&client.server)?.ok_or_else(|| {
                let hint = format!("Run `lgspctl login NAME`, set `{TOKEN_VARIABLE}`, or give `--token-file FILE`.");
                Failure::new(Exit::Usage, format!("there is no operator token for `{}`", client.server), hint)
            })?,
        };
        client.authorization = Some(format!("Bearer {}", token.trim()));
        Ok(client)
    }

    /// The environment variable that decides who asks, before any session.
    pub fn token_variable() -> Option<&'static str> {
        [TOKEN_FILE_VARIABLE, TOKEN_VARIABLE].into_iter().find(|variable| std::env::var_os(variable).is_some())
    }

    /// Speaks to the server as nobody, to log in.
    pub fn open(connection: &Connection) -> Result<Self, Failure> {
        Self::at(&connection.server)
    }

    fn at(server: &str) -> Result<Self, Failure> {
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_WAIT))
            .timeout_global(Some(EXCHANGE_WAIT))
            // The operator token goes to the server that was named, not to where a proxy variable points.
            .proxy(None)
            .max_redirects(0);
        let server = server.trim_end_matches('/').to_owned();
        if server.starts_with("https://") {
            let file = std::env::var_os(CA_FILE_VARIABLE).map_or_else(|| DEBIAN_CA_FILE.into(), PathBuf::from);
            config = config.tls_config(tls::config(&file).map_err(|error| {
                Failure::new(Exit::Unreachable, error.to_string(), format!("Set `{CA_FILE_VARIABLE}` to a PEM file."))
            })?);
        }
        Ok(Self { agent: config.build().new_agent(), server, authorization: None })
    }

    /// The server.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Asks.
    pub fn get(&self, path: &str) -> Result<Value, Failure> {
        self.exchange(Method::GET, path, String::new())
    }

    /// Tells.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.exchange(Method::POST, path, body.to_string())
    }

    /// Replaces.
    pub fn put(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.exchange(Method::PUT, path, body.to_string())
    }

    fn exchange(&self, method: Method, path: &str, body: String) -> Result<Value, Failure> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.server));
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let request = request.header("content-type", "application/json").body(body).map_err(|error| {
            let message = format!("`{}` or the token is not usable: {error}", self.server);
            Failure::new(Exit::Usage, message, "Write the server as `http://127.0.0.1:8090`.")
        })?;
        let mut response = self.agent.run(request).map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let answer = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let answer = answer.map_err(|error| self.unreachable(&error))?;
        let json: Result<Value, _> = serde_json::from_slice(&answer);
        match json {
            Err(_) if status == StatusCode::NO_CONTENT => Ok(Value::Null),
            Ok(value) if status.is_success() => Ok(value),
            Ok(problem) => Err(failure(status, &problem)),
            Err(_) => {
                let message = format!("`{}` answered {status}, but not as a control plane does", self.server);
                Err(Failure::new(Exit::Unreachable, message, "Check `--server`."))
            }
        }
    }

    fn unreachable(&self, error: &ureq::Error) -> Failure {
        let text = error.to_string();
        // What rustls says of an answer that is no TLS.
        if let (true, Some(rest)) = (text.contains("InvalidContentType"), self.server.strip_prefix("https://")) {
            let message = format!("`{}` does not speak TLS", self.server);
            return Failure::new(Exit::Unreachable, message, format!("Write `--server http://{rest}`."));
        }
        let message = format!("cannot reach `{}`: {text}", self.server);
        Failure::new(Exit::Unreachable, message, "Is `lgsp-controlplane` running there? Check `--server`.")
    }
}

fn failure(status: StatusCode, problem: &Value) -> Failure {
    // The server repeats what others wrote: nothing of it begins another line.
    let text = |field: &str| shown::inline(problem.get(field).and_then(Value::as_str).unwrap_or_default());
    let exit = match (status, text("code").as_str()) {
        (_, "stale-base" | "not-now") => Exit::Conflict,
        (status, _) if status.is_server_error() => Exit::Unreachable,
        _ => Exit::Refused,
    };
    let details = problem.get("errors").and_then(Value::as_array).into_iter().flatten().map(|error| {
        let field = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
        shown::inline(&format!("{}: {}: {}", field("document"), field("path"), field("message")))
    });
    let mut details: Vec<String> = details.collect();
    if let Some(total) = problem.get("errors_total").and_then(Value::as_u64) {
        details.push(format!("{total} in all; the first {} are shown", details.len()));
    }
    let hint = match text("next") {
        next if next.is_empty() => None,
        // Who types a command does not read the description of the API.
        next if next.contains("/openapi.json") => {
            Some("Correct it; `lgspctl help COMMAND` shows what is taken.".to_owned())
        }
        next => Some(next),
    };
    Failure { exit, message: text("detail"), details, hint, code: text("code") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn problem_documents_become_exit_codes_and_hints() {
        let cases = [
            (StatusCode::CONFLICT, "stale-base", Exit::Conflict),
            (StatusCode::UNPROCESSABLE_ENTITY, "refused", Exit::Refused),
            (StatusCode::UNAUTHORIZED, "unauthorized", Exit::Refused),
            (StatusCode::SERVICE_UNAVAILABLE, "unavailable", Exit::Unreachable),
        ];
        for (status, code, exit) in cases {
            let problem = json!({
                "code": code, "detail": "what", "next": "do",
                "errors": [{"document": "Route/a", "path": "spec", "message": "wrong"}],
            });
            let failure = failure(status, &problem);
            assert_eq!(failure.exit, exit, "{code}");
            assert_eq!(failure.to_string(), "error: what\n  Route/a: spec: wrong\nhint: do\n");
        }
    }
}
