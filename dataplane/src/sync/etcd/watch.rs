//! The watch: changes in the order of the store's history, a revision at each head, and a watchdog.

use std::convert::Infallible;

use etcd_client::{Client, Event, WatchOptions, WatchResponse, WatchStream};
use lgsp_shared::keyspace::{CONFIG_PREFIX, ConfigKey, Head};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use super::super::health::count;
use super::super::rejection::Rejection;
use super::{Failure, Follower, MESSAGE_BYTES_MAX, Position, answered};

impl Follower {
    /// Watches until something fails.
    pub(super) async fn watch(&mut self, client: &mut Client, position: &mut Position) -> Result<Infallible, Failure> {
        count(&self.context.health.counters().watches);
        let timing = self.settings.timing;
        let options = WatchOptions::new().with_prefix().with_start_revision(position.watch_from).with_fragment();
        let mut watcher = client.watch_client().max_decoding_message_size(MESSAGE_BYTES_MAX);
        let mut stream = answered(&timing, watcher.watch(CONFIG_PREFIX, Some(options))).await?;

        let mut ask = interval_at(Instant::now() + timing.progress_every, timing.progress_every);
        ask.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The answer to opening the watch is the first one waited for.
        let mut owed: Option<Instant> = Some(Instant::now() + timing.reply_deadline);
        loop {
            tokio::select! {
                // What has arrived counts before any deadline: taking a large revision may have outlasted it.
                biased;
                message = stream.message() => {
                    let message = message?.ok_or(Failure::Ended)?;
                    owed = None;
                    self.take_message(&message, position).await?;
                }
                () = sleep_until(owed.unwrap_or_else(Instant::now)), if owed.is_some() => {
                    return Err(Failure::Silent(timing.reply_deadline));
                }
                _ = ask.tick() => {
                    ask_for_progress(&mut stream).await?;
                    owed = owed.or(Some(Instant::now() + timing.reply_deadline));
                }
            }
        }
    }

    async fn take_message(&mut self, message: &WatchResponse, position: &mut Position) -> Result<(), Failure> {
        if message.canceled() {
            return Err(Failure::of_cancellation(message.compact_revision(), message.cancel_reason()));
        }
        position.check(message.header(), message.created())?;
        if message.created() {
            return Ok(());
        }
        self.take_events(message.events(), position).await?;
        self.progressed();
        Ok(())
    }

    /// Takes events in order. Of several heads in one message only the last is taken as a revision: the ones before
    /// it are already history.
    async fn take_events(&mut self, events: &[Event], position: &mut Position) -> Result<(), Failure> {
        let is_head = |event: &Event| event.kv().is_some_and(|kv| ConfigKey::parse(kv.key()) == ConfigKey::Head);
        let last_head = events.iter().rposition(is_head);
        for (at, event) in events.iter().enumerate() {
            let Some(kv) = event.kv() else { continue };
            position.watch_from = position.watch_from.max(kv.mod_revision());
            // A deletion sets the version to 0. `event_type()` would say the same, but panics on what it does not know.
            let is_there = kv.version() > 0;
            match ConfigKey::parse(kv.key()) {
                ConfigKey::Document { kind, name } if is_there => {
                    position.assembly.put(kind, name, kv.value());
                }
                ConfigKey::Document { kind, name } => position.assembly.remove(kind, name),
                ConfigKey::Head if last_head == Some(at) => {
                    self.take_head(is_there.then(|| Head::parse(kv.value())), position).await?;
                }
                ConfigKey::Head | ConfigKey::Other => {}
            }
        }
        Ok(())
    }

    async fn take_head(
        &mut self,
        head: Option<Result<Head, lgsp_shared::bundle::BundleError>>,
        position: &mut Position,
    ) -> Result<(), Failure> {
        let head = match head {
            Some(Ok(head)) => head,
            Some(Err(error)) => {
                self.context.keeper.reject(None, Rejection::Head(error)).await;
                return Ok(());
            }
            None => {
                self.context.keeper.reject(None, Rejection::HeadGone).await;
                return Ok(());
            }
        };
        let origin = match self.context.origins.admit(&head) {
            Ok(origin) => origin,
            Err(rejection) => {
                self.context.keeper.reject(Some(head.revision), rejection).await;
                return Ok(());
            }
        };
        match position.assembly.offer(&head, origin, true) {
            Ok(offer) => self.context.keeper.take(offer).await,
            Err(Rejection::TooLarge) => return Err(Failure::TooLarge),
            // Something was missed, or the publisher made a mistake: a list tells which.
            Err(_) => return Err(Failure::Incomplete),
        }
        Ok(())
    }
}

async fn ask_for_progress(stream: &mut WatchStream) -> Result<(), Failure> {
    stream.request_progress().await?;
    Ok(())
}
