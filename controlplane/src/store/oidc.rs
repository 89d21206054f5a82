//! Logins that an identity provider is asked about.

use lgsp_shared::timestamp::UnixSeconds;
use sqlx::Row;

use super::{Store, StoreError};

/// Logins that may be under way at a time; about 300 bytes each.
const PENDING_MAX: i64 = 1_000;

/// A login that waits for the provider's answer.
#[derive(Clone, PartialEq, Eq)]
pub struct PendingLogin {
    /// SHA-256 of the state.
    pub state: String,
    /// What the ID token has to hold.
    pub nonce: String,
    /// What proves that the same side asks for the token (RFC 7636).
    pub verifier: String,
    /// Where the answer goes.
    pub redirect: String,
    /// Until when.
    pub expires_at: UnixSeconds,
}

impl std::fmt::Debug for PendingLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PendingLogin").field("redirect", &self.redirect).finish_non_exhaustive()
    }
}

impl Store {
    /// Keeps it; those that are over go.
    pub async fn put_pending_login(&self, pending: &PendingLogin, now: UnixSeconds) -> Result<(), StoreError> {
        let PendingLogin { state, nonce, verifier, redirect, expires_at } = pending;
        let mut transaction = self.begin().await?;
        sqlx::query("DELETE FROM oidc_login WHERE expires_at <= $1").bind(now.0).execute(&mut *transaction).await?;
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM oidc_login").fetch_one(&mut *transaction).await?;
        if count >= PENDING_MAX {
            return Err(StoreError::Full { what: "logins under way" });
        }
        sqlx::query(
            "INSERT INTO oidc_login (state, nonce, verifier, redirect, expires_at) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(state)
        .bind(nonce)
        .bind(verifier)
        .bind(redirect)
        .bind(expires_at.0)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Takes it out, if it is not over: it is there once.
    pub async fn take_pending_login(&self, state: &str, now: UnixSeconds) -> Result<Option<PendingLogin>, StoreError> {
        let row = sqlx::query("DELETE FROM oidc_login WHERE state = $1 AND expires_at > $2 RETURNING *");
        // All of it is read, so that the statement has run to its end.
        let rows = row.bind(state).bind(now.0).fetch_all(self.pool()).await?;
        let taken = rows.first().map(|row| {
            Ok(PendingLogin {
                state: row.try_get("state")?,
                nonce: row.try_get("nonce")?,
                verifier: row.try_get("verifier")?,
                redirect: row.try_get("redirect")?,
                expires_at: UnixSeconds(row.try_get("expires_at")?),
            })
        });
        taken.transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::on_both;

    fn pending(number: i64) -> PendingLogin {
        PendingLogin {
            state: format!("state {number}"),
            nonce: "nonce".into(),
            verifier: "verifier".into(),
            redirect: "http://127.0.0.1:1/callback".into(),
            expires_at: UnixSeconds(600),
        }
    }

    async fn a_state_is_good_once_and_not_for_ever(store: Store) {
        store.put_pending_login(&pending(1), UnixSeconds(0)).await.unwrap();
        assert_eq!(store.take_pending_login("state 2", UnixSeconds(1)).await.unwrap(), None);
        assert_eq!(store.take_pending_login("state 1", UnixSeconds(600)).await.unwrap(), None, "too late");
        assert_eq!(store.take_pending_login("state 1", UnixSeconds(599)).await.unwrap(), Some(pending(1)));
        assert_eq!(store.take_pending_login("state 1", UnixSeconds(599)).await.unwrap(), None, "again");
    }

    async fn logins_under_way_are_bounded_and_those_that_are_over_make_room(store: Store) {
        for number in 0..PENDING_MAX {
            store.put_pending_login(&pending(number), UnixSeconds(0)).await.unwrap();
        }
        let full = store.put_pending_login(&pending(PENDING_MAX), UnixSeconds(0)).await;
        assert!(matches!(full, Err(StoreError::Full { .. })));
        store.put_pending_login(&pending(PENDING_MAX), UnixSeconds(600)).await.unwrap();
    }

    on_both![a_state_is_good_once_and_not_for_ever, logins_under_way_are_bounded_and_those_that_are_over_make_room,];
}
