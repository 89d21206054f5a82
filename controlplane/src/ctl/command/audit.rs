//! `audit list|verify`. The chain is followed here, with the entries as they are kept: the server's word is not taken.

use serde_json::{Value, json};

use crate::audit::Entry;
use crate::audit::verify::{Broken, Chain, Pin};
use crate::ctl::arguments::operators::AuditCommand;
use crate::ctl::client::Client;
use crate::ctl::failure::{Exit, Failure};
use crate::ctl::output::{Output, items, table, text};

pub fn run(client: &Client, output: &Output, command: AuditCommand) -> Result<Exit, Failure> {
    match command {
        AuditCommand::List { limit, before } => list(client, output, limit, before),
        AuditCommand::Verify { head } => verify(client, output, head),
    }
}

fn list(client: &Client, output: &Output, limit: u32, before: Option<u64>) -> Result<Exit, Failure> {
    let before = before.map_or_else(String::new, |before| format!("&before={before}"));
    let answer = client.get(&format!("/v1/audit?limit={limit}{before}"))?;
    output.write(&answer, || {
        // Last what may be long.
        let fields = ["number", "at", "operator", "bearer", "source", "outcome", "revision", "action", "target"];
        let rows: Vec<_> = items(&answer, "entries").iter().map(|one| fields.map(|field| text(one, field))).collect();
        table(["N", "AT", "OPERATOR", "BY", "FROM", "OUTCOME", "REVISION", "ACTION", "TARGET"], &rows)
    })?;
    Ok(Exit::Done)
}

fn verify(client: &Client, output: &Output, head: Option<String>) -> Result<Exit, Failure> {
    let mut chain = Chain::new(head.map(|hash| Pin { hash }));
    let mut last = None;
    loop {
        let (number, _) = chain.end();
        let page = client.get(&format!("/v1/audit?after={number}"))?;
        // Reading adds entries: the end that matters is the one there was at the start.
        let (wanted, hash) = last
            .get_or_insert_with(|| (page.get("head").and_then(Value::as_u64).unwrap_or(0), text(&page, "head_hash")));
        for value in items(&page, "entries") {
            let entry: Entry = serde_json::from_value(value.clone()).map_err(|error| {
                Failure::new(
                    Exit::Unreachable,
                    format!("an entry is not understood: {error}"),
                    "Is `lgspctl` as new as the server?",
                )
            })?;
            chain.follow(&entry).map_err(broken)?;
            if entry.number == *wanted && entry.hash != *hash {
                return Err(broken(Broken::Replaced { number: entry.number }));
            }
        }
        let (reached, _) = chain.end();
        if reached >= *wanted || reached == number {
            chain.finish(*wanted).map_err(broken)?;
            break;
        }
    }
    let (number, hash) = chain.end();
    output.write(&json!({"entries": number, "head": hash}), || {
        format!(
            "{number} entries, none changed, missing or moved\nhead {hash}\n\
             Keep it elsewhere: `lgspctl audit verify --head {hash}` finds out whether the end was cut off.\n"
        )
    })?;
    Ok(Exit::Done)
}

fn broken(error: Broken) -> Failure {
    Failure::new(
        Exit::Refused,
        error.to_string(),
        "Compare with a backup of the database, and find out who can write to it.",
    )
}
