//! The first operator's token never expires: it goes into a file of mode 600 or to a terminal, it is made only when it can
//! be kept, and neither a dump nor SIGHUP takes the server's memory or the server away.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use lgsp_testkit::child::{Child, Signal};
use lgsp_testkit::eventually::eventually;

use crate::platform::Platform;

const DEADLINE: Duration = Duration::from_secs(30);

/// A platform whose database was never opened.
async fn fresh() -> Platform {
    let mut platform = Platform::start().await;
    assert_eq!(platform.terminate(), Some(0));
    for name in ["cp.db", "cp.db-wal", "cp.db-shm", "token", "address"] {
        let _ = std::fs::remove_file(platform.path(name));
    }
    platform
}

#[tokio::test]
async fn a_token_file_that_others_could_read_is_replaced_by_one_they_cannot() {
    let mut platform = fresh().await;
    platform.write("token", "of another time");
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(platform.path("token"), open).unwrap();
    platform.restart().await;
    let mode = std::fs::metadata(platform.path("token")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    platform.ok(&["get"]);
}

#[tokio::test]
async fn no_operator_is_made_while_its_token_has_no_place() {
    let mut platform = fresh().await;
    let refused = |arguments: &[&str], named: &str| {
        let output = platform.server_command(arguments).output().unwrap();
        let (out, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert!(output.status.code() == Some(1) && said.contains(named), "{arguments:?}: {said}");
        assert!(out.is_empty(), "{out}");
    };
    // Neither a file nor a terminal, as under a service manager, whose journal keeps what is printed.
    refused(&["--config", "cp.yaml"], "--token-file");
    refused(&["--config", "cp.yaml", "--token-file", "none/token"], "none was made");
    platform.restart().await;
    platform.ok(&["get"]);
    // What is lost is said where it is looked for.
    assert_eq!(platform.terminate(), Some(0));
    std::fs::remove_file(platform.path("token")).unwrap();
    let arguments = ["--config", "cp.yaml", "--token-file", "token"];
    let again = Child::spawn("lgsp-controlplane", &mut platform.server_command(&arguments));
    again.wait_for_line("lgsp-controlplane new-token", DEADLINE);
}

/// Found with `kill -HUP`: the program ended by the signal, without a word.
#[tokio::test]
async fn sighup_reads_the_log_level_again_and_never_ends_the_server() {
    let mut platform = Platform::start().await;
    let settings = std::fs::read_to_string(platform.path("cp.yaml")).unwrap();
    platform.write("cp.yaml", &format!("{settings}\nlog: debug\n"));
    platform.signal(Signal::Hangup);
    eventually(DEADLINE, "the level is read", async || platform.log().contains("SIGHUP: the log level is read again"))
        .await;
    platform.write("cp.yaml", "not: [good");
    platform.signal(Signal::Hangup);
    eventually(DEADLINE, "what is unusable is said", async || platform.log().contains("those in use stay")).await;
    platform.ok(&["get"]);
    assert_eq!(platform.terminate(), Some(0));
}

#[tokio::test]
async fn a_server_dumps_no_core_unless_it_is_told_to() {
    let mut platform = Platform::start().await;
    assert!(platform.core_limits().starts_with("0 0"), "{}", platform.core_limits());
    assert_eq!(platform.terminate(), Some(0));
    let settings = std::fs::read_to_string(platform.path("cp.yaml")).unwrap();
    platform.write("cp.yaml", &format!("{settings}\ncore_dumps: true\n"));
    platform.restart().await;
    let own = crate::platform::core_limits("self");
    assert_eq!(platform.core_limits(), own);
}
