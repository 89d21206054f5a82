use serde_json::json;

use super::*;

struct Fixed(bool);

const KNOWN: &str = "000102030405060708090a0b0c0d0e0f";

fn explanation() -> Explanation {
    let spec = json!({"node": "node-1", "at": "2026-11-24T00:00:00Z", "revision": 7, "code": null, "decision_id": null,
        "lines": []});
    serde_json::from_value(spec).unwrap()
}

impl Facts for Fixed {
    fn conditions(&self) -> Vec<Condition> {
        vec![
            Condition { name: "configuration", holds: self.0, detail: "revision 7".into() },
            Condition { name: "records", holds: true, detail: "written".into() },
        ]
    }
    fn metrics(&self) -> Vec<u8> {
        b"x 1\n".to_vec()
    }
    fn config(&self) -> Value {
        json!({"revision": 7})
    }
    fn explain(&self, _question: &Question) -> Option<Explanation> {
        self.0.then(explanation)
    }
    fn decision(&self, request_id: RequestId) -> Option<Explanation> {
        (request_id.to_string() == KNOWN).then(explanation)
    }
    fn check(&self, proof: &str, method: &str, path: &str, body: &[u8]) -> Result<(), Denied> {
        let right = format!("{method} {path} {}", body.len());
        if proof == right { Ok(()) } else { Err(Denied::Wrong) }
    }
}

fn ask_at(door: Door, ready: bool, asked: &Asked<'_>) -> (u16, String) {
    let response = Admin { facts: Fixed(ready), door }.answer(asked);
    (response.status().as_u16(), String::from_utf8(response.into_body()).unwrap())
}

fn ask(ready: bool, asked: &Asked<'_>) -> (u16, String) {
    ask_at(Door::Socket, ready, asked)
}

fn asked<'a>(method: &'a str, path: &'a str) -> Asked<'a> {
    Asked { method, path, query: None, proof: None, body: b"" }
}

fn get(ready: bool, path: &str, query: Option<&str>) -> (u16, String) {
    ask_at(Door::Network, ready, &Asked { query, ..asked("GET", path) })
}

#[test]
fn liveness_does_not_depend_on_readiness() {
    assert_eq!(get(false, "/livez", None), (200, "ok\n".into()));
}

#[test]
fn readiness_names_what_is_missing() {
    assert_eq!(get(true, "/readyz", None), (200, "ready\n".into()));
    assert_eq!(get(false, "/readyz", None), (503, "[-] configuration: revision 7\nnot ready\n".into()));
    let (status, text) = get(true, "/readyz", Some("verbose"));
    assert_eq!((status, text.contains("[+] records: written")), (200, true));
}

#[test]
fn the_rest_is_served_and_the_unknown_points_to_the_known() {
    assert_eq!(get(true, "/metrics", None), (200, "x 1\n".into()));
    assert!(ask(true, &asked("GET", "/v1/config")).1.contains("\"revision\": 7"));
    assert!(get(true, "/", None).1.contains("/readyz?verbose"));
    assert_eq!(ask(true, &asked("POST", "/metrics")).0, 405);
    assert_eq!(ask(true, &asked("GET", "/v1/explain")).0, 405);
}

const QUESTION: &[u8] = br#"{"as": {"system": "mot-cua"}, "method": "GET", "path": "/"}"#;

#[test]
fn what_is_configured_and_who_may_do_what_is_for_the_socket_and_for_a_proof_and_no_address_is_either() {
    let decision = format!("/v1/decisions/{KNOWN}");
    let questions =
        [Asked { body: QUESTION, ..asked("POST", "/v1/explain") }, asked("GET", &decision), asked("GET", "/v1/config")];
    for question in &questions {
        assert_eq!(ask_at(Door::Socket, true, question).0, 200, "{question:?}");
        let (status, text) = ask_at(Door::Network, true, question);
        assert_eq!((status, text.contains("control plane")), (403, true), "{question:?}");
        let right = format!("{} {} {}", question.method, question.path, question.body.len());
        let proved = |proof| Asked { proof: Some(proof), ..*question };
        assert_eq!(ask_at(Door::Network, true, &proved(&right)).0, 200, "{question:?}");
        for door in [Door::Network, Door::Socket] {
            assert_eq!(ask_at(door, true, &proved("made up")).0, 403, "a wrong proof is wrong everywhere");
        }
    }
}

#[test]
fn a_question_that_is_not_understood_says_where() {
    for (body, part) in [
        (&b"{\"as\": {\"system\": \"A B\"}, \"method\": \"GET\", \"path\": \"/\"}"[..], "as.system"),
        (b"{\"as\": {\"system\": \"a\"}, \"method\": \"GET\", \"path\": \"/\", \"mood\": 1}", "mood"),
        (b"", "EOF"),
    ] {
        let (status, text) = ask(true, &Asked { body, ..asked("POST", "/v1/explain") });
        assert_eq!((status, text.contains(part)), (400, true), "{text}");
    }
    let (status, _) = ask(false, &Asked { body: QUESTION, ..asked("POST", "/v1/explain") });
    assert_eq!(status, 503);
}

#[test]
fn a_refusal_that_is_not_remembered_is_told_apart_from_a_name_that_is_none() {
    let status = |path: &str| ask(true, &asked("GET", path)).0;
    assert_eq!(status("/v1/decisions/ffffffffffffffffffffffffffffffff"), 404);
    assert_eq!([status("/v1/decisions/"), status("/v1/decisions/xyz")], [400, 400]);
}
