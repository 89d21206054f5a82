//! Questions to the person at the terminal. Without a terminal, the answers are lines of standard input.

use std::io::{BufRead, IsTerminal, Write};
use std::process::{Command, Stdio};

use super::failure::{Exit, Failure};

/// Asks for something that may be seen.
pub fn line(question: &str) -> Result<String, Failure> {
    if std::io::stdin().is_terminal() {
        eprint!("{question}: ");
        // What cannot be shown was not needed: the answer is read all the same.
        let _ = std::io::stderr().flush();
    }
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    match read {
        Ok(1..) => Ok(answer.trim_end_matches(['\n', '\r']).to_owned()),
        Ok(0) => {
            Err(Failure::new(Exit::Usage, format!("{question}: there is no answer"), "Write it to standard input."))
        }
        Err(error) => Err(Failure::new(Exit::Usage, format!("{question}: {error}"), "Write it to standard input.")),
    }
}

/// Asks for something that must not be seen.
pub fn secret(question: &str) -> Result<String, Failure> {
    if !std::io::stdin().is_terminal() {
        return line(question);
    }
    let hidden = stty("-echo");
    let answer = line(question);
    if hidden {
        stty("echo");
        eprintln!();
    }
    answer
}

/// Asks twice for something new that must not be seen; once where nobody can mistype it.
pub fn new_secret(question: &str) -> Result<String, Failure> {
    let one = secret(question)?;
    if std::io::stdin().is_terminal() && secret(&format!("{question}, again"))? != one {
        return Err(Failure::new(Exit::Usage, "the two are not the same", "Try again."));
    }
    Ok(one)
}

fn stty(mode: &str) -> bool {
    let mut command = Command::new("stty");
    command.arg(mode).stdin(Stdio::inherit()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
