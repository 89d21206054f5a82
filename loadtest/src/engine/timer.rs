//! A timer that rings to the microsecond: the kernel's, because a runtime's own counts in milliseconds.

use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::{Duration, Instant};

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Waits shorter than this are not worth a system call.
const SPIN: Duration = Duration::from_micros(5);

/// Rings at instants; one per thread.
#[derive(Debug)]
pub(super) struct Timer(AsyncFd<Raw>);

#[derive(Debug)]
struct Raw(TimerFd);

impl AsRawFd for Raw {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Timer {
    /// Must be called within a runtime.
    #[expect(
        deprecated,
        reason = "unsound only for descriptors that are closed or change meanwhile; the timer owns this one, and the replacement takes unsafe code"
    )]
    pub(super) fn new() -> std::io::Result<Self> {
        let raw = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        Ok(Self(AsyncFd::with_interest(Raw(raw), Interest::READABLE)?))
    }

    /// Waits until `instant`.
    pub(super) async fn until(&self, instant: Instant) -> std::io::Result<()> {
        let left = instant.saturating_duration_since(Instant::now());
        if left <= SPIN {
            return Ok(());
        }
        let wait = Expiration::OneShot(TimeSpec::from_duration(left));
        self.0.get_ref().0.set(wait, TimerSetTimeFlags::empty())?;
        loop {
            let mut ready = self.0.readable().await?;
            // An earlier wait that was given up may have left its mark: only the clock tells.
            match self.0.get_ref().0.wait() {
                Ok(()) => {
                    ready.clear_ready();
                    return Ok(());
                }
                Err(nix::errno::Errno::EAGAIN) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
