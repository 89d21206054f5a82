//! Ctrl-C and SIGTERM: the run ends early and still writes what it has; the second time the program just ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

/// What a shell expects of a program ended by Ctrl-C.
const ENDED_BY_INTERRUPT: i32 = 130;

/// Watches for signals on a thread of its own; the flag is raised when one comes.
pub(super) fn on_signal() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let raised = stop.clone();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("the system gave no runtime")?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                let (Ok(mut interrupts), Ok(mut terminations)) =
                    (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
                else {
                    return;
                };
                loop {
                    tokio::select! {
                        _ = interrupts.recv() => {}
                        _ = terminations.recv() => {}
                    }
                    if raised.swap(true, Ordering::Relaxed) {
                        std::process::exit(ENDED_BY_INTERRUPT);
                    }
                    eprintln!("ending early; what was measured is written (once more to end at once)");
                }
            });
        })
        .context("the system gave no thread")?;
    Ok(stop)
}
