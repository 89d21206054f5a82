use lgsp_testkit::client::{Request, exchange};
use serde_json::json;

use super::*;

#[tokio::test]
async fn what_is_forwarded_is_signed_with_the_targets_own_secret() {
    for face in FACES {
        let resources = Resources::usual(&[]);
        let identity = resources.identity("tu-phap");
        let target = Target::new().verifying(identity.access_key, &identity.secret).start().await;
        let resources = resources.service("ho-tich", "tu-phap", &[target.address()]);
        let node = face.node(&resources).start().await;
        let client = node.client(&resources, "mot-cua");
        let request = Request::post("/ho-tich/sink/ho-so?b=2&a=%20", "body")
            .header("accept", "text/plain")
            .header("x-forwarded-for", "10.0.0.1")
            .header("traceparent", "00-11111111111111111111111111111111-2222222222222222-01");
        for sigv4 in [false, true] {
            let response = if sigv4 { client.send_sigv4(&request).await } else { client.send(&request).await };
            assert_eq!(response.status, 200, "{face:?}: {response:?}");
            let seen = target.last();
            assert_eq!(seen.verified, Some(true), "{face:?}");
            assert_eq!((seen.path.as_str(), seen.query.as_deref()), ("/sink/ho-so", Some("b=2&a=%20")));
            assert_eq!(seen.header("lgsp-source"), Some("mot-cua"));
            assert_eq!(seen.header("lgsp-agency"), Some("000.00.12.H61"));
            assert_eq!(seen.header("lgsp-request-id"), response.header("lgsp-request-id"));
            assert_eq!(seen.header("accept"), Some("text/plain"));
            assert!(!seen.header("traceparent").unwrap().contains("11111111"));
            assert!(seen.header("content-digest").unwrap().starts_with("sha-256=:"));
            for absent in ["authorization", "x-amz-date", "x-amz-content-sha256", "x-forwarded-for"] {
                assert_eq!(seen.header(absent), None, "{face:?} {absent}");
            }
            let access_key = resources.identity("mot-cua").access_key;
            assert!(!format!("{:?}", seen.headers).contains(access_key.as_str()), "the source's signature stays here");
        }
    }
}

#[tokio::test]
async fn a_client_cannot_claim_to_be_another_system() {
    for face in FACES {
        let (target, resources, node) = usual(face).await;
        let client = node.client(&resources, "mot-cua");
        let claiming = Request::get("/ho-tich/bytes/1").header("lgsp-source", "tu-phap").header("lgsp-agency", "G22");
        assert_eq!(client.send(&claiming).await.status, 200);
        let seen = target.last();
        let sources: Vec<_> = seen.headers.iter().filter(|(name, _)| name == "lgsp-source").collect();
        assert_eq!(sources, [&("lgsp-source".to_owned(), "mot-cua".to_owned())], "{face:?}");
        assert_eq!(seen.header("lgsp-agency"), Some("000.00.12.H61"));
    }
}

/// The platform signs with the target's own secret; the link to the target may be plain.
#[tokio::test]
async fn what_was_forwarded_is_no_request_of_the_target() {
    for face in FACES {
        let target = Target::new().start().await;
        let resources = Resources::new()
            .system("mot-cua")
            .system("tu-phap")
            .service("ho-tich", "tu-phap", &[target.address()])
            .route("ho-tich", json!({"service": "ho-tich", "path": {"prefix": "/bytes"}}))
            .permission("mot-cua", "ho-tich")
            .permission("tu-phap", "ho-tich");
        let node = face.node(&resources).start().await;
        assert_eq!(node.client(&resources, "mot-cua").send(&Request::get("/bytes/1")).await.status, 200);

        let seen = target.last();
        let lines: String = seen.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let forwarded = format!("GET /bytes/1 HTTP/1.1\r\n{lines}\r\n");
        let refused = exchange(node.address(), forwarded.as_bytes()).await;
        assert_eq!((refused.status, refused.code().as_str()), (400, "signature-malformed"), "{face:?}");
        assert!(refused.json()["detail"].as_str().unwrap().contains("lgsp-forwarded"), "{face:?}: {refused:?}");

        let untagged = forwarded.replacen(";tag=\"lgsp-forwarded\"", "", 1);
        assert_ne!(untagged, forwarded);
        let refused = exchange(node.address(), untagged.as_bytes()).await;
        assert_eq!((refused.status, refused.code().as_str()), (401, "signature-invalid"), "{face:?}");
        assert_eq!(target.ledger().complete(), 1, "{face:?}");
    }
}
