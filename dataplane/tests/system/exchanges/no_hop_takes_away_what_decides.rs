use lgsp_testkit::client::Request;

use super::*;

/// CVE-2026-105299: a source that nominates a header in `Connection` asks the proxy to take it away on the way.
#[tokio::test]
async fn a_header_that_says_who_calls_or_what_was_signed_cannot_be_nominated_for_removal() {
    for face in FACES {
        let (target, resources, node) = usual(face).await;
        let client = node.client(&resources, "mot-cua");
        for name in [
            "lgsp-source",
            "LGSP-Agency",
            "lgsp-request-id",
            "signature",
            "Signature-Input",
            "authorization",
            "content-digest",
            "host",
            "traceparent",
            "x-amz-date",
            "x-forwarded-for",
            "content-length",
        ] {
            for (what, request) in [
                ("alone", Request::get("/ho-tich/bytes/1").header("connection", name)),
                ("in a list", Request::get("/ho-tich/bytes/1").header("connection", &format!("keep-alive, {name}"))),
                (
                    "with an upgrade",
                    Request::get("/ho-tich/upgrade")
                        .header("connection", &format!("upgrade, {name}"))
                        .header("upgrade", "websocket"),
                ),
            ] {
                let refused = client.send(&request).await;
                let answered = (refused.status, refused.code());
                assert_eq!(answered, (400, "request-malformed".to_owned()), "{face:?} {name} {what}");
            }
        }
        assert_eq!(target.ledger().complete(), 0);

        let own = Request::get("/ho-tich/bytes/1").header("connection", "x-hop").header("x-hop", "1");
        assert_eq!(client.send(&own).await.status, 200, "{face:?}");
        let seen = target.last();
        assert_eq!(seen.header("x-hop"), None, "{face:?}: what is this hop's ends here");
        assert_eq!(seen.header("lgsp-source"), Some("mot-cua"), "{face:?}");
        assert!(seen.header("signature").is_some() && seen.header("lgsp-agency").is_some(), "{face:?}");
    }
}
