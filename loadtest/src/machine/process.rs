//! Processes and their children, read from `/proc` (proc(5)).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Ticks per second in `/proc`: the kernel's `USER_HZ`, which is 100 on every architecture this builds for.
const TICKS_PER_SECOND: f64 = 100.0;
/// The most processes looked at in one sample.
const PROCESSES_MAX: usize = 65_536;

/// The most generations looked back for an ancestor.
const ANCESTORS_MAX: usize = 64;
/// The most processes listed, and characters shown of each one's command.
const PROCESSES_SHOWN: usize = 20;
const COMMAND_CHARS_SHOWN: usize = 120;
/// The kernel's `TASK_COMM_LEN` without its final zero.
const SHORT_NAME_BYTES_MAX: usize = 15;

/// What processes take.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Usage {
    /// User and system time so far, of ended children too.
    pub cpu_seconds: f64,
    /// Resident memory now.
    pub resident_bytes: u64,
}

/// Processes with their children.
#[derive(Debug, Default)]
pub struct Tree {
    /// The sum at the last look: it never falls, also when a child has ended and was not waited for.
    ticks: u64,
}

struct Stat {
    parent: u32,
    ticks: u64,
    children_ticks: u64,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may hold anything; what follows its last parenthesis are numbers.
        let mut fields = text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace();
        let parent = fields.nth(1)?.parse().ok()?;
        let mut number = |skipped: usize| fields.nth(skipped)?.parse::<u64>().ok();
        let (user, system) = (number(9)?, number(0)?);
        let (children_user, children_system) = (number(0)?, number(0)?);
        Some(Self { parent, ticks: user + system, children_ticks: children_user + children_system })
    }
}

impl Tree {
    /// What `roots` and everything below them take; `None` when none of them is there any more.
    #[allow(clippy::cast_precision_loss, reason = "ticks are far below 2^52")]
    pub fn usage(&mut self, roots: &[u32]) -> Option<Usage> {
        let stats: BTreeMap<u32, Stat> =
            pids().take(PROCESSES_MAX).filter_map(|pid| Some((pid, Stat::read(pid)?))).collect();
        let mut members: BTreeSet<u32> = roots.iter().copied().filter(|pid| stats.contains_key(pid)).collect();
        if members.is_empty() {
            return None;
        }
        // A parent is older than its children but may have a larger number: repeat until nothing is added.
        loop {
            let more: Vec<u32> = stats
                .iter()
                .filter(|(pid, stat)| members.contains(&stat.parent) && !members.contains(pid))
                .map(|(pid, _)| *pid)
                .collect();
            if more.is_empty() {
                break;
            }
            members.extend(more);
        }
        let (mut ticks, mut resident_bytes) = (0, 0);
        for pid in &members {
            let Some(stat) = stats.get(pid) else { continue };
            ticks += stat.ticks + stat.children_ticks;
            resident_bytes += memory(*pid, "VmRSS:");
        }
        self.ticks = self.ticks.max(ticks);
        Some(Usage { cpu_seconds: self.ticks as f64 / TICKS_PER_SECOND, resident_bytes })
    }
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Bytes under one of the names of memory in a process's status (proc(5)), such as `VmRSS:`.
pub fn memory(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok()).unwrap_or_default() * 1_024
}

/// The processes that `wanted`, a pid or a program's name, means.
pub fn find(wanted: &str) -> Vec<u32> {
    if let Ok(pid) = wanted.parse::<u32>() {
        return Stat::read(pid).map(|_| pid).into_iter().collect();
    }
    let cut = wanted.get(..wanted.floor_char_boundary(SHORT_NAME_BYTES_MAX)).unwrap_or_default();
    let is_wanted = |pid: u32| program(pid).is_some_and(|name| name == wanted || name == cut);
    pids().filter(|pid| *pid != std::process::id() && is_wanted(*pid)).collect()
}

/// Those of the processes that none of the others has started, directly or through others.
pub fn without_descendants(found: Vec<u32>) -> Vec<u32> {
    let has_ancestor = |pid: u32| {
        let ancestors = std::iter::successors(Stat::read(pid), |stat| Stat::read(stat.parent)).map(|stat| stat.parent);
        ancestors.take(ANCESTORS_MAX).any(|ancestor| found.contains(&ancestor))
    };
    found.iter().copied().filter(|pid| !has_ancestor(*pid)).collect()
}

/// One line for each process: its number and its command, as far as that tells it from others.
pub fn list(pids: &[u32]) -> String {
    let line = |pid: &u32| {
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let command: String = String::from_utf8_lossy(&command)
            .chars()
            .map(|letter| if letter.is_control() { ' ' } else { letter })
            .take(COMMAND_CHARS_SHOWN)
            .collect();
        format!("  {pid}  {}", command.trim_end())
    };
    pids.iter().take(PROCESSES_SHOWN).map(line).collect::<Vec<_>>().join("\n")
}

fn program(pid: u32) -> Option<String> {
    let Ok(path) = std::fs::read_link(format!("/proc/{pid}/exe")) else { return short_name(pid) };
    let name = path.file_name()?.to_str()?;
    // What the link says of a program that was replaced while it ran.
    Some(name.strip_suffix(" (deleted)").unwrap_or(name).to_owned())
}

/// The name by which the kernel knows it, of 15 bytes at most: all there is of a process whose memory nobody may read.
fn short_name(pid: u32) -> Option<String> {
    Some(std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim_end().to_owned())
}

/// For results: the program's name and the pid.
pub fn name(pid: u32) -> String {
    format!("{} ({pid})", program(pid).unwrap_or_else(|| "process".to_owned()))
}

/// Cores that `pids` may use together: their affinity, or their control group's quota where that is less.
pub fn cores_of(pids: &[u32]) -> f64 {
    let mut allowed = BTreeSet::new();
    let mut quota: Option<f64> = None;
    for pid in pids {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or_default();
        allowed.extend(cores_in(list.trim()));
        if let Some(own) = quota_of(*pid) {
            quota = Some(quota.unwrap_or(0.0).max(own));
        }
    }
    let online = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    let online: BTreeSet<u32> = cores_in(online.trim()).collect();
    let usable = allowed.iter().filter(|core| online.is_empty() || online.contains(core)).count();
    let affinity = u32::try_from(usable).map_or(1.0, f64::from).max(1.0);
    quota.map_or(affinity, |quota| quota.min(affinity))
}

/// `0-3,8` as numbers.
fn cores_in(list: &str) -> impl Iterator<Item = u32> {
    list.split(',').flat_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let bound = |text: &str| text.trim().parse::<u32>().ok();
        bound(first).zip(bound(last)).into_iter().flat_map(|(first, last)| first..=last)
    })
}

/// The quota of a control group (version 2), in cores.
fn quota_of(pid: u32) -> Option<f64> {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let text = std::fs::read_to_string(Path::new("/sys/fs/cgroup").join(group).join("cpu.max")).ok()?;
    let (quota, period) = text.trim().split_once(' ')?;
    let (quota, period) = (quota.parse::<f64>().ok()?, period.parse::<f64>().ok()?);
    (period > 0.0).then_some(quota / period)
}

/// CPU seconds that anything on this machine has used.
#[allow(clippy::cast_precision_loss, reason = "ticks are far below 2^52")]
pub fn machine_cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = text.lines().next().unwrap_or_default().split_ascii_whitespace().skip(1);
    // user, nice, system, (idle, iowait), irq, softirq, steal.
    let busy = fields.take(8).enumerate().filter(|(at, _)| !matches!(at, 3 | 4));
    busy.filter_map(|(_, ticks)| ticks.parse::<u64>().ok()).sum::<u64>() as f64 / TICKS_PER_SECOND
}

/// The regular files a process has open. Where they may not be looked at, the folder that names them: whoever searches
/// finds that it cannot be read, which is not the same as nothing.
pub fn open_files(pid: u32) -> Vec<PathBuf> {
    let folder = PathBuf::from(format!("/proc/{pid}/fd"));
    let Ok(entries) = std::fs::read_dir(&folder) else { return vec![folder] };
    let targets = entries.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
    let mut files: Vec<PathBuf> = targets.filter(|path| path.is_absolute() && path.is_file()).collect();
    files.sort();
    files.dedup();
    files
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn cpu_of_a_process_and_of_its_children_is_counted() {
        let own = std::process::id();
        let mut tree = Tree::default();
        let before = tree.usage(&[own]).unwrap();
        let mut child = std::process::Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        while tree.usage(&[own]).unwrap().cpu_seconds < before.cpu_seconds + 0.2 {
            assert!(Instant::now() < end, "a busy child is seen");
            std::thread::yield_now();
        }
        let with_child = tree.usage(&[own]).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(tree.usage(&[own]).unwrap().cpu_seconds >= with_child.cpu_seconds, "the sum never falls");
        assert!(with_child.resident_bytes > 1 << 20);
    }

    #[test]
    fn processes_are_found_by_number_and_by_name() {
        let own = std::process::id();
        assert_eq!(find(&own.to_string()), [own]);
        assert_eq!(find("no-such-program-anywhere"), [0_u32; 0]);
        assert!(name(own).ends_with(&format!("({own})")));
        assert!(cores_of(&[own]) >= 0.01);
    }

    /// Found with nodes of three checkouts on one machine: all were counted as one.
    #[test]
    fn a_name_that_several_processes_bear_is_refused_unless_one_started_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("lgsp-several");
        std::fs::copy("/bin/sleep", &program).unwrap();
        let start = || std::process::Command::new(&program).arg("600").spawn().unwrap();
        let probe = |name: &str| crate::machine::Probe::new(&[name.to_owned()], None, None);
        let mut one = start();
        assert_eq!(probe("lgsp-several").unwrap().processes(), [one.id()]);
        let mut other = start();
        let refused = probe("lgsp-several").unwrap_err().to_string();
        assert!(refused.contains("is 2 processes here") && refused.contains("--sut"), "{refused}");
        assert!(refused.contains(&one.id().to_string()) && refused.contains(&other.id().to_string()), "{refused}");
        assert_eq!(probe(&other.id().to_string()).unwrap().processes(), [other.id()]);
        assert_eq!(without_descendants(vec![std::process::id(), one.id(), other.id()]), [std::process::id()]);
        for child in [&mut one, &mut other] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    #[test]
    fn files_that_may_not_be_looked_at_are_not_taken_for_none() {
        let _held = std::fs::File::open("/proc/self/exe").unwrap();
        assert!(open_files(std::process::id()).contains(&std::env::current_exe().unwrap()));
        // No process has this number; as little can be seen of one that belongs to another user.
        assert_eq!(open_files(u32::MAX), [PathBuf::from(format!("/proc/{}/fd", u32::MAX))]);
    }

    #[test]
    fn lists_of_cores_are_read() {
        assert_eq!(cores_in("0-3,8").collect::<Vec<_>>(), [0, 1, 2, 3, 8]);
        assert_eq!(cores_in("").count(), 0);
    }
}
