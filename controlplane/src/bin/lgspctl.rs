//! `lgspctl`: the operator's command line. Everything is in the library.

fn main() -> std::process::ExitCode {
    lgsp_controlplane::ctl::main()
}
