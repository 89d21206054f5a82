//! The file as written: its shape and its defaults.

use serde::Deserialize;

use super::quantity::{Rate, Size, Span};
use super::{Problem, ScenarioError};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    pub name: String,
    #[serde(default)]
    pub about: String,
    pub load: RawLoad,
    pub connections: usize,
    #[serde(default = "warmup")]
    pub warmup: Span,
    #[serde(default = "timeout")]
    pub timeout: Span,
    pub requests: Vec<RawKind>,
}

fn warmup() -> Span {
    Span(std::time::Duration::ZERO)
}

fn timeout() -> Span {
    Span(std::time::Duration::from_secs(30))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawLoad {
    Constant(RawConstant),
    Poisson(RawPoisson),
    Ramp(RawRamp),
    Steps(Vec<RawConstant>),
    Closed(RawClosed),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConstant {
    pub rate: Rate,
    pub duration: Span,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPoisson {
    pub rate: Rate,
    pub duration: Span,
    pub seed: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRamp {
    pub from: Rate,
    pub to: Rate,
    pub duration: Span,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawClosed {
    pub duration: Span,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawKind {
    pub name: String,
    pub percent: Option<f64>,
    #[serde(default = "get")]
    pub method: String,
    pub path: String,
    #[serde(default)]
    pub sign: RawSigning,
    #[serde(rename = "as")]
    pub credential: Option<String>,
    #[serde(default = "no_body")]
    pub body: Size,
    pub content: Option<String>,
    pub session: Option<String>,
    pub flaw: Option<RawFlaw>,
    #[serde(default)]
    pub expect: RawExpect,
}

fn get() -> String {
    "GET".to_owned()
}

fn no_body() -> Size {
    Size(0)
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawSigning {
    #[default]
    Rfc9421,
    Sigv4,
    None,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawFlaw {
    BadSignature,
    Replay,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawExpect {
    pub status: Option<u16>,
    pub code: Option<String>,
    pub bytes: Option<Size>,
}

pub(super) fn read(origin: &str, yaml: &str) -> Result<Raw, ScenarioError> {
    let whole = lgsp_shared::yaml::one(yaml)
        .map_err(|error| ScenarioError::one(origin, "", format!("is not readable as YAML: {error}")))?;
    serde_path_to_error::deserialize(whole).map_err(|error| {
        let path = match error.path().to_string() {
            path if path == "." => String::new(),
            path => path,
        };
        let message = format!("{}; see `config/scenarios` for every key", error.into_inner());
        ScenarioError { origin: origin.to_owned(), problems: vec![Problem { path, message }] }
    })
}
