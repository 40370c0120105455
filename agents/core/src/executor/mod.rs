//! The executor: the one place where harm is done, and taken back.
//!
//! A process of its own beside the coordinator. It owns the journal of one run, does what the approved plan allows and a
//! fresh grant permits, and takes everything back by itself when the coordinator is gone, silent, or past its deadline.
//!
//! ```text
//! socket ── session ──▶ one task an injection ──▶ fault, each call on its own thread
//!              │              │ intend, staged, reverted
//!              │              ▼
//!              └────────── journal            events ──▶ socket and executor.jsonl
//! ```
//!
//! | what happens | what the executor does |
//! |---|---|
//! | its socket closes | takes everything back, brings the system down, ends |
//! | silence longer than the lease | the same |
//! | SIGTERM, SIGINT, SIGHUP | the same |
//! | the lever is pulled, the journal fails | takes every fault back, injects nothing more |
//! | a hold ends, the deadline less the revert budget comes | takes that one back |
//!
//! **Invariant:** inject, adjust and revert of one injection run in one task, which is never dropped; a revert starts only
//! when the inject before it has really ended.

mod first;
mod grant;
mod injection;
mod process;
mod reporter;
mod scaffold;
mod serve;
mod session;
mod shared;
mod take_down;

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use reporter::Reporter;

pub(crate) use first::socket_of_parent;
pub use first::{Coordinator, is_first_process, start_coordinator};
pub use process::{Surroundings, detach};
pub use serve::{ServeError, serve};
pub use session::SYSTEM_PROCESS;

use crate::claim::Claims;
use crate::event::SystemState;
use crate::fault::FaultError;
use crate::lever::Lever;
use crate::plan::PlannedInjection;
use crate::state_dir::StateDir;
use crate::table::Table;
use crate::take_back::Patience;
use crate::target::Target;
use crate::wire::Begin;

/// Everything that an executor is given by the composition root.
pub struct Executor {
    /// Its end of the socket to the coordinator.
    pub socket: OwnedFd,
    /// Where its journal lies.
    pub state: StateDir,
    /// What it asks before it touches anything.
    pub claims: Claims,
    /// What it looks at before every effect and every second.
    pub lever: Lever,
    /// How long it tries to take things back.
    pub patience: Patience,
    /// How long one class of faults may keep the next from being taken back.
    pub class_patience: Duration,
    /// The coordinator that this process started, if it did: what asks this process to end is passed on to it.
    pub coordinator: Option<i32>,
    /// What this process would survive.
    pub surroundings: Surroundings,
    /// Version of this program.
    pub chaos: String,
    /// Builds the faults and the guard, once the run has said what it is.
    pub compose: Compose,
}

/// Builds the faults and the guard of one run.
pub type Compose = Box<dyn FnOnce(&Begin, TellSystem) -> Composition + Send>;

/// Whom a world tells what becomes of the processes of `system:`, by name.
pub type TellSystem = Arc<dyn Fn(&str, SystemState) + Send + Sync>;

impl Executor {
    /// Serves one run on this thread, to its end. Gives the slots that are residue.
    ///
    /// # Errors
    /// If it cannot even begin; nothing was injected then.
    pub fn serve_to_the_end(self) -> Result<Vec<String>, ServeError> {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let builder = builder.enable_all().thread_stack_size(1 << 20).thread_keep_alive(KEEP_THREADS);
        let runtime = builder.build().map_err(|e| ServeError::new("start", e))?;
        let served = runtime.block_on(async {
            start_threads().await;
            serve(self).await
        });
        // A call of a fault that hangs in the kernel must not keep the process.
        runtime.shutdown_background();
        served
    }
}

/// Threads are kept for good: when a fault has taken the last memory or pid, there is none to be had for taking it back.
const KEEP_THREADS: Duration = Duration::from_secs(86_400);

/// How many there are before anything is done.
const FIRST_THREADS: usize = 2;

async fn start_threads() {
    let all = Arc::new(std::sync::Barrier::new(FIRST_THREADS));
    let threads: Vec<_> = (0..FIRST_THREADS)
        .map(|_| {
            let all = Arc::clone(&all);
            tokio::task::spawn_blocking(move || all.wait())
        })
        .collect();
    for thread in threads {
        let _ = thread.await;
    }
}

/// What the composition root builds for one run.
pub struct Composition {
    /// Every fault.
    pub table: Arc<Table>,
    /// The executor's own never-list.
    pub guard: Arc<dyn Guard>,
}

/// The executor's own last word on what is harmed, which no plan overrides (RULES 4, 24).
pub trait Guard: Send + Sync {
    /// May this injection be done on this target? Asked right before `prepare`; may read the system.
    ///
    /// # Errors
    /// What was not done and why.
    fn allow(&self, injection: &PlannedInjection, target: &Target) -> Result<(), FaultError>;
}
