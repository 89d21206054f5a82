//! `agency …`: the directory and its reorganisations.

use serde_json::{Map, Value, json};

use super::super::apply::summary;
use super::super::wait::{self, Patience};
use super::{LISTED_AT_ONCE, more, pair, search};
use crate::ctl::arguments::registry::{AgencyCommand, DecidedArguments, ReorganiseArguments, SearchArguments};
use crate::ctl::client::Client;
use crate::ctl::failure::{Exit, Failure};
use crate::ctl::listing::{Listing, encoded};
use crate::ctl::output::{Output, items, table, text};

pub fn run(client: &Client, output: &Output, command: AgencyCommand) -> Result<Exit, Failure> {
    match command {
        AgencyCommand::Search(arguments) => search_directory(client, output, &arguments),
        AgencyCommand::Show { code } => show(client, output, &code),
        AgencyCommand::Add { code, title } => {
            let answer = client.put(&format!("/v1/agencies/{}", encoded(&code)), &json!({"title": title}))?;
            output.write(&answer, || format!("{}  {}\n", text(&answer, "code"), text(&answer, "title")))?;
            Ok(Exit::Done)
        }
        AgencyCommand::Import(arguments) => super::import::import(client, output, &arguments),
        AgencyCommand::History { code } => history(client, output, &code),
        AgencyCommand::Rename { code, to, title, on } => {
            let to = json!({"code": to.as_ref().unwrap_or(&code), "title": title});
            ask(client, output, &json!({"kind": "rename", "code": code, "to": to}), &on)
        }
        AgencyCommand::Split { code, into, system, on } => {
            let into = into.iter().map(|one| successor(one)).collect::<Result<Vec<_>, _>>()?;
            let systems = system.iter().map(|one| pair(one, "SYSTEM=CODE")).collect::<Result<Vec<_>, _>>()?;
            let systems: Map<String, Value> =
                systems.into_iter().map(|(system, code)| (system.to_owned(), code.into())).collect();
            ask(client, output, &json!({"kind": "split", "code": code, "into": into, "systems": systems}), &on)
        }
        AgencyCommand::Merge { codes, into, on } => {
            ask(client, output, &json!({"kind": "merge", "codes": codes, "into": successor(&into)?}), &on)
        }
        AgencyCommand::Dissolve { code, on } => ask(client, output, &json!({"kind": "dissolve", "code": code}), &on),
        AgencyCommand::Reorganisations { limit } => list(client, output, limit),
        AgencyCommand::CancelReorganisation { number } => decide(client, output, number, "cancel"),
        AgencyCommand::ResumeReorganisation { number } => decide(client, output, number, "resume"),
    }
}

fn decide(client: &Client, output: &Output, number: u64, what: &str) -> Result<Exit, Failure> {
    let answer = client.post(&format!("/v1/reorganisations/{number}/{what}"), &json!({}))?;
    output.write(&answer, || format!("reorganisation {number} is {}\n", text(&answer, "state")))?;
    Ok(Exit::Done)
}

fn successor(text: &str) -> Result<Value, Failure> {
    let (code, title) = pair(text, "CODE=NAME")?;
    Ok(json!({"code": code, "title": title}))
}

fn rows(agencies: &[Value]) -> String {
    let row = |one: &Value| ["code", "title", "document", "ended"].map(|name| text(one, name));
    table(["CODE", "NAME", "DOCUMENT", "ENDED"], &agencies.iter().map(row).collect::<Vec<_>>())
}

fn search_directory(client: &Client, output: &Output, arguments: &SearchArguments) -> Result<Exit, Failure> {
    let SearchArguments { words, limit, after, ended } = arguments;
    let ended = if *ended { "&ended=true" } else { "" };
    let answer = client.get(&format!("/v1/agencies{}{ended}", search(words, *limit, after.as_ref())))?;
    let listed = items(&answer, "agencies");
    output.write_list(&answer, listed, |one| text(one, "code"), |_| rows(listed) + &more(&answer))?;
    Ok(Exit::Done)
}

fn show(client: &Client, output: &Output, code: &str) -> Result<Exit, Failure> {
    let answer = client.get(&format!("/v1/agencies/{}", encoded(code)))?;
    output.write(&answer, || {
        let alias = if answer.get("alias").and_then(Value::as_bool).unwrap_or(false) {
            let until = text(&answer, "alias_until");
            format!("`{code}` is an old code; until {until} it leads to\n")
        } else {
            String::new()
        };
        alias + &rows(items(&answer, "agencies"))
    })?;
    Ok(Exit::Done)
}

fn history(client: &Client, output: &Output, code: &str) -> Result<Exit, Failure> {
    let answer = client.get(&format!("/v1/agencies/{}/history", encoded(code)))?;
    output.write(&answer, || {
        let row = |one: &Value| {
            ["at", "operation", "from", "to", "alias_until", "reorganisation"].map(|name| text(one, name))
        };
        let links: Vec<_> = items(&answer, "links").iter().map(row).collect();
        let mut lines = table(["WHEN", "WHAT", "FROM", "TO", "OLD CODE RESOLVES UNTIL", "REORGANISATION"], &links);
        lines.push_str("\nnow\n");
        lines.push_str(&rows(items(&answer, "current")));
        lines
    })?;
    Ok(Exit::Done)
}

fn ask(client: &Client, output: &Output, operation: &Value, on: &ReorganiseArguments) -> Result<Exit, Failure> {
    let ReorganiseArguments { effective, alias_until, decided, waiting } = on;
    let DecidedArguments { letter, reason, dry_run } = decided;
    let body = json!({
        "operation": operation, "effective": effective, "alias_until": alias_until, "letter": letter,
        "reason": reason, "dry_run": dry_run,
    });
    let answer = client.post("/v1/reorganisations", &body)?;
    output.write(&answer, || people(&answer, *dry_run))?;
    let carried_out = answer.pointer("/reorganisation/state").is_some_and(|state| state == "applied");
    let change = answer.get("change").unwrap_or(&Value::Null);
    wait::after(client, change, *dry_run || !carried_out, Patience::of(*waiting))
}

fn people(answer: &Value, dry_run: bool) -> String {
    let (empty, nothing) = (Value::Null, Value::Null);
    let one = answer.get("reorganisation").unwrap_or(&empty);
    let change = answer.get("change").unwrap_or(&nothing);
    let row = |touch: &Value| [text(touch, "document"), text(touch, "effect")];
    let touches: Vec<_> = items(answer, "touches").iter().map(row).collect();
    let mut lines = if touches.is_empty() {
        "no document is touched: the directory alone changes\n".to_owned()
    } else {
        table(["DOCUMENT", "WHAT BECOMES OF IT"], &touches)
    };
    let row = |bound: &Value| ["what", "effect", "to"].map(|name| text(bound, name));
    let bound: Vec<_> = items(answer, "bound").iter().map(row).collect();
    if !bound.is_empty() {
        lines.push('\n');
        lines.push_str(&table(["BOUND TO AN AGENCY", "WHAT BECOMES OF IT", "BOUND TO"], &bound));
    }
    lines.push('\n');
    lines.push_str(&match (dry_run, text(one, "state").as_str()) {
        (true, _) => "nothing was changed: this is what it would do\n".to_owned(),
        (false, "scheduled") => {
            let (number, effective) = (text(one, "number"), text(one, "effective"));
            format!(
                "reorganisation {number} is scheduled for {effective}; it is checked again on that day\n\
                 `lgspctl agency cancel-reorganisation {number}` calls it off\n"
            )
        }
        (false, state) => format!("reorganisation {} is {state}\n{}", text(one, "number"), summary(change)),
    });
    lines
}

fn list(client: &Client, output: &Output, limit: u32) -> Result<Exit, Failure> {
    let (path, field, cursor) = ("/v1/reorganisations", "reorganisations", "before");
    let answer = Listing { path, field, cursor, page_max: LISTED_AT_ONCE, from: None }.read(client, limit)?;
    output.write_list(
        &answer,
        items(&answer, field),
        |one| text(one, "number"),
        |_| {
            let row = |one: &Value| {
                let kind = one.get("operation").map_or_else(String::new, |operation| text(operation, "kind"));
                let field = |name: &str| text(one, name);
                [field("number"), kind, field("state"), field("effective"), field("letter"), field("error")]
            };
            let rows: Vec<_> = items(&answer, "reorganisations").iter().map(row).collect();
            table(["NUMBER", "WHAT", "STATE", "EFFECTIVE", "LETTER", "ERROR"], &rows)
        },
    )?;
    Ok(Exit::Done)
}
