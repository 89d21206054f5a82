//! No core dumps: the memory of either program holds keys, passwords and bodies.

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};

/// Forbids core dumps of this process, and that another process of the same user attaches to it or reads its memory.
///
/// Some files below `/proc/PID` are root's from then on: `exe`, `fd`, `environ`, `maps`. Those that hold numbers stay
/// readable.
pub fn forbid() -> std::io::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    // The limit does not stop a handler that `core_pattern` pipes to (core(5)); this does.
    prctl::set_dumpable(false)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_it_neither_a_limit_nor_a_handler_gets_a_dump() {
        forbid().unwrap();
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_ascii_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"]);
        assert!(!prctl::get_dumpable().unwrap());
    }
}
