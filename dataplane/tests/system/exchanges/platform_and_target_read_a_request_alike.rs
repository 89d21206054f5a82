use lgsp_testkit::client::{Client, Request};
use serde_json::json;

use super::*;

/// CGI, WSGI, Rack and PHP read `_` as `-`: a name the platform keeps for itself does not pass in either spelling.
#[tokio::test]
async fn no_header_or_trailer_speaks_in_the_platforms_name_or_overrides_what_was_decided() {
    for face in FACES {
        let (target, resources, node) = usual(face).await;
        let client = node.client(&resources, "mot-cua");
        let mut request = Request::get("/ho-tich/echo");
        let withheld =
            ["X_Forwarded_For", "X-HTTP-Method-Override", "x_original_url", "X-Rewrite-URL", "Proxy", "Content_Length"];
        for name in withheld {
            request = request.header(name, "1");
        }
        let answer = client.send(&request.clone().header("x-own", "1")).await;
        assert_eq!(answer.status, 200, "{face:?}: {answer:?}");
        let seen = target.last();
        let folded = |name: &str| name.to_ascii_lowercase().replace('_', "-");
        let passed: Vec<_> = seen
            .headers
            .iter()
            .filter(|(name, _)| withheld.iter().any(|other| folded(other) == folded(name)))
            .collect();
        assert!(passed.is_empty(), "{face:?}: {passed:?}");
        assert_eq!((seen.header("x-own"), seen.header("lgsp-source")), (Some("1"), Some("mot-cua")), "{face:?}");

        for name in ["lgsp_source", "Lgsp_Agency", "X_Amz_Date"] {
            let refused = client.send(&Request::get("/ho-tich/echo").header(name, "cong-an-tinh")).await;
            assert_eq!((refused.status, refused.code().as_str()), (401, "signature-incomplete"), "{face:?} {name}");
        }
    }
}

#[tokio::test]
async fn a_trailer_of_the_source_does_not_reach_the_target() {
    for face in FACES {
        let (target, resources, node) = usual(face).await;
        let client = node.client(&resources, "mot-cua");
        let signed = Request::post("/ho-tich/sink", "abc").header("transfer-encoding", "chunked");
        let bytes = client.rfc9421(&signed);
        let head = bytes.strip_suffix(b"abc").unwrap();
        let body = b"3\r\nabc\r\n0\r\nlgsp_source: sys-b\r\nx-user: admin\r\n\r\n";
        let answer = client.send_raw(&[head, body].concat()).await;
        assert_eq!(answer.status, 200, "{face:?}: {answer:?}");
        let seen = target.last();
        assert_eq!((seen.body_bytes, &seen.trailers), (3, &Vec::new()), "{face:?}");
    }
}

fn with_strict_route(target: &Target) -> Resources {
    let route = |name: &str, prefix: &str, spec: serde_json::Value| {
        let mut spec = spec;
        spec["service"] = json!("ho-tich");
        spec["path"] = json!({"prefix": prefix});
        (name.to_owned(), spec)
    };
    let mut resources = Resources::usual(&[target.address()]);
    for (name, spec) in [
        route("mat", "/ho-tich/mat", json!({"methods": ["GET"], "require": {"session": true}})),
        route(
            "ho-so",
            "/ho-tich/h%e1%bb%93",
            json!({"hosts": ["dichvu.example.gov.vn"], "encoded_slash": "data", "rewrite": {"prefix": "/echo"}}),
        ),
    ] {
        resources = resources.route(&name, spec);
    }
    resources
}

#[tokio::test]
async fn a_stricter_route_is_not_passed_by_in_another_spelling_or_with_another_method() {
    for face in FACES {
        let target = Target::new().start().await;
        let resources = with_strict_route(&target);
        let node = face.node(&resources).start().await;
        let client = node.client(&resources, "mot-cua");
        for path in
            ["/ho-tich/mat/1", "/ho-tich/m%61t/1", "/ho-tich/%6D%61%74/1", "/ho-tich/mat;v=1/1", "/ho-tich/mat%3B/1"]
        {
            let refused = client.send(&Request::get(path)).await;
            assert_eq!((refused.status, refused.code().as_str()), (401, "session-required"), "{face:?} {path}");
            for method in ["POST", "DELETE"] {
                let refused = client.send(&Request::new(method, path)).await;
                assert_eq!((refused.status, refused.header("allow")), (405, Some("GET")), "{face:?} {method} {path}");
            }
        }
        assert_eq!(target.ledger().complete(), 0, "{face:?}");
    }
}

#[tokio::test]
async fn equal_spellings_find_one_route_and_the_path_passes_as_it_came() {
    for face in FACES {
        let target = Target::new().start().await;
        let resources = with_strict_route(&target);
        let node = face.node(&resources).start().await;
        let client = node.client(&resources, "mot-cua");
        let at = |host: &str| -> Client { client.clone().with_authority(host) };
        for host in ["dichvu.example.gov.vn", "DICHVU.example.gov.vn.", "dichvu.example.gov.vn.:80"] {
            for (path, passed) in [
                ("/ho-tich/h%E1%BB%93/12%2FSTTTT", "/echo/12%2FSTTTT"),
                ("/ho-tich/h%e1%bb%93/m%61t;v=1/12%2fSTTTT", "/echo/m%61t;v=1/12%2fSTTTT"),
            ] {
                let answer = at(host).send(&Request::get(path)).await;
                assert_eq!(answer.status, 200, "{face:?} {host} {path}: {answer:?}");
                assert_eq!(target.last().path, passed, "{face:?}");
            }
        }
        let refused = at("dichvu.example.gov.vn").send(&Request::get("/ho-tich/h%E1%BB%93/..%2F..%2Fmat")).await;
        assert_eq!(refused.status, 400, "{face:?}: {refused:?}");
        let refused = client.send(&Request::get("/ho-tich/12%2FSTTTT")).await;
        assert_eq!((refused.status, refused.code().as_str()), (400, "request-malformed"), "{face:?}: {refused:?}");
    }
}
