//! etcd: the difference in batches, the head in the last one, so that nodes never see half a revision.
//!
//! What this process wrote is remembered, and compared with what etcd holds: the head at every look, the documents every few
//! seconds and whenever there is a doubt. Whatever differs is listed again and repaired.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use etcd_client::{Client, GetOptions, KvClient, SortOrder, SortTarget, Txn, TxnOp};
use lgsp_etcd::Access;
use lgsp_shared::bundle;
use lgsp_shared::keyspace::{DOCUMENT_PREFIX, HEAD_KEY, Head, TXN_OPERATIONS_MAX, document_key};
use lgsp_shared::resource::Document;

use super::difference::{Difference, Held};
use super::leadership::{Leadership, Turn};
use super::origin::{Flags, Found, Marker};
use super::{Lead, Look, PublishError, Repair, Wrote, is_large_removal};
use crate::desired::Whole;

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
/// How often the documents are compared with what was written. One request, for which etcd looks at every key.
const CHECK_EVERY: Duration = Duration::from_secs(2);
/// Bounds the share of etcd's time that the comparison takes to a twentieth, however many keys there are.
const CHECK_PAUSE_FACTOR: u32 = 20;
/// Keys named when something was put right.
const NAMED_MAX: usize = 5;
/// etcd's own words when its quota is used up; it refuses every write until somebody makes room.
const NO_SPACE: &str = "database space exceeded";

impl From<etcd_client::Error> for PublishError {
    fn from(error: etcd_client::Error) -> Self {
        let text = lgsp_etcd::explain(&error);
        if text.contains(NO_SPACE) { Self::NoSpace } else { Self::Etcd(text) }
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

/// What this process knows to be in etcd, as long as nobody else writes there.
struct Written {
    whole: Arc<Whole>,
    head: Head,
    /// The modification revision of the head.
    head_modified: i64,
    /// No document was written after this revision of the store.
    documents_upto: i64,
    /// When the documents are to be compared next.
    check_at: Instant,
}

/// Publishes to etcd, when it is this process's turn.
pub struct EtcdSink {
    access: Access,
    /// What this process calls itself.
    name: String,
    client: Option<Client>,
    leadership: Option<Box<Leadership>>,
    written: Option<Written>,
    /// What was written before something was found to differ from it; for telling what differs.
    before: Option<(Arc<Whole>, Head)>,
    /// Whether this process has published under the lead it has.
    led: bool,
}

impl std::fmt::Debug for EtcdSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EtcdSink").field("access", &self.access).finish_non_exhaustive()
    }
}

impl EtcdSink {
    /// Publishes to this etcd as `name`; connects when first used.
    pub fn new(access: Access, name: String) -> Self {
        Self { access, name, client: None, leadership: None, written: None, before: None, led: false }
    }

    /// Takes or keeps the lead, or tells who has it.
    pub async fn lead(&mut self) -> Result<Lead, PublishError> {
        if let Some(leadership) = &self.leadership {
            let held = leadership.is_held();
            if held.is_err() {
                self.forget();
            }
            return held.map(|()| Lead::Mine);
        }
        self.forget();
        let mut client = self.connected().await?;
        match Leadership::seek(&mut client, &self.name).await? {
            Turn::Mine(leadership) => {
                self.leadership = Some(leadership);
                self.client = Some(client);
                Ok(Lead::Mine)
            }
            Turn::Other(leader) => {
                let (found, _) = read_head(&mut client.kv_client()).await?;
                self.client = Some(client);
                Ok(Lead::Other { leader, published: if let Found::Head(head) = found { Some(head) } else { None } })
            }
        }
    }

    /// The lead is gone: another process may have written since.
    fn forget(&mut self) {
        (self.leadership, self.written, self.before, self.led) = (None, None, None, false);
    }

    /// What is published now. Reads the head, and compares the documents when that is due or there is a `doubt`.
    pub async fn look(&mut self, doubt: bool) -> Result<Look, PublishError> {
        let client = self.connected().await?;
        let mut kv = client.kv_client().max_decoding_message_size(DECODE_BYTES_MAX);
        let (found, modified) = read_head(&mut kv).await?;
        let led = self.led;
        if let Some(mut written) = self.written.take() {
            let differs = doubt || written.head_modified != modified || written.documents_differ(&mut kv).await?;
            if differs {
                self.before = Some((written.whole, written.head));
            } else {
                self.written = Some(written);
            }
        }
        self.client = Some(client);
        let in_place = self.written.as_ref().map(|written| (written.whole.clone(), written.head.clone()));
        Ok(Look { found, in_place, led, modified })
    }

    /// Writes the revision unless `look` has shown that etcd holds it already. The lead must be this process's.
    pub async fn write(
        &mut self,
        whole: &Arc<Whole>,
        marker: &Marker,
        flags: Flags,
        look: &Look,
    ) -> Result<Wrote, PublishError> {
        let client = self.connected().await?;
        let leadership = self.leadership.as_ref().ok_or(PublishError::Lost)?;
        let mut kv = client.kv_client().max_decoding_message_size(DECODE_BYTES_MAX);
        let held = match self.written.take() {
            Some(written) => (Held::Written(written.whole), written.documents_upto),
            None => {
                let (found, upto) = list(&mut kv).await?;
                (Held::Found(found), upto)
            }
        };
        let repair = repair(self.before.as_ref(), whole, &held.0, look);
        let put = Put { whole, marker, flags, look, held };
        let outcome = put.carry_out(&mut kv, leadership).await;
        if let Err(PublishError::Lost) = outcome {
            self.forget();
        }
        let (written, wrote) = outcome?;
        (self.written, self.before, self.led) = (Some(written), None, true);
        self.client = Some(client);
        Ok(Wrote { written: wrote, repair })
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

impl Written {
    fn new(whole: &Arc<Whole>, head: Head, head_modified: i64, documents_upto: i64) -> Self {
        // Looked at once more at the next look: what was changed while it was written is found then.
        Self { whole: whole.clone(), head, head_modified, documents_upto, check_at: Instant::now() }
    }

    /// Whether a document was written, added or removed by somebody else: none is younger than what was written last,
    /// and there are as many.
    async fn documents_differ(&mut self, kv: &mut KvClient) -> Result<bool, PublishError> {
        let began = Instant::now();
        if began < self.check_at {
            return Ok(false);
        }
        let youngest = GetOptions::new()
            .with_prefix()
            .with_keys_only()
            .with_sort(SortTarget::Mod, SortOrder::Descend)
            .with_limit(1);
        let answer = kv.get(DOCUMENT_PREFIX, Some(youngest)).await?;
        let youngest = answer.kvs().first().map_or(0, etcd_client::KeyValue::mod_revision);
        self.check_at = Instant::now() + CHECK_EVERY.max(began.elapsed() * CHECK_PAUSE_FACTOR);
        Ok(youngest > self.documents_upto || usize::try_from(answer.count()).ok() != Some(self.whole.len()))
    }
}

/// What differs from what this process wrote before, or from the head that is there.
fn repair(before: Option<&(Arc<Whole>, Head)>, whole: &Whole, held: &Held, look: &Look) -> Option<Repair> {
    let names_it = matches!(&look.found, Found::Head(head)
        if head.revision == whole.revision() && head.hash == *whole.hash());
    let right = before.map(|(before, _)| &**before).or(names_it.then_some(whole))?;
    let differs = Difference::new(right, held);
    let head_differs = match (&look.found, before) {
        (Found::Head(head), Some((_, before))) => head != before,
        (Found::Head(_), None) => false,
        (Found::Nothing | Found::Damaged, _) => true,
    };
    if differs.is_empty() && !head_differs {
        return None;
    }
    let mut keys = if head_differs { vec!["head".to_owned()] } else { Vec::new() };
    keys.extend(differs.named(NAMED_MAX));
    Some(Repair { keys, total: differs.len().saturating_add(usize::from(head_differs)) })
}

/// A revision to be written over what etcd holds.
struct Put<'a> {
    whole: &'a Arc<Whole>,
    marker: &'a Marker,
    flags: Flags,
    look: &'a Look,
    /// What etcd holds, and up to which of its revisions.
    held: (Held, i64),
}

impl Put<'_> {
    /// Returns what etcd holds then, and whether anything was written.
    async fn carry_out(self, kv: &mut KvClient, leadership: &Leadership) -> Result<(Written, bool), PublishError> {
        let Self { whole, marker, flags, look, held: (held, upto) } = self;
        let difference = Difference::new(whole, &held);
        if let Found::Head(head) = &look.found
            && marker.is_current(head, whole)
            && difference.is_empty()
            && flags == Flags::default()
        {
            return Ok((Written::new(whole, head.clone(), look.modified, upto), false));
        }
        let removes_much = is_large_removal(difference.deletes.len(), held.len());
        let flags = Flags { large_removal: flags.large_removal || removes_much, ..flags };
        let head = marker.head(whole, flags);
        let modified = write(kv, leadership, difference, &head).await?;
        Ok((Written::new(whole, head, modified, modified), true))
    }
}

async fn read_head(kv: &mut KvClient) -> Result<(Found, i64), PublishError> {
    let response = kv.get(HEAD_KEY, None).await?;
    let Some(kv) = response.kvs().first() else { return Ok((Found::Nothing, 0)) };
    // A head that cannot be read is replaced.
    Ok((Head::parse(kv.value()).map_or(Found::Damaged, Found::Head), kv.mod_revision()))
}

/// Everything under the document prefix, in pages of one etcd revision, which is returned too.
async fn list(kv: &mut KvClient) -> Result<(HashMap<String, [u8; 32]>, i64), PublishError> {
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
            Some(_) | None => return Ok((held, pinned)),
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

/// Writes the difference and then the head; returns the head's modification revision.
async fn write(
    kv: &mut KvClient,
    leadership: &Leadership,
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

async fn commit(kv: &mut KvClient, leadership: &Leadership, operations: Vec<TxnOp>) -> Result<i64, PublishError> {
    leadership.is_held()?;
    let response = kv.txn(Txn::new().when([leadership.is_mine()]).and_then(operations)).await?;
    if !response.succeeded() {
        return Err(PublishError::Lost);
    }
    Ok(response.header().map_or(0, |header| header.revision()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_takes_all_of_it_and_no_more() {
        let end = prefix_end(DOCUMENT_PREFIX);
        assert!(end.as_slice() > format!("{DOCUMENT_PREFIX}~~~").as_bytes());
        assert!(end.as_slice() > HEAD_KEY.as_bytes() || HEAD_KEY.as_bytes() > end.as_slice());
        assert!(!HEAD_KEY.starts_with(DOCUMENT_PREFIX));
    }
}
