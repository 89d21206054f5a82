//! The tests' own Python: other people's clients, pinned, in virtual environments made once per checkout.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::{installed, workspace_root};

const REQUIREMENTS: &str = include_str!("../requirements.txt");
const SCHEMATHESIS_REQUIREMENTS: &str = include_str!("../requirements-schemathesis.txt");

/// The interpreter of an environment that holds botocore, requests and http-message-signatures.
pub fn python() -> PathBuf {
    environment("venv", REQUIREMENTS).join("bin/python")
}

/// The command of Schemathesis, which tries an API against its own description.
pub fn schemathesis() -> PathBuf {
    environment("schemathesis", SCHEMATHESIS_REQUIREMENTS).join("bin/schemathesis")
}

/// The environment in `.local/<name>`. The first caller makes it, from the package index pip is configured for; others
/// wait for it.
fn environment(name: &str, requirements: &str) -> PathBuf {
    let local = workspace_root().join(".local");
    std::fs::create_dir_all(&local).expect("`.local` can be made");
    let lock = File::create(local.join(format!("{name}.lock"))).expect("the lock file can be made");
    lock.lock().expect("the lock can be taken");
    let venv = local.join(name);
    let made_from = venv.join("made-from.txt");
    if !std::fs::read_to_string(&made_from).is_ok_and(|text| text == requirements) {
        make(&venv, requirements);
        std::fs::write(&made_from, requirements).expect("the environment is writable");
    }
    venv
}

fn make(venv: &Path, requirements: &str) {
    if venv.exists() {
        std::fs::remove_dir_all(venv).expect("an older environment can be removed");
    }
    run(Command::new(installed("python3")).args(["-m", "venv"]).arg(venv));
    let file = venv.join("requirements.txt");
    std::fs::write(&file, requirements).expect("the environment is writable");
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--requirement"];
    run(Command::new(venv.join("bin/python")).args(pip).arg(file));
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    assert!(output.status.success(), "{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signing_clients_are_importable() {
        run(Command::new(python()).args(["-c", "import botocore, requests, http_message_signatures"]));
    }
}
