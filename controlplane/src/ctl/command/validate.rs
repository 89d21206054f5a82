//! `validate`: files by themselves, without a server.

use lgsp_shared::validate::{Problem, Report, validate as check};
use serde_json::json;

use crate::ctl::arguments::FilesArguments;
use crate::ctl::failure::{Exit, Failure};
use crate::ctl::files::{self, Sourced};
use crate::ctl::output::{Output, counted, note};

pub fn validate(output: &Output, arguments: &FilesArguments) -> Result<Exit, Failure> {
    let sourced = files::read(&arguments.files)?;
    let Report { problems, warnings } = check(&sourced.documents);
    for warning in &warnings {
        note(&format!("warning: {}", line(warning, &sourced)));
    }
    if !problems.is_empty() {
        let hint = "Correct them; for files that refer to what only the server has, use `lgspctl apply --dry-run`.";
        let failure = Failure::new(Exit::Refused, counted(count_of(&problems), "problem"), hint);
        return Err(Failure { details: problems.iter().map(|problem| line(problem, &sourced)).collect(), ..failure });
    }
    let count = count_of(&sourced.documents);
    let verb = if count == 1 { "is" } else { "are" };
    let people = || format!("{} {verb} valid\n", counted(count, "document"));
    output.write(&json!({"documents": count, "warnings": warnings}), people)?;
    Ok(Exit::Done)
}

fn count_of<T>(items: &[T]) -> u64 {
    u64::try_from(items.len()).unwrap_or(u64::MAX)
}

fn line(Problem { document, path, message }: &Problem, sourced: &Sourced) -> String {
    format!("{document}{}: {path}: {message}", sourced.place(document))
}
