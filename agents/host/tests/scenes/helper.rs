//! `chaos helper …`, without the rest of `chaos`: what the tests of this crate start.

fn main() -> std::process::ExitCode {
    chaos_host::helper_main(std::env::args_os().skip(2))
}
