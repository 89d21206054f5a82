//! Every handler with every role. A handler that is not in the table fails the test.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use lgsp_shared::id::ResourceName;
use lgsp_shared::seal::SealKey;
use serde_json::Value;

use crate::api::{Allowances, App, Rooms, openapi, router};
use crate::audit::Trail;
use crate::desired::Desired;
use crate::operator::accounts::Accounts;
use crate::operator::bearer::Terms;
use crate::operator::{BearerKind, Right, Role};
use crate::publish::{Demand, Status};
use crate::rollout::Rollout;
use crate::runtime::now;
use crate::settings::PublishSettings;
use crate::settings::login::LoginSettings;
use crate::store::{Also, OperatorRow, Store, StoreError};

/// The operation, the right it takes, and who has it: security officer, registration officer, service administrator,
/// system administrator, observer, auditor, agency administrator.
const TABLE: &str = "
GET  /v1/documents                       look     S R A Y O U G
GET  /v1/documents/{kind}/{name}         look     S R A Y O U G
GET  /v1/revisions                       look     S R A Y O U G
GET  /v1/revisions/{revision}            look     S R A Y O U G
GET  /v1/revisions/{revision}/documents  look     S R A Y O U G
GET  /v1/revisions/{revision}/documents/{kind}/{name} look S R A Y O U G
GET  /v1/revisions/{revision}/arrival    look     S R A Y O U G
POST /v1/revisions/{revision}/rollback   change   S R A Y . . G
POST /v1/changes                         change   S R A Y . . G
GET  /v1/credentials                     look     S R A Y O U G
POST /v1/credentials                     keys     S . . . . . .
POST /v1/credentials/{name}/rotate       keys     S . . . . . .
POST /v1/reseal                          reseal   S . . . . . .
POST /v1/credentials/{name}/disable      keys     S . . . . . .
GET  /v1/nodes                           watch    S R A Y O U .
POST /v1/explain                         watch    S R A Y O U .
GET  /v1/publish                         watch    S R A Y O U .
POST /v1/publish                         publish  . . . Y . . .
GET  /v1/me                              myself   S R A Y O U G
POST /v1/me/password                     myself   S R A Y O U G
POST /v1/me/factor                       myself   S R A Y O U G
POST /v1/me/factor/confirm               myself   S R A Y O U G
POST /v1/me/factor/remove                myself   S R A Y O U G
POST /v1/logout                          myself   S R A Y O U G
GET  /v1/tokens                          tokens   S R A Y O U G
POST /v1/tokens                          tokens   S R A Y O U G
POST /v1/tokens/{id}/revoke              tokens   S R A Y O U G
GET  /v1/operators                       operators . . . Y . . G
POST /v1/operators                       operators . . . Y . . G
POST /v1/operators/{name}/grant          operators . . . Y . . G
POST /v1/operators/{name}/revoke         operators . . . Y . . G
POST /v1/operators/{name}/disable        operators . . . Y . . G
POST /v1/operators/{name}/enable         operators . . . Y . . G
POST /v1/operators/{name}/reset-password operators . . . Y . . G
GET  /v1/audit                           audit    . . . . . U .
GET  /v1/agencies                        watch    S R A Y O U .
GET  /v1/agencies/{code}                 watch    S R A Y O U .
PUT  /v1/agencies/{code}                 register . R . Y . . .
GET  /v1/agencies/{code}/history         watch    S R A Y O U .
POST /v1/agencies/import                 register . R . Y . . .
GET  /v1/contacts/{kind}/{name}          look     S R A Y O U G
PUT  /v1/contacts/{kind}/{name}          register . R . Y . . .
POST /v1/contacts/{kind}/{name}          register . R . Y . . .
POST /v1/contacts/{kind}/{name}/remove   register . R . Y . . .
GET  /v1/applications                    look     S R A Y O U G
POST /v1/applications                    register . R . Y . . .
GET  /v1/applications/{number}           look     S R A Y O U G
POST /v1/applications/{number}/review    register . R . Y . . .
POST /v1/applications/{number}/approve   register . R . Y . . .
POST /v1/applications/{number}/refuse    register . R . Y . . .
POST /v1/applications/{number}/cancel    register . R . Y . . .
GET  /v1/systems                         look     S R A Y O U G
GET  /v1/systems/{system}/approval       look     S R A Y O U G
POST /v1/systems/{system}/approve        register . R . Y . . .
POST /v1/systems/{system}/cancel         register . R . Y . . .
GET  /v1/services                        look     S R A Y O U G
GET  /v1/reorganisations                 watch    S R A Y O U .
POST /v1/reorganisations                 register . R . Y . . .
GET  /v1/reorganisations/{number}        watch    S R A Y O U .
POST /v1/reorganisations/{number}/cancel register . R . Y . . .
POST /v1/reorganisations/{number}/resume register . R . Y . . .
GET  /v1/notices                         look     S R A Y O U G
POST /v1/notices                         register . R . Y . . .
POST /v1/notices/{number}/cancel         register . R . Y . . .
";

/// What the guard lets pass without an operator.
const OPEN: [&str; 5] =
    ["GET /livez", "GET /readyz", "POST /v1/login", "POST /v1/login/oidc/start", "POST /v1/login/oidc/finish"];

struct Line {
    right: &'static str,
    holders: Vec<Role>,
}

fn table() -> BTreeMap<String, Line> {
    let lines = TABLE.lines().filter(|line| !line.is_empty()).map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (marks, holders) = (&words[3..], Role::ALL.into_iter());
        assert_eq!(marks.len(), Role::ALL.len(), "{line}");
        let holders = holders.zip(marks).filter(|(_, mark)| **mark != ".").map(|(role, _)| role).collect();
        (format!("{} {}", words[0], words[1]), Line { right: words[2], holders })
    });
    lines.collect()
}

/// Every operation of the description and the right it says it takes; none where it takes no token.
fn described() -> BTreeMap<String, Option<String>> {
    let openapi = serde_json::to_value(openapi()).unwrap();
    let mut found = BTreeMap::new();
    for (path, item) in openapi["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap().iter().filter(|(_, operation)| operation.is_object()) {
            let operation_name = format!("{} {path}", method.to_uppercase());
            let right = operation["security"][0]["operator_token"][0].as_str().map(str::to_owned);
            let guarded = operation["responses"]["403"].is_object() && operation["responses"]["401"].is_object();
            assert_eq!(guarded, right.is_some(), "{operation_name} describes 401 and 403 as it should");
            found.insert(operation_name, right);
        }
    }
    found
}

/// An operator with this role or none, and its token.
async fn operator(store: &Store, role: Option<Role>) -> (Option<Role>, String) {
    let now = now();
    let trail = Trail::new(now, std::net::Ipv4Addr::LOCALHOST.into(), "test".into(), String::new());
    let name: ResourceName = role.map_or("nobody", Role::label).parse().unwrap();
    let agency = role.filter(|role| role.wants_agency()).map(|_| "so-tu-phap".parse().unwrap());
    let row = OperatorRow::new(name.clone(), role.into_iter().collect(), agency, now);
    assert!(store.add_operator(&row, &trail).await.unwrap());
    let kind = BearerKind::First;
    let terms = Terms {
        kind,
        operator: name.clone(),
        title: String::new(),
        roles: None,
        agency: None,
        expires_at: None,
        idle_secs: None,
    };
    let (token, bearer) = terms.draw(now).unwrap();
    let begins = move |_: &mut _| Ok::<_, StoreError>(Also { begins: Some(bearer), ..Also::default() });
    store.change_operator(&name, &trail, begins).await.unwrap().unwrap();
    (role, token)
}

/// A server whose operators have one role each, and one that has none; and their tokens.
async fn serve(directory: &tempfile::TempDir) -> (String, BTreeMap<Option<Role>, String>) {
    let store = Store::open(&directory.path().join("test.db")).await.unwrap();
    let key = SealKey::parse("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f").unwrap();
    let mut tokens = BTreeMap::from([operator(&store, None).await]);
    for role in Role::ALL {
        tokens.extend([operator(&store, Some(role)).await]);
    }
    let login = LoginSettings::default();
    let rooms = Rooms {
        usage: std::sync::Arc::new(crate::usage::Usage::load(store.clone()).await.unwrap()),
        accounts: Accounts::new(store.clone(), key.clone(), login).unwrap(),
        oidc: None,
        desired: Desired::load(store, key).await.unwrap().into(),
        allowances: Allowances::default(),
        rollout: std::sync::Arc::new(Rollout::new(&PublishSettings::Bundle(directory.path().join("bundle.json")))),
        published: tokio::sync::watch::channel(Status::default()).1,
        demands: tokio::sync::watch::channel(Demand::default()).0,
        notices: Vec::new(),
        writing: crate::api::health::Writing::default(),
    };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let service = router(App::new(rooms)).into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(axum::serve(listener, service).into_future());
    (url, tokens)
}

fn ask(url: &str, operation: &str, token: &str) -> (u16, Value) {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().new_agent();
    let (method, path) = operation.split_once(' ').unwrap();
    let path = path.replace("{revision}", "1").replace("{kind}", "Agency").replace("{name}", "a").replace("{id}", "a");
    let path = path.replace("{number}", "1").replace("{system}", "a").replace("{code}", "H61.1");
    let request = ureq::http::Request::builder().method(method).uri(format!("{url}{path}"));
    let request = request.header("authorization", format!("Bearer {token}"));
    let request = request.header("content-type", "application/json").body("{}".to_owned()).unwrap();
    let mut response = agent.run(request).unwrap();
    let body = response.body_mut().read_to_string().unwrap();
    (response.status().as_u16(), serde_json::from_str(&body).unwrap_or(Value::Null))
}

#[test]
fn every_handler_is_in_the_table_with_the_right_its_description_names() {
    let table = table();
    for (operation, right) in described() {
        match right {
            None => assert!(OPEN.contains(&operation.as_str()), "`{operation}` names no right, and is not in OPEN"),
            Some(right) => {
                let line = table.get(&operation).unwrap_or_else(|| panic!("add `{operation}` to TABLE"));
                assert_eq!(line.right, right, "{operation}");
            }
        }
    }
    let described = described();
    for (operation, line) in &table {
        assert!(described.contains_key(operation), "`{operation}` is in TABLE, but nowhere else");
        let right = Right::ALL.into_iter().find(|right| right.label() == line.right).unwrap();
        assert_eq!(right.roles(), line.holders, "{operation}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_handler_answers_every_role_as_the_table_says() {
    let directory = tempfile::tempdir().unwrap();
    let (url, tokens) = serve(&directory).await;
    for (operation, Line { right, holders }) in table() {
        for role in Role::ALL {
            let (status, problem) = ask(&url, &operation, &tokens[&Some(role)]);
            if holders.contains(&role) {
                assert!(status != 403 && status != 401 && status < 500, "{operation} as {role}: {status} {problem}");
            } else {
                assert_eq!((status, problem["code"].as_str()), (403, Some("forbidden")), "{operation} as {role}");
                let detail = problem["detail"].as_str().unwrap();
                assert!(detail.contains(&format!("`{right}`")), "{operation} takes `{right}`, but says: {detail}");
            }
        }
        assert_eq!(ask(&url, &operation, &tokens[&None]).0, 403, "{operation} without any role");
        assert_eq!(ask(&url, &operation, "token-of-a-stranger").0, 401, "{operation} with a wrong token");
    }
}
