use lgsp_testkit::client::Request;

use super::*;

#[tokio::test]
async fn disabling_the_key_or_removing_the_permission_ends_it_with_the_next_request() {
    for face in FACES {
        let mut stand = stand(face).await;
        let (client, _) = stand.in_session("mot-cua", "ho-tich").await;
        let get = Request::get("/ho-tich/bytes/1");
        assert_eq!(client.send(&get).await.status, 200);
        let disabled =
            stand.resources.clone().with("Credential", "mot-cua-1", |spec| spec["state"] = json!("disabled"));
        stand.node.apply(&disabled).await;
        stand.assert_refused(&client.send(&get).await, 403, "key-disabled");
        stand.node.apply(&stand.resources.clone().without("Permission", "mot-cua-ho-tich")).await;
        stand.assert_refused(&client.send(&get).await, 403, "permission-missing");
        let narrower = stand.resources.clone().with("Permission", "mot-cua-ho-tich", |spec| {
            spec["paths"] = json!(["/ho-tich/echo"]);
        });
        stand.node.apply(&narrower).await;
        stand.assert_refused(&client.send(&get).await, 403, "permission-missing");
        stand.node.apply(&stand.resources).await;
        assert_eq!(client.send(&get).await.status, 200, "given back before the session's time was over");
    }
}

#[tokio::test]
async fn a_rotated_ticket_key_serves_until_it_is_no_longer_listed() {
    let mut stand = stand(Face::Http1).await;
    let get = Request::get("/ho-tich/bytes/1");
    let (before, old) = stand.in_session("mot-cua", "ho-tich").await;
    let keys = |resources: Resources, names: &[&str]| {
        resources.put("Defaults", "default", json!({"session": {"keys": names}}))
    };
    stand.node.apply(&keys(stand.resources.clone(), &["2026-12", "1"])).await;
    let (after, new) = stand.in_session("mot-cua", "ho-tich").await;
    assert!(old.ticket.starts_with("1.1.") && new.ticket.starts_with("1.2026-12."));
    assert_eq!((before.send(&get).await.status, after.send(&get).await.status), (200, 200));
    stand.node.apply(&keys(stand.resources.clone(), &["2026-12"])).await;
    stand.assert_refused(&before.send(&get).await, 401, "session-invalid");
    assert_eq!(after.send(&get).await.status, 200);
}

#[tokio::test]
async fn a_session_opened_at_one_node_is_good_at_another() {
    let stand = stand(Face::Http1).await;
    let other = Node::new(&stand.resources).with(|settings| settings["node"] = json!("node-2")).start().await;
    let (_, session) = stand.in_session("mot-cua", "ho-tich").await;
    let client = other.client(&stand.resources, "mot-cua").in_session(&session);
    assert_eq!(client.send(&Request::get("/ho-tich/bytes/1")).await.status, 200);
}
