//! Clients we did not write are accepted on both faces: Debian's curl, botocore, and PyPI's http-message-signatures.
//!
//! What they sent is compared on the target's side, and each is refused when its secret is wrong: a client that is
//! accepted whatever it signs would prove nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lgsp_shared::seal::Secret;
use lgsp_testkit::client::Identity;
use lgsp_testkit::node::Node;
use lgsp_testkit::python::python;
use lgsp_testkit::resources::Resources;
use lgsp_testkit::target::Target;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const BODY_BYTES: usize = 300_000;

/// A node, a target that verifies the platform's signature, and a file to send.
struct Stand {
    node: Node,
    target: Target,
    me: Identity,
    file: PathBuf,
    sha256: String,
}

/// What a client got.
#[derive(Debug)]
struct Answer {
    status: u64,
    body: String,
}

impl Answer {
    fn code(&self) -> String {
        let problem: Value = serde_json::from_str(&self.body).unwrap_or_default();
        problem["code"].as_str().unwrap_or_default().to_owned()
    }
}

async fn stand(proxy_face: bool, route: Value) -> Stand {
    let placeholder = Resources::usual(&[]);
    let theirs = placeholder.identity("tu-phap");
    let target = Target::new().verifying(theirs.access_key, &theirs.secret).start().await;
    let resources = placeholder.service("ho-tich", "tu-phap", &[target.address()]).with("Route", "ho-tich", |spec| {
        spec.as_object_mut().unwrap().extend(route.as_object().unwrap().clone());
    });
    let builder = Node::new(&resources);
    let node = if proxy_face { builder.on_proxy_face() } else { builder }.start().await;
    let body: Vec<u8> = (0..BODY_BYTES).map(|index| u8::try_from(index % 251).unwrap()).collect();
    let file = node.directory().join("body.bin");
    std::fs::write(&file, &body).unwrap();
    let sha256 = hex(&Sha256::digest(&body));
    Stand { node, target, me: resources.identity("mot-cua"), file, sha256 }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Stand {
    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.node.address())
    }

    fn curl(&self, arguments: &[&str]) -> Answer {
        let secret = std::str::from_utf8(self.me.secret.expose()).unwrap();
        let user = format!("{}:{secret}", self.me.access_key);
        let output = Command::new("curl")
            .args([
                "-q",
                "-sS",
                "--noproxy",
                "*",
                "-w",
                "\n%{http_code}",
                "--aws-sigv4",
                "aws:amz:vn:s3",
                "--user",
                &user,
            ])
            .args(arguments)
            .output()
            .expect("curl is installed: run `make tools`");
        let text = stdout(&output);
        let (body, status) = text.rsplit_once('\n').unwrap();
        Answer { status: status.parse().unwrap(), body: body.to_owned() }
    }

    fn python(&self, client: &str, method: &str, path: &str, body: Option<&Path>) -> Answer {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/system/clients/clients.py");
        let output = Command::new(python())
            .arg(script)
            .args([client, method, &self.url(path)])
            .args(body)
            .env("ACCESS_KEY", self.me.access_key.as_str())
            .env("SECRET_KEY", std::str::from_utf8(self.me.secret.expose()).unwrap())
            .env("no_proxy", "*")
            .env("AWS_CONFIG_FILE", "/nonexistent")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
            .output()
            .unwrap();
        let told: Value = serde_json::from_str(&stdout(&output)).unwrap();
        Answer { status: told["status"].as_u64().unwrap(), body: told["body"].as_str().unwrap().to_owned() }
    }

    /// The target received a whole request of this client, signed by the platform, with this body.
    fn assert_received(&self, method: &str, bytes: usize, answer: &Answer) {
        assert_eq!(answer.status, 200, "{answer:?}");
        let seen = self.target.last();
        assert_eq!((seen.method.as_str(), seen.complete, seen.verified), (method, true, Some(true)), "{seen:?}");
        assert_eq!(seen.header("lgsp-source"), Some("mot-cua"));
        assert_eq!(seen.body_bytes, bytes as u64, "{seen:?}");
        if bytes > 0 {
            assert_eq!(seen.sha256, self.sha256);
        }
        let of_signature = [
            "authorization",
            "x-amz-content-sha256",
            "x-amz-date",
            "x-amz-decoded-content-length",
            "x-amz-security-token",
            "x-amz-trailer",
        ];
        let left: Vec<_> = seen.headers.iter().filter(|(name, _)| of_signature.contains(&name.as_str())).collect();
        assert!(left.is_empty(), "what proves the source's identity stays with the platform: {left:?}");
    }

    /// The same client with a wrong secret is refused, and the target never hears of it.
    fn with_wrong_secret(&mut self, send: impl Fn(&Self) -> Answer) {
        let before = self.target.ledger().complete() + self.target.ledger().incomplete();
        let right = std::mem::replace(&mut self.me.secret, Secret::new(b"0123456789abcdef0123456789abcdef".to_vec()));
        let answer = send(self);
        assert_eq!(answer.status, 401, "{answer:?}");
        assert_eq!(self.target.ledger().complete() + self.target.ledger().incomplete(), before);
        self.me.secret = right;
    }
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn debian_curl(proxy_face: bool) {
    let mut stand = stand(proxy_face, json!({})).await;
    let data = format!("@{}", stand.file.display());
    let digest = format!("x-amz-content-sha256: {}", stand.sha256);
    let file = stand.file.display().to_string();

    let answer = stand.curl(&[&stand.url("/ho-tich/echo/khai-sinh?nam=2026&ten=Nguy%E1%BB%85n&headers=1")]);
    stand.assert_received("GET", 0, &answer);
    // This curl signs the hash of what it sends but does not send the hash, so it is given; `-T` streams after 100.
    let answer = stand.curl(&["-X", "PUT", "--data-binary", &data, "-H", &digest, &stand.url("/ho-tich/sink/tep")]);
    stand.assert_received("PUT", BODY_BYTES, &answer);
    let answer = stand.curl(&["-T", &file, "-H", &digest, &stand.url("/ho-tich/sink/tep-2")]);
    stand.assert_received("PUT", BODY_BYTES, &answer);

    for without in [["--data-binary", &data], ["-T", &file]] {
        let answer = stand.curl(&[without[0], without[1], &stand.url("/ho-tich/sink/tep")]);
        assert_eq!((answer.status, answer.code().as_str()), (401, "digest-missing"), "{answer:?}");
    }
    let url = stand.url("/ho-tich/echo/khai-sinh/2");
    stand.with_wrong_secret(|stand| stand.curl(&[&url]));
}

async fn botocore(proxy_face: bool) {
    let mut stand = stand(proxy_face, json!({})).await;
    let file = stand.file.clone();
    for client in ["botocore", "botocore-other-service", "botocore-presigned", "botocore-s3-client"] {
        let answer = stand.python(client, "GET", &format!("/ho-tich/echo/{client}"), None);
        stand.assert_received("GET", 0, &answer);
    }
    // An S3 client takes nothing but XML or nothing for an answer, so the target's answer is empty.
    for client in ["botocore", "botocore-chunked", "botocore-s3-client"] {
        let answer = stand.python(client, "PUT", "/ho-tich/bytes/0", Some(&file));
        stand.assert_received("PUT", BODY_BYTES, &answer);
        stand.with_wrong_secret(|stand| stand.python(client, "PUT", "/ho-tich/bytes/0", Some(&file)));
    }
    let answer = stand.python("botocore-presigned", "PUT", "/ho-tich/sink/presigned", Some(&file));
    assert_eq!((answer.status, answer.code().as_str()), (401, "digest-missing"), "{answer:?}");
}

async fn http_message_signatures(proxy_face: bool) {
    let mut stand = stand(proxy_face, json!({"require": {"nonce": true}})).await;
    let (client, file) = ("http-message-signatures", stand.file.clone());
    let answer = stand.python(client, "GET", "/ho-tich/echo/khai-sinh?headers=1&nam=2026", None);
    stand.assert_received("GET", 0, &answer);
    let answer = stand.python(client, "POST", "/ho-tich/sink", Some(&file));
    stand.assert_received("POST", BODY_BYTES, &answer);
    stand.with_wrong_secret(|stand| stand.python(client, "GET", "/ho-tich/echo/khai-sinh?headers=1", None));
}

#[tokio::test]
async fn debian_curl_on_our_own_face() {
    debian_curl(false).await;
}

#[tokio::test]
async fn debian_curl_on_the_proxy_face() {
    debian_curl(true).await;
}

#[tokio::test]
async fn botocore_on_our_own_face() {
    botocore(false).await;
}

#[tokio::test]
async fn botocore_on_the_proxy_face() {
    botocore(true).await;
}

#[tokio::test]
async fn http_message_signatures_on_our_own_face() {
    http_message_signatures(false).await;
}

#[tokio::test]
async fn http_message_signatures_on_the_proxy_face() {
    http_message_signatures(true).await;
}

#[tokio::test]
async fn a_presigned_upload_needs_a_route_that_takes_unsigned_payload() {
    let stand = stand(false, json!({"unsigned_payload": true})).await;
    let answer = stand.python("botocore-presigned", "PUT", "/ho-tich/sink/presigned", Some(&stand.file));
    stand.assert_received("PUT", BODY_BYTES, &answer);
}

/// What AWS SDKs send over https by default: framed, with a checksum behind it and no signature over the body.
#[tokio::test]
async fn an_unsigned_upload_with_a_checksum_trailer_needs_a_route_that_takes_unsigned_payload() {
    for proxy_face in [false, true] {
        let stand = stand(proxy_face, json!({"unsigned_payload": true})).await;
        // Two equal requests of one second have one signature.
        let put = |client: &str| stand.python(client, "PUT", &format!("/ho-tich/sink/{client}"), Some(&stand.file));
        let answer = put("botocore-unsigned-trailer");
        stand.assert_received("PUT", BODY_BYTES, &answer);
        let seen = stand.target.last();
        assert_eq!((seen.header("content-encoding"), seen.header("x-amz-sdk-checksum-algorithm")), (None, None));
        let complete = stand.target.ledger().complete();
        let answer = put("botocore-damaged-trailer");
        assert_eq!((answer.status, answer.code().as_str()), (400, "digest-mismatch"), "{answer:?}");
        assert_eq!(stand.target.ledger().complete(), complete);
    }
    let stand = stand(false, json!({})).await;
    let answer = stand.python("botocore-unsigned-trailer", "PUT", "/ho-tich/sink/tep", Some(&stand.file));
    assert_eq!((answer.status, answer.code().as_str()), (401, "digest-missing"), "{answer:?}");
    assert!(answer.body.contains("request_checksum_calculation=when_required"), "{answer:?}");
}

/// An S3 target behind the platform is told what to copy: without the header a copy is an empty object.
#[tokio::test]
async fn what_of_x_amz_is_the_targets_own_reaches_it() {
    for proxy_face in [false, true] {
        let stand = stand(proxy_face, json!({})).await;
        let answer = stand.python("botocore-s3-client", "COPY", "/ho-tich/bytes/0", None);
        stand.assert_received("PUT", 0, &answer);
        let seen = stand.target.last();
        assert_eq!(seen.header("x-amz-copy-source"), Some("ho-tich/ngu%E1%BB%93n"), "{seen:?}");
        assert_eq!(seen.header("x-amz-metadata-directive"), Some("REPLACE"), "{seen:?}");
        assert_eq!(seen.header("x-amz-meta-nam_sinh"), Some("2026"), "{seen:?}");
    }
}
