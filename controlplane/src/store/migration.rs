//! The schema's versions, embedded. A migration that was released is never edited: add the next one.

use std::borrow::Cow;

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

const MIGRATIONS: [(i64, &str, &str); 1] =
    [(1, "revisions", include_str!("../../migrations/sqlite/0001_revisions.sql"))];

pub(super) fn migrator() -> Migrator {
    let migrations = MIGRATIONS.into_iter().map(|(version, description, sql)| {
        let in_own_transaction = false;
        Migration::new(
            version,
            Cow::Borrowed(description),
            MigrationType::Simple,
            sql.into_sql_str(),
            in_own_transaction,
        )
    });
    Migrator::with_migrations(migrations.collect())
}
