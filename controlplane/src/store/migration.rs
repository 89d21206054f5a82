//! The schema's versions, embedded. A migration that was released is never edited: add the next one.

use std::borrow::Cow;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, SqlSafeStr};

use super::database::Dialect;

/// One version of the schema.
struct Step {
    /// Its number; numbers only grow, and may leave gaps.
    version: i64,
    description: &'static str,
    sql: Sql,
}

/// How a step is written.
enum Sql {
    /// Twice, because the databases differ.
    Each { sqlite: &'static str, postgres: &'static str },
    /// Once, for both: `TEXT` and `BIGINT` columns only (see [`super`]). Nothing in the tables of `append_only` can be
    /// updated or deleted afterwards, whoever tries.
    Both { sql: &'static str, append_only: &'static [&'static str] },
}

/// All steps, in the order of their versions.
const STEPS: &[Step] = &[
    Step {
        version: 1,
        description: "revisions",
        sql: Sql::Each {
            sqlite: include_str!("../../migrations/sqlite/0001_revisions.sql"),
            postgres: include_str!("../../migrations/postgres/0001_revisions.sql"),
        },
    },
    Step {
        version: 2,
        description: "audit",
        sql: Sql::Both { sql: include_str!("../../migrations/0002_audit.sql"), append_only: &["audit"] },
    },
    Step {
        version: 3,
        description: "operators",
        sql: Sql::Both { sql: include_str!("../../migrations/0003_operators.sql"), append_only: &[] },
    },
    Step {
        version: 4,
        description: "credential use",
        sql: Sql::Both { sql: include_str!("../../migrations/0004_credential_use.sql"), append_only: &[] },
    },
    Step {
        version: 5,
        description: "registry",
        sql: Sql::Both { sql: include_str!("../../migrations/0005_registry.sql"), append_only: &[] },
    },
    Step {
        version: 6,
        description: "onboarding",
        sql: Sql::Both {
            sql: include_str!("../../migrations/0006_onboarding.sql"),
            append_only: &["application_step"],
        },
    },
    Step {
        version: 7,
        description: "reorganisation",
        sql: Sql::Both { sql: include_str!("../../migrations/0007_reorganisation.sql"), append_only: &["succession"] },
    },
    Step {
        version: 8,
        description: "notices",
        sql: Sql::Both { sql: include_str!("../../migrations/0008_notices.sql"), append_only: &[] },
    },
    Step {
        version: 10,
        description: "lineage",
        sql: Sql::Both { sql: include_str!("../../migrations/0010_lineage.sql"), append_only: &[] },
    },
    Step {
        version: 20,
        description: "identity",
        sql: Sql::Both { sql: include_str!("../../migrations/0020_identity.sql"), append_only: &[] },
    },
    Step {
        version: 21,
        description: "login attempts",
        sql: Sql::Both { sql: include_str!("../../migrations/0021_login_attempts.sql"), append_only: &[] },
    },
    Step {
        version: 50,
        description: "audit by operator",
        sql: Sql::Both { sql: include_str!("../../migrations/0050_audit_by_operator.sql"), append_only: &[] },
    },
];

/// The number of the last step.
pub(super) fn version() -> i64 {
    STEPS.iter().map(|step| step.version).max().unwrap_or(0)
}

pub(super) fn migrator(dialect: Dialect) -> Migrator {
    let migrations = STEPS.iter().map(|Step { version, description, sql }| {
        let in_own_transaction = false;
        Migration::new(
            *version,
            Cow::Borrowed(description),
            MigrationType::Simple,
            AssertSqlSafe(sql.text(dialect)).into_sql_str(),
            in_own_transaction,
        )
    });
    Migrator::with_migrations(migrations.collect())
}

impl Sql {
    fn text(&self, dialect: Dialect) -> String {
        match (self, dialect) {
            (Self::Each { sqlite, .. }, Dialect::Sqlite) => (*sqlite).to_owned(),
            (Self::Each { postgres, .. }, Dialect::Postgres) => (*postgres).to_owned(),
            (Self::Both { sql, append_only }, Dialect::Sqlite) => {
                append_only.iter().fold((*sql).to_owned(), |text, table| text + &sqlite_guard(table))
            }
            (Self::Both { sql, append_only }, Dialect::Postgres) => {
                // Texts sort by their bytes in both databases, whatever locale the server was made with.
                let sql = sql.replace(" TEXT", " TEXT COLLATE \"C\"");
                append_only.iter().fold(sql, |text, table| text + &postgres_guard(table))
            }
        }
    }
}

fn sqlite_guard(table: &str) -> String {
    let guard = |event: &str| {
        format!(
            "CREATE TRIGGER {table}_refuses_{event} BEFORE {event} ON {table}\n\
             BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END;\n"
        )
    };
    format!("\n{}{}", guard("UPDATE"), guard("DELETE"))
}

fn postgres_guard(table: &str) -> String {
    format!(
        "\nCREATE TRIGGER {table}_never_changes BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}\n\
         FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_only_grow() {
        assert!(STEPS.is_sorted_by(|one, other| one.version < other.version));
        assert_eq!(STEPS.last().map(|step| step.version), Some(version()));
    }

    #[test]
    fn a_step_for_both_is_guarded_in_both_and_sorts_by_bytes_in_both() {
        let both = || Sql::Both { sql: "CREATE TABLE t (a TEXT NOT NULL);", append_only: &["t"] };
        let sqlite = both().text(Dialect::Sqlite);
        assert!(sqlite.contains("(a TEXT NOT NULL)") && sqlite.contains("BEFORE DELETE ON t"), "{sqlite}");
        let postgres = both().text(Dialect::Postgres);
        assert!(postgres.contains("a TEXT COLLATE \"C\" NOT NULL") && postgres.contains("ON t\n"), "{postgres}");
    }
}
