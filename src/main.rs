//! The program `chaos`: see [`chaos::cli`].

fn main() -> std::process::ExitCode {
    chaos::cli::main()
}
