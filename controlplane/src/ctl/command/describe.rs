//! `describe`: one resource, what it refers to, and what refers to it.

use lgsp_shared::resource::{Kind, ResourceKey};
use serde_json::{Value, json};

use super::get::pages;
use crate::ctl::arguments::DescribeArguments;
use crate::ctl::client::Client;
use crate::ctl::failure::{Exit, Failure};
use crate::ctl::names::{self, What};
use crate::ctl::output::{Output, items, raw, text, yaml};

/// Resources that refer to it, named per kind; more are only counted.
const SHOWN_MAX: usize = 20;

/// Which fields of which kinds name a resource of a kind.
const REFERENCES: [(Kind, &str, Kind); 6] = [
    (Kind::System, "agency", Kind::Agency),
    (Kind::Credential, "system", Kind::System),
    (Kind::Service, "system", Kind::System),
    (Kind::Route, "service", Kind::Service),
    (Kind::Permission, "service", Kind::Service),
    (Kind::Permission, "source", Kind::System),
];

pub fn describe(client: &Client, output: &Output, arguments: &DescribeArguments) -> Result<Exit, Failure> {
    let What::One(key) = names::what(&arguments.what)? else {
        let hint = "Name one resource, such as `Route/ho-tich`; `lgspctl get` lists them.";
        return Err(Failure::new(Exit::Usage, "a kind is not one resource", hint));
    };
    let document = client.get(&format!("/v1/documents/{}/{}", key.kind, key.name))?;
    let referring = referring(client, &key)?;
    let answer =
        json!({"document": document, "refers_to": refers_to(&document, key.kind), "referred_to_by": referring});
    let people = people(&answer)?;
    output.write(&answer, || people)?;
    Ok(Exit::Done)
}

/// `Kind/name` of what its fields name.
fn refers_to(document: &Value, kind: Kind) -> Vec<String> {
    let spec = document.get("spec").unwrap_or(&Value::Null);
    let of_kind = REFERENCES.iter().filter(|(from, _, _)| *from == kind);
    of_kind.filter_map(|(_, field, to)| Some(format!("{to}/{}", spec.get(*field)?.as_str()?))).collect()
}

/// `Kind/name` of what names it.
fn referring(client: &Client, key: &ResourceKey) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    for (kind, field, _) in REFERENCES.iter().filter(|(_, _, to)| *to == key.kind) {
        let documents = pages(client, "/v1/documents", Some(*kind))?;
        let names = documents
            .iter()
            .filter(|one| one.pointer(&format!("/spec/{field}")).is_some_and(|to| to == key.name.as_str()));
        found.extend(names.map(|one| format!("{kind}/{}", raw(one, "name"))));
    }
    Ok(found)
}

fn people(answer: &Value) -> Result<String, Failure> {
    let document = answer.get("document").unwrap_or(&Value::Null);
    let mut lines = format!("{}/{}\n", text(document, "kind"), text(document, "name"));
    let spec = yaml(document.get("spec").unwrap_or(&Value::Null))?;
    lines.extend(spec.lines().map(|line| format!("  {line}\n")));
    for (title, field) in [("refers to", "refers_to"), ("referred to by", "referred_to_by")] {
        let named: Vec<&str> = items(answer, field).iter().filter_map(Value::as_str).collect();
        lines.push_str(&format!("{title}\n"));
        lines.extend(named.iter().take(SHOWN_MAX).map(|name| format!("  {name}\n")));
        match named.len().checked_sub(SHOWN_MAX) {
            Some(more @ 1..) => lines.push_str(&format!("  and {more} more\n")),
            Some(0) | None if named.is_empty() => lines.push_str("  nothing\n"),
            Some(0) | None => {}
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_shown_with_both_sides_of_its_references() {
        let document =
            json!({"kind": "Service", "name": "khai-sinh", "spec": {"system": "ho-tich", "title": "A\u{1b}[2J"}});
        assert_eq!(refers_to(&document, Kind::Service), ["System/ho-tich"]);
        let many: Vec<String> = (0..22).map(|at| format!("Permission/p{at}")).collect();
        let told =
            people(&json!({"document": document, "refers_to": ["System/ho-tich"], "referred_to_by": many})).unwrap();
        assert!(told.starts_with("Service/khai-sinh\n") && told.contains("refers to\n  System/ho-tich\n"), "{told}");
        assert!(told.contains("  Permission/p19\n  and 2 more\n") && !told.contains('\u{1b}'), "{told}");
    }
}
