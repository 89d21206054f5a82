//! The tests' own Python: other people's signing clients, pinned, in a virtual environment made once per checkout.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::{installed, workspace_root};

const REQUIREMENTS: &str = include_str!("../requirements.txt");

/// The interpreter of an environment that holds botocore, requests and http-message-signatures. The first caller makes
/// it, in `.local/venv`, from the package index pip is configured for; others wait for it.
pub fn python() -> PathBuf {
    let local = workspace_root().join(".local");
    std::fs::create_dir_all(&local).expect("`.local` can be made");
    let lock = File::create(local.join("venv.lock")).expect("the lock file can be made");
    lock.lock().expect("the lock can be taken");
    let venv = local.join("venv");
    let made_from = venv.join("made-from.txt");
    if std::fs::read_to_string(&made_from).is_ok_and(|text| text == REQUIREMENTS) {
        return venv.join("bin/python");
    }
    make(&venv);
    std::fs::write(&made_from, REQUIREMENTS).expect("the environment is writable");
    venv.join("bin/python")
}

fn make(venv: &Path) {
    if venv.exists() {
        std::fs::remove_dir_all(venv).expect("an older environment can be removed");
    }
    run(Command::new(installed("python3")).args(["-m", "venv"]).arg(venv));
    let requirements = venv.join("requirements.txt");
    std::fs::write(&requirements, REQUIREMENTS).expect("the environment is writable");
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--requirement"];
    run(Command::new(venv.join("bin/python")).args(pip).arg(requirements));
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
