//! `sign`: a ready signed curl command. Nothing is sent.

use std::io::Read;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use lgsp_shared::head::{Field, RequestHead, Scheme as Transport};
use lgsp_shared::seal::Secret;
use lgsp_shared::signature::{
    AmzDate, ContentDigest, ExpectedDigest, KeyState, Rfc9421Params, SigV4Params, SignError, check_target,
    sign_rfc9421, sign_sigv4_header,
};
use lgsp_shared::timestamp::UnixSeconds;
use serde_json::json;
use sha2::{Digest, Sha256};
use ureq::http::Uri;

use super::credential::{ACCESS_KEY_VARIABLE, SECRET_KEY_VARIABLE};
use crate::ctl::arguments::{Scheme, SignArguments};
use crate::ctl::failure::{Exit, Failure};
use crate::ctl::output::Output;

const NONCE_BYTES: usize = 16;
/// Part of a SigV4 signature only; what the documentation uses.
const REGION: &str = "vn";
const SERVICE: &str = "s3";
/// A piece of the body while it is hashed.
const PIECE_BYTES: usize = 64 << 10;

/// A credential as its owner holds it.
struct Identity {
    access_key: String,
    secret: Secret,
}

/// What is signed, apart from when and with what nonce.
struct Target<'a> {
    method: &'a str,
    transport: Transport,
    authority: String,
    path: &'a str,
    query: Option<&'a str>,
    /// SHA-256 of the body, if there is one.
    body: Option<[u8; 32]>,
}

pub fn sign(output: &Output, arguments: &SignArguments) -> Result<Exit, Failure> {
    let SignArguments { method, url, credential_file, access_key, secret_file, data, scheme } = arguments;
    let identity = match (credential_file, access_key, secret_file) {
        (Some(file), _, _) => from_file(file)?,
        (None, Some(access_key), Some(file)) => {
            Identity { access_key: access_key.clone(), secret: Secret::new(read(file)?.trim().as_bytes().to_vec()) }
        }
        (None, _, _) => from_environment()?,
    };
    let uri: Uri = url.parse().map_err(|error| bad_url(url, &format!("{error}")))?;
    let body = data.as_deref().map(hash_file).transpose()?;
    let target = target(method, url, &uri, body)?;
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs());
    let headers = match scheme {
        Scheme::Rfc9421 => rfc9421(&target, &identity, UnixSeconds(now.unwrap_or_default()), &nonce()?),
        Scheme::Sigv4 => sigv4(&target, &identity, UnixSeconds(now.unwrap_or_default())),
    };
    let headers = headers.map_err(|error| Failure::new(Exit::Usage, error.to_string(), "Correct the request."))?;
    let value = json!({"method": method, "url": url, "headers": headers, "body_file": data});
    output.write(&value, || curl(method, url, &headers, data.as_deref()))?;
    Ok(Exit::Done)
}

fn target<'a>(method: &'a str, url: &str, uri: &'a Uri, body: Option<[u8; 32]>) -> Result<Target<'a>, Failure> {
    lgsp_shared::validate::check_method(method)
        .map_err(|error| Failure::new(Exit::Usage, error, "`lgspctl sign GET URL`"))?;
    let (transport, default_port) = match uri.scheme_str() {
        Some("http") => (Transport::Http, 80),
        Some("https") => (Transport::Https, 443),
        Some(_) | None => return Err(bad_url(url, "it does not start with `http://` or `https://`")),
    };
    let authority = uri.authority().ok_or_else(|| bad_url(url, "it names no host"))?;
    if authority.as_str().contains('@') {
        return Err(bad_url(url, "it holds a user"));
    }
    // curl leaves the scheme's own port out of `Host`.
    let authority = match authority.port_u16() {
        Some(port) if port == default_port => authority.host().to_owned(),
        Some(_) | None => authority.to_string(),
    };
    check_target(uri.path(), uri.query()).map_err(|error| bad_url(url, &error.to_string()))?;
    Ok(Target { method, transport, authority, path: uri.path(), query: uri.query(), body })
}

fn bad_url(url: &str, why: &str) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("`{url}` cannot be signed: {why}"),
        "Write it as `http://127.0.0.1:8080/ho-tich`.",
    )
}

impl Target<'_> {
    fn head<'a>(&'a self, fields: &'a [Field<'a>]) -> RequestHead<'a> {
        let Target { method, transport, authority, path, query, body: _ } = self;
        RequestHead { method, scheme: *transport, authority, path, query: *query, fields }
    }
}

type Headers = Vec<(&'static str, String)>;

fn rfc9421(target: &Target<'_>, identity: &Identity, now: UnixSeconds, nonce: &str) -> Result<Headers, SignError> {
    let mut headers = Headers::new();
    let mut components = vec!["@method", "@authority", "@path", "@query"];
    if let Some(sha256) = target.body {
        let mut value = Vec::new();
        ContentDigest::format(&ExpectedDigest::sha256(sha256), &mut value);
        headers.push(("content-digest", String::from_utf8_lossy(&value).into_owned()));
        components.push("content-digest");
    }
    let fields: Vec<Field<'_>> = headers.iter().map(|(name, value)| Field { name, value: value.as_bytes() }).collect();
    let params = Rfc9421Params { created: now, expires: None, nonce, key_id: &identity.access_key, label: "sig1" };
    let (mut input, mut signature) = (Vec::new(), Vec::new());
    let key = KeyState::new(&identity.secret);
    sign_rfc9421(&target.head(&fields), &components, &params, &key, &mut input, &mut signature)?;
    headers.push(("signature-input", String::from_utf8_lossy(&input).into_owned()));
    headers.push(("signature", String::from_utf8_lossy(&signature).into_owned()));
    Ok(headers)
}

fn sigv4(target: &Target<'_>, identity: &Identity, now: UnixSeconds) -> Result<Headers, SignError> {
    let date = AmzDate::of(now).ok_or(SignError::Time)?;
    let sha256 = target.body.unwrap_or_else(|| Sha256::digest(b"").into());
    let payload: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut headers: Headers =
        vec![("x-amz-content-sha256", payload.clone()), ("x-amz-date", date.as_str().to_owned())];
    let mut fields = vec![Field { name: "host", value: target.authority.as_bytes() }];
    fields.extend(headers.iter().map(|(name, value)| Field { name, value: value.as_bytes() }));
    let params =
        SigV4Params { access_key: &identity.access_key, region: REGION, service: SERVICE, date, payload: &payload };
    let mut authorization = Vec::new();
    let signed = ["host", "x-amz-content-sha256", "x-amz-date"];
    let key = KeyState::new(&identity.secret);
    sign_sigv4_header(&target.head(&fields), &signed, &params, &key, &mut authorization)?;
    headers.push(("authorization", String::from_utf8_lossy(&authorization).into_owned()));
    Ok(headers)
}

fn curl(method: &str, url: &str, headers: &Headers, data: Option<&Path>) -> String {
    let mut lines = vec![format!("curl -X {}", quoted(method))];
    lines.extend(headers.iter().map(|(name, value)| format!("  -H {}", quoted(&format!("{name}: {value}")))));
    if let Some(path) = data {
        let path = path.display().to_string();
        // `-T` streams, but adds the file's name to a URL that ends with `/`, which is then not the one signed.
        let ends_open = url.split('?').next().is_some_and(|url| url.ends_with('/'));
        let (option, file) = if ends_open { ("--data-binary", format!("@{path}")) } else { ("-T", path) };
        lines.push(format!("  {option} {}", quoted(&file)));
    }
    if url.contains(['{', '}', '[', ']']) {
        lines.push("  --globoff".to_owned());
    }
    lines.push(format!("  {}", quoted(url)));
    lines.join(" \\\n") + "\n"
}

/// As one word of a shell.
fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:@".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

fn nonce() -> Result<String, Failure> {
    let mut random = [0; NONCE_BYTES];
    getrandom::fill(&mut random)
        .map_err(|error| Failure::new(Exit::Unreachable, format!("no random bytes: {error}"), "Try again."))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn hash_file(path: &Path) -> Result<[u8; 32], Failure> {
    let mut hash = Sha256::new();
    let mut piece = vec![0; PIECE_BYTES];
    let mut file = std::fs::File::open(path).map_err(|error| unreadable(path, &error))?;
    loop {
        let read = file.read(&mut piece).map_err(|error| unreadable(path, &error))?;
        if read == 0 {
            return Ok(hash.finalize().into());
        }
        hash.update(piece.get(..read).unwrap_or_default());
    }
}

fn from_file(path: &Path) -> Result<Identity, Failure> {
    let text = read(path)?;
    let variable = |name: &str| {
        let value = text.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='));
        value.map(str::to_owned).ok_or_else(|| {
            let message = format!("`{}` holds no `{name}=`", path.display());
            Failure::new(Exit::Usage, message, "Give the file that `lgspctl credential issue --save` wrote.")
        })
    };
    let secret = Secret::new(variable(SECRET_KEY_VARIABLE)?.into_bytes());
    Ok(Identity { access_key: variable(ACCESS_KEY_VARIABLE)?, secret })
}

fn from_environment() -> Result<Identity, Failure> {
    let variable = |name: &str| {
        std::env::var(name).map_err(|_| {
            let hint = "Give `--as FILE` with what `lgspctl credential issue --save FILE` wrote.";
            Failure::new(Exit::Usage, format!("there is no credential to sign with: `{name}` is not set"), hint)
        })
    };
    let secret = Secret::new(variable(SECRET_KEY_VARIABLE)?.into_bytes());
    Ok(Identity { access_key: variable(ACCESS_KEY_VARIABLE)?, secret })
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let message = format!("cannot read `{}`: {error}", path.display());
    Failure::new(Exit::Unreachable, message, "Check the path.")
}

#[cfg(test)]
mod tests {
    use lgsp_shared::signature::{BodyRule, Claim};

    use super::*;

    fn verified(headers: &Headers, target: &Target<'_>, identity: &Identity) -> bool {
        let mut fields = vec![Field { name: "host", value: target.authority.as_bytes() }];
        if target.body.is_some() {
            fields.push(Field { name: "content-length", value: b"7" });
        }
        fields.extend(headers.iter().map(|(name, value)| Field { name, value: value.as_bytes() }));
        let head = target.head(&fields);
        let claim = Claim::read(&head).unwrap();
        let digest = matches!(claim.body(), BodyRule::Digest(_)) || target.body.is_none();
        digest && claim.verify(&head, &KeyState::new(&identity.secret)).is_ok()
    }

    #[test]
    fn what_is_signed_is_what_the_platform_accepts() {
        let identity = Identity { access_key: "LGSPAAAAAAAAAAAAAAAA".into(), secret: Secret::new(b"s3cret".to_vec()) };
        for (url, body) in [("http://127.0.0.1:8080/a/b?x=1&y=%20", None), ("https://api.vn:443/", Some([7; 32]))] {
            let uri: Uri = url.parse().unwrap();
            let target = target("PUT", url, &uri, body).unwrap();
            let now = UnixSeconds(1_800_000_000);
            let headers = rfc9421(&target, &identity, now, "0011").unwrap();
            assert!(verified(&headers, &target, &identity), "{url}");
            assert!(verified(&sigv4(&target, &identity, now).unwrap(), &target, &identity), "{url}");
        }
    }

    #[test]
    fn what_the_platform_would_refuse_is_not_signed() {
        for url in ["ftp://a/b", "/a", "http://a/../b", "http://u@a/b", "http://a//b", "http://a/%2Fb"] {
            let uri: Uri = url.parse().unwrap();
            assert!(target("GET", url, &uri, None).is_err(), "{url}");
        }
        assert!(target("get", "http://a/", &"http://a/".parse().unwrap(), None).is_err());
    }

    #[test]
    fn the_command_survives_a_shell() {
        let headers = vec![("signature-input", "sig1=(\"@method\")".to_owned())];
        let text = curl("PUT", "http://a/b?c='d'&e=[1]", &headers, Some(Path::new("my file")));
        let expected = "curl -X PUT \\\n  -H 'signature-input: sig1=(\"@method\")' \\\n  -T 'my file' \\\n  --globoff \\\n  \
                        'http://a/b?c='\\''d'\\''&e=[1]'\n";
        assert_eq!(text, expected);
    }
}
