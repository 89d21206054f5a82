//! etcd: the difference in batches, the head in the last one, so that nodes never see half a revision.
//!
//! One publisher at a time holds [`PUBLISHER_KEY`] under a lease; every transaction compares it, so a publisher that
//! was paused for longer than its lease cannot write into another's revision.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use etcd_client::{
    Client, Compare, CompareOp, GetOptions, KvClient, LeaseKeepAliveStream, LeaseKeeper, PutOptions, Txn, TxnOp,
};
use lgsp_etcd::Access;
use lgsp_shared::bundle;
use lgsp_shared::keyspace::{DOCUMENT_PREFIX, HEAD_KEY, Head, TXN_OPERATIONS_MAX, document_key};
use lgsp_shared::resource::Document;

use super::{Permits, PublishError, is_large_removal};
use crate::desired::Whole;

/// Held by whoever publishes; outside the prefix that nodes watch.
const PUBLISHER_KEY: &str = "/lgsp/v1/publisher";
/// How long a successor waits when a publisher is killed in the middle.
const LEASE_SECS: i64 = 15;
/// Between transactions a lease older than this is renewed: publishing everything may take longer than a lease.
const LEASE_RENEWED_AFTER: Duration = Duration::from_secs(4);
/// etcd refuses requests above 1.5 MiB.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// Documents per page of a list: 500 × the largest document stay below [`DECODE_BYTES_MAX`].
const PAGE_KEYS: i64 = 500;
/// The longest answer accepted; tonic's default of 4 MiB would make larger pages fail.
const DECODE_BYTES_MAX: usize = 160 << 20;
/// A request that etcd does not answer in this time has failed.
const REQUEST_WAIT: Duration = Duration::from_secs(5);
const CONNECT_WAIT: Duration = Duration::from_secs(3);
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(3));

impl From<etcd_client::Error> for PublishError {
    fn from(error: etcd_client::Error) -> Self {
        Self::Etcd(lgsp_etcd::explain(&error))
    }
}

/// Connects, with the login and certificates as they are now; what fails later is tried again by the caller.
pub async fn connect(access: &Access) -> Result<Client, PublishError> {
    let options = access
        .options()?
        .with_connect_timeout(CONNECT_WAIT)
        .with_timeout(REQUEST_WAIT)
        .with_keep_alive(KEEP_ALIVE.0, KEEP_ALIVE.1);
    Ok(Client::connect(access.endpoints(), Some(options)).await?)
}

/// The documents etcd holds, by key and hash.
type Held = HashMap<String, [u8; 32]>;

/// Publishes to etcd.
pub struct EtcdSink {
    access: Access,
    client: Option<Client>,
    /// What etcd holds, good while the head has this modification revision.
    known: Option<(i64, Held)>,
}

impl std::fmt::Debug for EtcdSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EtcdSink").field("access", &self.access).finish_non_exhaustive()
    }
}

/// The difference between what etcd holds and a revision.
struct Difference {
    puts: Vec<(String, Vec<u8>)>,
    deletes: Vec<String>,
}

/// A publisher's turn.
struct Turn {
    create_revision: i64,
    keeper: LeaseKeeper,
    answers: LeaseKeepAliveStream,
    renewed: Instant,
}

impl Turn {
    async fn renew(&mut self) -> Result<(), PublishError> {
        if self.renewed.elapsed() > LEASE_RENEWED_AFTER {
            self.keeper.keep_alive().await?;
            self.answers.message().await?;
            self.renewed = Instant::now();
        }
        Ok(())
    }
}

impl EtcdSink {
    /// Publishes to this etcd; connects when first used.
    pub fn new(access: Access) -> Self {
        Self { access, client: None, known: None }
    }

    /// Writes the revision unless etcd holds it already.
    pub async fn publish(&mut self, whole: &Whole, permits: Permits) -> Result<(), PublishError> {
        let mut client = match self.client.take() {
            Some(client) => client,
            None => connect(&self.access).await?,
        };
        let mut turn = take_turn(&mut client).await?;
        let known = self.known.take();
        let published = publish_in_turn(&client, &mut turn, known, whole, permits).await;
        // Best effort: a lease that cannot be given back ends by itself.
        if let Err(error) = client.lease_revoke(turn.keeper.id()).await {
            tracing::debug!(%error, "the publisher's lease is left to expire");
        }
        self.known = Some(published?);
        self.client = Some(client);
        Ok(())
    }
}

async fn take_turn(client: &mut Client) -> Result<Turn, PublishError> {
    let lease = client.lease_grant(LEASE_SECS, None).await?.id();
    let put = TxnOp::put(PUBLISHER_KEY, "", Some(PutOptions::new().with_lease(lease)));
    let free = Compare::create_revision(PUBLISHER_KEY, CompareOp::Equal, 0);
    let response = client.txn(Txn::new().when([free]).and_then([put])).await?;
    let create_revision = response.header().map_or(0, |header| header.revision());
    if !response.succeeded() {
        client.lease_revoke(lease).await?;
        return Err(PublishError::Taken);
    }
    let (keeper, answers) = client.lease_keep_alive(lease).await?;
    Ok(Turn { create_revision, keeper, answers, renewed: Instant::now() })
}

async fn publish_in_turn(
    client: &Client,
    turn: &mut Turn,
    known: Option<(i64, Held)>,
    whole: &Whole,
    permits: Permits,
) -> Result<(i64, Held), PublishError> {
    let mut kv = client.kv_client().max_decoding_message_size(DECODE_BYTES_MAX);
    let (head, head_modified) = read_head(&mut kv).await?;
    let held = match known {
        Some((modified, held)) if modified == head_modified => held,
        Some(_) | None => list(&mut kv).await?,
    };
    let difference = difference(whole, &held);
    let is_there = head.as_ref().is_some_and(|head| head.revision == whole.revision() && head.hash == *whole.hash());
    if is_there && difference.puts.is_empty() && difference.deletes.is_empty() && permits == Permits::default() {
        return Ok((head_modified, held));
    }
    if let Some(found) = head.map(|head| head.revision)
        && found > whole.revision()
        && !permits.older
    {
        return Err(PublishError::Older { found, current: whole.revision() });
    }
    let mut next = Head::new(whole.revision(), whole.hash().clone(), u64::try_from(whole.len()).unwrap_or(u64::MAX));
    next.allow_older = permits.older;
    next.allow_large_removal = permits.large_removal || is_large_removal(difference.deletes.len(), held.len());
    let modified = write(&mut kv, turn, difference, &next).await?;
    Ok((modified, hashes(whole)))
}

async fn read_head(kv: &mut KvClient) -> Result<(Option<Head>, i64), PublishError> {
    let response = kv.get(HEAD_KEY, None).await?;
    let Some(kv) = response.kvs().first() else { return Ok((None, 0)) };
    // A head that cannot be read is replaced.
    Ok((Head::parse(kv.value()).ok(), kv.mod_revision()))
}

/// Everything under the document prefix, in pages of one etcd revision.
async fn list(kv: &mut KvClient) -> Result<Held, PublishError> {
    let mut held = Held::new();
    let mut from = DOCUMENT_PREFIX.as_bytes().to_vec();
    let end = prefix_end(DOCUMENT_PREFIX);
    let mut pinned = 0;
    loop {
        let options = GetOptions::new().with_range(end.clone()).with_limit(PAGE_KEYS).with_revision(pinned);
        let page = kv.get(from, Some(options)).await?;
        if pinned == 0 {
            pinned = page.header().map_or(0, |header| header.revision());
        }
        for entry in page.kvs() {
            let key = String::from_utf8_lossy(entry.key()).into_owned();
            // What cannot be read differs from everything, so it is replaced or removed.
            let hash = serde_json::from_slice::<Document>(entry.value()).ok();
            let hash = hash.filter(|document| document_key(document) == key);
            held.insert(key, hash.map_or([0; 32], |document| bundle::document_hash(&document)));
        }
        match page.kvs().last() {
            Some(last) if page.more() => from = [last.key(), b"\0"].concat(),
            Some(_) | None => return Ok(held),
        }
    }
}

/// The first key after everything that starts with `prefix`, which ends in `/`.
fn prefix_end(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

fn hashes(whole: &Whole) -> Held {
    whole.entries().values().map(|entry| (document_key(entry.document()), entry.hash())).collect()
}

fn difference(whole: &Whole, held: &Held) -> Difference {
    let wanted = hashes(whole);
    let puts = whole
        .entries()
        .values()
        .map(|entry| (document_key(entry.document()), entry))
        .filter(|(key, entry)| held.get(key) != Some(&entry.hash()))
        // A document came from JSON, so it can be written as JSON.
        .map(|(key, entry)| (key, serde_json::to_vec(entry.document()).unwrap_or_default()))
        .collect();
    let deletes = held.keys().filter(|key| !wanted.contains_key(*key)).cloned().collect();
    Difference { puts, deletes }
}

/// Writes the difference and then the head; returns the head's modification revision.
async fn write(kv: &mut KvClient, turn: &mut Turn, difference: Difference, head: &Head) -> Result<i64, PublishError> {
    let puts = difference.puts.into_iter().map(|(key, value)| (key.len() + value.len(), TxnOp::put(key, value, None)));
    let deletes = difference.deletes.into_iter().map(|key| (key.len(), TxnOp::delete(key, None)));
    let mut batch = Vec::new();
    let mut batch_bytes = 0;
    for (bytes, operation) in puts.chain(deletes) {
        // One place is left for the head.
        if batch.len() + 1 >= TXN_OPERATIONS_MAX || (batch_bytes + bytes > BATCH_BYTES_MAX && !batch.is_empty()) {
            commit(kv, turn, std::mem::take(&mut batch)).await?;
            batch_bytes = 0;
        }
        batch_bytes += bytes;
        batch.push(operation);
    }
    batch.push(TxnOp::put(HEAD_KEY, head.to_json(), None));
    commit(kv, turn, batch).await
}

async fn commit(kv: &mut KvClient, turn: &mut Turn, operations: Vec<TxnOp>) -> Result<i64, PublishError> {
    turn.renew().await?;
    let mine = Compare::create_revision(PUBLISHER_KEY, CompareOp::Equal, turn.create_revision);
    let response = kv.txn(Txn::new().when([mine]).and_then(operations)).await?;
    if !response.succeeded() {
        return Err(PublishError::Taken);
    }
    Ok(response.header().map_or(0, |header| header.revision()))
}

#[cfg(test)]
mod tests {
    use lgsp_shared::id::Revision;
    use serde_json::json;

    use super::*;

    fn whole(documents: &[(&str, &str)]) -> Whole {
        let document = |(name, title): &(&str, &str)| Document {
            kind: "Agency".into(),
            name: (*name).into(),
            spec: json!({"code": "H61", "title": title}),
        };
        Whole::new(Revision(1), documents.iter().map(document).collect()).unwrap()
    }

    #[test]
    fn only_what_differs_is_written() {
        let held = hashes(&whole(&[("a", "A"), ("b", "B"), ("c", "C")]));
        let Difference { puts, deletes } = difference(&whole(&[("a", "A"), ("b", "renamed"), ("d", "D")]), &held);
        let put: Vec<&str> = puts.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(put, ["/lgsp/v1/config/doc/Agency/b", "/lgsp/v1/config/doc/Agency/d"]);
        assert_eq!(deletes, ["/lgsp/v1/config/doc/Agency/c"]);
        let same = difference(&whole(&[("a", "A")]), &hashes(&whole(&[("a", "A")])));
        assert!(same.puts.is_empty() && same.deletes.is_empty());
    }

    #[test]
    fn the_end_of_a_prefix_takes_all_of_it_and_no_more() {
        let end = prefix_end(DOCUMENT_PREFIX);
        assert!(end.as_slice() > format!("{DOCUMENT_PREFIX}~~~").as_bytes());
        assert!(end.as_slice() > HEAD_KEY.as_bytes() || HEAD_KEY.as_bytes() > end.as_slice());
        assert!(!HEAD_KEY.starts_with(DOCUMENT_PREFIX));
    }
}
