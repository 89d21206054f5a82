//! What can be typed about the registry: agencies, applications, systems, services, contacts, notices.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use lgsp_shared::timestamp::UnixSeconds;

use super::{WaitArguments, parse_duration_secs};

#[derive(Debug, Subcommand)]
pub enum AgencyCommand {
    /// Search the directory without regard to accents and case: `agency search so tu phap`.
    Search(SearchArguments),
    /// Show the agency with a code; an old code leads to its successors.
    Show {
        /// The identification code, such as `000.00.12.H61` or `H61.12`.
        code: String,
    },
    /// Add an agency to the directory, or correct its name there.
    Add {
        /// The identification code.
        code: String,
        /// The full name.
        title: String,
    },
    /// Take a large directory from a CSV file. Good lines are taken, every bad line is named.
    ///
    /// The first line names the columns: `code` (or `mã`) and `title` (or `tên`); others are ignored. Columns are
    /// separated by `,`, `;` or tabs. Importing the same file again changes nothing.
    Import(ImportArguments),
    /// Show what became of a code and what it came from, however long ago.
    History {
        /// Any code, current or former.
        code: String,
    },
    /// Give an agency another code, another name, or both.
    Rename {
        /// The code it has.
        code: String,
        /// The code it gets; as it is when absent.
        #[arg(long, value_name = "CODE")]
        to: Option<String>,
        /// The name it gets.
        #[arg(long)]
        title: String,
        #[command(flatten)]
        on: ReorganiseArguments,
    },
    /// Make several agencies out of one; every system is told where it goes.
    Split {
        /// The agency that is split.
        code: String,
        /// A successor, as `CODE=NAME`. One of them may keep the code. May be repeated.
        #[arg(long, required = true, value_name = "CODE=NAME")]
        into: Vec<String>,
        /// Where a system goes, as `SYSTEM=CODE`. May be repeated.
        #[arg(long, value_name = "SYSTEM=CODE")]
        system: Vec<String>,
        #[command(flatten)]
        on: ReorganiseArguments,
    },
    /// Make one agency out of several, with all their systems.
    Merge {
        /// The agencies that are merged.
        #[arg(required = true)]
        codes: Vec<String>,
        /// What they become, as `CODE=NAME`: a new agency, an existing one, or one of them.
        #[arg(long, value_name = "CODE=NAME")]
        into: String,
        #[command(flatten)]
        on: ReorganiseArguments,
    },
    /// End an agency without a successor: its keys are disabled, its permissions withdrawn.
    Dissolve {
        /// The agency.
        code: String,
        #[command(flatten)]
        on: ReorganiseArguments,
    },
    /// List reorganisations, scheduled and done, newest first.
    Reorganisations {
        /// At most so many.
        #[arg(long, default_value_t = 20)]
        limit: u32,
    },
    /// Call a scheduled or held reorganisation off.
    CancelReorganisation {
        /// Its number.
        number: u64,
    },
    /// Schedule a reorganisation in your own name that is held because its author may no longer do it.
    ResumeReorganisation {
        /// Its number.
        number: u64,
    },
}

#[derive(Debug, Args)]
pub struct SearchArguments {
    /// Words of the name or parts of the code; every word has to be there.
    pub words: Vec<String>,
    /// At most so many.
    #[arg(long, default_value_t = 20)]
    pub limit: u32,
    /// Go on behind the page before: the text it ended with.
    #[arg(long)]
    pub after: Option<String>,
    /// Also those that ceased to be.
    #[arg(long)]
    pub ended: bool,
}

#[derive(Debug, Args)]
pub struct ImportArguments {
    /// The file; `-` reads standard input.
    pub file: PathBuf,
    /// Only check the lines; nothing is sent.
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct ReorganiseArguments {
    /// From when on, such as `2027-01-01` (midnight in Vietnam) or `2027-01-01T08:00:00+07:00`; at once when absent.
    #[arg(long, value_name = "DATE", value_parser = parse_instant)]
    pub effective: Option<String>,
    /// Until when the old code still leads to the new one; 180 days from then on when absent.
    #[arg(long, value_name = "DATE", value_parser = parse_instant)]
    pub alias_until: Option<String>,
    #[command(flatten)]
    pub decided: DecidedArguments,
    #[command(flatten)]
    pub waiting: WaitArguments,
}

#[derive(Debug, Subcommand)]
pub enum ApplicationCommand {
    /// Hand in an application for connection, written as in config/examples/application.yaml.
    Submit {
        /// The file (YAML or JSON); `-` reads standard input.
        #[arg(short, long)]
        file: PathBuf,
    },
    /// List applications, newest first.
    List {
        /// Only in this state: submitted, reviewing, approved, refused, withdrawn or cancelled.
        #[arg(long)]
        state: Option<String>,
        /// Only of the agency with this code.
        #[arg(long, value_name = "CODE")]
        agency: Option<String>,
        /// Only for this system.
        #[arg(long, value_name = "NAME")]
        system: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Show an application with its contacts and who did what to it, when.
    Show {
        /// Its number.
        number: u64,
    },
    /// Start examining an application; only then can it be approved or refused.
    Review {
        /// Its number.
        number: u64,
    },
    /// Approve an application: its system and permissions are made at once, and keys may be issued.
    Approve {
        /// Its number.
        number: u64,
        #[command(flatten)]
        decided: DecidedArguments,
        /// Also issue the first credential; the secret key is shown once. Needs the right to issue keys.
        #[arg(long)]
        issue: bool,
        /// Write both keys of the credential to this file (mode 0600), as shell variables.
        #[arg(long, value_name = "FILE", requires = "issue", conflicts_with = "dry_run")]
        save: Option<PathBuf>,
    },
    /// Refuse an application.
    Refuse {
        /// Its number.
        number: u64,
        #[command(flatten)]
        decided: DecidedArguments,
    },
    /// Take an open application back; of an approved one, end the connection: its keys are refused from now on, and the
    /// command ends when every node that reports refuses them.
    Cancel {
        /// Its number.
        number: u64,
        #[command(flatten)]
        decided: DecidedArguments,
        #[command(flatten)]
        waiting: WaitArguments,
    },
}

#[derive(Debug, Args)]
pub struct DecidedArguments {
    /// The number of the official letter, such as `12/STTTT-CNTT` or `45/QĐ-UBND`.
    #[arg(long)]
    pub letter: String,
    /// Why, for the agency and the history.
    #[arg(short = 'm', long)]
    pub reason: String,
    /// Only show what would happen, with everything it touches.
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub enum SystemCommand {
    /// Search systems without regard to accents and case.
    Search(ParticipantArguments),
    /// Show whether a system may have keys, and on whose word.
    Approval {
        /// The system.
        system: String,
    },
    /// Allow keys for a system whose document was applied, without an application.
    Approve {
        /// The system.
        system: String,
        #[command(flatten)]
        decided: DecidedArguments,
    },
    /// End a system's connection at once: keys are disabled, permissions from it and to its services withdrawn. Ends when
    /// every node that reports refuses them.
    Cancel {
        /// The system.
        system: String,
        #[command(flatten)]
        decided: DecidedArguments,
        #[command(flatten)]
        waiting: WaitArguments,
    },
}

#[derive(Debug, Subcommand)]
pub enum ServiceCommand {
    /// Search services without regard to accents and case.
    Search(ParticipantArguments),
}

#[derive(Debug, Args)]
pub struct ParticipantArguments {
    /// Words of name or title; every word has to be there.
    pub words: Vec<String>,
    /// At most so many.
    #[arg(long, default_value_t = 20)]
    pub limit: u32,
    /// Go on behind this name.
    #[arg(long)]
    pub after: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum ContactCommand {
    /// List the people of an agency (`Agency/CODE`), a system or a service (`System/NAME`, `Service/NAME`).
    List {
        /// Whose.
        #[arg(value_name = "KIND/NAME")]
        subject: String,
    },
    /// Add somebody at the end of the list.
    Add {
        /// Whose contact it is.
        #[arg(value_name = "KIND/NAME")]
        subject: String,
        /// The person's name.
        #[arg(long)]
        name: String,
        /// What for, such as `kỹ thuật` or `đầu mối`.
        #[arg(long)]
        role: String,
        /// The mail address.
        #[arg(long, default_value = "")]
        email: String,
        /// The telephone number.
        #[arg(long, default_value = "")]
        phone: String,
    },
    /// Take somebody off the list.
    Remove {
        /// Whose contact it is.
        #[arg(value_name = "KIND/NAME")]
        subject: String,
        /// The person's name, as listed.
        #[arg(long)]
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum NoticeCommand {
    /// Announce maintenance ahead of time, to all agencies or to one.
    Add {
        /// The document of the agency it is for, such as `so-tu-phap`; for all agencies when absent.
        #[arg(long, value_name = "NAME")]
        agency: Option<String>,
        /// When the work starts, such as `2026-12-05T22:00:00+07:00`.
        #[arg(long, value_name = "TIME", value_parser = parse_instant)]
        from: String,
        /// When it ends; or say how long it takes.
        #[arg(long, value_name = "TIME", value_parser = parse_instant, required_unless_present = "lasting")]
        until: Option<String>,
        /// How long it takes, such as `2h`.
        #[arg(long, value_name = "DURATION", value_parser = parse_duration_secs, conflicts_with = "until")]
        lasting: Option<u32>,
        /// The text in Vietnamese: what is done, and what does not work meanwhile.
        #[arg(long)]
        text: String,
        /// The text in English.
        #[arg(long, default_value = "")]
        text_en: String,
    },
    /// List what is ahead and underway: for your agency and for all of them.
    List {
        /// Also what is over.
        #[arg(long)]
        all: bool,
    },
    /// Call announced maintenance off; the notice stays, marked as cancelled.
    Cancel {
        /// Its number.
        number: u64,
    },
}

/// Reads a day (midnight in Vietnam) or an instant, and writes it as RFC 3339.
pub(super) fn parse_instant(text: &str) -> Result<String, String> {
    let instant = if text.contains('T') { text.to_owned() } else { format!("{text}T00:00:00+07:00") };
    UnixSeconds::parse(&instant).map(|instant| instant.to_string()).map_err(|_| {
        format!("`{text}` is neither a day such as `2027-01-01` nor a time such as `2027-01-01T08:00:00+07:00`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_in_vietnam() {
        assert_eq!(parse_instant("2027-01-01").unwrap(), "2026-12-31T17:00:00Z");
        assert_eq!(parse_instant("2027-01-01T08:00:00+07:00").unwrap(), "2027-01-01T01:00:00Z");
        for bad in ["", "01/01/2027", "2027-13-01", "tomorrow"] {
            assert!(parse_instant(bad).is_err(), "{bad}");
        }
    }
}
