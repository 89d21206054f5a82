//! Which agencies a document concerns: what they own, and what their systems may do elsewhere. Pure.

use std::collections::BTreeSet;

use lgsp_shared::id::AgencyId;
use lgsp_shared::resource::{Document, Kind};
use serde_json::Value;

/// Says who owns a system and which system offers a service, at one time.
pub trait Owners {
    /// The document of a system's agency.
    fn agency_of(&self, system: &str) -> Option<&str>;
    /// The system of a service.
    fn system_of(&self, service: &str) -> Option<&str>;
}

/// The agencies a document concerns, by their documents.
pub fn concerned(document: &Document, owners: &impl Owners) -> BTreeSet<AgencyId> {
    let field = |name: &str| document.spec.get(name).and_then(Value::as_str).unwrap_or_default();
    let offered_by = |service: &str| owners.system_of(service).and_then(|system| owners.agency_of(system));
    let agencies = match Kind::parse(&document.kind) {
        Some(Kind::Agency) => [Some(document.name.as_str()), None],
        Some(Kind::System) => [Some(field("agency")), None],
        Some(Kind::Credential | Kind::Service) => [owners.agency_of(field("system")), None],
        Some(Kind::Route) => [offered_by(field("service")), None],
        Some(Kind::Permission) => [offered_by(field("service")), owners.agency_of(field("source"))],
        Some(Kind::Defaults) | None => [None, None],
    };
    agencies.into_iter().flatten().filter_map(|agency| agency.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct Two;

    impl Owners for Two {
        fn agency_of(&self, system: &str) -> Option<&str> {
            match system {
                "s-a" => Some("a"),
                "s-b" => Some("b"),
                _ => None,
            }
        }

        fn system_of(&self, service: &str) -> Option<&str> {
            (service == "svc-b").then_some("s-b")
        }
    }

    #[test]
    fn a_permission_concerns_both_its_sides_and_all_else_its_owner() {
        let cases = [
            ("Agency", "a", json!({}), &["a"][..]),
            ("System", "s-a", json!({"agency": "a"}), &["a"]),
            ("Credential", "k", json!({"system": "s-b"}), &["b"]),
            ("Service", "svc-b", json!({"system": "s-b"}), &["b"]),
            ("Route", "r", json!({"service": "svc-b"}), &["b"]),
            ("Permission", "p", json!({"source": "s-a", "service": "svc-b"}), &["a", "b"]),
            ("Defaults", "defaults", json!({}), &[]),
            ("Route", "r", json!({"service": "unknown"}), &[]),
        ];
        for (kind, name, spec, expected) in cases {
            let document = Document { kind: kind.into(), name: name.into(), spec };
            let found = concerned(&document, &Two);
            assert_eq!(found.iter().map(AgencyId::as_str).collect::<Vec<_>>(), expected, "{kind}");
        }
    }
}
