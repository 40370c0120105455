//! The command line: one file a subcommand, and the only place that names concrete worlds.

mod completions;
mod console;
mod defect;
mod executor;
mod faults;
mod halt;
mod inherited;
mod load;
mod man;
mod plan;
mod proxy;
mod recover;
mod report;
mod run;
mod schema;
mod status;
mod sweep;
mod validate;
pub(crate) mod worlds;

use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;

use chaos_core::executor::is_first_process;
use chaos_core::state_dir::StateDir;
use clap::{Parser, Subcommand};

pub use console::{ColorChoice, Console, Failure};
use worlds::Worlds;

/// Proves, by experiment, that an AI system survives failure, and takes every fault back.
#[derive(Debug, Parser)]
#[command(name = "chaos", version, arg_required_else_help = true, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    /// What all subcommands share.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Heading of what every subcommand takes.
const EVERYWHERE: &str = "Everywhere";

/// What all subcommands share.
#[derive(Debug, Clone, clap::Args)]
pub struct Global {
    /// Where journals and records are kept [default: CHAOS_STATE_DIR, else /var/lib/chaos for root, ~/.local/state/chaos for others]
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// When to colour what is printed
    #[arg(long, global = true, help_heading = EVERYWHERE, value_enum, default_value_t = ColorChoice::Auto)]
    pub color: ColorChoice,
    /// Say more on stderr; twice: much more
    #[arg(short, long, global = true, help_heading = EVERYWHERE, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// How log lines are written
    #[arg(long, global = true, help_heading = EVERYWHERE, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

const EXIT_CODES: &str = "Exit codes: 0 upheld, 1 refuted, 2 the command line or the experiment is wrong, 3 inconclusive, \
4 baseline not met (nothing injected), 5 aborted, 6 a fault could not be injected or had no effect, 7 residue was left, 70 a defect of ours.";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run an experiment: from the file to the verdict
    Run(Box<run::Args>),
    /// Render a run again, from its record alone
    Report(report::Args),
    /// See exactly what a run would do, without touching anything
    Plan(plan::Args),
    /// Check experiment files
    Validate(validate::Args),
    /// Print the JSON Schema of the experiment file, for editors
    Schema,
    /// Run the demo system: gateway, model replicas, feature store
    Demo {
        /// Which part of it.
        #[command(subcommand)]
        command: chaos_demo::Command,
    },
    /// Stand between an application and what it uses, so that faults can act on what passes
    Proxy(proxy::Args),
    /// What can be injected: all faults, or one in full
    Faults(faults::Args),
    /// What can be asked: all probes, or one in full
    Probes(faults::Args),
    /// What is in force here, and what was left
    Status(status::Args),
    /// Take back what a crash or a reboot left
    Recover(recover::Args),
    /// Find what bears our mark, with every journal lost
    Sweep(sweep::Args),
    /// Take every fault back at once, and forbid new ones
    Halt(halt::HaltArgs),
    /// Allow faults again
    Resume(halt::ResumeArgs),
    /// The process in which faults are injected; started by `run`
    #[command(hide = true)]
    Executor(executor::Args),
    /// A process that is a fault's effect, and dies with its executor; started by `executor`
    #[command(hide = true)]
    Helper {
        /// What it does.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<std::ffi::OsString>,
    },
    /// Print the completions of a shell
    Completions(completions::Args),
    /// Write the man pages
    Man(man::Args),
}

/// The state directory that was asked for, or this user's own.
///
/// # Errors
/// If it cannot be trusted or used.
fn state(global: &Global) -> Result<StateDir, Failure> {
    StateDir::open_or_usual(global.state_dir.as_deref()).map_err(|e| Failure::usage(e.to_string()).hint(e.hint))
}

/// The one thread on which a command waits.
///
/// # Errors
/// If the system gives no timers or sockets.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::usage(format!("start waiting for events: {e}")).exit(70))
}

/// Waits for one thing on this thread, and leaves behind whatever hangs in the kernel: it must not keep the command.
///
/// # Errors
/// As [`runtime`].
fn wait_for<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = runtime()?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    Ok(done)
}

/// The program. Never panics on what a user gives; a defect of ours ends with exit 70.
#[must_use]
pub fn main() -> ExitCode {
    inherited::keep_to_ourselves();
    let words: Vec<std::ffi::OsString> = std::env::args_os().collect();
    let mut cli = match executor::as_run_starts_it(&words).map_or_else(|| Cli::try_parse_from(&words), Ok) {
        Ok(cli) => cli,
        Err(e) => {
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { 2 } else { 0 });
        }
    };
    // Not by clap, which would count it as written and show it in every usage line.
    let usual = || std::env::var_os("CHAOS_STATE_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    cli.global.state_dir = cli.global.state_dir.or_else(usual);
    let console = Console::new(cli.global.color);
    console::start_log(cli.global.verbose, cli.global.log_format);
    defect::tell(console);
    // Unwinding drops the link to the executor, upon which it takes everything back: that comes first.
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| dispatch(cli, console)));
    match done {
        Ok(Ok(code)) => code,
        Ok(Err(failure)) => console.fail(&failure),
        Err(_) => ExitCode::from(defect::EXIT),
    }
}

fn dispatch(cli: Cli, console: Console) -> Result<ExitCode, Failure> {
    let global = &cli.global;
    let ready = || ready(global, console);
    match cli.command {
        // The first process of a container is the executor; the run itself is its child.
        Command::Run(_) if is_first_process() => executor::serve_coordinator(global, Worlds::assemble()?),
        Command::Run(args) => run::run(&args, global, console, &ready()?),
        Command::Report(args) => ready().and_then(|_| report::run(&args, global, console)),
        Command::Plan(args) => plan::run(&args, global, console, &ready()?),
        Command::Validate(args) => validate::run(&args, console, &ready()?),
        Command::Schema => schema::run(console, &ready()?),
        Command::Faults(args) => faults::run_faults(&args, console, &ready()?),
        Command::Probes(args) => faults::run_probes(&args, console, &ready()?),
        Command::Status(args) => ready().and_then(|_| status::run(&args, global, console)),
        Command::Resume(args) => ready().and_then(|_| halt::resume(&args, global, console)),
        // These are about what was left themselves, or must not be kept waiting by it.
        Command::Recover(args) => recover::run(&args, global, console, &Worlds::assemble()?),
        Command::Sweep(args) => sweep::run(&args, global, console, &Worlds::assemble()?),
        Command::Halt(args) => halt::halt(&args, global, console),
        // Parts of something that runs already, and mere text.
        Command::Proxy(args) => proxy::run(args, console, &Worlds::assemble()?),
        Command::Demo { command } => Ok(chaos_demo::run(command)),
        Command::Helper { words } => Ok(chaos_host::helper_main(words)),
        Command::Executor(args) => executor::run(&args, global, console, Worlds::assemble()?),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}

/// Everything that this program knows; whatever a dead run left on this host is taken back first (RULES 2).
fn ready(global: &Global, console: Console) -> Result<Worlds, Failure> {
    let worlds = Worlds::assemble()?;
    recover::before_a_command(global, &worlds, console);
    Ok(worlds)
}
