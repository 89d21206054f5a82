//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub mod operators;
pub mod registry;

use operators::{AuditCommand, FactorCommand, LoginArguments, OperatorCommand, TokenCommand};
use registry::{AgencyCommand, ApplicationCommand, ContactCommand, NoticeCommand, ServiceCommand, SystemCommand};

const FIRST_STEPS: &str = "\
First steps, with the token that `lgsp-controlplane` printed at its first start in the file `operator.token`:
  export LGSPCTL_TOKEN_FILE=operator.token
  lgspctl validate -f resources/
  lgspctl apply -f resources/ -m \"the first agencies\"
  lgspctl system approve mot-cua --letter 12/STTTT -m \"fit to connect\"
  lgspctl credential issue mot-cua --save mot-cua.key
  lgspctl nodes";

/// The heading of what every command takes.
const EVERYWHERE: &str = "Options of every command";

/// Administers an LGSP platform: applies resources, issues credentials, looks at revisions and nodes.
///
/// Exit codes: 0 done; 1 there are differences (diff), or it is refused (explain); 2 wrong usage; 3 refused, or not valid; 4 conflict;
/// 5 unreachable, a file cannot be read or written, or a revision is made and not every node serves it in time.
#[derive(Debug, Parser)]
#[command(name = "lgspctl", version, max_term_width = 100, after_help = FIRST_STEPS)]
pub struct Arguments {
    #[command(flatten)]
    pub connection: Connection,
    /// How results are written.
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    #[arg(help_heading = EVERYWHERE)]
    pub output: Format,
    #[command(subcommand)]
    pub command: Command,
}

/// Where the server is and who asks.
#[derive(Debug, Clone, Args)]
pub struct Connection {
    /// Where the control plane listens.
    #[arg(long, global = true, env = "LGSPCTL_SERVER", default_value = "http://127.0.0.1:8090", value_name = "URL")]
    #[arg(help_heading = EVERYWHERE)]
    pub server: String,
    /// A file that holds the operator token; without it `LGSPCTL_TOKEN` is used, and then the session that `login` began.
    #[arg(long, global = true, env = "LGSPCTL_TOKEN_FILE", value_name = "FILE", help_heading = EVERYWHERE)]
    pub token_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For people, with every column.
    Wide,
    /// Only names, one a line, such as `Route/ho-tich`.
    Name,
    /// For programs.
    Json,
    /// As documents are written.
    Yaml,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Add or replace the resources in files; nothing is removed without --delete or --prune.
    Apply(ApplyArguments),
    /// Remove resources.
    Delete(DeleteArguments),
    /// Show what `apply` would change: exit code 0 for nothing, 1 for differences.
    Diff(DiffArguments),
    /// Check files by themselves, without a server. They must hold everything they refer to.
    Validate(FilesArguments),
    /// Show resources: all, a kind, or one.
    Get(GetArguments),
    /// Show one resource, what it refers to, and what refers to it.
    Describe(DescribeArguments),
    /// List revisions, newest first.
    History(HistoryArguments),
    /// Show what a revision changed.
    Show(ShowArguments),
    /// Make a new revision with the content of an old one. Credentials stay as they are now.
    Rollback(RollbackArguments),
    /// Issue, rotate, disable and list credentials.
    #[command(subcommand)]
    Credential(CredentialCommand),
    /// Say why a request was, or would be, refused: the steps of the decision, each with what it was told from.
    Explain(ExplainArguments),
    /// Seal every secret anew under the first key of the control plane's key file, as a new revision.
    Reseal(ResealArguments),
    /// Agencies: search, import, history; rename, split, merge and dissolve.
    #[command(subcommand)]
    Agency(AgencyCommand),
    /// Applications for connection: submit, review, approve or refuse, cancel.
    #[command(subcommand)]
    Application(ApplicationCommand),
    /// Systems: search; whether they may have keys; end a connection.
    #[command(subcommand)]
    System(SystemCommand),
    /// Services: search.
    #[command(subcommand)]
    Service(ServiceCommand),
    /// The people of agencies, systems and services.
    #[command(subcommand)]
    Contact(ContactCommand),
    /// Maintenance notices to agencies.
    #[command(subcommand)]
    Notice(NoticeCommand),
    /// Show which revision each node serves, and which key-encryption keys it holds.
    Nodes,
    /// Publish the current revision again: when its first publication was refused because it has to be permitted.
    Publish(PublishArguments),
    /// Begin a session, with a password or through the identity provider.
    Login(LoginArguments),
    /// End the session.
    Logout,
    /// Show who you are to the control plane, and what you may do.
    Whoami,
    /// Change your password.
    Password,
    /// Enrol or remove your second factor.
    #[command(subcommand)]
    Factor(FactorCommand),
    /// Add operators, grant and revoke their roles.
    #[command(subcommand)]
    Operator(OperatorCommand),
    /// Make, list and revoke tokens for programs.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Read and verify who attempted what.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Print a ready signed curl command for one request through the platform.
    Sign(SignArguments),
    /// Print the version.
    Version,
    /// Print the script that completes commands in a shell: `source <(lgspctl completion bash)`.
    Completion {
        /// The shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Write a manual page for each command into a directory.
    Man {
        /// The directory; it is made when it is missing.
        directory: PathBuf,
    },
}

#[derive(Debug, Args)]
pub struct FilesArguments {
    /// A file or a directory of files (.yaml, .yml, .json); `-` reads standard input. May be repeated.
    #[arg(short, long = "file", required = true, value_name = "PATH")]
    pub files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ChangeArguments {
    /// Why, for the history.
    #[arg(short, long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    pub message: String,
    /// The revision the change was made against; when another is current meanwhile, nothing is changed.
    #[arg(long, value_name = "REVISION")]
    pub base: Option<u64>,
    /// Only show what would happen.
    #[arg(long)]
    pub dry_run: bool,
    /// Allow the change to remove more than half of all documents, which is otherwise taken for a mistake.
    #[arg(long)]
    pub allow_large_removal: bool,
    /// Wait until every node that reports serves the new revision, at most so many seconds. `delete`, and `apply` with
    /// `--prune` or `--delete`, wait without it.
    #[arg(long, num_args = 0..=1, default_missing_value = "30", value_name = "SECONDS")]
    #[arg(conflicts_with_all = ["no_wait", "timeout"])]
    pub wait: Option<u64>,
    #[command(flatten)]
    pub waiting: WaitArguments,
}

/// Of every command that takes something away: it ends when every node that reports refuses that.
#[derive(Debug, Clone, Copy, Args)]
pub struct WaitArguments {
    /// End when the revision is made, before nodes serve it.
    #[arg(long)]
    pub no_wait: bool,
    /// How long to wait until every node that reports serves the revision, in seconds; after that the exit code is 5.
    #[arg(long, default_value_t = 30, value_name = "SECONDS", conflicts_with = "no_wait")]
    pub timeout: u64,
}

#[derive(Debug, Args)]
pub struct ApplyArguments {
    #[command(flatten)]
    pub files: FilesArguments,
    /// Also remove this `Kind/name`. May be repeated.
    #[arg(long, value_name = "KIND/NAME")]
    pub delete: Vec<String>,
    /// Also remove every resource the files do not hold. Credentials stay: they are issued, not written in files.
    #[arg(long)]
    pub prune: bool,
    #[command(flatten)]
    pub change: ChangeArguments,
}

#[derive(Debug, Args)]
pub struct DiffArguments {
    #[command(flatten)]
    pub files: FilesArguments,
    /// Also show what the server has and the files do not, as `apply --prune` would remove it. Credentials are left out.
    #[arg(long)]
    pub prune: bool,
}

#[derive(Debug, Args)]
pub struct DeleteArguments {
    /// What to remove: `Route/a Route/b`, or `route a b`.
    #[arg(required_unless_present = "files", value_name = "KIND/NAME")]
    pub keys: Vec<String>,
    /// Also remove every resource that a file or a directory of files names; `-` reads standard input. May be repeated.
    #[arg(short, long = "file", value_name = "PATH")]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub change: ChangeArguments,
}

#[derive(Debug, Args)]
pub struct GetArguments {
    /// A kind, such as `routes`, or one resource, such as `Route/ho-tich` or `route ho-tich`; all when absent.
    #[arg(value_name = "KIND[/NAME]", num_args = 0..=2)]
    pub what: Vec<String>,
    /// As it was in this revision.
    #[arg(long, value_name = "REVISION")]
    pub revision: Option<u64>,
}

#[derive(Debug, Args)]
pub struct DescribeArguments {
    /// The resource, such as `Route/ho-tich` or `route ho-tich`.
    #[arg(value_name = "KIND/NAME", num_args = 1..=2, required = true)]
    pub what: Vec<String>,
}

#[derive(Debug, Args)]
pub struct HistoryArguments {
    /// At most so many.
    #[arg(long, default_value_t = 20, value_name = "COUNT")]
    pub limit: u32,
    /// Only revisions before this one.
    #[arg(long, value_name = "REVISION")]
    pub before: Option<u64>,
}

#[derive(Debug, Args)]
pub struct ShowArguments {
    /// The revision.
    pub revision: u64,
}

#[derive(Debug, Args)]
pub struct RollbackArguments {
    /// The revision whose content comes back.
    pub revision: u64,
    /// Why, for the history.
    #[arg(short, long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    pub message: String,
    /// Also bring credentials back as they were: keys issued since are gone, keys disabled since work again.
    #[arg(long)]
    pub restore_credentials: bool,
    /// Only show what would happen.
    #[arg(long)]
    pub dry_run: bool,
    /// Allow the change to remove more than half of all documents, which is otherwise taken for a mistake.
    #[arg(long)]
    pub allow_large_removal: bool,
    #[command(flatten)]
    pub waiting: WaitArguments,
}

#[derive(Debug, Subcommand)]
pub enum CredentialCommand {
    /// Make a credential for a system. The secret key is shown once.
    Issue {
        /// The system.
        system: String,
        /// The credential's name; `<system>-<number>` when absent.
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        #[command(flatten)]
        made: MadeArguments,
    },
    /// Make a successor; the old credential stays valid until the overlap ends. The secret key is shown once.
    Rotate {
        /// The old credential.
        name: String,
        /// How long the old one stays valid, such as `24h`, `90m` or `0s`.
        #[arg(long, default_value = "24h", value_parser = parse_duration_secs, value_name = "DURATION")]
        overlap: u32,
        #[command(flatten)]
        made: MadeArguments,
        #[command(flatten)]
        waiting: WaitArguments,
    },
    /// Refuse a credential from now on; ends when every node that reports refuses it.
    Disable {
        /// The credential.
        name: String,
        /// Why, for the history.
        #[arg(short, long, default_value = "", hide_default_value = true, value_name = "TEXT")]
        message: String,
        #[command(flatten)]
        waiting: WaitArguments,
    },
    /// List credentials, without secrets.
    List {
        /// Only those of this system.
        #[arg(long, value_name = "NAME")]
        system: Option<String>,
    },
}

#[derive(Debug, Args)]
pub struct MadeArguments {
    /// Also write both keys to this file (mode 0600), as shell variables.
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Why, for the history.
    #[arg(short, long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    pub message: String,
}

/// Asks every node that reports, through the control plane; with --node, one node alone.
///
/// The first step marked NO is the answer; those after it tell what else is in the way. `--` is taken to be right.
/// Exit codes: 0 it would pass; 1 it was or would be refused, on at least one node; more: it could not be found out.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["request_id", "system", "access_key"]))]
pub struct ExplainArguments {
    /// A request that was refused in the last 15 minutes: the `request_id` of its refusal.
    #[arg(long, value_name = "ID", conflicts_with_all = ["method", "path", "host", "service"])]
    pub request_id: Option<String>,
    /// A system that would ask, with the best of its credentials.
    #[arg(long = "as", value_name = "SYSTEM", requires = "path")]
    pub system: Option<String>,
    /// A credential that would ask, in place of the system.
    #[arg(long, value_name = "ACCESS_KEY", requires = "path")]
    pub access_key: Option<String>,
    /// The method.
    #[arg(long, default_value = "GET")]
    pub method: String,
    /// The path as it would be sent, without a query.
    #[arg(long)]
    pub path: Option<String>,
    /// The host it would be sent to; without it only routes for any host take it.
    #[arg(long)]
    pub host: Option<String>,
    /// The service it is meant for, to be told the routes that lead there.
    #[arg(long)]
    pub service: Option<String>,
    /// Ask one node and no control plane, on its own machine and as its user: the Unix socket of its admin listener, such as
    /// `/var/lib/lgsp-dataplane/admin.sock`.
    #[arg(long, value_name = "SOCKET")]
    pub node: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ResealArguments {
    /// Also while a node does not hold the key: it goes on with the secrets it has, and reports what it cannot open.
    #[arg(long)]
    pub force: bool,
    /// Why, for the history.
    #[arg(short, long, default_value = "")]
    pub message: String,
}

#[derive(Debug, Args)]
pub struct PublishArguments {
    /// Take the place of what another database, or a later time of this one, has published: after a restore from a backup.
    /// The current content becomes a revision of a higher number.
    #[arg(long)]
    pub allow_older: bool,
    /// Tell nodes that removing a large part is meant: for nodes that missed the revision which did it.
    #[arg(long)]
    pub allow_large_removal: bool,
}

#[derive(Debug, Args)]
pub struct SignArguments {
    /// The method, such as `GET`.
    pub method: String,
    /// The whole URL, such as `http://127.0.0.1:8080/ho-tich/khai-sinh?nam=2026`.
    pub url: String,
    /// The file `credential issue --save` wrote; without it `LGSP_ACCESS_KEY` and `LGSP_SECRET_KEY` are used.
    #[arg(long = "as", value_name = "CREDENTIAL_FILE", conflicts_with = "access_key")]
    pub credential_file: Option<PathBuf>,
    /// The access key, in place of `--as`.
    #[arg(long, value_name = "KEY", requires = "secret_file")]
    pub access_key: Option<String>,
    /// A file that holds the secret key of `--access-key`.
    #[arg(long, value_name = "FILE", requires = "access_key")]
    pub secret_file: Option<PathBuf>,
    /// The file whose content is the body; its digest is signed.
    #[arg(long, visible_alias = "body-file", value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// How to sign.
    #[arg(long, value_enum, default_value_t = Scheme::Rfc9421)]
    pub scheme: Scheme,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scheme {
    /// HTTP Message Signatures; good once.
    Rfc9421,
    /// AWS Signature Version 4.
    Sigv4,
}

/// Reads `24h`, `90m`, `30s` or `7d` as seconds.
fn parse_duration_secs(text: &str) -> Result<u32, String> {
    let wrong = || format!("`{text}` is not a duration; write `24h`, `90m`, `30s` or `7d`");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let secs: u32 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let count: u32 = text.strip_suffix(unit).and_then(|count| count.parse().ok()).ok_or_else(wrong)?;
    count.checked_mul(secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_commands_are_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn durations_are_read_with_their_unit() {
        assert_eq!(parse_duration_secs("24h"), Ok(86_400));
        assert_eq!(parse_duration_secs("0s"), Ok(0));
        for bad in ["", "h", "5", "-1h", "1.5h", "5000000000s", "99999999d", "1ạ"] {
            assert!(parse_duration_secs(bad).is_err(), "{bad}");
        }
    }
}
