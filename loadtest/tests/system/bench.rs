//! What the tests stand on: the program, targets with known limits, scenarios in a directory of their own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use lgsp_testkit::TempDir;
use lgsp_testkit::child::Child;
use serde_json::Value;

/// No command of a test takes longer.
pub const DEADLINE: Duration = Duration::from_secs(90);

/// A GET of 100 bytes, unsigned, straight to a target.
pub const PLAIN: &str = "
name: plain
connections: 10
load: {constant: {rate: 200/s, duration: 2s}}
requests: [{name: get, path: /bytes/100, sign: none, expect: {bytes: 100}}]
";

/// A directory with scenarios and results.
pub struct Bench {
    directory: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub output: String,
}

pub fn tool() -> Command {
    Command::new(env!("CARGO_BIN_EXE_lgsp-loadtest"))
}

impl Bench {
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn scenario(&self, text: &str) -> PathBuf {
        let path = self.path("scenario.yaml");
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A target that behaves as these arguments of `echo` say.
    pub fn target(&self, arguments: &[&str]) -> (Child, SocketAddr) {
        let child = Child::spawn("echo", tool().arg("echo").args(arguments));
        let line = child.wait_for_line("listening on", DEADLINE);
        (child, line.rsplit(' ').next().unwrap().parse().unwrap())
    }

    /// A command on a scenario that has begun; its results go to `out`.
    pub fn begin(&self, verb: &str, scenario: &str, target: SocketAddr, out: &str, more: &[&str]) -> Child {
        let mut command = tool();
        command.arg(verb).arg(self.scenario(scenario)).args(["--target", &format!("http://{target}"), "--out"]);
        // What these machines are late by is not what most tests are about; those that are say so.
        command.arg(self.path(out)).args(more);
        if !more.contains(&"--lag-limit") {
            command.args(["--lag-limit", "200ms"]);
        }
        Child::spawn(verb, &mut command)
    }

    pub fn run(&self, verb: &str, scenario: &str, target: SocketAddr, out: &str, more: &[&str]) -> Ended {
        ended(self.begin(verb, scenario, target, out, more))
    }

    /// The result of a run.
    pub fn record(&self, out: &str) -> Value {
        json(&self.path(out).join("run.json"))
    }
}

pub fn ended(mut child: Child) -> Ended {
    let code = child.wait(DEADLINE).code().unwrap_or(-1);
    Ended { code, output: child.output() }
}

pub fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))).unwrap()
}
