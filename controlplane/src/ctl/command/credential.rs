//! `credential issue|rotate|disable|list`.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use lgsp_shared::resource::Kind;
use serde_json::{Value, json};

use super::apply::summary;
use super::wait::{self, Patience};
use crate::ctl::arguments::{CredentialCommand, MadeArguments, ResealArguments};
use crate::ctl::client::Client;
use crate::ctl::failure::{Exit, Failure};
use crate::ctl::listing::{Listing, encoded};
use crate::ctl::output::{Detail, Output, items, note, raw, table, text};

/// Credentials asked for at once.
const LISTED_AT_ONCE: u32 = 1_000;
/// The names under which `--save` writes the keys, for a shell to read.
pub const ACCESS_KEY_VARIABLE: &str = "LGSP_ACCESS_KEY";
pub const SECRET_KEY_VARIABLE: &str = "LGSP_SECRET_KEY";

pub fn run(client: &Client, output: &Output, command: CredentialCommand) -> Result<Exit, Failure> {
    match command {
        CredentialCommand::Issue { system, name, made } => issue(client, output, &system, name.as_deref(), &made),
        CredentialCommand::Rotate { name, overlap, made, waiting } => {
            let body = json!({"overlap_secs": overlap, "message": made.message});
            // The new secret is shown before anything is waited for.
            let answer = make(client, output, &format!("/v1/credentials/{}/rotate", segment(&name)?), &body, &made)?;
            wait::after(client, &answer, false, Patience::of(waiting))
        }
        CredentialCommand::Disable { name, message, waiting } => {
            let path = format!("/v1/credentials/{}/disable", segment(&name)?);
            let answer = client.post(&path, &json!({"message": message}))?;
            output.write(&answer, || summary(&answer))?;
            wait::after(client, &answer, false, Patience::of(waiting))
        }
        CredentialCommand::List { system } => list(client, output, system.as_deref()),
    }
}

fn list(client: &Client, output: &Output, system: Option<&str>) -> Result<Exit, Failure> {
    let path = system.map_or("/v1/credentials".to_owned(), |one| format!("/v1/credentials?system={}", encoded(one)));
    let listing = Listing { path: &path, field: "credentials", cursor: "after", page_max: LISTED_AT_ONCE, from: None };
    let answer = listing.all(client)?;
    let listed = items(&answer, "credentials");
    let name = |one: &Value| format!("{}/{}", Kind::Credential, text(one, "name"));
    output.write_list(&answer, listed, name, |detail| {
        let fields = ["name", "system", "access_key", "state", "not_after"];
        let rows = listed.iter().map(|one| (fields.map(|name| text(one, name)), one));
        match detail {
            Detail::Usual => {
                let row = |([name, system, key, state, until], one): ([String; 5], &Value)| {
                    [name, system, key, state, until, last_used(one)]
                };
                let header = ["NAME", "SYSTEM", "ACCESS KEY", "STATE", "UNTIL", "LAST USED"];
                table(header, &rows.map(row).collect::<Vec<_>>())
            }
            Detail::Wide => {
                let row = |([name, system, key, state, until], one): ([String; 5], &Value)| {
                    [name, system, key, state, text(one, "not_before"), until, last_used(one)]
                };
                let header = ["NAME", "SYSTEM", "ACCESS KEY", "STATE", "FROM", "UNTIL", "LAST USED"];
                table(header, &rows.map(row).collect::<Vec<_>>())
            }
        }
    })?;
    Ok(Exit::Done)
}

pub fn reseal(client: &Client, output: &Output, arguments: &ResealArguments) -> Result<Exit, Failure> {
    let ResealArguments { force, message } = arguments;
    let answer = client.post("/v1/reseal", &json!({"force": force, "message": message}))?;
    let people = || {
        let [key, factors] = ["key", "factors"].map(|name| text(&answer, name));
        format!("{}every secret is sealed under key {key} now; second factors resealed: {factors}\n", summary(&answer))
    };
    output.write(&answer, people)?;
    Ok(Exit::Done)
}

/// When a credential was last used, and since how many days it was not.
fn last_used(one: &Value) -> String {
    match (text(one, "last_used").as_str(), one.get("unused_days").and_then(Value::as_i64)) {
        ("-", _) => "never seen".to_owned(),
        (at, None | Some(0)) => at.to_owned(),
        (at, Some(days)) => format!("{at}, unused for {days} days"),
    }
}

/// Issues a credential.
pub fn issue(
    client: &Client,
    output: &Output,
    system: &str,
    name: Option<&str>,
    made: &MadeArguments,
) -> Result<Exit, Failure> {
    let body = json!({"system": system, "name": name, "message": made.message});
    make(client, output, "/v1/credentials", &body, made).map(|_| Exit::Done)
}

/// A name as part of a path.
fn segment(name: &str) -> Result<&str, Failure> {
    let valid = name.parse::<lgsp_shared::id::CredentialId>();
    valid.map_err(|error| {
        Failure::new(Exit::Usage, error.to_string(), "`lgspctl credential list` shows all of them.")
    })?;
    Ok(name)
}

fn make(client: &Client, output: &Output, path: &str, body: &Value, made: &MadeArguments) -> Result<Value, Failure> {
    // Made before the credential is, so that a secret is never made that cannot be kept.
    let mut file = made.save.as_deref().map(create).transpose()?;
    let answer = client.post(path, body).inspect_err(|_| {
        if let (Some(path), true) = (&made.save, file.is_some()) {
            // The empty file that was made for it.
            let _ = std::fs::remove_file(path);
        }
    })?;
    if let (Some(path), Some(file)) = (&made.save, &mut file) {
        let (name, system) = (text(&answer, "name"), text(&answer, "system"));
        let (access_key, secret_key) = (raw(&answer, "access_key"), raw(&answer, "secret_key"));
        let lines = format!(
            "# Credential/{name} of System/{system}\n\
             {ACCESS_KEY_VARIABLE}={access_key}\n{SECRET_KEY_VARIABLE}={secret_key}\n"
        );
        let written = file.write_all(lines.as_bytes()).and_then(|()| file.sync_all());
        if let Err(error) = written {
            note(&format!("warning: cannot write `{}`: {error}; keep what is shown here", path.display()));
        }
    }
    output.write(&answer, || people(&answer, made.save.as_deref()))?;
    Ok(answer)
}

fn people(answer: &Value, saved: Option<&Path>) -> String {
    let field = |name: &str| text(answer, name);
    let mut lines = format!(
        "Credential/{} of System/{}, in revision {}\n  access key  {}\n  secret key  {}\n",
        field("name"),
        field("system"),
        field("revision"),
        field("access_key"),
        field("secret_key"),
    );
    lines.push_str(&match saved {
        Some(path) => format!("Both are in `{}`; the secret key is not shown again.\n", path.display()),
        None => "The secret key is not shown again: keep it now.\n".to_owned(),
    });
    lines
}

fn create(path: &Path) -> Result<std::fs::File, Failure> {
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|error| {
        let message = format!("cannot make `{}`: {error}", path.display());
        Failure::new(Exit::Unreachable, message, "Give `--save` a path that does not exist yet.")
    })
}
