//! Opens SQLite or PostgreSQL behind one pool, so that everything above writes its SQL once.
//!
//! Both are made as durable as they can be: what was acknowledged survives a power cut. A connection that a writer
//! leaves behind, with the lock, is given up by PostgreSQL after [`IDLE_WRITER_WAIT_SECS`].

use std::fmt::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Once;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lgsp_shared::seal::Secret;
use lgsp_shared::timestamp::UnixSeconds;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{Any, AnyConnection, AnyPool, AssertSqlSafe, Executor, Transaction};

use super::{StoreError, lineage, migration};
use crate::settings::database::PostgresAddress;

/// Connections to the database; each costs about 2 MiB of page cache at most, and one process of a PostgreSQL server.
const CONNECTIONS_MAX: u32 = 8;
/// How long a connection may be waited for before a request fails.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// How long a writer waits for another one, in seconds; another process's included.
const BUSY_WAIT_SECS: u32 = 5;
/// A statement of PostgreSQL may take this long: loading everything takes seconds at most.
const STATEMENT_WAIT_SECS: u32 = 60;
/// A writer that was cut off in the middle loses its lock after this long.
const IDLE_WRITER_WAIT_SECS: u32 = 10;
/// PostgreSQL's advisory lock that makes writers one; the bytes of `lgsp`.
const WRITER_LOCK: i64 = 0x6c67_7370;

/// Which database it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// A file of this process.
    Sqlite,
    /// A server.
    Postgres,
}

/// A pool of connections to a database whose schema is up to date.
#[derive(Debug, Clone)]
pub struct Database {
    /// The connections.
    pub pool: AnyPool,
    /// Which database it is.
    pub dialect: Dialect,
}

impl Database {
    /// Opens the file, makes it when missing (readable by this user only), and brings its schema up to date.
    pub async fn sqlite(path: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Open { path: path.display().to_string(), source };
        create_private(path).map_err(failed)?;
        let database = Self::existing_sqlite(path).await?;
        database.migrate().await?;
        Ok(database)
    }

    /// Opens the file as it is.
    pub async fn existing_sqlite(path: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Open { path: path.display().to_string(), source };
        if !path.try_exists().map_err(failed)? {
            return Err(StoreError::Missing { path: path.display().to_string() });
        }
        let path = std::path::absolute(path).map_err(failed)?;
        let setup = format!(
            "PRAGMA busy_timeout = {}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;",
            BUSY_WAIT_SECS * 1_000
        );
        Ok(Self { pool: pool(sqlite_url(&path).parse()?, setup).await?, dialect: Dialect::Sqlite })
    }

    /// Connects to a server and brings the schema up to date.
    pub async fn postgres(address: &PostgresAddress, password: Option<&Secret>) -> Result<Self, StoreError> {
        let database = Self::existing_postgres(address, password).await?;
        database.migrate().await?;
        Ok(database)
    }

    /// Connects to a server and leaves the schema as it is.
    pub async fn existing_postgres(address: &PostgresAddress, password: Option<&Secret>) -> Result<Self, StoreError> {
        let unreachable = |source| StoreError::Unreachable { address: address.to_string(), source };
        let mut options: AnyConnectOptions = address.with_tls().parse().map_err(unreachable)?;
        if let Some(password) = password {
            // An address without a host has no place for a password; `PostgresAddress` always has a host.
            let _ = options.database_url.set_password(Some(&percent_encoded(password.expose())));
        }
        let setup = format!(
            "SET application_name = 'lgsp-controlplane'; SET lock_timeout = '{BUSY_WAIT_SECS}s'; \
             SET statement_timeout = '{STATEMENT_WAIT_SECS}s'; \
             SET idle_in_transaction_session_timeout = '{IDLE_WRITER_WAIT_SECS}s'; SET client_min_messages = warning;"
        );
        Ok(Self { pool: pool(options, setup).await.map_err(unreachable)?, dialect: Dialect::Postgres })
    }

    /// Begins a transaction that is alone among writers, of this process and of others.
    pub async fn begin(&self) -> Result<Transaction<'static, Any>, StoreError> {
        match self.dialect {
            // Taking the lock first lets a check see what it guards.
            Dialect::Sqlite => Ok(self.pool.begin_with("BEGIN IMMEDIATE").await?),
            Dialect::Postgres => {
                let mut transaction = self.pool.begin().await?;
                sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(WRITER_LOCK).execute(&mut *transaction).await?;
                Ok(transaction)
            }
        }
    }

    /// Alone, so that two processes that start at one instant do not both bring the schema up to date.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        let connection: &mut AnyConnection = &mut transaction;
        migration::migrator(self.dialect).run_direct(None, connection, false).await.map_err(StoreError::Schema)?;
        lineage::ensure(connection, now()).await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// When a database that has no line of revisions begins its first.
fn now() -> UnixSeconds {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixSeconds(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

async fn pool(options: AnyConnectOptions, setup: String) -> Result<AnyPool, sqlx::Error> {
    static DRIVERS: Once = Once::new();
    DRIVERS.call_once(|| {
        // It fails only when drivers were installed before, and then they are these.
        let _ = sqlx::any::install_drivers(&[sqlx::sqlite::any::DRIVER, sqlx::postgres::any::DRIVER]);
    });
    AnyPoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .acquire_timeout(CONNECT_WAIT)
        .after_connect(move |connection, _| {
            let setup = AssertSqlSafe(setup.clone());
            Box::pin(async move { connection.execute(setup).await.map(drop) })
        })
        .connect_with(options)
        .await
}

fn sqlite_url(absolute: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    format!("sqlite://{}", percent_encoded(absolute.as_os_str().as_bytes()))
}

/// Everything but letters, digits and `/` as `%XX`.
fn percent_encoded(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len()), |mut text, byte| {
        match byte {
            b'/' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => text.push(char::from(*byte)),
            // Writing into a string cannot fail.
            _ => drop(write!(text, "%{byte:02X}")),
        }
        text
    })
}

/// Makes an empty file that only this user can read; the log and shared-memory files inherit its mode.
fn create_private(path: &Path) -> std::io::Result<()> {
    std::fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_and_password_survives_being_put_into_an_address() {
        let path = Path::new("/var/lib/lgsp/cơ quan?#%.db");
        let url = sqlite_url(path);
        assert!(url.is_ascii() && !url.contains(['?', '#', ' ']), "{url}");
        assert_eq!(percent_encoded(b"p@ss:w/rd"), "p%40ss%3Aw/rd");
    }
}
