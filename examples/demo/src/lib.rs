//! A small AI serving system to try chaos on: gateway, model replicas, feature store; and beside it a
//! language model with its relay.
//!
//! ```text
//!                      ┌─ replica 8001 ─ model file
//! user ─ HTTP ─ gateway┼─ replica 8002 ─ model file     KServe v2 over HTTP/1.1
//!                 │    └─ replica 8003 ─ model file
//!                 └────── feature store                 RESP2 (`redis-cli` works)
//!
//! user ─ HTTP ─ relay ─── llm                           OpenAI completions, as an event stream
//! ```
//!
//! All of it are real processes of one binary on the loopback interface. `serving` is the supervisor
//! that starts the parts and ends them; each part can also be started by itself. The system is honest
//! about the two mistakes it can be told to make: a *shallow* health check, which a frozen replica
//! passes because the kernel accepts connections on its behalf, and having no circuit breaker, which
//! turns a dead feature store into failed requests. Two more it makes unless told otherwise: it waits
//! for a silent replica as long as for all of them together, and its relay passes broken answers on.
//!
//! The root program mounts [`Command`] as its subcommand `demo` and hands what was parsed to [`run`].

mod failure;
mod gateway;
mod kserve;
mod leak;
mod lifeline;
mod listen;
mod llm;
mod notice;
mod relay;
mod replica;
mod serving;
mod store;
mod values;
mod web;
mod weights;

use std::process::ExitCode;

use failure::Failure;

/// A part of the demo system, or the supervisor of all of them.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// Start the whole system (feature store, replicas, gateway) and stay in the foreground
    Serving(serving::Options),
    /// Start only the gateway: round robin over the replicas that its checks consider healthy
    Gateway(gateway::Options),
    /// Start only one model replica, speaking the KServe v2 protocol
    Replica(replica::Options),
    /// Start only the feature store, speaking enough RESP2 for redis-cli
    Store(store::Options),
    /// Start only the language model: OpenAI-style completions, token by token, with slots
    Llm(llm::Options),
    /// Start only the relay before the language model; it can mend answers that break off
    Relay(relay::Options),
    /// Write the ranker's model file into a directory, unless it is there already
    Weights(weights::Options),
    /// Ask a replica to exit, so that its supervisor starts it again (`serving --restart-after`)
    Restart(replica::RestartOptions),
    /// Ask a replica to hold memory for nothing, as a leak does: what a memory limit is there for
    Leak(leak::Options),
    /// Ask a gateway or replica whether it is ready, once; exit code 1 if it is not. A health check for containers without a shell
    Ready(serving::ReadyOptions),
}

/// Runs one part of the demo system until it is told to stop (SIGTERM, SIGINT or SIGHUP).
///
/// Must be called from the program's main thread: children are told to die with the thread that
/// started them, and only that one lives as long as the process.
///
/// What goes wrong is said on standard error, with a hint; the exit code is then 1.
#[must_use]
pub fn run(command: Command) -> ExitCode {
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::Runtime)
        .and_then(|runtime| runtime.block_on(dispatch(command)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            notice::failure(&failure);
            ExitCode::FAILURE
        }
    }
}

async fn dispatch(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serving(options) => serving::run(options).await,
        Command::Gateway(options) => part(options.lifeline, gateway::run(options)).await,
        Command::Replica(options) => part(options.lifeline, replica::run(options)).await,
        Command::Store(options) => part(options.lifeline, store::run(options)).await,
        Command::Llm(options) => part(options.lifeline, llm::run(options)).await,
        Command::Relay(options) => part(options.lifeline, relay::run(options)).await,
        Command::Weights(options) => weights::run(&options),
        Command::Restart(options) => replica::restart(options).await,
        Command::Leak(options) => leak::ask(&options).await,
        Command::Ready(options) => serving::ready(&options).await,
    }
}

/// Serves until a signal or the supervisor's end says to stop.
async fn part(lifeline: bool, serve: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let mut stop = lifeline::Stop::new(lifeline)?;
    tokio::select! {
        outcome = serve => outcome,
        () = stop.asked() => Ok(()),
    }
}
