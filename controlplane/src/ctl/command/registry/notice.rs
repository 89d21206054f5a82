//! `notice …`: maintenance announced to agencies.

use lgsp_shared::timestamp::UnixSeconds;
use serde_json::{Value, json};

use super::{LISTED_AT_ONCE, lines};
use crate::ctl::arguments::registry::NoticeCommand;
use crate::ctl::client::Client;
use crate::ctl::failure::{Exit, Failure};
use crate::ctl::listing::Listing;
use crate::ctl::output::{Output, items, text};

pub fn run(client: &Client, output: &Output, command: NoticeCommand) -> Result<Exit, Failure> {
    match command {
        NoticeCommand::Add { agency, from, until, lasting, text, text_en } => {
            let until = match until {
                Some(until) => until,
                None => after(&from, lasting.unwrap_or(0)),
            };
            let body = json!({"agency": agency, "starts": from, "ends": until, "text": text, "text_en": text_en});
            let answer = client.post("/v1/notices", &body)?;
            output.write(&answer, || people(&answer))?;
        }
        NoticeCommand::List { all } => {
            let (path, field, cursor) = (format!("/v1/notices?all={all}"), "notices", "after");
            let listing = Listing { path: &path, field, cursor, page_max: LISTED_AT_ONCE, from: None };
            let answer = listing.all(client)?;
            let listed = items(&answer, field);
            output.write_list(
                &answer,
                listed,
                |one| text(one, "number"),
                |_| match listed {
                    [] => "no maintenance is announced\n".to_owned(),
                    notices => notices.iter().map(people).collect(),
                },
            )?;
        }
        NoticeCommand::Cancel { number } => {
            let answer = client.post(&format!("/v1/notices/{number}/cancel"), &json!({}))?;
            output.write(&answer, || people(&answer))?;
        }
    }
    Ok(Exit::Done)
}

/// `from` was checked when it was typed.
fn after(from: &str, secs: u32) -> String {
    let start = UnixSeconds::parse(from).unwrap_or_default();
    UnixSeconds(start.0.saturating_add(i64::from(secs))).to_string()
}

fn people(one: &Value) -> String {
    format!("notice {} is {}\n", text(one, "number"), text(one, "state"))
        + &lines(
            one,
            &[("for", "agency"), ("from", "starts"), ("until", "ends"), ("text", "text"), ("english", "text_en")],
        )
}
