//! What the control plane keeps, in SQLite or PostgreSQL. The SQL is written once for both.
//!
//! # How to add a table and its queries
//!
//! 1. **Schema.** Write `migrations/000N_name.sql` once and add it to `STEPS` in `migration.rs` as `Sql::Both`. Columns
//!    are `TEXT` or `BIGINT` only (a flag is 0 or 1, an instant is Unix seconds, bytes are hexadecimal or base64 text):
//!    these two mean the same in both databases. Name the tables that only ever grow in `append_only`: triggers then
//!    refuse every `UPDATE` and `DELETE`, in both.
//! 2. **Queries.** One file per subject beside this one, `impl Store { … }` in it, and `mod` below. Placeholders are
//!    `$1`, `$2`, …; bind `&str`, `String`, `i64` or an `Option` of them; read with `row.try_get("column")`, whose row
//!    is [`sqlx::any::AnyRow`]. Both databases understand `INSERT … ON CONFLICT (…) DO NOTHING | DO UPDATE SET x =
//!    excluded.x`, `RETURNING`, `LIMIT`, common table expressions and window functions. Not the same: date functions,
//!    `LIKE` on capitals, `SUM` (write `CAST(SUM(x) AS BIGINT)`), `rowid`, `||` with numbers. `COUNT(*)` and `MAX` are.
//! 3. **Reading** goes to [`Store::pool`]. **Writing** more than one statement, or reading what the write depends on,
//!    goes through [`Store::begin`]: the transaction is alone among all writers, of every process, so what it has read
//!    is still true when it commits. Keep it short; nothing but the database is awaited in it.
//! 4. **Tests.** Write `async fn a_sentence(store: Store)` in `tests.rs` or a `tests` of your own and name it in
//!    [`tests::on_both!`]: it runs against a new SQLite file and against a database of a real PostgreSQL server.
//! 5. **Backup** needs nothing: it copies every table the schema has.

use std::path::Path;

use lgsp_shared::agency_code::AgencyCode;
use lgsp_shared::id::{Revision, SystemId};
use lgsp_shared::seal::Secret;
use sqlx::{Any, AnyPool, Transaction};

use crate::settings::database::PostgresAddress;

mod attempt;
mod audit;
mod bearer;
mod built;
mod database;
mod factor;
mod lineage;
mod migration;
mod oidc;
mod operator;
mod past;
mod reason;
pub mod registry;
mod revision;
pub mod tables;
mod usage;

pub use attempt::Counted;
pub use audit::{AUDIT_PAGE_MAX, AuditFilter, AuditHead, AuditPage};
pub use bearer::{BEARERS_MAX, BearerPlace, BearerRow};
pub use database::Dialect;
pub use lineage::{NewLine, Published};
pub use oidc::PendingLogin;
pub use operator::{Also, Forgets, OPERATOR_PAGE_MAX, OperatorRow};
pub use past::PAST_PAGE_MAX;
pub use reason::Reason;
pub use revision::{ChangeRow, Content, HISTORY_PAGE_MAX, RevisionRow, Writer};

/// The database.
#[derive(Debug, Clone)]
pub struct Store {
    database: database::Database,
}

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be made or opened.
    #[error("cannot open the database `{path}`; check that its directory exists and belongs to this user")]
    Open {
        /// The database file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The server does not let us in.
    #[error(
        "cannot use the database `{address}`; check that the server runs, that the database exists, and the password \
         (`database_password_file`) and certificates"
    )]
    Unreachable {
        /// The server's address, which holds no password.
        address: String,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// The schema is newer or was changed.
    #[error("the database's schema does not fit this version; start the version that wrote it, or restore a backup")]
    Schema(#[source] sqlx::migrate::MigrateError),
    /// A statement failed.
    #[error("the database refused")]
    Database(#[from] sqlx::Error),
    /// There is no such database.
    #[error("there is no database `{path}`; correct the path: this command only reads, and creates nothing")]
    Missing {
        /// The database file.
        path: String,
    },
    /// Another program's database, or an empty one.
    #[error("the database holds no configuration of a control plane; check that the settings name the right one")]
    NotOurs,
    /// No random bytes.
    #[error("the operating system gives no random bytes")]
    NoRandom,
    /// A row does not hold what this program writes.
    #[error("the database holds a damaged {what}; restore it from a backup")]
    Damaged {
        /// What is damaged.
        what: &'static str,
    },
    /// What was to be used up is gone.
    #[error("there is no such {what} any more")]
    Gone {
        /// What.
        what: &'static str,
    },
    /// There are as many as there may be.
    #[error("there are too many {what}")]
    Full {
        /// Of what.
        what: &'static str,
    },
    /// Another revision was made in the meantime.
    #[error("revision {current} was made in the meantime")]
    Stale {
        /// The revision that is current now.
        current: Revision,
    },
    /// What was to be changed is no longer as it was seen.
    #[error("{what}")]
    Moved {
        /// What happened to it.
        what: String,
    },
    /// A name or a code is another's.
    #[error("{what}")]
    Taken {
        /// Whose, and what to do.
        what: String,
    },
    /// No key may be made for a system.
    #[error("`System/{system}` is not approved")]
    NotApproved {
        /// The system.
        system: SystemId,
    },
    /// The connection of a system was cancelled.
    #[error("the connection of `System/{system}` was cancelled")]
    Cancelled {
        /// The system.
        system: SystemId,
    },
    /// A document has the code of an agency that ended.
    #[error("agency `{code}` ended")]
    Ended {
        /// The code.
        code: AgencyCode,
    },
}

impl StoreError {
    /// Why the database refused, where that is known.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Database(error) => Reason::of(error),
            Self::Open { .. }
            | Self::Unreachable { .. }
            | Self::Schema(_)
            | Self::Missing { .. }
            | Self::NotOurs
            | Self::NoRandom
            | Self::Damaged { .. }
            | Self::Gone { .. }
            | Self::Full { .. }
            | Self::Stale { .. }
            | Self::Moved { .. }
            | Self::Taken { .. }
            | Self::NotApproved { .. }
            | Self::Cancelled { .. }
            | Self::Ended { .. } => None,
        }
    }
}

impl Store {
    /// Opens a SQLite file, makes it when missing (readable by this user only), and brings its schema up to date.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { database: database::Database::sqlite(path).await? })
    }

    /// Connects to a PostgreSQL server and brings the schema up to date.
    pub async fn connect(address: &PostgresAddress, password: Option<&Secret>) -> Result<Self, StoreError> {
        Ok(Self { database: database::Database::postgres(address, password).await? })
    }

    /// Opens a SQLite file that is there, as it is: nothing is made, and the schema stays what it was.
    pub async fn open_as_it_is(path: &Path) -> Result<Self, StoreError> {
        Self { database: database::Database::existing_sqlite(path).await? }.that_is_ours().await
    }

    /// Connects to a PostgreSQL server whose database is there, as it is.
    pub async fn connect_as_it_is(address: &PostgresAddress, password: Option<&Secret>) -> Result<Self, StoreError> {
        Self { database: database::Database::existing_postgres(address, password).await? }.that_is_ours().await
    }

    async fn that_is_ours(self) -> Result<Self, StoreError> {
        if self.found_schema().await?.is_none() {
            return Err(StoreError::NotOurs);
        }
        Ok(self)
    }

    /// Closes all connections; SQLite's write-ahead log is folded into its file.
    pub async fn close(&self) {
        self.pool().close().await;
    }

    /// Whether a change could be written now: takes the writer's turn and writes a row to the disk, as every change does.
    pub async fn probe_writing(&self) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        sqlx::query("UPDATE audit_head SET number = number WHERE id = 1").execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Which database it is.
    pub fn dialect(&self) -> Dialect {
        self.database.dialect
    }

    /// The connections, for reading and for single statements.
    fn pool(&self) -> &AnyPool {
        &self.database.pool
    }

    /// Begins a transaction that is alone among writers, of this process and of others.
    async fn begin(&self) -> Result<Transaction<'static, Any>, StoreError> {
        self.database.begin().await
    }
}

/// `($1, $2), ($3, $4), …`: the placeholders of an `INSERT` of several rows.
fn placeholders(rows: usize, columns: usize) -> String {
    let row = |row: usize| {
        let columns: Vec<String> = (1..=columns).map(|column| format!("${}", row * columns + column)).collect();
        format!("({})", columns.join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

fn to_sql(revision: Revision) -> i64 {
    i64::try_from(revision.0).unwrap_or(i64::MAX)
}

fn from_sql(number: i64) -> Result<Revision, StoreError> {
    u64::try_from(number).map(Revision).map_err(|_| StoreError::Damaged { what: "revision number" })
}

#[cfg(test)]
pub(crate) mod tests;
