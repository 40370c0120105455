//! The demo system as a program of its own: `chaos-demo demo serving …` is `chaos demo serving …`.
//! The tests of this crate run it, so that they need nothing of the root program.

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(name = "chaos-demo", about = "A small AI serving system to try chaos on")]
struct Program {
    #[command(subcommand)]
    word: Word,
}

/// The word `demo` stands here as it does in the root program, because the supervisor starts its
/// parts with the same words in both.
#[derive(clap::Subcommand)]
enum Word {
    /// The demo system: gateway, model replicas, feature store
    Demo {
        #[command(subcommand)]
        command: chaos_demo::Command,
    },
}

fn main() -> ExitCode {
    let Word::Demo { command } = Program::parse().word;
    chaos_demo::run(command)
}
