//! The node's status in etcd: under a lease, so that a node that dies is gone from the list; written when it changes.

use std::time::Duration;

use etcd_client::{Client, LeaseKeepAliveStream, LeaseKeeper, PutOptions};
use lgsp_shared::keyspace::{member_key, node_key};
use lgsp_shared::usage::{UsageReport, usage_key};
use tokio::time::{Instant, interval_at};

use super::super::backoff::{Backoff, random};
use super::super::health::count;
use super::super::{Context, Shutdown, USAGE_EVERY};
use super::{EtcdSettings, EtcdTiming, Failure, answered, connect};

/// The shortest pause between two writes, however fast the report changes.
const WRITE_PAUSE: Duration = Duration::from_secs(1);
/// Written again after this long without a change: the process this one succeeds in an upgrade takes the status away
/// when it ends, if it wrote last.
const WRITE_AGAIN: Duration = Duration::from_secs(10);
/// Uses of credentials are first written so long after a connection was made, longer than the longest pause of whoever
/// follows the configuration: an etcd that was restored is told by its revision having gone back, and what is written
/// before that was looked at would hide it.
const USAGE_FIRST_AFTER: Duration = Duration::from_secs(20);
/// Keep-alives per lifetime of the lease.
const KEEP_ALIVES_PER_LEASE: u32 = 3;

/// Reports until asked to end; then takes the status away.
pub(in super::super) async fn report(settings: EtcdSettings, context: Context, mut shutdown: Shutdown) {
    let mut backoff = Backoff::new(settings.timing.backoff);
    loop {
        let mut lease = None;
        let ended = tokio::select! {
            ended = lease_and_write(&settings, &context, &mut backoff, &mut lease) => ended,
            () = shutdown.requested() => {
                give_up(&settings, lease).await;
                return;
            }
        };
        let Err(failure) = ended;
        count(&context.health.counters().status_failures);
        if let Failure::Denied(_) = failure {
            backoff.slow_down();
        }
        let pause = backoff.wait(random());
        tracing::debug!(reason = %failure, pause_ms = pause.as_millis(), "node status: trying again after a pause");
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.requested() => return,
        }
    }
}

/// A lease that is held, and the client it was taken with.
struct Lease {
    client: Client,
    id: i64,
}

async fn lease_and_write(
    settings: &EtcdSettings,
    context: &Context,
    backoff: &mut Backoff,
    held: &mut Option<Lease>,
) -> Result<std::convert::Infallible, Failure> {
    let timing = &settings.timing;
    let mut client = connect(settings).await?;
    let seconds = i64::try_from(timing.lease.as_secs()).unwrap_or(i64::MAX);
    let id = answered(timing, client.lease_grant(seconds, None)).await?.id();
    *held = Some(Lease { client: client.clone(), id });
    if let Some(internal) = &context.internal {
        // A struct of an address and a number always serialises.
        let told = serde_json::to_string(internal).unwrap_or_default();
        let options = PutOptions::new().with_lease(id);
        answered(timing, client.put(member_key(&context.identity.node), told, Some(options))).await?;
    }
    let (mut keeper, mut kept) = answered(timing, client.lease_keep_alive(id)).await?;
    let mut report = context.health.subscribe();
    let mut usage = UsageReport::default();
    let mut look_at_usage = interval_at(Instant::now() + USAGE_FIRST_AFTER, USAGE_EVERY);
    let mut keep_alive = tokio::time::interval(timing.lease / KEEP_ALIVES_PER_LEASE);
    loop {
        let status = context.status(&report.borrow_and_update());
        let options = PutOptions::new().with_lease(id);
        answered(timing, client.put(node_key(&context.identity.node), status.to_json(), Some(options))).await?;
        count(&context.health.counters().status_writes);
        backoff.reset();
        let earliest = Instant::now() + WRITE_PAUSE;
        let latest = Instant::now() + WRITE_AGAIN;
        loop {
            tokio::select! {
                _ = keep_alive.tick() => renew(timing.reply_deadline, &mut keeper, &mut kept).await?,
                changed = report.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return Err(Failure::Ended),
                },
                () = tokio::time::sleep_until(latest) => break,
                _ = look_at_usage.tick() => write_usage(timing, context, &mut client, id, &mut usage).await?,
            }
        }
        tokio::time::sleep_until(earliest).await;
    }
}

/// Writes the pages of last uses that changed, under the same lease: a node that is gone reports nothing.
async fn write_usage(
    timing: &EtcdTiming,
    context: &Context,
    client: &mut Client,
    lease: i64,
    usage: &mut UsageReport,
) -> Result<(), Failure> {
    for (number, page) in usage.changed(context.apply.last_used().into_iter()) {
        let (key, options) = (usage_key(&context.identity.node, number), PutOptions::new().with_lease(lease));
        answered(timing, client.put(key, page.to_json(), Some(options))).await?;
        usage.keep(&page);
    }
    Ok(())
}

async fn renew(deadline: Duration, keeper: &mut LeaseKeeper, kept: &mut LeaseKeepAliveStream) -> Result<(), Failure> {
    keeper.keep_alive().await?;
    match tokio::time::timeout(deadline, kept.message()).await {
        Ok(answer) => match answer?.map(|answer| answer.ttl()) {
            Some(seconds) if seconds > 0 => Ok(()),
            // The lease ran out, or a restored etcd never had it.
            Some(_) | None => Err(Failure::Ended),
        },
        Err(_) => Err(Failure::Silent(deadline)),
    }
}

/// Ends the lease, so that the node is off the list at once; if etcd is away, the lease runs out by itself.
async fn give_up(settings: &EtcdSettings, lease: Option<Lease>) {
    if let Some(Lease { mut client, id }) = lease
        && let Err(failure) = answered(&settings.timing, client.lease_revoke(id)).await
    {
        tracing::debug!(reason = %failure, "the node status runs out with its lease");
    }
}
