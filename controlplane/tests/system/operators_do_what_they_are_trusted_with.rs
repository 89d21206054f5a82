//! Accounts, sessions and tokens, as people and programs use them.

use lgsp_controlplane::operator::totp;
use lgsp_controlplane::runtime::now;
use serde_json::Value;

use crate::platform::{Platform, RESOURCES};

const PASSWORD: &str = "gió mùa đông bắc";

#[tokio::test]
async fn each_role_does_its_work_and_no_other() {
    let platform = Platform::start().await;
    platform.apply(RESOURCES);
    platform.join("dang-ky", &["--role", "registration-officer"], PASSWORD);
    platform.join("dich-vu", &["--role", "service-administrator"], PASSWORD);
    platform.join("bao-mat", &["--role", "security-officer"], PASSWORD);
    platform.join("he-thong", &["--role", "system-administrator"], PASSWORD);
    platform.write("agency.yaml", "kind: Agency\nname: so-y-te\nspec: {code: H62, title: Sở Y tế}\n");
    platform.write("route.yaml", "kind: Route\nname: moi\nspec: {service: khai-sinh, path: {prefix: /moi}}\n");
    let code = |who: &str, arguments: &[&str]| platform.run_as(who, arguments, "").code;
    for (who, agency, route, key) in
        [("dang-ky", 0, 3, 3), ("dich-vu", 3, 0, 3), ("bao-mat", 3, 3, 0), ("he-thong", 0, 0, 3)]
    {
        platform.run(&["delete", "Agency/so-y-te"]);
        platform.run(&["delete", "Route/moi"]);
        assert_eq!(code(who, &["apply", "-f", "agency.yaml"]), agency, "{who} adds an agency");
        assert_eq!(code(who, &["apply", "-f", "route.yaml"]), route, "{who} adds a route");
        assert_eq!(code(who, &["credential", "issue", "ho-tich"]), key, "{who} issues a key");
    }
    // A change that touches two kinds takes both rights.
    platform.ok(&["delete", "Route/moi", "Agency/so-y-te"]);
    let both = ["apply", "-f", "agency.yaml", "-f", "route.yaml"];
    assert_eq!(code("dang-ky", &both), 3);
    platform.ok(&["operator", "grant", "dang-ky", "service-administrator"]);
    assert_eq!(code("dang-ky", &both), 0);
    platform.ok(&["operator", "revoke", "dang-ky", "service-administrator", "registration-officer"]);
    assert_eq!(code("dang-ky", &["get"]), 3, "a session loses what its operator loses");
    // Keys and the audit stay out of a system administrator's reach.
    for (arguments, told) in [
        (["operator", "grant", "dang-ky", "security-officer"], "you may not hand out the role `security-officer`"),
        (["operator", "grant", "he-thong", "auditor"], "nobody changes their own account"),
        (["operator", "grant", "he-thong", "observer"], "nobody changes their own account"),
        (["operator", "reset-password", "bao-mat", "--second-factor"], "`bao-mat` has the role `security-officer`"),
    ] {
        let done = platform.run_as("he-thong", &arguments, "");
        assert!(done.code == 3 && done.err.contains(told), "{done:?}");
    }
}

#[tokio::test]
async fn a_login_lasts_until_logout_and_a_disabled_operator_is_out_at_once() {
    let platform = Platform::start().await;
    platform.join("lan", &["--role", "observer"], PASSWORD);
    let shown = platform.ok_as("lan", &["whoami"], "");
    assert!(shown.contains("observer") && shown.contains("session"), "{shown}");
    platform.ok_as("lan", &["logout"], "");
    assert_eq!(platform.run_as("lan", &["whoami"], "").code, 2);
    let wrong = platform.run_as("lan", &["login", "lan"], "guess\n");
    let unknown = platform.run_as("lan", &["login", "nobody"], "guess\n");
    assert_eq!((wrong.code, &wrong.err), (3, &unknown.err), "a name that exists answers as one that does not");
    platform.ok_as("lan", &["login", "lan"], &format!("{PASSWORD}\n"));
    platform.ok(&["operator", "disable", "lan"]);
    assert_eq!(platform.run_as("lan", &["whoami"], "").code, 3);
    let disabled = platform.run_as("lan", &["login", "lan"], &format!("{PASSWORD}\n"));
    assert_eq!((disabled.code, &disabled.err), (3, &unknown.err));
    platform.ok(&["operator", "enable", "lan"]);
    platform.ok_as("lan", &["login", "lan"], &format!("{PASSWORD}\n"));
}

#[tokio::test]
async fn a_given_password_opens_nothing_before_it_is_changed() {
    let platform = Platform::start().await;
    let made = platform.json(&["operator", "add", "lan", "--role", "observer"]);
    let given = made["password"].as_str().unwrap();
    platform.ok_as("lan", &["login", "lan"], &format!("{given}\n"));
    let done = platform.run_as("lan", &["get"], "");
    assert!(done.code == 3 && done.err.contains("lgspctl password"), "{done:?}");
    let weak = platform.run_as("lan", &["password"], &format!("{given}\nshort\n"));
    assert!(weak.code == 3 && weak.err.contains("12"), "{weak:?}");
    platform.ok_as("lan", &["password"], &format!("{given}\n{PASSWORD}\n"));
    platform.ok_as("lan", &["get"], "");
}

#[tokio::test]
async fn a_second_factor_is_enrolled_and_then_asked_for() {
    let platform = Platform::start().await;
    platform.join("lan", &["--role", "observer"], PASSWORD);
    // The key is only known after it was asked for, so the first code given is a wrong one.
    let shown = platform.run_as("lan", &["factor", "enrol"], &format!("{PASSWORD}\n000000\n"));
    assert_eq!(shown.code, 3, "{shown:?}");
    let secret = shown.err.split("secret=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let key = from_base32(&secret);
    let code = || totp::code(&key, totp::Step::at(now()));
    let session: Value =
        serde_json::from_str(&std::fs::read_to_string(platform.path("lan.sessions")).unwrap()).unwrap();
    let token = session[platform.url().as_str()].as_str().unwrap();
    let agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().new_agent();
    let confirm = ureq::http::Request::post(format!("{}/v1/me/factor/confirm", platform.url()));
    let confirm = confirm.header("authorization", format!("Bearer {token}"));
    let mut response = agent.run(confirm.body(format!(r#"{{"code": "{}"}}"#, code())).unwrap()).unwrap();
    assert_eq!(response.status(), 200);
    let recovery: Value = serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap();
    let recovery = recovery["recovery_codes"][0].as_str().unwrap();

    let without = platform.run_as("lan", &["login", "lan"], &format!("{PASSWORD}\n"));
    assert!(without.code != 0 && without.err.contains("code"), "{without:?}");
    let used = platform.run_as("lan", &["login", "lan"], &format!("{PASSWORD}\n{}\n", code()));
    assert_eq!(used.code, 3, "a code that was used before is refused: {used:?}");
    platform.ok_as("lan", &["login", "lan"], &format!("{PASSWORD}\n{recovery}\n"));
    let again = platform.run_as("lan", &["login", "lan", "--code", recovery], &format!("{PASSWORD}\n"));
    assert_eq!(again.code, 3, "a recovery code is good once: {again:?}");
}

/// RFC 4648, for a key in an `otpauth://` address.
pub fn from_base32(text: &str) -> Vec<u8> {
    let digit = |char: char| "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".find(char).unwrap() as u64;
    text.as_bytes()
        .chunks(8)
        .flat_map(|chunk| {
            let word = chunk.iter().fold(0_u64, |word, byte| word << 5 | digit(char::from(*byte)));
            word.to_be_bytes()[3..].to_vec()
        })
        .collect()
}

#[tokio::test]
async fn a_token_is_worth_at_most_what_its_maker_is_and_ends_when_it_is_revoked() {
    let platform = Platform::start().await;
    platform.apply(RESOURCES);
    platform.join("lan", &["--role", "observer", "--role", "service-administrator"], PASSWORD);
    let beyond = platform.run_as("lan", &["token", "issue", "ci", "--role", "security-officer"], "");
    assert!(beyond.code == 3 && beyond.err.contains("all that the role `security-officer` may"), "{beyond:?}");
    let made: Value = serde_json::from_str(&platform.ok_as(
        "lan",
        &["token", "issue", "ci", "--role", "service-administrator", "--agency", "so-tu-phap", "-o", "json"],
        "",
    ))
    .unwrap();
    platform.write("ci.token", made["token"].as_str().unwrap());
    let run = |arguments: &[&str]| platform.run(&[arguments, &["--token-file", "ci.token"]].concat());
    platform.write("own.yaml", "kind: Route\nname: moi\nspec: {service: khai-sinh, path: {prefix: /moi}}\n");
    assert_eq!(run(&["apply", "-f", "own.yaml"]).code, 3, "nothing is assigned to the agency");
    platform.apply("kind: Agency\nname: so-tu-phap\nspec: {code: 000.00.12.H61, title: Sở Tư pháp, paths: [/moi]}\n");
    assert_eq!(run(&["apply", "-f", "own.yaml"]).code, 0);
    assert_eq!(run(&["nodes"]).code, 3, "bound to an agency");
    assert_eq!(run(&["token", "issue", "more"]).code, 3, "a token makes no tokens");
    let listed = platform.ok_as("lan", &["token", "list"], "");
    assert!(listed.contains("ci") && !listed.contains(made["token"].as_str().unwrap()), "{listed}");
    platform.ok_as("lan", &["token", "revoke", made["terms"]["id"].as_str().unwrap()], "");
    assert_eq!(run(&["get"]).code, 3);

    // Whoever administers the system may do all that an observer may, without being one.
    let reader = platform.ok(&["token", "issue", "reader", "--role", "observer", "-o", "json"]);
    let reader: Value = serde_json::from_str(&reader).unwrap();
    platform.write("ci.token", reader["token"].as_str().unwrap());
    assert_eq!((run(&["get"]).code, run(&["nodes"]).code), (0, 0));
    assert_eq!((run(&["delete", "Route/moi"]).code, run(&["audit", "list"]).code), (3, 3));
}

#[tokio::test]
async fn whoever_guesses_without_end_is_slowed_down_and_does_not_fill_the_disk() {
    let platform = Platform::start().await;
    let agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().new_agent();
    let mut statuses = std::collections::BTreeMap::new();
    for _ in 0..200 {
        let request = ureq::http::Request::post(format!("{}/v1/login", platform.url()));
        let request = request.header("content-type", "application/json");
        let body = r#"{"name": "nobody", "password": "guess"}"#.to_owned();
        *statuses.entry(agent.run(request.body(body).unwrap()).unwrap().status().as_u16()).or_insert(0) += 1;
    }
    assert!(statuses[&401] <= 30 && statuses[&429] >= 170, "{statuses:?}");
    let audit = platform.json(&["audit", "list", "--limit", "1000"]);
    let refused = audit["entries"].as_array().unwrap().iter().filter(|entry| entry["outcome"] != "done").count();
    assert!((20..40).contains(&refused), "{refused} of 200 were written");
}

#[tokio::test]
async fn a_new_first_token_replaces_the_old_one_while_the_server_runs() {
    let platform = Platform::start().await;
    platform.ok(&["get"]);
    let made =
        platform.server_command(&["new-token", "--config", "cp.yaml", "--token-file", "new.token"]).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    assert_eq!(platform.run(&["get"]).code, 3);
    assert_eq!(platform.run(&["get", "--token-file", "new.token"]).code, 0);
}
