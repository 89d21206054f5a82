//! Builds the rooms, serves, and ends in order: no new requests, those in flight finish, then the publisher, then the
//! database.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use lgsp_shared::seal::{KeyId, Sealed};
use lgsp_shared::timestamp::UnixSeconds;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::api::{self, Allowances, App, Rooms};
use crate::audit::{BACKUP_ACTION, Trail};
use crate::backup;
use crate::calendar;
use crate::desired::{self, Desired};
use crate::keys::FileKeys;
use crate::operator::accounts::Accounts;
use crate::operator::oidc::Oidc;
use crate::publish::bundle::BundleSink;
use crate::publish::etcd::EtcdSink;
use crate::publish::{Demand, Publisher, Sink, Status};
use crate::rollout::{self, Rollout};
use crate::serve::{self, Limits};
use crate::settings::database::{DatabaseSettings, read_password};
use crate::settings::{PublishSettings, Settings, key_file};
use crate::store::Store;
use crate::store::registry::Rule;
use crate::store::tables::schema_version;
use crate::usage::Usage;

mod first_token;
mod hangup;
pub mod logging;

pub use hangup::Reload;

/// How long requests in flight may take once the process was asked to end.
const GRACE: Duration = Duration::from_secs(10);

/// The time, as documents and audit columns hold it.
pub fn now() -> UnixSeconds {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixSeconds(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// What tells tests and scripts about a start.
#[derive(Debug, Clone, Default)]
pub struct Announce {
    /// A file for the address that was bound.
    pub address_file: Option<PathBuf>,
    /// A file for the first operator token, in place of standard output.
    pub token_file: Option<PathBuf>,
}

/// Runs until SIGTERM or SIGINT.
pub async fn serve(settings: Settings, announce: Announce, reload: Reload) -> anyhow::Result<()> {
    let hangups = hangup::take_over().context("taking SIGHUP over")?;
    if !settings.core_dumps {
        lgsp_process::dumps::forbid().context("core dumps cannot be forbidden; `core_dumps: true` allows them")?;
    }
    let held = FileKeys::new(settings.key_file.clone())?;
    settings.publish.check_files()?;
    // Before anyone learns the address: whoever starts this may also end it at once.
    let ended = ended().context("taking over the signals that end this program")?;
    let store = open_store(&settings).await?;
    first_token::at_first_start(&store, announce.token_file.as_deref()).await?;
    let accounts = Accounts::new(store.clone(), held.keys(), settings.login.clone())?;
    let oidc = settings.login.oidc.clone().map(|oidc| Oidc::new(oidc, store.clone())).transpose()?;
    let rule = if settings.systems_need_approval { Rule::Approved } else { Rule::NotWithdrawn };
    let desired = Desired::load(store.clone(), held.keys()).await.context("loading the current revision")?;
    let desired = Arc::new(desired.under(rule).within(settings.limits));
    let usage = Arc::new(Usage::load(store.clone()).await.context("loading when credentials were last used")?);
    let listener = bind(settings.listen, announce.address_file.as_deref()).await?;

    let (stop, stopped) = watch::channel(false);
    let (status, published) = watch::channel(Status::default());
    let (demands, demanded) = watch::channel(Demand::default());
    let sink = sink(&settings.publish, listener.local_addr()?);
    let (doubts, doubted) = watch::channel(0);
    let publisher = Publisher::new(sink, desired.clone(), demanded, doubted, status, now);
    let publisher = tokio::spawn(publisher.run(stopped.clone()));
    let follower = tokio::spawn(desired::follow_database(desired.clone(), stopped.clone()));
    let keys = tokio::spawn(held.follow(store.clone(), stopped.clone()));

    let hangups = tokio::spawn(hangup::follow(hangups, reload, settings.clone(), stopped.clone()));
    let calendar = tokio::spawn(calendar::run(desired.clone(), stopped.clone()));
    let rollout = Arc::new(Rollout::new(&settings.publish));
    let refusals =
        tokio::spawn(rollout::follow_refusals(rollout.clone(), desired.follow(), now, doubts, stopped.clone()));
    let following = {
        let (usage, rollout, wholes, stop) = (usage.clone(), rollout.clone(), desired.follow(), stopped.clone());
        tokio::spawn(async move { usage.run(&rollout, wholes, now, stop).await })
    };
    let allowances = Allowances::default();
    let notices = settings.publish.notices();
    for notice in &notices {
        tracing::warn!(notice, "security notice");
    }
    let writing = api::health::Writing::default();
    let rooms = Rooms { desired, accounts, oidc, allowances, rollout, usage, published, demands, notices, writing };
    let router = api::router(App::new(rooms));
    let mut server = tokio::spawn(serve::serve(listener, router, Limits::default(), stopped));
    tokio::select! {
        result = &mut server => result.context("the server panicked")?,
        signal = ended => tracing::info!(signal, "stopping"),
    }
    stop.send_replace(true);
    if tokio::time::timeout(GRACE, server).await.is_err() {
        tracing::warn!(grace_secs = GRACE.as_secs(), "requests in flight were cut");
    }
    publisher.await.context("the publisher panicked")?;
    follower.await.context("following the database panicked")?;
    calendar.await.context("the calendar panicked")?;
    refusals.await.context("following the nodes' refusals panicked")?;
    keys.await.context("following the key file panicked")?;
    hangups.await.context("following SIGHUP panicked")?;
    following.await.context("following the use of credentials panicked")?;
    store.close().await;
    Ok(())
}

/// Makes another token for the first operator; the one before is worth nothing from now on.
pub async fn new_token(settings: &Settings, token_file: Option<&Path>) -> anyhow::Result<()> {
    let store = open_as_it_is(settings).await?;
    anyhow::ensure!(
        store.found_schema().await? == Some(schema_version()),
        "the database is of another version: start the server of this version first, which upgrades it"
    );
    first_token::again(&store, token_file).await?;
    store.close().await;
    Ok(())
}

/// Writes everything to a new file. The database is left as it is; one of this version's schema notes the backup in its
/// audit.
pub async fn backup(settings: &Settings, file: &Path) -> anyhow::Result<backup::Header> {
    let keys = key_file::read(&settings.key_file)?;
    let store = open_as_it_is(settings).await?;
    let made = backup::make(&store, file, &keys.sealing().id().to_string(), now()).await?;
    if store.found_schema().await? == Some(schema_version()) {
        let after = serde_json::json!({"rows": made.tables.values().sum::<u64>(), "key": made.key});
        let trail = local_trail(BACKUP_ACTION, file.display().to_string());
        store.record(trail.done(&serde_json::Value::Null, &after, None)).await?;
    }
    store.close().await;
    Ok(made)
}

/// Puts a backup into the database.
pub async fn restore(
    settings: &Settings,
    file: &Path,
    replace: bool,
    keep_sessions: bool,
) -> anyhow::Result<backup::Restored> {
    let keys = key_file::read(&settings.key_file)?;
    let store = open_store(settings).await?;
    let held: Vec<String> = keys.ids().iter().map(ToString::to_string).collect();
    let terms = backup::Terms { at: now(), replace, keep_sessions };
    let restored = backup::restore(&store, file, &held, terms).await?;
    store.close().await;
    Ok(restored)
}

/// What the database still holds under this key: credentials of the current revision, and second factors.
pub async fn sealed_under(settings: &Settings, id: KeyId) -> anyhow::Result<Vec<String>> {
    let store = open_as_it_is(settings).await?;
    let documents = match store.head().await? {
        Some(head) => store.documents(head.number).await?,
        None => Vec::new(),
    };
    let mut named = desired::reseal::sealed_under(documents.iter(), id);
    let factors = store.sealed_factors().await?.into_iter();
    let under = |text: &str| serde_json::from_str::<Sealed>(text).ok()?.key_id();
    named.extend(
        factors.filter(|(_, text)| under(text) == Some(id)).map(|(name, _)| format!("second factor of {name}")),
    );
    store.close().await;
    Ok(named)
}

/// An attempt by the user who started this program on its own machine.
fn local_trail(action: &str, target: String) -> Trail {
    Trail::new(now(), Ipv4Addr::LOCALHOST.into(), action.to_owned(), target)
}

/// Opens the database that the settings name, and changes nothing in it.
async fn open_as_it_is(settings: &Settings) -> anyhow::Result<Store> {
    let password = settings.database_password_file.as_deref().map(read_password).transpose()?;
    match &settings.database {
        DatabaseSettings::Sqlite(path) => Ok(Store::open_as_it_is(path).await?),
        DatabaseSettings::Postgres(address) => Ok(Store::connect_as_it_is(address, password.as_ref()).await?),
    }
}

/// Opens the database that the settings name.
pub async fn open_store(settings: &Settings) -> anyhow::Result<Store> {
    let password = settings.database_password_file.as_deref().map(read_password).transpose()?;
    match &settings.database {
        DatabaseSettings::Sqlite(path) => Ok(Store::open(path).await?),
        DatabaseSettings::Postgres(address) => Ok(Store::connect(address, password.as_ref()).await?),
    }
}

async fn bind(address: SocketAddr, address_file: Option<&Path>) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on `{address}`; is another program there?"))?;
    let bound = listener.local_addr()?;
    if let Some(path) = address_file {
        write_whole(path, &bound.to_string())
            .with_context(|| format!("cannot write the address to `{}`", path.display()))?;
    }
    tracing::info!(address = %bound, "listening");
    Ok(listener)
}

/// A reader that waits for the file sees all of it or none.
fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    std::fs::write(&temporary, text)?;
    std::fs::rename(&temporary, path)
}

fn sink(settings: &PublishSettings, address: SocketAddr) -> Sink {
    match settings {
        PublishSettings::Bundle(path) => Sink::Bundle(Box::new(BundleSink::new(path.clone()))),
        PublishSettings::Etcd(access) => Sink::Etcd(Box::new(EtcdSink::new(access.clone(), instance(address)))),
    }
}

/// What this process is called among the control planes: machine, port and process.
fn instance(address: SocketAddr) -> String {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}:{} (process {})", machine.trim(), address.port(), std::process::id())
}

/// Takes the signals over at once; what comes of it is the one that arrives.
fn ended() -> std::io::Result<impl Future<Output = &'static str>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}
