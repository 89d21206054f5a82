//! `contact …`: the people of an agency, a system or a service.

use serde_json::{Value, json};

use super::encoded;
use crate::ctl::arguments::registry::ContactCommand;
use crate::ctl::client::Client;
use crate::ctl::failure::{Exit, Failure};
use crate::ctl::output::{Output, items, table, text};

pub fn run(client: &Client, output: &Output, command: ContactCommand) -> Result<Exit, Failure> {
    let answer = match command {
        ContactCommand::List { subject } => client.get(&path(&subject)?)?,
        ContactCommand::Add { subject, name, role, email, phone } => {
            let mut contacts = items(&client.get(&path(&subject)?)?, "contacts").to_vec();
            contacts.push(json!({"name": name, "role": role, "email": email, "phone": phone}));
            client.put(&path(&subject)?, &json!({"contacts": contacts}))?
        }
        ContactCommand::Remove { subject, name } => {
            let before = client.get(&path(&subject)?)?;
            let stays = |one: &&Value| text(one, "name") != name;
            let contacts: Vec<Value> = items(&before, "contacts").iter().filter(stays).cloned().collect();
            if contacts.len() == items(&before, "contacts").len() {
                let message = format!("`{name}` is no contact of `{subject}`");
                return Err(Failure::new(
                    Exit::Refused,
                    message,
                    format!("`lgspctl contact list {subject}` shows them."),
                ));
            }
            client.put(&path(&subject)?, &json!({"contacts": contacts}))?
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
