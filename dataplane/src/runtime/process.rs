//! What this process takes, read from `/proc` (proc(5)) when somebody asks: CPU, memory, open files, age.
//!
//! A read costs some tenths of a millisecond, on the admin listener's thread, and more with the number of open files.

use std::fs;

/// Ticks per second in `/proc`: the kernel's `USER_HZ`, which is 100 on every architecture this builds for.
const TICKS_PER_SECOND: f64 = 100.0;

/// This process at one instant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Process {
    /// User and system time so far.
    pub cpu_seconds: f64,
    /// Resident memory.
    pub resident_bytes: u64,
    /// File descriptors that are open.
    pub open_fds: u64,
    /// File descriptors that may be open; unknown where there is no limit.
    pub max_fds: Option<u64>,
    /// When it was started, in seconds since 1970.
    pub started_unix_seconds: f64,
}

impl Process {
    /// Looks now; `None` where `/proc` does not tell.
    pub fn read() -> Option<Self> {
        let text = |path: &str| fs::read_to_string(path).ok();
        let (stat, status, limits) = (text("/proc/self/stat")?, text("/proc/self/status")?, text("/proc/self/limits")?);
        let boot: f64 = number_after(&text("/proc/stat")?, "btime ")?;
        let (cpu_ticks, start_ticks) = ticks(&stat)?;
        Some(Self {
            cpu_seconds: cpu_ticks / TICKS_PER_SECOND,
            resident_bytes: number_after::<u64>(&status, "VmRSS:")?.saturating_mul(1_024),
            // The descriptor that reads the folder is in it.
            open_fds: u64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()?.saturating_sub(1),
            max_fds: number_after(&limits, "Max open files"),
            started_unix_seconds: boot + start_ticks / TICKS_PER_SECOND,
        })
    }
}

/// CPU time so far and the time of the start since boot, from `stat`.
fn ticks(stat: &str) -> Option<(f64, f64)> {
    // The name, in parentheses, may hold anything; what follows its last parenthesis are numbers, beginning with field 3.
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    let mut number = |skipped: usize| fields.nth(skipped)?.parse::<f64>().ok();
    let (user, system) = (number(14 - 3)?, number(0)?);
    let start = number(22 - 16)?;
    Some((user + system, start))
}

/// The number that follows `key` at the beginning of a line.
fn number_after<T: std::str::FromStr>(text: &str, key: &str) -> Option<T> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_looks_like_numbers_is_not_read_as_numbers() {
        let stat = "7 (a) 1 (b) S 1 2 3 4 5 6 7 8 9 10 250 50 90 91 20 0 4 0 12345 999 42";
        assert_eq!(ticks(stat), Some((300.0, 12_345.0)));
        assert_eq!(ticks("7 (a) S 1 2"), None);
    }

    #[test]
    fn values_are_found_by_their_names_and_no_limit_is_no_number() {
        assert_eq!(number_after("VmHWM:\t 9 kB\nVmRSS:\t  1234 kB\n", "VmRSS:"), Some(1_234_u64));
        assert_eq!(
            number_after::<u64>("Max open files            unlimited            unlimited", "Max open files"),
            None
        );
    }

    #[test]
    fn an_open_file_and_work_done_are_seen() {
        let before = Process::read().unwrap();
        let held: Vec<_> = (0..64).map(|_| fs::File::open("/proc/self/stat").unwrap()).collect();
        let mut after = Process::read().unwrap();
        while after.cpu_seconds <= before.cpu_seconds {
            after = Process::read().unwrap();
        }
        assert!(after.open_fds >= 64, "{after:?}");
        drop(held);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        // The kernel rounds the time of its own start to a second.
        assert!(after.started_unix_seconds <= now + 2.0, "{after:?}");
        assert!((before.started_unix_seconds - after.started_unix_seconds).abs() <= 2.0, "{before:?} {after:?}");
    }
}
