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
