//! What is exchanged with the provider: discovery, its keys, and the code for a token. Blocks.

use std::time::Duration;

use jsonwebtoken::jwk::JwkSet;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::http::header::AUTHORIZATION;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lgsp_process::secret_file::{self, Readers, SecretFileError};
use zeroize::Zeroizing;

use crate::settings::login::{OidcSettings, is_https_or_loopback};
use crate::tls;

/// How long one exchange with the provider may take.
const EXCHANGE_WAIT: Duration = Duration::from_secs(10);
/// The longest answer, in bytes.
const ANSWER_BYTES_MAX: u64 = 256 << 10;
/// The longest client secret, in bytes.
const SECRET_BYTES_MAX: u64 = 1 << 10;

/// Why the provider did not help.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// Certificates are missing.
    #[error("the identity provider cannot be asked")]
    Certificates(#[from] tls::CaFileError),
    /// The secret cannot be read, or others can read it.
    #[error("the client secret in `{file}` {reason}")]
    Secret {
        /// The file.
        file: String,
        /// Why.
        reason: SecretFileError,
    },
    /// The file of the secret is empty.
    #[error("the file of the client secret, `{0}`, is empty; write the secret that the provider gave out into it")]
    NoSecret(String),
    /// It does not answer.
    #[error("the identity provider does not answer at `{address}`: {reason}")]
    Unreachable {
        /// Where it was asked.
        address: String,
        /// Why.
        reason: String,
    },
    /// It says something else than the specification wants.
    #[error("the identity provider answers what it should not: {0}")]
    Strange(String),
    /// It does not take the code.
    #[error("the identity provider refused: {0}")]
    Refused(String),
}

/// The part of OpenID Connect Discovery 1.0 section 3 that is needed.
#[derive(Debug, Clone, Deserialize)]
pub struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
}

/// A client of one provider.
pub struct Provider {
    agent: ureq::Agent,
    issuer: String,
    client_id: String,
    secret: Option<Zeroizing<String>>,
    scope: String,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    id_token: String,
}

#[derive(Deserialize)]
struct TokenRefusal {
    error: String,
}

impl Provider {
    /// Reads the certificates and the secret.
    pub fn new(settings: &OidcSettings) -> Result<Self, ProviderError> {
        let OidcSettings { issuer, client_id, client_secret_file, ca_file, scopes, .. } = settings;
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(EXCHANGE_WAIT))
            .proxy(None)
            .max_redirects(0);
        if issuer.starts_with("https://") {
            config = config.https_only(true).tls_config(tls::config(ca_file)?);
        }
        let secret = client_secret_file.as_ref().map(|file| {
            let name = || file.display().to_string();
            let text = secret_file::read(file, Readers::OwnerAndGroup, SECRET_BYTES_MAX)
                .map_err(|reason| ProviderError::Secret { file: name(), reason })?;
            let secret = Zeroizing::new(text.trim().to_owned());
            if secret.is_empty() { Err(ProviderError::NoSecret(name())) } else { Ok(secret) }
        });
        let scope = ["openid"].into_iter().chain(scopes.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
        Ok(Self {
            agent: config.build().new_agent(),
            issuer: issuer.clone(),
            client_id: client_id.clone(),
            secret: secret.transpose()?,
            scope,
        })
    }

    /// Asks the provider about itself, and for the keys it signs with.
    pub fn discover(&self) -> Result<(Metadata, JwkSet), ProviderError> {
        let address = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let metadata: Metadata = self.get(&address)?;
        if metadata.issuer != self.issuer {
            return Err(ProviderError::Strange(format!("it calls itself `{}`", metadata.issuer)));
        }
        for endpoint in [&metadata.authorization_endpoint, &metadata.token_endpoint, &metadata.jwks_uri] {
            if !is_https_or_loopback(endpoint) {
                return Err(ProviderError::Strange(format!("`{endpoint}` is neither https:// nor loopback")));
            }
        }
        let keys = self.get(&metadata.jwks_uri)?;
        Ok((metadata, keys))
    }

    /// Where a person logs in.
    pub fn authorization_url(&self, metadata: &Metadata, more: &[(&str, &str)]) -> String {
        let own = [("response_type", "code"), ("client_id", &*self.client_id), ("scope", &*self.scope)];
        let query: Vec<String> =
            own.iter().chain(more).map(|(name, value)| format!("{name}={}", form_encoded(value))).collect();
        let endpoint = &metadata.authorization_endpoint;
        let mark = if endpoint.contains('?') { '&' } else { '?' };
        format!("{endpoint}{mark}{}", query.join("&"))
    }

    /// Changes a code for an ID token.
    pub fn exchange(
        &self,
        metadata: &Metadata,
        code: &str,
        redirect: &str,
        verifier: &str,
    ) -> Result<String, ProviderError> {
        let address = &metadata.token_endpoint;
        let unreachable = |error: ureq::Error| unreachable(address, &error);
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect),
            ("code_verifier", verifier),
        ];
        let mut request = self.agent.post(address);
        match &self.secret {
            // RFC 6749 section 2.3.1: each part form-encoded first.
            Some(secret) => {
                let pair = Zeroizing::new(format!("{}:{}", form_encoded(&self.client_id), form_encoded(secret)));
                request = request.header(AUTHORIZATION, format!("Basic {}", STANDARD.encode(pair.as_bytes())));
            }
            None => form.push(("client_id", &self.client_id)),
        }
        let mut response = request.send_form(form).map_err(unreachable)?;
        let status = response.status();
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec().map_err(unreachable)?;
        if !status.is_success() {
            let refusal =
                serde_json::from_slice::<TokenRefusal>(&body).map_or_else(|_| status.to_string(), |it| it.error);
            return Err(ProviderError::Refused(refusal));
        }
        let answer: TokenAnswer = serde_json::from_slice(&body)
            .map_err(|error| ProviderError::Strange(format!("the token's answer: {error}")))?;
        Ok(answer.id_token)
    }

    fn get<T: DeserializeOwned>(&self, address: &str) -> Result<T, ProviderError> {
        let mut response = self.agent.get(address).call().map_err(|error| unreachable(address, &error))?;
        if !response.status().is_success() {
            return Err(ProviderError::Strange(format!("`{address}` is {}", response.status())));
        }
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let body = body.map_err(|error| unreachable(address, &error))?;
        serde_json::from_slice(&body).map_err(|error| ProviderError::Strange(format!("`{address}`: {error}")))
    }
}

fn unreachable(address: &str, error: &ureq::Error) -> ProviderError {
    ProviderError::Unreachable { address: address.to_owned(), reason: error.to_string() }
}

/// Everything but what RFC 3986 calls unreserved as `%XX`.
fn form_encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
