//! Which database: the path of a SQLite file, or the address of a PostgreSQL server. An address never holds a password,
//! so it can be shown.

use std::fmt;
use std::path::{Path, PathBuf};

use lgsp_process::secret_file::{self, Readers, SecretFileError};
use lgsp_shared::seal::Secret;
use serde::Deserialize;

/// The longest password file, in bytes.
const PASSWORD_FILE_BYTES_MAX: u64 = 4 << 10;
const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];
/// What may follow the `?` of an address; the names of libpq.
const PARAMETERS: [&str; 6] = ["dbname", "sslcert", "sslkey", "sslmode", "sslrootcert", "user"];

/// Where everything is kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum DatabaseSettings {
    /// A file; made when missing.
    Sqlite(PathBuf),
    /// A server.
    Postgres(PostgresAddress),
}

/// `postgres://user@host:port/database?sslmode=…`, without a password.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresAddress(String);

impl TryFrom<String> for DatabaseSettings {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match SCHEMES.iter().find_map(|scheme| text.strip_prefix(scheme)) {
            Some(rest) => PostgresAddress::check(rest).map(|()| Self::Postgres(PostgresAddress(text))),
            None if text.contains("://") => {
                Err("a database is a file's path, or `postgres://user@host:port/database`".to_owned())
            }
            None => Ok(Self::Sqlite(PathBuf::from(text))),
        }
    }
}

impl PostgresAddress {
    /// What is wrong is told without repeating the address: it may hold a password.
    fn check(rest: &str) -> Result<(), String> {
        let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = place.split_once('/').unwrap_or((place, ""));
        let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        if user.contains(':') {
            return Err("it holds a password; put that into a file and name it in `database_password_file`".to_owned());
        }
        if host.is_empty() || host.starts_with(':') {
            return Err("it names no host; a socket's directory is written as `%2Frun%2Fpostgresql`".to_owned());
        }
        let names = parameters.split('&').filter(|pair| !pair.is_empty());
        for name in names.map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name)) {
            if !PARAMETERS.contains(&name) {
                return Err(format!("`{name}` is not a parameter; known are {}", PARAMETERS.join(", ")));
            }
        }
        if database.is_empty() && !parameters.contains("dbname=") {
            return Err("it names no database; write `postgres://user@host:port/database`".to_owned());
        }
        Ok(())
    }

    /// The address with TLS made explicit: the server must prove who it is, unless it is on this machine or the address
    /// says otherwise.
    pub fn with_tls(&self) -> String {
        if self.0.contains("sslmode=") || self.is_local() {
            return self.0.clone();
        }
        let separator = if self.0.contains('?') { '&' } else { '?' };
        format!("{}{separator}sslmode=verify-full", self.0)
    }

    fn is_local(&self) -> bool {
        let rest = SCHEMES.iter().find_map(|scheme| self.0.strip_prefix(scheme)).unwrap_or_default();
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let name = if host.starts_with('[') { host.split(']').next() } else { host.split(':').next() };
        matches!(name, Some("localhost" | "127.0.0.1" | "[::1")) || host.to_ascii_uppercase().starts_with("%2F")
    }
}

impl fmt::Display for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
pub enum PasswordFileError {
    /// The file cannot be read.
    #[error("cannot read the database's password file `{path}`")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Others can use it.
    #[error("the password file `{path}` has mode {mode:o}, so others can use it; run `chmod 600 {path}`")]
    Open {
        /// The file.
        path: String,
        /// Its mode.
        mode: u32,
    },
    /// It holds no password.
    #[error("the password file `{path}` is empty, is longer than {PASSWORD_FILE_BYTES_MAX} bytes, or is not text")]
    Unusable {
        /// The file.
        path: String,
    },
}

/// Reads a password; a newline at its end does not count.
pub fn read_password(path: &Path) -> Result<Secret, PasswordFileError> {
    let name = || path.display().to_string();
    let text =
        secret_file::read(path, Readers::OwnerAndGroup, PASSWORD_FILE_BYTES_MAX).map_err(|error| match error {
            SecretFileError::Unreadable(source) => PasswordFileError::Unreadable { path: name(), source },
            SecretFileError::Exposed { mode } => PasswordFileError::Open { path: name(), mode },
            SecretFileError::NotText { .. } => PasswordFileError::Unusable { path: name() },
        })?;
    let password = text.trim_ascii_end();
    if password.is_empty() {
        return Err(PasswordFileError::Unusable { path: name() });
    }
    Ok(Secret::new(password.as_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn parse(text: &str) -> Result<DatabaseSettings, String> {
        DatabaseSettings::try_from(text.to_owned())
    }

    #[test]
    fn a_path_is_sqlite_and_an_address_postgresql() {
        assert_eq!(parse("/var/lib/lgsp/cp.db"), Ok(DatabaseSettings::Sqlite("/var/lib/lgsp/cp.db".into())));
        assert!(matches!(parse("postgres://lgsp@db/lgsp"), Ok(DatabaseSettings::Postgres(_))));
        for (wrong, named) in [
            ("mysql://a/b", "postgres://"),
            ("postgres://lgsp:geheim@db/lgsp", "database_password_file"),
            ("postgres://lgsp@/lgsp", "host"),
            ("postgres://lgsp@db", "database"),
            ("postgres://lgsp@db/lgsp?password=geheim", "`password`"),
            ("postgres://lgsp@db/lgsp?sslmodus=disable", "`sslmodus`"),
        ] {
            let error = parse(wrong).unwrap_err();
            assert!(error.contains(named) && !error.contains("geheim"), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_server_elsewhere_has_to_prove_who_it_is_unless_it_is_said_otherwise() {
        let tls = |text: &str| match parse(text) {
            Ok(DatabaseSettings::Postgres(address)) => address.with_tls(),
            other => panic!("{other:?}"),
        };
        assert_eq!(tls("postgres://a@db.tinh.vn:5432/b"), "postgres://a@db.tinh.vn:5432/b?sslmode=verify-full");
        let with_root = "postgres://a@10.0.0.1/b?sslrootcert=/ca.pem";
        assert_eq!(tls(with_root), format!("{with_root}&sslmode=verify-full"));
        for kept in [
            "postgres://a@10.0.0.1/b?sslmode=disable",
            "postgres://a@127.0.0.1:5432/b",
            "postgres://a@localhost/b",
            "postgres://a@[::1]:5432/b",
            "postgres://a@%2Frun%2Fpostgresql/b",
        ] {
            assert_eq!(tls(kept), kept);
        }
    }

    #[test]
    fn a_password_file_that_everybody_reads_or_that_is_empty_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        assert!(matches!(read_password(&path), Err(PasswordFileError::Unreadable { .. })));
        std::fs::write(&path, "geheim\n").unwrap();
        let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        mode(0o644);
        assert!(matches!(read_password(&path), Err(PasswordFileError::Open { mode: 0o644, .. })));
        mode(0o600);
        assert_eq!(read_password(&path).unwrap().expose(), b"geheim");
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(read_password(&path), Err(PasswordFileError::Unusable { .. })));
    }
}
