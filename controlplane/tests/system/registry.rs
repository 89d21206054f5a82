//! What the tests of the registry have in common: a directory, an application, and documents that offer a service.

use lgsp_testkit::postgres::Postgres;
use serde_json::Value;

use crate::platform::{BUNDLE, Platform, RESOURCES};

/// An application of another agency that wants the service.
pub const APPLICATION: &str = "\
agency: 000.00.14.H61
agency_name: ttpvhcc
system: mot-cua
system_title: Một cửa điện tử
purpose: Tra cứu khai sinh khi tiếp nhận hồ sơ
services: [{service: khai-sinh, methods: [GET], paths: [/khai-sinh]}]
contacts: [{name: Phòng Kỹ thuật, role: kỹ thuật, email: a@example.gov.vn}]
letter: 45/TTPVHCC
";

/// What every decision is made with.
pub const DECIDED: [&str; 4] = ["--letter", "12/STTTT", "-m", "đủ điều kiện"];

/// An agency that offers a service, as documents.
pub fn target() -> &'static str {
    RESOURCES.split("---\nkind: Permission").next().unwrap()
}

/// A platform as it is by default, with the service and the agency that will want it.
pub async fn start() -> Platform {
    prepared(Platform::start_careful("database: cp.db\n", BUNDLE).await)
}

/// The same on PostgreSQL; the server runs as long as the second value lives.
pub async fn start_on_postgresql() -> (Platform, Postgres) {
    let server = Postgres::start().await.unwrap();
    (prepared(Platform::start_careful(&Platform::postgres(&server), BUNDLE).await), server)
}

fn prepared(platform: Platform) -> Platform {
    platform.apply(target());
    platform.ok(&["agency", "add", "000.00.14.H61", "Trung tâm Phục vụ hành chính công"]);
    platform.write("application.yaml", APPLICATION);
    platform
}

/// Runs a command that decides.
pub fn decide(platform: &Platform, command: &[&str]) -> String {
    platform.ok(&[command, &DECIDED].concat())
}

/// From the application to the approval.
pub fn connect(platform: &Platform) {
    platform.ok(&["application", "submit", "-f", "application.yaml"]);
    platform.ok(&["application", "review", "1"]);
    decide(platform, &["application", "approve", "1"]);
}

/// A document of the current revision; `null` when there is none.
pub fn document(platform: &Platform, key: &str) -> Value {
    let done = platform.run(&["get", key, "-o", "json"]);
    if done.code != 0 { Value::Null } else { serde_json::from_str::<Value>(&done.out).unwrap()[0]["spec"].clone() }
}
