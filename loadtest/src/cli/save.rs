//! Results go to a directory: `run.json`, `report.html`, and to standard output as text.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;

use crate::record::{Outcomes, Record};
use crate::report;

/// Where results go that nobody has named a place for.
const DEFAULT_PARENT: &str = ".local/loadtest";

/// The directory, made if it is not there.
pub(super) fn directory(out: Option<&Path>, scenario: &str) -> anyhow::Result<PathBuf> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let path = out.map_or_else(|| Path::new(DEFAULT_PARENT).join(format!("{scenario}-{seconds}")), Path::to_owned);
    std::fs::create_dir_all(&path)
        .with_context(|| format!("making the directory `{}`; choose another `--out`", path.display()))?;
    Ok(path)
}

/// Writes everything; `stem` names the record, such as `run` or `run-2`.
pub(super) fn save(outcomes: &Outcomes, directory: &Path, stem: &str) -> anyhow::Result<()> {
    Record::of(outcomes).save(&directory.join(stem).with_extension("json"))?;
    let name = stem.replace("run", "report");
    write(&directory.join(name).with_extension("html"), &report::html(outcomes))
}

/// Writes a file.
pub(super) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("writing `{}`", path.display()))
}

/// Prints the report and where the files are.
pub(super) fn print(outcomes: &Outcomes, directory: &Path) {
    print!("{}", report::text(outcomes));
    println!("\nresults in {}", directory.display());
}
