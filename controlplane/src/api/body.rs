//! What requests carry: bodies and queries whose mistakes are told by path, and the shapes several routes share.

use std::marker::PhantomData;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use lgsp_shared::id::Revision;
use lgsp_shared::resource::Document;
use serde::de::{DeserializeOwned, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::edge::control_in_json;
use super::problem::{Code, Problem};

/// A JSON body. An empty one counts as `{}`.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            let text = rejection.body_text();
            if rejection.into_response().status() == StatusCode::PAYLOAD_TOO_LARGE {
                let next = "Split the change into several.";
                return Problem::new(Code::TooLarge, "the body is longer than this route takes", next);
            }
            Problem::malformed(text)
        })?;
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        if let Some(control) = control_in_json(text) {
            let detail = format!("the body holds the control character U+{control:04X}");
            return Err(Problem::new(Code::Malformed, detail, "Leave it out."));
        }
        let mut json = serde_json::Deserializer::from_slice(text);
        let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let path = error.path().to_string();
            Problem::malformed(format!("body, at `{path}`: {}", error.into_inner()))
        })?;
        json.end().map_err(|error| Problem::malformed(format!("body: {error}")))?;
        Ok(Self(value))
    }
}

/// A query string.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|rejection| Problem::malformed(rejection.body_text()))
    }
}

/// Reads a part of the path, or says that there is no such thing.
pub fn segment<T: std::str::FromStr>(text: &str, what: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| Problem::not_found(&format!("{what} `{text}`")))
}

/// Reads a parameter of the query, or says that it is not understood.
pub fn parameter<T: std::str::FromStr<Err: std::fmt::Display>>(name: &str, text: &str) -> Result<T, Problem> {
    text.parse().map_err(|error| Problem::malformed(format!("`{name}`: {error}")))
}

/// The `next` of a page whose numbers go down to 1: the last number of a full page.
pub fn next(last: Option<u64>, found: usize, limit: u32) -> Option<u64> {
    last.filter(|last| *last > 1 && u32::try_from(found).is_ok_and(|found| found >= limit.max(1)))
}

/// Reads a list of at most `MAX` items. A longer one is refused at the first item too many, before the rest is held.
pub fn at_most<'de, const MAX: usize, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct Items<const MAX: usize, T>(PhantomData<T>);

    impl<'de, const MAX: usize, T: Deserialize<'de>> Visitor<'de> for Items<MAX, T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "a list of at most {MAX}")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut items = Vec::new();
            while let Some(item) = list.next_element()? {
                if items.len() == MAX {
                    return Err(serde::de::Error::custom(format!("there are more than {MAX}; split the change")));
                }
                items.push(item);
            }
            Ok(items)
        }
    }

    deserializer.deserialize_seq(Items::<MAX, T>(PhantomData))
}

/// Reads a revision's number from the path.
pub fn revision(text: &str) -> Result<Revision, Problem> {
    segment(text, "revision").map(Revision)
}

/// A document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DocumentBody {
    /// `Agency`, `System`, `Credential`, `Service`, `Route`, `Permission` or `Defaults`.
    pub kind: String,
    /// Its name, unique within the kind.
    pub name: String,
    /// The body, whose shape depends on the kind.
    #[schema(value_type = Object)]
    pub spec: serde_json::Value,
}

impl From<DocumentBody> for Document {
    fn from(DocumentBody { kind, name, spec }: DocumentBody) -> Self {
        Self { kind, name, spec }
    }
}

impl From<Document> for DocumentBody {
    fn from(Document { kind, name, spec }: Document) -> Self {
        Self { kind, name, spec }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Listed {
        #[serde(default, deserialize_with = "at_most::<3, _, _>")]
        items: Vec<u8>,
    }

    #[test]
    fn a_list_that_is_too_long_is_refused_at_the_first_item_too_many() {
        let read = |text: &str| serde_json::from_str::<Listed>(text).map(|listed| listed.items.len());
        assert_eq!(read("{}").unwrap(), 0);
        assert_eq!(read(r#"{"items": [1, 2, 3]}"#).unwrap(), 3);
        // What comes behind is not even read.
        let error = read(r#"{"items": [1, 2, 3, 4, 5, "#).unwrap_err().to_string();
        assert!(error.contains("there are more than 3; split the change"), "{error}");
    }

    #[test]
    fn a_full_page_has_a_next_one_unless_it_ends_with_the_first_number() {
        assert_eq!(next(Some(7), 2, 2), Some(7));
        assert_eq!(next(Some(7), 1, 2), None);
        assert_eq!(next(Some(1), 2, 2), None);
        assert_eq!(next(None, 0, 2), None);
    }
}
