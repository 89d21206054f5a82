//! The first operator's token: made at the first start or on demand, kept as a hash, and given to its owner this once.
//!
//! Where it will go is made sure before it is made, because afterwards nobody can read it again. It never expires, so that
//! it goes to a file of mode 600 or to a terminal, and into no journal.

use std::io::IsTerminal as _;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context, bail};
use lgsp_process::secret_file::NewSecretFile;

use super::now;
use crate::audit::Trail;
use crate::operator::bearer::Terms;
use crate::operator::{BearerKind, FIRST_OPERATOR, FIRST_ROLES};
use crate::store::Store;

const AGAIN: &str = "make another with `lgsp-controlplane new-token --config FILE --token-file FILE`";

/// Where the token goes.
enum Place<'a> {
    File(NewSecretFile, &'a Path),
    Stdout,
}

/// Makes the token when there is no operator yet.
pub async fn at_first_start(store: &Store, file: Option<&Path>) -> anyhow::Result<()> {
    if !store.operators(None, "").await?.is_empty() {
        if let Some(path) = file.filter(|path| !path.exists()) {
            let file = path.display();
            tracing::warn!(%file, "no token is written, because there are operators already; if it was lost, {AGAIN}");
        }
        return Ok(());
    }
    let place = match file {
        Some(path) => in_file(path)?,
        None if std::io::stdout().is_terminal() => Place::Stdout,
        None => bail!(
            "the first start makes an operator token, which must not end in a log: give `--token-file FILE`, or start \
             it in a terminal this once"
        ),
    };
    make(store, true, "first start", place).await
}

/// Makes another token for the first operator; the one before is worth nothing from now on.
pub async fn again(store: &Store, file: Option<&Path>) -> anyhow::Result<()> {
    let place = file.map_or(Ok(Place::Stdout), in_file)?;
    make(store, false, "new-token", place).await
}

fn in_file(path: &Path) -> anyhow::Result<Place<'_>> {
    let new = NewSecretFile::make(path);
    let new = new.with_context(|| format!("cannot write the operator token to `{}`; none was made", path.display()))?;
    Ok(Place::File(new, path))
}

/// Draws the token and keeps its hash: in place of the one before, or only when there is no operator yet.
async fn make(store: &Store, unless_any: bool, action: &str, place: Place<'_>) -> anyhow::Result<()> {
    let terms = Terms {
        kind: BearerKind::First,
        operator: FIRST_OPERATOR.parse()?,
        title: String::new(),
        roles: None,
        agency: None,
        expires_at: None,
        idle_secs: None,
    };
    let (token, row) = terms.draw(now()).context("the operating system gives no random bytes")?;
    let local = Ipv4Addr::LOCALHOST.into();
    let trail = Trail::new(now(), local, format!("lgsp-controlplane {action}"), format!("operator {FIRST_OPERATOR}"));
    if store.put_first_bearer(&row, &FIRST_ROLES.into(), unless_any, &trail).await? {
        show(&token, place)?;
    }
    Ok(())
}

/// Shows the token this once.
#[allow(clippy::print_stdout, reason = "the token is for the operator who starts the program, not for a log")]
fn show(token: &str, place: Place<'_>) -> anyhow::Result<()> {
    match place {
        Place::File(new, path) => new.keep(token).with_context(|| {
            format!("cannot write the operator token to `{}`, and it is lost; {AGAIN}", path.display())
        }),
        Place::Stdout => {
            println!("operator token (shown once, keep it): {token}");
            Ok(())
        }
    }
}
