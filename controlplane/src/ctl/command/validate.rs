//! `validate`: files by themselves, without a server.

use lgsp_shared::validate::{Problem, Report, validate as check};
use serde_json::json;

use crate::ctl::arguments::FilesArguments;
use crate::ctl::failure::{Exit, Failure};
use crate::ctl::files::{self, Sourced};
use crate::ctl::output::{Output, note};

pub fn validate(output: &Output, arguments: &FilesArguments) -> Result<Exit, Failure> {
    let sourced = files::read(&arguments.files)?;
    let Report { problems, warnings } = check(&sourced.documents);
    for warning in &warnings {
        note(&format!("warning: {}", line(warning, &sourced)));
    }
    if !problems.is_empty() {
        let hint = "Correct them; for files that refer to what only the server has, use `lgspctl apply --dry-run`.";
        let failure = Failure::new(Exit::Refused, format!("{} problems", problems.len()), hint);
        return Err(Failure { details: problems.iter().map(|problem| line(problem, &sourced)).collect(), ..failure });
    }
    let count = sourced.documents.len();
    output.write(&json!({"documents": count, "warnings": warnings}), || format!("{count} documents are valid\n"))?;
    Ok(Exit::Done)
}

fn line(Problem { document, path, message }: &Problem, sourced: &Sourced) -> String {
    format!("{document}{}: {path}: {message}", sourced.place(document))
}
