//! A caller gives the `request_id` of its refusal; the operator learns which step refused it, and what would change that.

use std::process::Command;

use lgsp_shared::timestamp::UnixSeconds;
use lgsp_testkit::child::Signal;
use lgsp_testkit::client::{Client, Identity, Request};
use lgsp_testkit::eventually::eventually_some;
use lgsp_testkit::node::Node;
use serde_json::Value;

use crate::platform::{DEADLINE, Done, Platform, RESOURCES};

/// What curl got: the problem document, or what the target said.
pub fn curl(platform: &Platform, node: &Node, key_file: &str, arguments: &[&str], path: &str) -> Value {
    let Identity { access_key, secret } = platform.identity(key_file);
    let user = format!("{}:{}", access_key.as_str(), std::str::from_utf8(secret.expose()).unwrap());
    let mut command = Command::new("curl");
    command.args(["-s", "--aws-sigv4", "aws:amz:vn:s3", "--user", &user]).args(arguments);
    let output = command.arg(format!("http://{}{path}", node.address())).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Explains a refusal; it reaches the node's memory a moment after its caller.
async fn explained(platform: &Platform, problem: &Value) -> Done {
    let id = problem["request_id"].as_str().unwrap();
    let ask = async || Some(platform.run(&["explain", "--request-id", id])).filter(|done| done.code != 3);
    eventually_some(DEADLINE, "the refusal is remembered", ask).await
}

async fn platform() -> Platform {
    let platform = Platform::start().await;
    platform.apply(RESOURCES);
    platform.ok(&["credential", "issue", "ho-tich", "--save", "ho-tich.key"]);
    platform.bundle(2).await;
    platform
}

#[tokio::test]
async fn a_refusal_is_explained_by_its_request_id() {
    let platform = platform().await;
    let node = platform.node("node-1").await;
    let problem = curl(&platform, &node, "ho-tich.key", &["-X", "DELETE"], "/khai-sinh/1?so-dinh-danh=079");
    assert_eq!(problem["code"], "permission-missing", "{problem}");
    let done = explained(&platform, &problem).await;
    assert_eq!(done.code, 1, "{done:?}");
    for part in [
        "DELETE /khai-sinh/1 at 127.0.0.1",
        "refused: permission-missing",
        problem["decision_id"].as_str().unwrap(),
        "[ok] identity   access key LGSP",
        "[ok] signature  it verified",
        "[ok] route      Route/khai-sinh takes DELETE /khai-sinh/1",
        "[NO] permission",
        "now: nothing grants System/ho-tich DELETE /khai-sinh/1 at Service/khai-sinh",
        "Permission/tra-cuu lacks the method (it grants GET)",
        "[ok] target     Service/khai-sinh has an endpoint with room",
    ] {
        assert!(done.out.contains(part), "{part} is not in\n{}", done.out);
    }
    assert!(!done.out.contains("079"), "a query string is never kept");
    let again = curl(&platform, &node, "ho-tich.key", &["-X", "DELETE"], "/khai-sinh/2");
    assert_eq!(again["decision_id"], problem["decision_id"], "the same decision");
    assert_ne!(again["request_id"], problem["request_id"]);

    let nowhere = curl(&platform, &node, "ho-tich.key", &[], "/khai-sin/1");
    let done = explained(&platform, &nowhere).await;
    assert!(done.out.contains("[NO] route") && done.out.contains("no route takes /khai-sin/1"), "{}", done.out);
    let forged = std::fs::read_to_string(platform.path("ho-tich.key")).unwrap().replace("SECRET_KEY=", "SECRET_KEY=0");
    platform.write("forged.key", &forged);
    let done = explained(&platform, &curl(&platform, &node, "forged.key", &[], "/khai-sinh/1")).await;
    assert!(done.out.contains("[NO] signature  The signature does not match"), "{}", done.out);
    assert!(!done.out.contains("it verified") && !done.out.contains("expected: "), "{}", done.out);

    platform.apply("kind: Defaults\nname: default\nspec: {debug_signatures: true}\n");
    platform.arrived(&node).await;
    let done = explained(&platform, &curl(&platform, &node, "forged.key", &[], "/khai-sinh/1")).await;
    assert!(done.out.contains("expected: GET\n") && done.out.contains("expected: /khai-sinh/1\n"), "{}", done.out);
    let secret = platform.identity("ho-tich.key").secret;
    assert!(!done.out.contains(std::str::from_utf8(secret.expose()).unwrap()), "the secret is never told");
}

#[tokio::test]
async fn a_request_that_was_never_sent_is_explained_too() {
    let platform = platform().await;
    let node = platform.node("node-1").await;
    let passes = platform.run(&["explain", "--as", "ho-tich", "--path", "/khai-sinh/1"]);
    assert_eq!((passes.code, passes.out.contains("would pass")), (0, true), "{passes:?}");
    let refused =
        platform.run(&["explain", "--as", "ho-tich", "--method", "PUT", "--path", "/khai-sinh/1", "-o", "json"]);
    let json: Value = serde_json::from_str(&refused.out).unwrap();
    assert_eq!((refused.code, &json["explanations"][0]["code"]), (1, &"permission-missing".into()), "{refused:?}");

    let socket = node.admin_socket().to_str().unwrap();
    let direct = platform.run(&["explain", "--node", socket, "--as", "nobody", "--path", "/khai-sinh/1"]);
    assert_eq!((direct.code, direct.out.contains("[NO] identity")), (1, true), "{direct:?}");
    platform.ok(&["credential", "disable", "ho-tich-1"]);
    platform.arrived(&node).await;
    let disabled = platform.run(&["explain", "--as", "ho-tich", "--path", "/khai-sinh/1"]);
    assert!(disabled.out.contains("disabled: refused, key-disabled"), "{disabled:?}");
    assert_eq!(platform.run(&["explain", "--as", "ho-tich"]).code, 2, "a path is needed");
}

#[tokio::test]
async fn nodes_that_cannot_be_asked_are_named() {
    let platform = platform().await;
    let (asleep, _awake) = (platform.node("node-2").await, platform.node("node-1").await);
    let ask = ["explain", "--as", "ho-tich", "--path", "/khai-sinh/1"];
    let both = platform.run(&ask);
    assert!(both.out.starts_with("node-1, node-2, revision 2\nwould pass"), "{both:?}");
    asleep.child.signal(Signal::Kill);
    let one = eventually_some(DEADLINE, "one node is gone", async || {
        Some(platform.run(&ask))
            .filter(|done| done.err.contains("not asked: node-2: it cannot be asked at http://127."))
    })
    .await;
    assert!(one.out.starts_with("node-1, revision 2\n"), "{one:?}");
    let id = "0123456789abcdef0123456789abcdef";
    let unknown = platform.run(&["explain", "--request-id", id]);
    assert_eq!(unknown.code, 3, "{unknown:?}");
    assert!(unknown.err.contains("1 were asked and 1 could not be"), "{unknown:?}");
}

#[tokio::test]
async fn a_permission_is_counted_on_live_traffic_before_it_is_enforced() {
    let platform = platform().await;
    let node = platform.node("node-1").await;
    let tried = "kind: Permission\nname: xoa\n\
                 spec: {source: ho-tich, service: khai-sinh, methods: [DELETE], paths: [/khai-sinh], mode: shadow}\n";
    platform.apply(tried);
    platform.arrived(&node).await;
    let refused = curl(&platform, &node, "ho-tich.key", &["-X", "DELETE"], "/khai-sinh/1");
    assert_eq!(refused["code"], "permission-missing", "it grants nothing");
    let shown = eventually_some(DEADLINE, "the node reports the count", async || {
        Some(platform.ok(&["get", "permissions"])).filter(|shown| shown.contains("; shadow: 1 on node-1"))
    })
    .await;
    assert!(!shown.contains("tra-cuu; "), "{shown}");
    let metrics = String::from_utf8(node.admin("/metrics").await.body).unwrap();
    let line = "lgsp_permission_shadow_requests_total{mode=\"shadow\",permission=\"xoa\"} 1";
    assert!(metrics.contains(line), "{metrics}");
    let explained = platform.run(&["explain", "--as", "ho-tich", "--method", "DELETE", "--path", "/khai-sinh/1"]);
    assert!(explained.out.contains("Permission/xoa is in shadow: it grants nothing"), "{explained:?}");
    platform.apply(&tried.replace(", mode: shadow", ""));
    platform.arrived(&node).await;
    let passes = platform.run(&["explain", "--as", "ho-tich", "--method", "DELETE", "--path", "/khai-sinh/1"]);
    assert_eq!(passes.code, 0, "{passes:?}");
    platform.write("bad.yaml", &tried.replace("mode: shadow", "mode: mood"));
    assert!(platform.run(&["apply", "-f", "bad.yaml"]).err.contains("spec.mode"));
}

#[tokio::test]
async fn a_refused_call_to_the_platform_is_explained_with_as_much() {
    let platform = platform().await;
    let node = platform.node("node-1").await;
    platform.apply("kind: System\nname: mot-cua\nspec: {agency: so-tu-phap, title: Một cửa}\n");
    platform.ok(&["credential", "issue", "mot-cua", "--save", "mot-cua.key"]);
    platform.arrived(&node).await;
    // `printf '%s' BODY | sha256sum`: this curl does not sign what it sends unless it is told the hash.
    let hash = "x-amz-content-sha256: 3579e922c29ad17853d35e5de42c37ba4db637f5beef28229e472999658b181b";
    let ask = ["--data", r#"{"service": "khai-sinh"}"#, "-H", hash];
    let refused = curl(&platform, &node, "mot-cua.key", &ask, "/lgsp/v1/sessions");
    assert_eq!(refused["code"], "permission-missing", "{refused}");
    let done = explained(&platform, &refused).await;
    for part in [
        "POST /lgsp/v1/sessions at 127.0.0.1",
        "[ok] identity   access key LGSP",
        "[ok] signature  it verified",
        "[ok] clock      ",
        "[ok] route      the platform itself answers: it opens a session",
        "[NO] permission",
        "now: nothing grants System/mot-cua anything at Service/khai-sinh",
    ] {
        assert!(done.out.contains(part), "{part} is not in\n{}", done.out);
    }
    let ask = Request::post("/lgsp/v1/verifications", "{}");
    let skewed = Client::new(node.address(), platform.identity("mot-cua.key"))
        .at(UnixSeconds(1_577_836_800))
        .send(&ask)
        .await
        .json();
    assert_eq!(skewed["code"], "clock-skew", "{skewed}");
    let done = explained(&platform, &skewed).await;
    for part in
        ["[NO] clock", "signed at 2020-01-01T00:00:00Z", "[ok] route      the platform itself answers: it verifies"]
    {
        assert!(done.out.contains(part), "{part} is not in\n{}", done.out);
    }
}
