//! How many bytes are published, for one agency and in all: etcd holds them, and when it is full nothing is published any
//! more, revocations neither. So no agency takes the room of all.

use std::collections::HashMap;

use lgsp_shared::resource::{Document, Kind};
use serde::Deserialize;
use serde_json::Value;

use super::ChangeError;
use super::whole::Whole;

/// Published bytes of one agency's documents: about 16,000 documents. etcd keeps the versions of its history too, so a
/// tenth of its default quota of 2 GiB stays a tenth.
pub const AGENCY_BYTES_MAX: u64 = 16 << 20;
/// Published bytes in all; nodes take twice as many, and need about four times as much memory while they compile them.
pub const PUBLISHED_BYTES_MAX: u64 = 256 << 20;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bounds {
    /// For the documents of one agency.
    pub agency_bytes_max: u64,
    /// For all documents.
    pub published_bytes_max: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { agency_bytes_max: AGENCY_BYTES_MAX, published_bytes_max: PUBLISHED_BYTES_MAX }
    }
}

impl Bounds {
    /// Whether `after` may follow `before`. What is too large already may shrink, or stay as large as it is.
    pub fn check(&self, before: &Whole, after: &Whole) -> Result<(), ChangeError> {
        let (was, is) = (before.bytes(), after.bytes());
        let too_large = |what: String, bytes, bytes_max| Err(ChangeError::TooLarge { what, bytes, bytes_max });
        if is > self.published_bytes_max && is > was {
            return too_large("all documents".to_owned(), is, self.published_bytes_max);
        }
        // No agency has more than all of them together.
        if is <= self.agency_bytes_max {
            return Ok(());
        }
        let now = by_agency(after);
        let over = |(_, bytes): &(&&str, &u64)| **bytes > self.agency_bytes_max;
        let mut over: Vec<(&&str, &u64)> = now.iter().filter(over).collect();
        if over.is_empty() {
            return Ok(());
        }
        over.sort_unstable();
        let earlier = by_agency(before);
        let grown = over.into_iter().find(|(agency, bytes)| **bytes > earlier.get(*agency).copied().unwrap_or(0));
        match grown {
            Some((agency, bytes)) => {
                too_large(format!("the documents of `Agency/{agency}`"), *bytes, self.agency_bytes_max)
            }
            None => Ok(()),
        }
    }
}

/// The bytes of every agency's documents; a route and a permission count for the agency of the service.
fn by_agency(whole: &Whole) -> HashMap<&str, u64> {
    let (mut bytes, mut systems, mut services) = (HashMap::new(), HashMap::new(), HashMap::new());
    // Kinds come in the order in which they refer to each other: systems before services.
    for entry in whole.entries().values() {
        let document = entry.document();
        let agency = match Kind::parse(&document.kind) {
            Some(Kind::Agency) => Some(document.name.as_str()),
            Some(Kind::System) => {
                let agency = field(document, "agency");
                systems.insert(document.name.as_str(), agency);
                Some(agency)
            }
            Some(Kind::Credential) => systems.get(field(document, "system")).copied(),
            Some(Kind::Service) => {
                let agency = systems.get(field(document, "system")).copied();
                services.insert(document.name.as_str(), agency);
                agency
            }
            Some(Kind::Route | Kind::Permission) => services.get(field(document, "service")).copied().flatten(),
            Some(Kind::Defaults) | None => None,
        };
        if let Some(agency) = agency {
            *bytes.entry(agency).or_insert(0) += entry.bytes();
        }
    }
    bytes
}

fn field<'a>(document: &'a Document, name: &str) -> &'a str {
    document.spec.get(name).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use lgsp_shared::id::Revision;
    use serde_json::json;

    use super::*;

    fn document(kind: &str, name: &str, spec: Value) -> Document {
        Document { kind: kind.into(), name: name.into(), spec }
    }

    /// Agencies a and b, of which a's service has a route with so much padding.
    fn whole(padding: usize) -> Whole {
        let documents = vec![
            document("Agency", "a", json!({"title": "A"})),
            document("Agency", "b", json!({"title": "B"})),
            document("System", "s", json!({"agency": "a"})),
            document("Service", "v", json!({"system": "s"})),
            document("Route", "r", json!({"service": "v", "padding": "x".repeat(padding)})),
        ];
        Whole::new(Revision(1), documents).unwrap()
    }

    #[test]
    fn one_agency_does_not_take_the_room_of_all() {
        let bounds = Bounds { agency_bytes_max: 10_000, published_bytes_max: 30_000 };
        let told = |before, after| bounds.check(&whole(before), &whole(after)).map_err(|error| error.to_string());
        assert_eq!(told(0, 9_000), Ok(()));
        let refused = told(9_000, 20_000).unwrap_err();
        assert!(refused.contains("`Agency/a`") && refused.contains("10000") && refused.contains("20"), "{refused}");
        assert!(told(0, 40_000).unwrap_err().contains("all documents"));
        for after in [0, 20_000, 39_000] {
            assert_eq!(told(39_000, after), Ok(()), "what is too large already may shrink to {after}, or stay");
        }
    }

    #[test]
    fn what_is_counted_is_what_is_published() {
        let published: usize = whole(500).documents().map(|one| serde_json::to_vec(one).unwrap().len()).sum();
        assert_eq!(whole(500).bytes(), published as u64);
        assert_eq!(by_agency(&whole(0)).keys().copied().collect::<std::collections::BTreeSet<_>>(), ["a", "b"].into());
    }
}
