//! What requests carry: bodies and queries whose mistakes are told by path, and the shapes several routes share.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use lgsp_shared::id::Revision;
use lgsp_shared::resource::Document;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
