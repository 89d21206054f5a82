//! Schemathesis reads `/openapi.json` and sends what it allows and what it forbids: no answer is a server error, and
//! none has a status that the description does not name.

use std::process::Command;

use lgsp_testkit::python::schemathesis;

use crate::platform::{Platform, RESOURCES};

/// Examples per operation, and seconds in all.
const EXAMPLES_MAX: &str = "20";
const SECS_MAX: &str = "30";

#[tokio::test]
async fn whatever_is_sent_no_answer_is_a_server_error_or_not_described() {
    let platform = Platform::start().await;
    platform.apply(RESOURCES);
    let token = std::fs::read_to_string(platform.path("token")).unwrap();
    let mut command = Command::new(schemathesis());
    command.arg("run").arg(format!("{}/openapi.json", platform.url())).current_dir(platform.directory());
    command.arg("-H").arg(format!("Authorization: Bearer {}", token.trim()));
    command.args(["--checks", "not_a_server_error,status_code_conformance,content_type_conformance"]);
    command.args(["--phases", "coverage,fuzzing", "--max-examples", EXAMPLES_MAX, "--max-time", SECS_MAX]);
    command.args(["--seed", "1", "--continue-on-failure", "--no-color"]);
    // One at a time: threads of Debian's Python 3.11.2 share a counter and fail with "AST constructor recursion depth".
    command.args(["--workers", "1"]);
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    // It must have tried what there is, and not only have found nothing to try.
    assert!(told.contains("Coverage") && told.contains("Fuzzing") && !told.contains("Tested: 0"), "{told}");
}
