//! `contact …`: the people of an agency, a system or a service.

use serde_json::{Value, json};

use crate::ctl::arguments::registry::ContactCommand;
use crate::ctl::client::Client;
use crate::ctl::failure::{Exit, Failure};
use crate::ctl::listing::encoded;
use crate::ctl::output::{Output, items, table, text};

pub fn run(client: &Client, output: &Output, command: ContactCommand) -> Result<Exit, Failure> {
    let answer = match command {
        ContactCommand::List { subject } => client.get(&path(&subject)?)?,
        // The server reads and writes as one: of several at one instant, none is lost.
        ContactCommand::Add { subject, name, role, email, phone } => {
            client.post(&path(&subject)?, &json!({"name": name, "role": role, "email": email, "phone": phone}))?
        }
        ContactCommand::Remove { subject, name } => {
            let removed = client.post(&format!("{}/remove", path(&subject)?), &json!({"name": name}));
            removed.map_err(|failure| Failure {
                hint: Some(format!("`lgspctl contact list {subject}` shows them.")),
                ..failure
            })?
        }
    };
    output.write(&answer, || {
        let row = |one: &Value| ["name", "role", "email", "phone"].map(|name| text(one, name));
        let rows: Vec<_> = items(&answer, "contacts").iter().map(row).collect();
        table(["NAME", "ROLE", "MAIL", "TELEPHONE"], &rows)
    })?;
    Ok(Exit::Done)
}

fn path(subject: &str) -> Result<String, Failure> {
    let (kind, name) = subject.split_once('/').ok_or_else(|| {
        let hint = "Write `Agency/CODE`, `System/NAME` or `Service/NAME`.";
        Failure::new(Exit::Usage, format!("`{subject}` is not `KIND/NAME`"), hint)
    })?;
    Ok(format!("/v1/contacts/{}/{}", encoded(kind), encoded(name)))
}
