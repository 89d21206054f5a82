//! Login through an OpenID Connect provider: authorization code flow with PKCE, state and nonce.
//!
//! The provider vouches for an identity; which operator that is, and what it may do, is decided here. An identity that no
//! operator has gets in nowhere. What is exchanged with the provider blocks, so it happens off the threads that answer others.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lgsp_shared::timestamp::UnixSeconds;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Role;
use super::accounts::{AccountError, Accounts, Begun};
use super::bearer;
use super::factor::Factor;
use crate::audit::Trail;
use crate::settings::login::{OidcSettings, SecondFactor};
use crate::store::{PendingLogin, Store, StoreError};

mod id_token;
mod provider;

pub use id_token::TokenError;
pub use provider::ProviderError;

use provider::{Metadata, Provider};

/// How long somebody may take to log in at the provider.
const PENDING_SECS: i64 = 600;
/// How long somebody may take to type the code of the second factor after that.
const FACTOR_SECS: i64 = 300;
/// The claim that counts only when the provider verified it (OpenID Connect Core section 5.1).
const EMAIL: &str = "email";
/// How long what the provider says about itself is believed.
const METADATA_AGE_MAX: Duration = Duration::from_secs(3_600);
/// Keys are asked for out of turn, because a token names another one, at most this often.
const OUT_OF_TURN_MIN: Duration = Duration::from_secs(10);

/// Why a login through the provider did not happen.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// Where the provider is to send the answer is not this machine's loopback.
    #[error("`{0}` is not `http://127.0.0.1:PORT/callback`")]
    Redirect(String),
    /// The state is not one that was given out, or it took too long.
    #[error("this login was not begun here, or took longer than {PENDING_SECS} s")]
    Unknown,
    /// Nobody here is who the provider says.
    #[error("the provider knows you as `{0}`, and no operator has that identity")]
    Nobody(String),
    /// The provider does not say that the address is theirs.
    #[error("the provider knows you as `{0}`, and does not say that this address was verified")]
    Unverified(String),
    /// The provider did not answer as one.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// What it gave does not prove anything.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The session cannot begin.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The database failed.
    #[error("the login cannot be stored")]
    Store(#[from] StoreError),
}

/// The provider, and what is known of it.
#[derive(Debug, Clone)]
pub struct Oidc {
    settings: Arc<OidcSettings>,
    provider: Arc<Provider>,
    known: Arc<Mutex<Option<Known>>>,
    store: Store,
}

/// What the provider said about itself.
#[derive(Debug, Clone)]
struct Known {
    metadata: Arc<Metadata>,
    keys: Arc<jsonwebtoken::jwk::JwkSet>,
    at: Instant,
    /// When it was last asked out of turn.
    out_of_turn: Option<Instant>,
}

/// What came back from the provider.
#[derive(Clone, Copy)]
pub struct Answer<'a> {
    /// The provider's code.
    pub code: &'a str,
    /// The code of the second factor, when it was asked for.
    pub factor: Option<&'a str>,
}

impl std::fmt::Debug for Answer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answer(..)")
    }
}

/// An identity the provider vouched for, which waits for its second factor.
#[derive(Serialize, Deserialize)]
struct Vouched {
    identity: String,
    roles: Option<Vec<String>>,
}

impl Vouched {
    /// What a login that waits for a second factor was vouched for; none while the provider was not asked.
    fn of(pending: &PendingLogin) -> Option<Self> {
        // A login that waits for the provider's answer has a nonce.
        if pending.nonce.is_empty() { serde_json::from_str(&pending.redirect).ok() } else { None }
    }

    fn waits(&self, state: String, now: UnixSeconds) -> Result<PendingLogin, OidcError> {
        let redirect = serde_json::to_string(self).map_err(|_| AccountError::Failed)?;
        let expires_at = UnixSeconds(now.0.saturating_add(FACTOR_SECS));
        Ok(PendingLogin { state, nonce: String::new(), verifier: String::new(), redirect, expires_at })
    }

    fn roles(&self) -> Option<BTreeSet<Role>> {
        self.roles.as_ref().map(|roles| roles.iter().filter_map(|role| role.parse().ok()).collect())
    }
}

/// A login that was begun.
pub struct Started {
    /// Where the person goes.
    pub url: String,
    /// What comes back with the answer.
    pub state: String,
}

impl std::fmt::Debug for Started {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Started(..)")
    }
}

impl Oidc {
    /// Prepares to ask the provider; nothing is asked before somebody logs in, so it may be away at the start.
    pub fn new(settings: OidcSettings, store: Store) -> Result<Self, ProviderError> {
        id_token::install();
        let provider = Arc::new(Provider::new(&settings)?);
        Ok(Self { settings: Arc::new(settings), provider, known: Arc::default(), store })
    }

    /// Begins a login whose answer goes to `redirect`.
    pub async fn start(&self, redirect: &str, now: UnixSeconds) -> Result<Started, OidcError> {
        if !is_loopback_callback(redirect) {
            return Err(OidcError::Redirect(redirect.chars().take(100).collect()));
        }
        let known = self.known(false).await?;
        let (state, nonce, verifier) = (random()?, random()?, random()?);
        let url = self.provider.authorization_url(
            &known.metadata,
            &[
                ("redirect_uri", redirect),
                ("state", &state),
                ("nonce", &nonce),
                ("code_challenge", &URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier))),
                ("code_challenge_method", "S256"),
            ],
        );
        let expires_at = UnixSeconds(now.0.saturating_add(PENDING_SECS));
        let redirect = redirect.to_owned();
        let pending = PendingLogin { state: bearer::hash(&state), nonce, verifier, redirect, expires_at };
        self.store.put_pending_login(&pending, now).await?;
        Ok(Started { url, state })
    }

    /// Begins the session of whoever the provider sent back with `code`.
    pub async fn finish(
        &self,
        accounts: &Accounts,
        state: &str,
        answer: Answer<'_>,
        trail: &Trail,
    ) -> Result<Begun, OidcError> {
        // Taken out before anything else: a state is good once.
        let state = bearer::hash(state);
        let pending = self.store.take_pending_login(&state, trail.at()).await?.ok_or(OidcError::Unknown)?;
        let vouched = match Vouched::of(&pending) {
            Some(vouched) => vouched,
            None => self.ask(pending, answer.code).await?,
        };
        self.complete(accounts, state, vouched, answer.factor, trail).await
    }

    /// Asks the provider who it is.
    async fn ask(&self, pending: PendingLogin, code: &str) -> Result<Vouched, OidcError> {
        let known = self.known(false).await?;
        let (provider, metadata, code) = (self.provider.clone(), known.metadata.clone(), code.to_owned());
        let (redirect, verifier) = (pending.redirect, pending.verifier);
        let token = blocking(move || provider.exchange(&metadata, &code, &redirect, &verifier)).await??;
        let expected = id_token::Expected {
            issuer: &self.settings.issuer,
            client_id: &self.settings.client_id,
            nonce: &pending.nonce,
        };
        let claims = match id_token::verify(&token, &known.keys, &expected) {
            // The provider may have begun to sign with a key that it did not have when it was asked.
            Err(TokenError::UnknownKey) => id_token::verify(&token, &self.known(true).await?.keys, &expected)?,
            other => other?,
        };
        let identity = claims.get(&self.settings.claim).and_then(Value::as_str).unwrap_or_default();
        if !is_verified(&self.settings.claim, claims.get("email_verified")) {
            return Err(OidcError::Unverified(identity.chars().take(200).collect()));
        }
        let roles = self.settings.roles_claim.as_deref().map(|claim| roles(claims.get(claim)));
        let roles = roles.map(|roles| roles.into_iter().map(|role| role.label().to_owned()).collect());
        Ok(Vouched { identity: identity.to_owned(), roles })
    }

    /// Begins the session of an identity that was vouched for. The second factor counts here too, unless the settings
    /// leave it to the provider; the login waits for it under its state.
    async fn complete(
        &self,
        accounts: &Accounts,
        state: String,
        vouched: Vouched,
        code: Option<&str>,
        trail: &Trail,
    ) -> Result<Begun, OidcError> {
        let identity = vouched.identity.as_str();
        trail.about(format!("identity {identity}"));
        let row = match identity {
            "" => None,
            identity => self.store.operator_of_identity(identity).await?,
        };
        let row = row.ok_or_else(|| OidcError::Nobody(identity.chars().take(200).collect()))?;
        let factor = match self.settings.second_factor {
            SecondFactor::Provider => Ok(Factor::NotAsked),
            SecondFactor::Here => accounts.factor_of(&row, code, trail).await,
        };
        let roles = vouched.roles();
        match factor {
            Ok(factor) => Ok(accounts.begin(&row, factor, roles, trail).await?),
            Err(error) => {
                if matches!(error, AccountError::CodeNeeded | AccountError::Refused) {
                    self.store.put_pending_login(&vouched.waits(state, trail.at())?, trail.at()).await?;
                }
                Err(error.into())
            }
        }
    }

    /// What the provider says about itself, asked again when that is old, or out of turn when the keys are not enough.
    async fn known(&self, out_of_turn: bool) -> Result<Known, OidcError> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let recently = |known: &Known| known.out_of_turn.is_some_and(|at| at.elapsed() < OUT_OF_TURN_MIN);
        let enough = |known: &Known| if out_of_turn { recently(known) } else { known.at.elapsed() < METADATA_AGE_MAX };
        let before = known.as_ref().and_then(|known| known.out_of_turn);
        if let Some(known) = known.filter(enough) {
            return Ok(known);
        }
        let provider = self.provider.clone();
        let (metadata, keys) = blocking(move || provider.discover()).await??;
        let at = Instant::now();
        let out_of_turn = if out_of_turn { Some(at) } else { before };
        let known = Known { metadata: Arc::new(metadata), keys: Arc::new(keys), at, out_of_turn };
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(known.clone());
        Ok(known)
    }
}

/// Whether the provider stands by a claim: an address counts only when it says that it verified it.
fn is_verified(claim: &str, email_verified: Option<&Value>) -> bool {
    claim != EMAIL || email_verified.and_then(Value::as_bool) == Some(true)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, OidcError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| AccountError::Failed.into())
}

/// 256 random bits as text that needs no encoding in an address (RFC 7636 section 4.1).
fn random() -> Result<String, OidcError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| AccountError::Failed)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// The roles a claim names, as a list or as words; what is no role is left out. They only ever narrow.
fn roles(claim: Option<&Value>) -> BTreeSet<Role> {
    let words = match claim {
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(text)) => text.split_whitespace().collect(),
        Some(_) | None => Vec::new(),
    };
    words.into_iter().filter_map(|word| word.parse().ok()).collect()
}

/// Where `lgspctl` listens (RFC 8252 section 7.3): nobody else can be sent the answer.
fn is_loopback_callback(redirect: &str) -> bool {
    let port = redirect
        .strip_prefix("http://127.0.0.1:")
        .or_else(|| redirect.strip_prefix("http://[::1]:"))
        .and_then(|rest| rest.strip_suffix("/callback"));
    port.is_some_and(|port| !port.starts_with('+') && port.parse::<u16>().is_ok_and(|port| port > 0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_answer_goes_to_loopback_and_nowhere_else() {
        assert!(is_loopback_callback("http://127.0.0.1:40000/callback"));
        assert!(is_loopback_callback("http://[::1]:40000/callback"));
        for bad in [
            "http://127.0.0.1:40000/other",
            "http://127.0.0.1/callback",
            "http://127.0.0.1:0/callback",
            "https://127.0.0.1:1/callback",
            "http://127.0.0.1:1@evil.example/callback",
            "http://localhost:1/callback",
            "http://evil.example:1/callback",
        ] {
            assert!(!is_loopback_callback(bad), "{bad}");
        }
    }

    #[test]
    fn an_address_that_the_provider_did_not_verify_is_nobody_s() {
        assert!(is_verified("email", Some(&json!(true))) && is_verified("sub", None));
        for doubtful in [None, Some(json!(false)), Some(json!("true")), Some(json!(1))] {
            assert!(!is_verified("email", doubtful.as_ref()), "{doubtful:?}");
        }
    }

    #[test]
    fn a_claim_names_roles_and_anything_else_gives_none() {
        assert_eq!(roles(Some(&json!(["observer", "root", 1]))), [Role::Observer].into());
        assert_eq!(roles(Some(&json!("observer auditor"))), [Role::Observer, Role::Auditor].into());
        assert!(roles(Some(&json!({"observer": true}))).is_empty() && roles(None).is_empty());
    }
}
