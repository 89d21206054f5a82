//! `lgsp-loadtest`: load, capacity, compliance, and a target. Everything is in the library; this is its door.

use std::process::ExitCode;

/// A generator that spends its time in the allocator measures the allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    lgsp_loadtest::cli::main()
}
