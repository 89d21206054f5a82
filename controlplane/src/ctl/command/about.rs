//! `version`, `completion` and `man`: what the command line says about itself.

use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;
use serde_json::json;

use crate::ctl::arguments::Arguments;
use crate::ctl::failure::{Exit, Failure};
use crate::ctl::output::{Output, note};

pub fn version(output: &Output) -> Result<Exit, Failure> {
    let version = env!("CARGO_PKG_VERSION");
    output.write(&json!({"lgspctl": version}), || format!("lgspctl {version}\n"))?;
    Ok(Exit::Done)
}

/// Writes the script that a shell reads to complete commands.
pub fn completion(output: &Output, shell: Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "lgspctl", &mut script);
    output.write_text(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

/// Writes a manual page for each command into a directory.
pub fn man(directory: &Path) -> Result<Exit, Failure> {
    let written =
        std::fs::create_dir_all(directory).and_then(|()| clap_mangen::generate_to(Arguments::command(), directory));
    written.map_err(|error| {
        let message = format!("cannot write manual pages to `{}`: {error}", directory.display());
        Failure::new(Exit::Unreachable, message, "Give a directory that can be written to.")
    })?;
    note(&format!("manual pages are in `{0}`: `man -l {0}/lgspctl.1`", directory.display()));
    Ok(Exit::Done)
}
