//! Contacts of agencies, systems and services.

use lgsp_shared::resource::Kind;
use serde_json::json;
use sqlx::AnyConnection;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::super::{Store, StoreError};
use crate::audit::Trail;
use crate::registry::contact::{Contact, InvalidContact, check};
use crate::registry::directory::Identity;

/// Whose contacts those of an agency are, whatever its code is.
pub fn contacts_of(agency: Identity) -> String {
    format!("{}/#{}", Kind::Agency, agency.0)
}

impl Store {
    /// The contacts of a subject, in their order.
    pub async fn contacts(&self, subject: &str) -> Result<Vec<Contact>, StoreError> {
        let rows = sqlx::query("SELECT name, role, email, phone FROM contact WHERE subject = $1 ORDER BY place")
            .bind(subject)
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(contact).collect()
    }

    /// Adds somebody at the end of a subject's contacts, and returns all of them; alone among writers, so that of several
    /// at one instant none is lost. Refused when the contacts would not be usable.
    pub async fn add_contact(
        &self,
        subject: &str,
        one: &Contact,
        trail: &Trail,
    ) -> Result<Result<Vec<Contact>, InvalidContact>, StoreError> {
        let mut transaction = self.begin().await?;
        let mut contacts = read(&mut transaction, subject).await?;
        contacts.push(one.clone());
        if let Err(error) = check(&contacts) {
            transaction.rollback().await?;
            return Ok(Err(error));
        }
        put(&mut transaction, subject, &contacts).await?;
        super::finish(transaction, trail, &json!({"contacts": contacts.len()})).await?;
        Ok(Ok(contacts))
    }

    /// Takes everybody of this name off a subject's contacts, and returns those that stay; none when nobody is called so.
    pub async fn remove_contact(
        &self,
        subject: &str,
        name: &str,
        trail: &Trail,
    ) -> Result<Option<Vec<Contact>>, StoreError> {
        let mut transaction = self.begin().await?;
        let before = read(&mut transaction, subject).await?;
        let stay: Vec<Contact> = before.iter().filter(|one| one.name != name).cloned().collect();
        if stay.len() == before.len() {
            transaction.rollback().await?;
            return Ok(None);
        }
        put(&mut transaction, subject, &stay).await?;
        super::finish(transaction, trail, &json!({"contacts": stay.len()})).await?;
        Ok(Some(stay))
    }

    /// Replaces the contacts of a subject. The audit learns how many they are, not who.
    pub async fn put_contacts(&self, subject: &str, contacts: &[Contact], trail: &Trail) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        put(&mut transaction, subject, contacts).await?;
        super::finish(transaction, trail, &json!({"contacts": contacts.len()})).await
    }
}

async fn read(connection: &mut AnyConnection, subject: &str) -> Result<Vec<Contact>, StoreError> {
    let rows = sqlx::query("SELECT name, role, email, phone FROM contact WHERE subject = $1 ORDER BY place")
        .bind(subject)
        .fetch_all(connection)
        .await?;
    rows.iter().map(contact).collect()
}

pub(super) async fn put(connection: &mut AnyConnection, subject: &str, contacts: &[Contact]) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM contact WHERE subject = $1").bind(subject).execute(&mut *connection).await?;
    for (place, Contact { name, role, email, phone }) in (1_i64..).zip(contacts) {
        sqlx::query("INSERT INTO contact (subject, place, name, role, email, phone) VALUES ($1, $2, $3, $4, $5, $6)")
            .bind(subject)
            .bind(place)
            .bind(name)
            .bind(role)
            .bind(email)
            .bind(phone)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Gives `to` the contacts of `from` too, when it has none of its own.
pub(super) async fn copy_to(connection: &mut AnyConnection, from: &str, to: &str) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO contact (subject, place, name, role, email, phone) \
         SELECT CAST($1 AS TEXT), place, name, role, email, phone FROM contact \
         WHERE subject = $2 AND NOT EXISTS (SELECT 1 FROM contact WHERE subject = $1)",
    )
    .bind(to)
    .bind(from)
    .execute(connection)
    .await?;
    Ok(())
}

fn contact(row: &AnyRow) -> Result<Contact, StoreError> {
    Ok(Contact {
        name: row.try_get("name")?,
        role: row.try_get("role")?,
        email: row.try_get("email")?,
        phone: row.try_get("phone")?,
    })
}
