use lgsp_testkit::client::Request;
use serde_json::json;

use super::*;

#[tokio::test]
async fn each_state_of_a_key_has_its_own_refusal_and_takes_effect_with_its_revision() {
    for face in FACES {
        let (_target, resources, mut node) = usual(face).await;
        let client = node.client(&resources, "mot-cua");
        let get = Request::get("/ho-tich/bytes/1");
        assert_eq!(client.send(&get).await.status, 200);
        let changes = [
            ("state", json!("disabled"), "key-disabled"),
            ("not_after", json!("2020-01-01T00:00:00Z"), "key-expired"),
            ("not_before", json!("2100-01-01T00:00:00Z"), "key-not-yet-valid"),
        ];
        for (field, value, code) in changes {
            node.apply(&resources.clone().with("Credential", "mot-cua-1", |spec| spec[field] = value)).await;
            let refused = client.send(&get).await;
            assert_eq!((refused.status, refused.code().as_str()), (403, code), "{face:?}");
        }
        let replaced = resources.clone().with("Credential", "mot-cua-1", |spec| {
            spec["state"] = json!("retiring");
            spec["not_after"] = json!("2020-01-01T00:00:00Z");
        });
        node.apply(&replaced).await;
        assert_eq!(client.send(&get).await.code(), "key-retired");
        node.apply(&resources.clone().without("Credential", "mot-cua-1")).await;
        assert_eq!(client.send(&get).await.code(), "key-unknown");
        node.apply(&resources).await;
        assert_eq!(client.send(&get).await.status, 200);
        node.apply(&resources.clone().without("Permission", "mot-cua-ho-tich")).await;
        assert_eq!(client.send(&get).await.code(), "permission-missing");
    }
}
