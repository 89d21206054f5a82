//! `audit list|verify`. The chain is followed here, with the entries as they are kept: the server's word is not taken.

use serde_json::{Value, json};

use crate::audit::verify::{Broken, Chain, Pin};
use crate::audit::{Entry, RESTORE_ACTION};
use crate::ctl::arguments::operators::AuditCommand;
use crate::ctl::client::Client;
use crate::ctl::failure::{Exit, Failure};
use crate::ctl::listing::{Listing, encoded};
use crate::ctl::output::{Detail, Output, items, raw, table, text};

/// Entries asked for at once.
const LISTED_AT_ONCE: u32 = 1_000;

pub fn run(client: &Client, output: &Output, command: AuditCommand) -> Result<Exit, Failure> {
    match command {
        AuditCommand::List { limit, before, operator, target, since, until } => {
            let filters = [("operator", operator), ("target", target), ("since", since), ("until", until)];
            let given = filters.iter().filter_map(|(name, value)| Some(format!("{name}={}", encoded(value.as_ref()?))));
            let query = given.collect::<Vec<_>>().join("&");
            let path = if query.is_empty() { "/v1/audit".to_owned() } else { format!("/v1/audit?{query}") };
            list(client, output, &path, limit, before)
        }
        AuditCommand::Verify { head } => verify(client, output, head),
    }
}

fn list(client: &Client, output: &Output, path: &str, limit: u32, from: Option<u64>) -> Result<Exit, Failure> {
    let (field, cursor) = ("entries", "before");
    let answer = Listing { path, field, cursor, page_max: LISTED_AT_ONCE, from }.read(client, limit)?;
    let listed = items(&answer, field);
    output.write_list(
        &answer,
        listed,
        |one| text(one, "number"),
        |detail| {
            // Last what may be long.
            let fields = ["number", "at", "operator", "bearer", "source", "outcome", "revision", "action", "target"];
            let header = ["N", "AT", "OPERATOR", "BY", "FROM", "OUTCOME", "REVISION", "ACTION", "TARGET"];
            match detail {
                Detail::Usual => {
                    table(header, &listed.iter().map(|one| fields.map(|field| text(one, field))).collect::<Vec<_>>())
                }
                Detail::Wide => {
                    let [a, b, c, d, e, f, g, h, i] = header;
                    let row = |one: &Value| {
                        let [a, b, c, d, e, f, g, h, i] = fields.map(|field| text(one, field));
                        [a, b, c, d, e, f, g, h, i, text(one, "before"), text(one, "after")]
                    };
                    table([a, b, c, d, e, f, g, h, i, "BEFORE", "AFTER"], &listed.iter().map(row).collect::<Vec<_>>())
                }
            }
        },
    )?;
    Ok(Exit::Done)
}

fn verify(client: &Client, output: &Output, head: Option<String>) -> Result<Exit, Failure> {
    let mut chain = Chain::new(head.map(|hash| Pin { hash }));
    let (mut last, mut restored) = (None, None);
    loop {
        let (number, _) = chain.end();
        let page = client.get(&format!("/v1/audit?after={number}"))?;
        // Reading adds entries: the end that matters is the one there was at the start.
        let (wanted, hash) = last.get_or_insert_with(|| {
            (page.get("head").and_then(Value::as_u64).unwrap_or(0), raw(&page, "head_hash").to_owned())
        });
        for value in items(&page, "entries") {
            let entry: Entry = serde_json::from_value(value.clone()).map_err(|error| {
                Failure::new(
                    Exit::Unreachable,
                    format!("an entry is not understood: {error}"),
                    "Is `lgspctl` as new as the server?",
                )
            })?;
            chain.follow(&entry).map_err(broken)?;
            if entry.attempt.action == RESTORE_ACTION {
                restored = Some((entry.number, entry.attempt.at.to_string()));
            }
            if entry.number == *wanted && entry.hash != *hash {
                return Err(broken(Broken::Replaced { number: entry.number }));
            }
        }
        let (reached, _) = chain.end();
        if reached >= *wanted || reached == number {
            chain.finish(*wanted).map_err(|error| lost(error, restored.as_ref()))?;
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

/// The end that is missing may be that of a time before a restore: then the restore is what cut it off, and it is said.
fn lost(error: Broken, restored: Option<&(u64, String)>) -> Failure {
    let (Broken::PinLost { .. }, Some((number, at))) = (&error, restored) else { return broken(error) };
    let next = format!(
        "Entry {number} says that the database was restored from a backup at {at}. If the hash you kept was written after \
         that backup was made, this is why; keep the new head from now on. If it is older, find out who can write to the \
         database."
    );
    Failure::new(Exit::Refused, error.to_string(), next)
}

fn broken(error: Broken) -> Failure {
    Failure::new(
        Exit::Refused,
        error.to_string(),
        "Compare with a backup of the database, and find out who can write to it.",
    )
}
