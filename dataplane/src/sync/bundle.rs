//! Configuration from a bundle file: replaced by rename, noticed through inotify, re-read now and then in case a
//! notification was lost. Torn, edited and newer files are reported; what served before serves on.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lgsp_shared::bundle::{Bundle, BundleError};
use lgsp_shared::keyspace::{bundle_status_dir, bundle_status_path};
use lgsp_shared::usage::{UsageReport, bundle_usage_path};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::assembly::offer_of_bundle;
use super::health::count;
use super::keeper::Keeper;
use super::rejection::{CONFIGURATION_BYTES_MAX, Rejection};
use super::{Context, Shutdown};

/// How often the file is looked at without a notification.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// How often the status is written without a change; a reader takes a status several times older for stale.
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// Follows the file until asked to end.
pub(super) async fn follow(path: PathBuf, context: Context, mut shutdown: Shutdown) {
    let (signal, mut signals) = mpsc::channel(1);
    let mut watcher = None;
    let mut seen = None;
    let mut keys = context.keys.changes();
    loop {
        if watcher.is_none() {
            watcher = watch_directory(&path, signal.clone());
        }
        let now = fingerprint(&path);
        if now.is_none() || now != seen {
            seen = now;
            read(&path, &context).await;
        } else {
            context.health.progressed((context.clock)());
        }
        tokio::select! {
            // A write that keeps size and times apart from the last look would be missed: look again whatever they say.
            signalled = signals.recv() => if signalled.is_some() { seen = None },
            Ok(()) = keys.changed() => {
                context.keeper.with(Keeper::try_again).await;
                seen = None;
            }
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = shutdown.requested() => return,
        }
    }
}

/// Watches the directory, because a watch on the file would stay with the one that was replaced.
fn watch_directory(path: &Path, signal: mpsc::Sender<()>) -> Option<RecommendedWatcher> {
    let name = path.file_name()?.to_owned();
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    let handler = move |event: notify::Result<notify::Event>| {
        let ours = match &event {
            Ok(event) => {
                !matches!(event.kind, EventKind::Access(_))
                    && event.paths.iter().any(|changed| changed.file_name() == Some(&name))
            }
            // Notifications may have been lost.
            Err(_) => true,
        };
        if ours {
            // A signal that waits already will lead to the newest content.
            let _ = signal.try_send(());
        }
    };
    let watched = notify::recommended_watcher(handler).and_then(|mut watcher| {
        watcher.watch(directory, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    watched
        .inspect_err(|error| {
            let directory = directory.display();
            tracing::warn!(%directory, %error, "no notifications for the bundle's directory; looking at it every few seconds instead");
        })
        .ok()
}

/// What changes whenever the file is replaced or written.
type Fingerprint = (u64, u64, i64, i64, i64, i64);

fn fingerprint(path: &Path) -> Option<Fingerprint> {
    let meta = fs::metadata(path).ok()?;
    Some((meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()))
}

async fn read(path: &Path, context: &Context) {
    let path = path.to_owned();
    let origins = context.origins.clone();
    let read = move |keeper: &mut Keeper| {
        let bundle = load(&path)?;
        let origin = origins.admit(&bundle.head())?;
        Ok(offer_of_bundle(bundle, origin, &keeper.documents()))
    };
    let read = context.keeper.with(read).await;
    match read {
        Some(Ok(offer)) => {
            context.health.progressed((context.clock)());
            context.keeper.take(offer).await;
        }
        Some(Err(rejection)) => {
            context.health.set_connected(!matches!(rejection, Rejection::File { .. }));
            count(&context.health.counters().source_failures);
            let desired = rejection.revision();
            context.keeper.reject(desired, rejection).await;
        }
        None => {}
    }
}

fn load(path: &Path) -> Result<Bundle, Rejection> {
    let unreadable = |error: io::Error| Rejection::File { path: path.display().to_string(), error: error.to_string() };
    let limit = CONFIGURATION_BYTES_MAX as u64;
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > limit {
        return Err(Rejection::TooLarge);
    }
    Bundle::parse(&bytes).map_err(|error| match error {
        // The desired revision cannot be told from a file that cannot be trusted.
        BundleError::Malformed(_) | BundleError::Format { .. } | BundleError::Hash => Rejection::Bundle(error),
    })
}

/// Writes the node's status beside the bundle whenever it changes and every [`REPORT_EVERY`], until asked to end.
pub(super) async fn report(bundle: PathBuf, context: Context, mut shutdown: Shutdown) {
    let mut report = context.health.subscribe();
    let mut failing = false;
    let mut usage = UsageReport::default();
    loop {
        let status = context.status(&report.borrow_and_update());
        let bundle_file = bundle.clone();
        let (bundle, node) = (bundle.clone(), context.identity.node.clone());
        let write = move || {
            fs::create_dir_all(bundle_status_dir(&bundle))?;
            replace(&bundle_status_path(&bundle, &node), status.to_json().as_bytes())
        };
        let written = tokio::task::spawn_blocking(write).await.unwrap_or_else(|error| Err(io::Error::other(error)));
        match &written {
            Ok(()) => count(&context.health.counters().status_writes),
            Err(error) => {
                count(&context.health.counters().status_failures);
                if !failing {
                    tracing::warn!(%error, "the node status cannot be written beside the bundle; the control plane will not see this node");
                }
            }
        }
        failing = written.is_err();
        write_usage(&bundle_file, &context, &mut usage).await;
        tokio::select! {
            changed = report.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(REPORT_EVERY) => {}
            () = shutdown.requested() => return,
        }
    }
}

/// Writes when credentials were last used beside the status, when there is something new to tell.
async fn write_usage(bundle: &Path, context: &Context, usage: &mut UsageReport) {
    let changed = usage.changed(context.apply.last_used().into_iter());
    if changed.is_empty() {
        return;
    }
    let kept = usage.all();
    changed.values().for_each(|page| usage.keep(page));
    let (path, all) = (bundle_usage_path(bundle, &context.identity.node), usage.all());
    let written = tokio::task::spawn_blocking(move || replace(&path, all.to_json().as_bytes())).await;
    if !matches!(written, Ok(Ok(()))) {
        // Told again with the next status, whose failure is the one that is logged.
        *usage = UsageReport::default();
        usage.keep(&kept);
        count(&context.health.counters().status_failures);
    }
}

/// Replaces a file by rename. Not synced: a status lost in a power cut is written again within seconds.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    // During an upgrade two processes of the node report: each has its own file until the rename.
    let next = path.with_extension(format!("{}.next", std::process::id()));
    fs::write(&next, content)?;
    fs::rename(&next, path)
}
