use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::{Report, validate, validate_change};
use super::*;

type Documents = BTreeMap<ResourceKey, Document>;

/// A document out of a small world, so that changes meet: `kind` and `name` choose it, the rest fills it.
fn document((kind, name, one, two, three): (usize, u8, u8, u8, u8)) -> Document {
    let kind = Kind::ALL[kind];
    let of = |letter: char, number: u8, of: u8| format!("{letter}{}", number % of);
    let spec = match kind {
        Kind::Defaults => json!({}),
        Kind::Agency if one == 0 => json!({"code": "H61", "title": "A", "mood": 1}),
        Kind::Agency => json!({"code": "H61", "title": "A"}),
        Kind::System => json!({"agency": of('a', one, 2), "title": "S"}),
        Kind::Credential => json!({
            "system": of('s', one, 3), "access_key": format!("LGSPAAAAAAAAAAAAAAA{}", two % 4),
            "secret": format!("v1.00000000.{}", "A".repeat(80)), "state": if three < 3 { "active" } else { "disabled" },
        }),
        Kind::Service => json!({
            "system": of('s', one, 3), "title": "V", "endpoints": [{"address": format!("127.0.0.1:{}", u16::from(two))}],
        }),
        Kind::Route => {
            let hosts: &[&str] = [&[][..], &["a.vn"], &["a.vn", "b.vn"]][usize::from(two % 3)];
            let methods: &[&str] = [&[][..], &["GET"], &["GET", "POST"], &["HEAD"]][usize::from(three % 4)];
            json!({"service": of('v', one, 3), "path": {"prefix": "/p"}, "hosts": hosts, "methods": methods})
        }
        Kind::Permission => json!({
            "source": of('s', one, 3), "service": of('v', two, 3), "methods": ["GET"], "paths": ["/p"], "mood": match three {
                0 => Value::from(1),
                _ => Value::Null,
            },
        }),
    };
    let mut document = Document { kind: kind.to_string(), name: name_of(kind, name), spec };
    if kind == Kind::Permission
        && three != 0
        && let Some(spec) = document.spec.as_object_mut()
    {
        spec.remove("mood");
    }
    document
}

fn name_of(kind: Kind, name: u8) -> String {
    let letters = [("default", 1), ("a", 2), ("s", 3), ("c", 4), ("v", 3), ("r", 4), ("p", 4)];
    let (letter, of) = letters[Kind::ALL.iter().position(|other| *other == kind).unwrap()];
    if kind == Kind::Defaults { letter.to_owned() } else { format!("{letter}{}", name % of) }
}

/// Puts and deletes.
type Step = (Vec<Document>, Vec<ResourceKey>);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let any_document = || (0_usize..7, 0_u8..4, 0_u8..6, 0_u8..6, 0_u8..6);
    let key = |chosen| document(chosen).key().unwrap();
    let deletes = proptest::collection::vec(any_document().prop_map(key), 0..3);
    let step = (proptest::collection::vec(any_document().prop_map(document), 0..5), deletes);
    proptest::collection::vec(step, 1..12)
}

/// Everything there is to refer to.
fn start() -> Documents {
    let all = [(1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (4, 0), (4, 1), (4, 2)];
    let made = all.map(|(kind, name)| document((kind, name, name + 1, 5, 5)));
    made.into_iter().map(|document| (document.key().unwrap(), document)).collect()
}

fn sorted(mut report: Report) -> Report {
    report.problems.sort();
    report.warnings.sort();
    report
}

fn whole(documents: &Documents) -> (Report, Index) {
    let all: Vec<Document> = documents.values().cloned().collect();
    validate_change(Base { index: &Index::default(), document: &|_| None }, &all, &[])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn a_change_is_judged_as_the_whole_would_be(steps in steps()) {
        let mut documents = start();
        let (report, mut index) = whole(&documents);
        prop_assert!(report.accepts());
        for (puts, deletes) in steps {
            let mut after = documents.clone();
            deletes.iter().for_each(|key| drop(after.remove(key)));
            let put: Vec<ResourceKey> = puts.iter().map(|put| put.key().unwrap()).collect();
            let kept = after.iter().filter(|(key, _)| !put.contains(key)).map(|(_, document)| document);
            let everything: Vec<Document> = puts.iter().chain(kept).cloned().collect();
            let mut expected = validate(&everything);
            let known = validate(&documents.values().cloned().collect::<Vec<_>>()).warnings;
            let is_put = |label: &str| puts.iter().any(|put| put.label() == label);
            expected.warnings.retain(|warning| is_put(&warning.document) || !known.contains(warning));

            let base = Base { index: &index, document: &|key| documents.get(key) };
            let (found, next) = validate_change(base, &puts, &deletes);
            prop_assert_eq!(sorted(found.clone()), sorted(expected), "{:?} {:?}", puts, deletes);
            if found.accepts() {
                after.extend(put.into_iter().zip(puts));
                documents = after;
                index = next;
                prop_assert_eq!(&index, &whole(&documents).1);
            }
        }
    }
}
