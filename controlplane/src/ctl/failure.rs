//! How a command ends when it does not end well: what happened, the details, and what to do next.

use std::fmt;
use std::process::ExitCode;

/// The documented exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// There are differences.
    Differences,
    /// Wrong usage.
    Usage,
    /// Refused, or not valid.
    Refused,
    /// Somebody was faster.
    Conflict,
    /// The server or a file cannot be reached, or a revision is not everywhere in time.
    Unreachable,
}

impl Exit {
    /// The code as the shell sees it.
    pub fn number(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Differences => 1,
            Exit::Usage => 2,
            Exit::Refused => 3,
            Exit::Conflict => 4,
            Exit::Unreachable => 5,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.number())
    }
}

/// What is written to standard error, and the exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What happened.
    pub message: String,
    /// One line each.
    pub details: Vec<String>,
    /// What to do next.
    pub hint: Option<String>,
    /// The code of the problem the server answered; empty for others.
    pub code: String,
}

impl Failure {
    /// A failure with its hint.
    pub fn new(exit: Exit, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { exit, message: message.into(), details: Vec::new(), hint: Some(hint.into()), code: String::new() }
    }

    /// The same for programs: what `-o json` writes to standard error as its last line.
    pub fn to_json(&self) -> serde_json::Value {
        let Self { exit, message, details, hint, code } = self;
        let code = (!code.is_empty()).then_some(code);
        serde_json::json!({
            "error": message, "details": details, "hint": hint, "code": code, "exit_code": exit.number(),
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error: {}", self.message)?;
        for detail in &self.details {
            writeln!(f, "  {detail}")?;
        }
        match &self.hint {
            Some(hint) => writeln!(f, "hint: {hint}"),
            None => Ok(()),
        }
    }
}
