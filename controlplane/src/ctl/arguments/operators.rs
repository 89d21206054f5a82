//! What can be typed about operators, sessions, tokens and the audit.

use clap::{Args, Subcommand};

use super::parse_duration_secs;
use super::registry::parse_instant;
use crate::operator::Role;

/// The roles there are: a misspelt one is refused with all of them.
fn roles() -> clap::builder::PossibleValuesParser {
    clap::builder::PossibleValuesParser::new(Role::ALL.map(Role::label))
}

#[derive(Debug, Args)]
pub struct LoginArguments {
    /// The operator's name.
    #[arg(required_unless_present = "oidc")]
    pub name: Option<String>,
    /// Six digits of the second factor, or a recovery code; asked for when it is needed.
    #[arg(long)]
    pub code: Option<String>,
    /// Log in with the identity provider that the control plane is set up for.
    #[arg(long, conflicts_with_all = ["name", "code"])]
    pub oidc: bool,
    /// With `--oidc`, where no browser reaches this machine: open the address in a browser anywhere, and paste the address
    /// of the page that it ends at, which shows nothing.
    #[arg(long, requires = "oidc")]
    pub paste: bool,
}

#[derive(Debug, Subcommand)]
pub enum FactorCommand {
    /// Draw the key of a second factor, and confirm it with a code of it.
    Enrol,
    /// Take the second factor away.
    Remove {
        /// Six digits, or a recovery code.
        code: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum OperatorCommand {
    /// Add an operator. The password is shown once, and has to be changed at the first login.
    Add {
        /// The name.
        name: String,
        /// A role, such as `service-administrator`. May be repeated.
        #[arg(long = "role", value_name = "ROLE", value_parser = roles())]
        roles: Vec<String>,
        /// The agency beyond which nothing is seen or done.
        #[arg(long)]
        agency: Option<String>,
        /// What the identity provider calls this operator, for `lgspctl login --oidc`.
        #[arg(long)]
        identity: Option<String>,
        /// No login with a password.
        #[arg(long)]
        without_password: bool,
    },
    /// List operators.
    List,
    /// Add roles.
    Grant {
        /// The operator.
        name: String,
        /// The roles.
        #[arg(required = true, value_parser = roles())]
        roles: Vec<String>,
    },
    /// Take roles away.
    Revoke {
        /// The operator.
        name: String,
        /// The roles.
        #[arg(required = true, value_parser = roles())]
        roles: Vec<String>,
    },
    /// End every session and token of an operator, and let none begin.
    Disable {
        /// The operator.
        name: String,
    },
    /// Let an operator that was disabled log in again.
    Enable {
        /// The operator.
        name: String,
    },
    /// Give an operator a new password, to be changed at the next login; all sessions and tokens end.
    ResetPassword {
        /// The operator.
        name: String,
        /// Take the second factor away too.
        #[arg(long)]
        second_factor: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token for a program. It is shown once.
    Issue {
        /// What to call it.
        title: String,
        /// One of your roles; all of them when none is named. May be repeated.
        #[arg(long = "role", value_name = "ROLE", value_parser = roles())]
        roles: Vec<String>,
        /// An agency beyond which it is worth nothing.
        #[arg(long)]
        agency: Option<String>,
        /// How long it lasts, such as `90d`.
        #[arg(long, default_value = "90d", value_parser = parse_duration_secs)]
        expires: u32,
    },
    /// List your sessions and tokens.
    List {
        /// Those of everybody.
        #[arg(long)]
        all: bool,
    },
    /// End a session or token.
    Revoke {
        /// Its identifier in the list.
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// List what was attempted, newest first.
    List {
        /// At most so many.
        #[arg(long, default_value_t = 30)]
        limit: u32,
        /// Only before this number.
        #[arg(long)]
        before: Option<u64>,
        /// Only what this operator attempted.
        #[arg(long, value_name = "NAME")]
        operator: Option<String>,
        /// Only what was about something with this in its name, such as `Credential/mot-cua-1`.
        #[arg(long, value_name = "TEXT")]
        target: Option<String>,
        /// Only from then on, such as `2027-01-01` (midnight in Vietnam) or `2027-01-01T08:00:00+07:00`.
        #[arg(long, value_name = "TIME", value_parser = parse_instant)]
        since: Option<String>,
        /// Only before then.
        #[arg(long, value_name = "TIME", value_parser = parse_instant)]
        until: Option<String>,
    },
    /// Follow the chain from its beginning: finds entries that were changed, taken out, moved or cut off.
    Verify {
        /// A hash that an earlier `verify` printed: fails when the audit was cut off before it, or written anew.
        #[arg(long, value_name = "HASH")]
        head: Option<String>,
    },
}
