//! Agencies, systems and services have people to call, in the database alone: nothing of them is published.

use serde_json::Value;

use crate::platform::{BUNDLE, Platform};
use crate::registry::target;

fn names(platform: &Platform, subject: &str) -> Vec<String> {
    let listed = platform.json(&["contact", "list", subject]);
    let name = |contact: &Value| contact["name"].as_str().unwrap().to_owned();
    listed["contacts"].as_array().unwrap().iter().map(name).collect()
}

#[tokio::test]
async fn an_agency_a_system_and_a_service_have_contacts_that_no_document_holds() {
    let platform = Platform::start_careful("database: cp.db\n", BUNDLE).await;
    platform.apply(target());
    for subject in ["Agency/000.00.12.H61", "System/ho-tich", "Service/khai-sinh"] {
        for name in ["Trực ban", "Đầu mối"] {
            platform.ok(&["contact", "add", subject, "--name", name, "--role", "kỹ thuật", "--phone", "0270 3822222"]);
        }
        assert_eq!(names(&platform, subject), ["Trực ban", "Đầu mối"], "{subject}");
        platform.ok(&["contact", "remove", subject, "--name", "Trực ban"]);
        assert_eq!(names(&platform, subject), ["Đầu mối"], "{subject}");
    }
    for nobody in ["Agency/000.00.99.H61", "System/nowhere", "Service/nowhere"] {
        let done = platform.run(&["contact", "add", nobody, "--name", "x", "--role", "x", "--phone", "0270 3822222"]);
        assert_eq!(done.code, 3, "{done:?}");
    }
    platform.bundle(1).await;
    let published = std::fs::read_to_string(platform.path("bundle.json")).unwrap();
    assert!(!published.contains("Đầu mối") && !published.contains("3822222"));
}
