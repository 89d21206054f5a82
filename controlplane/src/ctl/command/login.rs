//! `login`, `logout`, `whoami`, `password` and `factor`: one's own session and account.

use serde_json::{Value, json};

use crate::ctl::arguments::Connection;
use crate::ctl::arguments::operators::{FactorCommand, LoginArguments};
use crate::ctl::callback::{self, Callback};
use crate::ctl::client::Client;
use crate::ctl::failure::{Exit, Failure};
use crate::ctl::output::{Output, items, note, raw, text};
use crate::ctl::{prompt, session, shown};

pub fn login(connection: &Connection, output: &Output, arguments: LoginArguments) -> Result<Exit, Failure> {
    let client = Client::open(connection)?;
    let begun = match arguments.name {
        Some(name) => with_password(&client, &name, arguments.code)?,
        None => with_provider(&client, arguments.paste)?,
    };
    let exit = keep(&client, output, begun)?;
    if let Some(variable) = Client::token_variable() {
        note(&format!("`{variable}` is set and counts before this session: `unset {variable}` to use it."));
    }
    Ok(exit)
}

fn with_password(client: &Client, name: &str, code: Option<String>) -> Result<Value, Failure> {
    let password = prompt::secret("password")?;
    let attempt =
        |code: Option<&str>| client.post("/v1/login", &json!({"name": name, "password": password, "code": code}));
    match attempt(code.as_deref()) {
        Err(failure) if failure.code == "factor-needed" && code.is_none() => {
            attempt(Some(&prompt::line("code of the second factor")?))
        }
        done => done,
    }
}

/// Sends the person to the identity provider, and waits for what comes back, or for its being pasted.
fn with_provider(client: &Client, paste: bool) -> Result<Value, Failure> {
    let callback = Callback::listen()?;
    let started = client.post("/v1/login/oidc/start", &json!({"redirect_uri": callback.address()}))?;
    let (state, url) = (raw(&started, "state"), raw(&started, "url"));
    let code = if paste {
        // Nobody is to come to this port.
        drop(callback);
        note(&format!("Open this in a browser on any machine:\n  {url}\nIt ends at a page that cannot be shown."));
        callback::pasted(&prompt::line("the address of that page")?, state)?
    } else {
        note(&format!("Open this in a browser on this machine (`--paste` for another one):\n  {url}"));
        callback.wait(state)?
    };
    match client.post("/v1/login/oidc/finish", &json!({"state": state, "code": code})) {
        Err(failure) if failure.code == "factor-needed" => {
            let factor = prompt::line("code of the second factor")?;
            client.post("/v1/login/oidc/finish", &json!({"state": state, "factor_code": factor}))
        }
        done => done,
    }
}

/// Keeps a session, and tells everything about it but its text.
fn keep(client: &Client, output: &Output, mut begun: Value) -> Result<Exit, Failure> {
    let token = begun.as_object_mut().and_then(|fields| fields.remove("token"));
    let Some(Value::String(token)) = token else {
        return Err(Failure::new(Exit::Unreachable, "the answer holds no session", "Check `--server`."));
    };
    session::keep(client.server(), Some(&token))?;
    output.write(&begun, || {
        format!("logged in as {} until {}\n", text(&begun, "operator"), text(&begun, "expires_at"))
    })?;
    if begun.get("must_change_password") == Some(&Value::Bool(true)) {
        note("The password was given by somebody else: change it now with `lgspctl password`.");
    }
    Ok(Exit::Done)
}

pub fn logout(client: &Client, output: &Output) -> Result<Exit, Failure> {
    let ended = client.post("/v1/logout", &json!({}));
    match ended {
        // One that is over already is forgotten all the same.
        Err(failure) if failure.code != "unauthorized" => return Err(failure),
        Ok(_) | Err(_) => {}
    }
    session::keep(client.server(), None)?;
    output.write(&json!({"logged_out": true}), || "logged out\n".to_owned())?;
    Ok(Exit::Done)
}

pub fn whoami(client: &Client, output: &Output) -> Result<Exit, Failure> {
    let me = client.get("/v1/me")?;
    output.write(&me, || {
        let list = |field: &str| {
            let words: Vec<String> = items(&me, field).iter().filter_map(Value::as_str).map(shown::inline).collect();
            if words.is_empty() { "-".to_owned() } else { words.join(", ") }
        };
        format!(
            "{}\n  roles   {}\n  agency  {}\n  rights  {}\n  by      {}, until {}\n",
            text(&me, "name"),
            list("roles"),
            text(&me, "agency"),
            list("rights"),
            text(&me, "bearer"),
            text(&me, "expires_at"),
        )
    })?;
    Ok(Exit::Done)
}

pub fn password(client: &Client, output: &Output) -> Result<Exit, Failure> {
    let old = prompt::secret("password")?;
    let new = prompt::new_secret("new password")?;
    client.post("/v1/me/password", &json!({"old": old, "new": new}))?;
    output.write(&json!({"changed": true}), || "changed; all other sessions have ended\n".to_owned())?;
    Ok(Exit::Done)
}

pub fn factor(client: &Client, output: &Output, command: FactorCommand) -> Result<Exit, Failure> {
    let password = prompt::secret("password")?;
    match command {
        FactorCommand::Enrol => {
            let made = client.post("/v1/me/factor", &json!({"password": password}))?;
            note(&format!(
                "Scan or type this into an authenticator application:\n  {}\n  {}",
                text(&made, "uri"),
                text(&made, "key")
            ));
            let code = prompt::line("a code it shows")?;
            let confirmed = client.post("/v1/me/factor/confirm", &json!({"code": code}))?;
            output.write(&confirmed, || {
                let codes: String = items(&confirmed, "recovery_codes")
                    .iter()
                    .filter_map(Value::as_str)
                    .map(|code| format!("  {code}\n"))
                    .collect();
                format!("Codes for when it is lost, each good once and not shown again:\n{codes}")
            })?;
        }
        FactorCommand::Remove { code } => {
            client.post("/v1/me/factor/remove", &json!({"password": password, "code": code}))?;
            output.write(&json!({"second_factor": false}), || "the second factor is removed\n".to_owned())?;
        }
    }
    Ok(Exit::Done)
}
