use lgsp_testkit::certificate::Authority;
use lgsp_testkit::client::Request;
use serde_json::json;

use super::*;

const NAME: &str = "ho-tich.vinhlong.gov.vn";

#[tokio::test]
async fn a_certificate_of_another_authority_or_for_another_name_is_a_502_and_nothing_is_sent() {
    let (authority, stranger) = (Authority::new("authority"), Authority::new("stranger"));
    let target = Target::new().tls(authority.issue(&[NAME])).start().await;
    for face in FACES {
        for protocol in ["http1", "http2"] {
            let cases = [
                (NAME, authority.pem(), 200, ""),
                (NAME, stranger.pem(), 502, "target-tls"),
                ("other.vinhlong.gov.vn", authority.pem(), 502, "target-tls"),
            ];
            for (name, ca_pem, status, code) in cases {
                let before = target.ledger().complete();
                let resources = Resources::usual(&[target.address()]).with("Service", "ho-tich", |spec| {
                    spec["protocol"] = json!(protocol);
                    spec["tls"] = json!({"server_name": name, "ca_pem": ca_pem});
                });
                let node = face.node(&resources).start().await;
                let response = node.client(&resources, "mot-cua").send(&Request::post("/ho-tich/sink", "body")).await;
                let answered = (response.status, response.code());
                assert_eq!(answered, (status, code.to_owned()), "{face:?} {protocol} {name}: {response:?}");
                let seen = target.ledger().complete() - before;
                assert_eq!(seen, u64::from(status == 200), "{face:?} {protocol} {name}");
            }
        }
    }
}

/// One endpoint, three services that differ in whom they trust or whom they expect: only one of them is right.
#[tokio::test]
async fn a_connection_verified_for_one_service_is_never_used_for_another() {
    let (authority, stranger) = (Authority::new("authority"), Authority::new("stranger"));
    let target = Target::new().tls(authority.issue(&[NAME])).start().await;
    for face in FACES {
        for protocol in ["http1", "http2"] {
            let mut resources = Resources::new().system("mot-cua").system("tu-phap");
            for (service, name, ca_pem) in [
                ("right", NAME, authority.pem()),
                ("other-authority", NAME, stranger.pem()),
                ("other-name", "other.vinhlong.gov.vn", authority.pem()),
            ] {
                resources = resources
                    .service(service, "tu-phap", &[target.address()])
                    .with("Service", service, |spec| {
                        spec["protocol"] = json!(protocol);
                        spec["tls"] = json!({"server_name": name, "ca_pem": ca_pem});
                        spec["outlier"] = json!({"failures": 0, "eject_ms": 1000, "ejected_percent_max": 50});
                    })
                    .route(
                        service,
                        json!({
                            "service": service, "path": {"prefix": format!("/{service}")}, "rewrite": {"prefix": "/"},
                        }),
                    )
                    .permission("mot-cua", service);
            }
            // One worker, so that an idle connection lies where the next exchange looks.
            let one = |settings: &mut serde_json::Value| settings["threads"] = json!({"workers": 1});
            let node = face.node(&resources).with(one).start().await;
            let client = node.client(&resources, "mot-cua");
            for _ in 0..5 {
                assert_eq!(client.send(&Request::get("/right/bytes/1")).await.status, 200, "{face:?} {protocol}");
                for wrong in ["/other-authority/bytes/1", "/other-name/bytes/1"] {
                    let response = client.send(&Request::get(wrong)).await;
                    let answered = (response.status, response.code());
                    assert_eq!(answered, (502, "target-tls".to_owned()), "{face:?} {protocol} {wrong}");
                }
            }
        }
    }
}
