//! etcd: the difference in batches, the head in the last one, so that nodes never see half a revision.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Client, GetOptions, KvClient, Txn, TxnOp};
use lgsp_etcd::Access;
use lgsp_shared::bundle;
use lgsp_shared::keyspace::{DOCUMENT_PREFIX, HEAD_KEY, Head, TXN_OPERATIONS_MAX, document_key};
use lgsp_shared::resource::Document;

use super::leadership::{Leadership, Turn};
use super::{Lead, Permits, PublishError, is_large_removal};
use crate::desired::{Entry, Whole};

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

/// What etcd holds.
enum Held {
    /// Found by reading it: documents by key and hash.
    Found(HashMap<String, [u8; 32]>),
    /// What this process wrote.
    Written(Arc<Whole>),
}

/// Publishes to etcd, when it is this process's turn.
pub struct EtcdSink {
    access: Access,
    /// What this process calls itself.
    name: String,
    client: Option<Client>,
    leadership: Option<Box<Leadership>>,
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

impl EtcdSink {
    /// Publishes to this etcd as `name`; connects when first used.
    pub fn new(access: Access, name: String) -> Self {
        Self { access, name, client: None, leadership: None, known: None }
    }

    /// Takes or keeps the lead, or tells who has it.
    pub async fn lead(&mut self) -> Result<Lead, PublishError> {
        let mut client = self.connected().await?;
        if let Some(leadership) = &mut self.leadership {
            let kept = leadership.keep().await;
            if kept.is_err() {
                self.leadership = None;
            }
            kept?;
        } else {
            match Leadership::seek(&mut client, &self.name).await? {
                Turn::Mine(leadership) => self.leadership = Some(leadership),
                Turn::Other(leader) => {
                    let (head, _) = read_head(&mut client.kv_client()).await?;
                    self.client = Some(client);
                    return Ok(Lead::Other { leader, published: head.map(|head| (head.revision, head.hash)) });
                }
            }
        }
        self.client = Some(client);
        Ok(Lead::Mine)
    }

    /// Writes the revision unless etcd holds it already. The lead must be this process's.
    pub async fn publish(&mut self, whole: &Arc<Whole>, permits: Permits) -> Result<(), PublishError> {
        let client = self.connected().await?;
        let known = self.known.take();
        // Whatever goes wrong, it is sought and listed anew.
        let mut leadership = self.leadership.take().ok_or(PublishError::Lost)?;
        let mut kv = client.kv_client().max_decoding_message_size(DECODE_BYTES_MAX);
        let published = publish_in_turn(&mut kv, &mut leadership, known, whole, permits).await;
        if !matches!(published, Err(PublishError::Lost)) {
            self.leadership = Some(leadership);
        }
        self.known = Some(published?);
        self.client = Some(client);
        Ok(())
    }

    /// Lets another control plane take the lead at once.
    pub async fn give_up(&mut self) {
        if let (Some(leadership), Some(client)) = (self.leadership.take(), &mut self.client) {
            leadership.give_up(client).await;
        }
    }

    /// Takes the client out; whoever succeeds puts it back, so that after a failure there is a new connection.
    async fn connected(&mut self) -> Result<Client, PublishError> {
        match self.client.take() {
            Some(client) => Ok(client),
            None => connect(&self.access).await,
        }
    }
}

async fn publish_in_turn(
    kv: &mut KvClient,
    leadership: &mut Leadership,
    known: Option<(i64, Held)>,
    whole: &Arc<Whole>,
    permits: Permits,
) -> Result<(i64, Held), PublishError> {
    let (head, head_modified) = read_head(kv).await?;
    let held = match known {
        Some((modified, held)) if modified == head_modified => held,
        Some(_) | None => Held::Found(list(kv).await?),
    };
    let difference = difference(whole, &held);
    let is_there = head.as_ref().is_some_and(|head| head.revision == whole.revision() && head.hash == *whole.hash());
    if is_there && difference.puts.is_empty() && difference.deletes.is_empty() && permits == Permits::default() {
        return Ok((head_modified, Held::Written(whole.clone())));
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
    let modified = write(kv, leadership, difference, &next).await?;
    Ok((modified, Held::Written(whole.clone())))
}

async fn read_head(kv: &mut KvClient) -> Result<(Option<Head>, i64), PublishError> {
    let response = kv.get(HEAD_KEY, None).await?;
    let Some(kv) = response.kvs().first() else { return Ok((None, 0)) };
    // A head that cannot be read is replaced.
    Ok((Head::parse(kv.value()).ok(), kv.mod_revision()))
}

/// Everything under the document prefix, in pages of one etcd revision.
async fn list(kv: &mut KvClient) -> Result<HashMap<String, [u8; 32]>, PublishError> {
    let mut held = HashMap::new();
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
pub fn prefix_end(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

impl Held {
    fn len(&self) -> usize {
        match self {
            Self::Found(found) => found.len(),
            Self::Written(whole) => whole.len(),
        }
    }
}

fn difference(whole: &Whole, held: &Held) -> Difference {
    match held {
        Held::Found(found) => difference_to_found(whole, found),
        Held::Written(before) => difference_to_written(whole, before),
    }
}

fn difference_to_found(whole: &Whole, found: &HashMap<String, [u8; 32]>) -> Difference {
    let wanted: HashMap<String, &Entry> =
        whole.entries().values().map(|entry| (document_key(entry.document()), &**entry)).collect();
    let deletes = found.keys().filter(|key| !wanted.contains_key(*key)).cloned().collect();
    let differs = |(key, entry): &(String, &Entry)| found.get(key) != Some(&entry.hash());
    let puts = wanted.into_iter().filter(differs).map(|(key, entry)| (key, json(entry))).collect();
    Difference { puts, deletes }
}

/// Costs what was changed: what both revisions share is passed over.
fn difference_to_written(whole: &Whole, before: &Whole) -> Difference {
    let same = |one: &Arc<Entry>, other: &Arc<Entry>| one.hash() == other.hash();
    let mut difference = Difference { puts: Vec::new(), deletes: Vec::new() };
    for (_, gone, here) in before.entries().diff(whole.entries(), same) {
        match (gone, here) {
            (_, Some(entry)) => difference.puts.push((document_key(entry.document()), json(entry))),
            (Some(entry), None) => difference.deletes.push(document_key(entry.document())),
            (None, None) => {}
        }
    }
    difference
}

/// A document came from JSON, so it can be written as JSON.
fn json(entry: &Entry) -> Vec<u8> {
    serde_json::to_vec(entry.document()).unwrap_or_default()
}

/// Writes the difference and then the head; returns the head's modification revision.
async fn write(
    kv: &mut KvClient,
    leadership: &mut Leadership,
    difference: Difference,
    head: &Head,
) -> Result<i64, PublishError> {
    let puts = difference.puts.into_iter().map(|(key, value)| (key.len() + value.len(), TxnOp::put(key, value, None)));
    let deletes = difference.deletes.into_iter().map(|key| (key.len(), TxnOp::delete(key, None)));
    let mut batch = Vec::new();
    let mut batch_bytes = 0;
    for (bytes, operation) in puts.chain(deletes) {
        // One place is left for the head.
        if batch.len() + 1 >= TXN_OPERATIONS_MAX || (batch_bytes + bytes > BATCH_BYTES_MAX && !batch.is_empty()) {
            commit(kv, leadership, std::mem::take(&mut batch)).await?;
            batch_bytes = 0;
        }
        batch_bytes += bytes;
        batch.push(operation);
    }
    batch.push(TxnOp::put(HEAD_KEY, head.to_json(), None));
    commit(kv, leadership, batch).await
}

async fn commit(kv: &mut KvClient, leadership: &mut Leadership, operations: Vec<TxnOp>) -> Result<i64, PublishError> {
    leadership.keep().await?;
    let response = kv.txn(Txn::new().when([leadership.is_mine()]).and_then(operations)).await?;
    if !response.succeeded() {
        return Err(PublishError::Lost);
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

    fn found(whole: &Whole) -> Held {
        let hash = |entry: &Arc<Entry>| (document_key(entry.document()), entry.hash());
        Held::Found(whole.entries().values().map(hash).collect())
    }

    #[test]
    fn only_what_differs_is_written() {
        let before = whole(&[("a", "A"), ("b", "B"), ("c", "C")]);
        let next = whole(&[("a", "A"), ("b", "renamed"), ("d", "D")]);
        for held in [found(&before), Held::Written(Arc::new(before.clone()))] {
            let Difference { mut puts, deletes } = difference(&next, &held);
            puts.sort_unstable();
            let put: Vec<&str> = puts.iter().map(|(key, _)| key.as_str()).collect();
            assert_eq!(put, ["/lgsp/v1/config/doc/Agency/b", "/lgsp/v1/config/doc/Agency/d"]);
            assert_eq!(deletes, ["/lgsp/v1/config/doc/Agency/c"]);
            let same = difference(&before, &held);
            assert!(same.puts.is_empty() && same.deletes.is_empty());
        }
    }

    #[test]
    fn the_end_of_a_prefix_takes_all_of_it_and_no_more() {
        let end = prefix_end(DOCUMENT_PREFIX);
        assert!(end.as_slice() > format!("{DOCUMENT_PREFIX}~~~").as_bytes());
        assert!(end.as_slice() > HEAD_KEY.as_bytes() || HEAD_KEY.as_bytes() > end.as_slice());
        assert!(!HEAD_KEY.starts_with(DOCUMENT_PREFIX));
    }
}
