//! A full list: the documents as they stood when the head was written, page by page.

use etcd_client::{Client, GetOptions, GetResponse, KvClient};
use lgsp_shared::keyspace::{ConfigKey, DOCUMENT_PREFIX, HEAD_KEY, Head};

use super::super::assembly::Assembly;
use super::super::health::count;
use super::super::rejection::{CONFIGURATION_BYTES_MAX, Rejection};
use super::{Failure, Follower, MESSAGE_BYTES_MAX, Position, answered};

/// Documents asked for at a time; at about 1 KiB each a page is half a megabyte.
const PAGE_DOCUMENTS: i64 = 500;

/// What the store says about the head.
struct Found {
    head: Option<Result<Head, Rejection>>,
    /// The store revision at which the head was written.
    written_at: Option<i64>,
    cluster: u64,
    revision: i64,
}

/// Documents as they stood at one store revision.
struct Listed {
    assembly: Assembly,
    /// The store revision at which the youngest readable one was written.
    newest: i64,
}

impl Follower {
    /// Lists everything, offers the revision it makes, and returns where to watch from.
    pub(super) async fn list(&mut self, client: &mut Client) -> Result<Position, Failure> {
        count(&self.context.health.counters().lists);
        let mut kv = client.kv_client().max_decoding_message_size(MESSAGE_BYTES_MAX);
        let found = self.find_head(&mut kv).await?;
        // At the revision of the head nothing of the next revision is there yet, however far its publisher has come.
        let pinned = found.written_at.unwrap_or(found.revision);
        let (pinned, listed) = match self.documents_at(&mut kv, pinned).await {
            Err(Failure::Compacted(_)) => (found.revision, self.documents_at(&mut kv, found.revision).await?),
            listed => (pinned, listed?),
        };
        let Listed { assembly, newest } = listed;
        // No document younger than the head: they are the ones it was written for.
        let consistent = found.written_at.is_some_and(|written_at| newest <= written_at);
        self.offer_listed(&assembly, found.head, consistent).await?;
        self.progressed();
        Ok(Position { cluster: found.cluster, newest: found.revision, watch_from: pinned + 1, assembly })
    }

    async fn find_head(&self, kv: &mut KvClient) -> Result<Found, Failure> {
        let answer = answered(&self.settings.timing, kv.get(HEAD_KEY, None)).await?;
        let (cluster, revision) = answer.header().map_or((0, 0), |header| (header.cluster_id(), header.revision()));
        let found = answer.kvs().first();
        let head = found.map(|found| Head::parse(found.value()).map_err(Rejection::Head));
        Ok(Found { head, written_at: found.map(etcd_client::KeyValue::mod_revision), cluster, revision })
    }

    async fn documents_at(&self, kv: &mut KvClient, revision: i64) -> Result<Listed, Failure> {
        let known = self.context.keeper.with(|keeper| keeper.documents()).await.unwrap_or_default();
        let mut listed = Listed { assembly: Assembly::new(known), newest: 0 };
        let end = end_of_prefix(DOCUMENT_PREFIX);
        let mut from = DOCUMENT_PREFIX.as_bytes().to_vec();
        let (mut limit, mut bytes) = (PAGE_DOCUMENTS, 0_usize);
        loop {
            let options = GetOptions::new().with_range(end.clone()).with_limit(limit).with_revision(revision);
            let page = match answered(&self.settings.timing, kv.get(from.clone(), Some(options))).await {
                Err(failure) if failure.is_a_large_message() && limit > 1 => {
                    limit /= 2;
                    continue;
                }
                page => page?,
            };
            bytes = bytes.saturating_add(listed.take_page(&page));
            if bytes > CONFIGURATION_BYTES_MAX {
                return Err(Failure::TooLarge);
            }
            match page.kvs().last() {
                Some(last) if page.more() => from = [last.key(), &[0]].concat(),
                Some(_) | None => return Ok(listed),
            }
            // A page is some milliseconds of work: let the tasks beside this one run.
            tokio::task::yield_now().await;
        }
    }

    async fn offer_listed(
        &self,
        assembly: &Assembly,
        head: Option<Result<Head, Rejection>>,
        consistent: bool,
    ) -> Result<(), Failure> {
        let keeper = &self.context.keeper;
        let head = match head {
            Some(Ok(head)) => head,
            Some(Err(rejection)) => {
                keeper.reject(None, rejection).await;
                return Ok(());
            }
            None => {
                let fresh = keeper.with(|keeper| keeper.documents().is_empty()).await.unwrap_or(true);
                keeper.reject(None, if fresh { Rejection::NothingPublished } else { Rejection::HeadGone }).await;
                return Ok(());
            }
        };
        let origin = match self.context.origins.admit(&head) {
            Ok(origin) => origin,
            Err(rejection) => {
                keeper.reject(Some(head.revision), rejection).await;
                return Ok(());
            }
        };
        match assembly.offer(&head, origin, consistent) {
            Ok(offer) => keeper.take(offer).await,
            Err(Rejection::TooLarge) => return Err(Failure::TooLarge),
            // Either the next revision is half written, or the publisher made a mistake. The next head tells.
            Err(rejection) => keeper.reject_unless_it_serves(&head, rejection).await,
        }
        Ok(())
    }
}

impl Listed {
    fn take_page(&mut self, page: &GetResponse) -> usize {
        let mut bytes = 0;
        for found in page.kvs() {
            if let ConfigKey::Document { kind, name } = ConfigKey::parse(found.key())
                && self.assembly.put(kind, name, found.value())
            {
                self.newest = self.newest.max(found.mod_revision());
            }
            bytes += found.value().len();
        }
        bytes
    }
}

/// The first key after all keys that start with `prefix`, which ends in `/`.
fn end_of_prefix(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}
