//! Whether the descriptors this process may open are enough for its connections, with some left for everything else.
//!
//! An exchange takes two: the source's connection and the target's. What is reserved is never taken by one, so that
//! configuration, records and the admin listener go on when connections have taken all the rest.

use std::os::fd::RawFd;

use super::settings::Settings;

/// For the configuration's source, files, the admin listener, other nodes, health checks, and the connections that are
/// told there is no room (64 at most).
const RESERVED: u64 = 256;
/// For each worker: its event queue, its timer, its end of a pipe, and its listening sockets.
const RESERVED_PER_WORKER: u64 = 8;
/// A node that could carry fewer connections than this is not started.
const CONNECTIONS_MIN: u64 = 16;

/// What a limit on descriptors allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptors {
    /// How many may be open.
    pub limit: u64,
    /// Those that exchanges leave alone.
    pub reserved: u64,
    /// Connections that the settings want.
    pub wanted: usize,
    /// Connections that fit.
    pub connections_max: usize,
}

/// The limit is too low for any node.
#[derive(Debug, thiserror::Error)]
#[error(
    "this process may open {limit} files and connections, which is too few for a node: allow {needed} with \
     `LimitNOFILE={needed}` in its unit file, or `ulimit -n {needed}` before it starts"
)]
pub struct TooFew {
    limit: u64,
    needed: u64,
}

impl Descriptors {
    /// What `limit` allows a node with these settings.
    pub fn fit(limit: u64, settings: &Settings) -> Result<Self, TooFew> {
        let reserved = RESERVED + RESERVED_PER_WORKER * settings.threads.workers as u64;
        let wanted = settings.limits.connections_max;
        let fitting = limit.saturating_sub(reserved) / 2;
        if fitting < CONNECTIONS_MIN.min(wanted as u64) {
            return Err(TooFew { limit, needed: needed(wanted, reserved) });
        }
        let connections_max = usize::try_from(fitting).unwrap_or(usize::MAX).min(wanted);
        Ok(Self { limit, reserved, wanted, connections_max })
    }

    /// How many would be enough for what the settings want.
    pub fn needed(&self) -> u64 {
        needed(self.wanted, self.reserved)
    }

    /// Whether fewer connections fit than the settings want.
    pub fn is_short(&self) -> bool {
        self.connections_max < self.wanted
    }

    /// The first descriptor that no exchange may keep. The kernel gives out the lowest that is free, so a connection that
    /// is given this one or a higher one shows that only the reserve is left.
    pub fn ceiling(&self) -> RawFd {
        RawFd::try_from(self.limit.saturating_sub(self.reserved)).unwrap_or(RawFd::MAX)
    }
}

impl std::fmt::Display for Descriptors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { limit, reserved: _, wanted, connections_max } = self;
        write!(f, "{limit} may be open")?;
        if self.is_short() {
            let needed = self.needed();
            write!(f, ", enough for {connections_max} connections, not for {wanted}; allow {needed} (`LimitNOFILE`)")?;
        }
        Ok(())
    }
}

fn needed(connections: usize, reserved: u64) -> u64 {
    (connections as u64).saturating_mul(2).saturating_add(reserved)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(connections_max: usize, workers: usize) -> Settings {
        let yaml = format!(
            "{{node: n, listeners: [{{address: '127.0.0.1:0'}}], source: {{bundle: {{file: b}}}}, key_file: k, \
             state_dir: s, records: {{to: stdout}}, limits: {{connections_max: {connections_max}}}, \
             threads: {{workers: {workers}}}}}"
        );
        Settings::parse("dataplane.yaml", &yaml, std::iter::empty()).unwrap()
    }

    #[test]
    fn two_for_each_connection_and_the_reserve_have_to_fit() {
        let enough = Descriptors::fit(20_000 + 256 + 16, &settings(10_000, 2)).unwrap();
        assert_eq!((enough.connections_max, enough.is_short(), enough.ceiling()), (10_000, false, 20_000));
        let short = Descriptors::fit(1_024, &settings(10_000, 2)).unwrap();
        assert_eq!((short.connections_max, short.is_short(), short.ceiling()), (376, true, 752));
        let told = short.to_string();
        assert!(told.contains("376 connections") && told.contains("10000") && told.contains("20272"), "{told}");
        let none = Descriptors::fit(280, &settings(10_000, 2)).unwrap_err().to_string();
        assert!(none.contains("280") && none.contains("LimitNOFILE=20272"), "{none}");
    }
}
