use serde_json::json;

use super::*;

fn document(kind: &str, name: &str, spec: Value) -> Document {
    Document { kind: kind.into(), name: name.into(), spec }
}

#[test]
fn a_document_is_understood_by_its_kind() {
    let read =
        document("Agency", "so-tu-phap", json!({"code": "000.00.12.H61", "title": "Sở Tư pháp"})).read().unwrap();
    assert!(matches!(read.resource, Resource::Agency(id, _) if id.as_str() == "so-tu-phap"));
    assert!(read.unknown.is_empty());
}

#[test]
fn an_error_names_the_document_the_path_and_the_value() {
    let spec = json!({"system": "tu-phap", "title": "Hộ tịch", "endpoints": [{"address": "ho-tich.local:80"}]});
    let error = document("Service", "ho-tich", spec).read().unwrap_err();
    assert_eq!((error.document.as_str(), error.path.as_str()), ("Service/ho-tich", "spec.endpoints[0].address"));
    let error = document("Servise", "ho-tich", json!({})).read().unwrap_err();
    assert!(error.message.contains("`Servise` is not a kind; use one of `Defaults`"), "{error}");
    let error = document("Agency", "Sở", json!({})).read().unwrap_err();
    assert_eq!(error.path, "name");
    let error = document("Defaults", "mine", json!({})).read().unwrap_err();
    assert!(error.message.contains("`default`"), "{error}");
}

#[test]
fn unknown_fields_are_reported_with_their_paths() {
    let spec = json!({"service": "ho-tich", "path": {"prefix": "/ho-tich"}, "mood": 1, "require": {"badge": true}});
    let read = document("Route", "ho-tich", spec).read().unwrap();
    assert_eq!(read.unknown, ["spec.mood", "spec.require.badge"]);
}

#[test]
fn a_misspelt_field_is_named_beside_the_one_that_is_missing() {
    let spec = serde_json::json!({"code": "000.00.12.H61", "titel": "Sở Tư pháp"});
    let error = Document { kind: "Agency".into(), name: "a".into(), spec }.read().unwrap_err();
    assert!(error.message.contains("missing field `title`") && error.message.contains("`spec.titel`"), "{error}");
}
