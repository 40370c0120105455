//! What all injections of a run share, and the one way to its journal.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::reporter::Reporter;
use super::scaffold::Scaffolds;
use super::{Composition, Executor};
use crate::claim::{Claim, Claims};
use crate::fault::FaultError;
use crate::journal::{Journal, JournalError};
use crate::lever::LeverSight;
use crate::state_dir::StateDir;
use crate::take_back::{AT_ONCE, Patience, Permits};

/// What all injections of a run share.
pub(super) struct Shared {
    pub(super) run: String,
    pub(super) state: StateDir,
    pub(super) claims: Claims,
    pub(super) lever: LeverSight,
    pub(super) patience: Patience,
    pub(super) class_patience: Duration,
    /// Why a durable effect would outlive its undo here.
    pub(super) forgets: Option<String>,
    /// Claims of what is left: nobody else may touch that while this process lives.
    pub(super) kept: Mutex<Vec<Arc<Vec<Claim>>>>,
    pub(super) journal: Mutex<Journal>,
    pub(super) scaffolds: Scaffolds,
    pub(super) world: Composition,
    pub(super) reporter: Arc<Reporter>,
    pub(super) reverting: Arc<Permits>,
    /// Why nothing new may be injected: said once.
    pub(super) trouble: watch::Sender<Option<String>>,
}

/// What stands once a run has begun.
pub(super) struct Started {
    pub(super) journal: Journal,
    pub(super) world: Composition,
    pub(super) reporter: Arc<Reporter>,
    pub(super) lever: LeverSight,
}

impl Shared {
    pub(super) fn new(executor: Executor, started: Started, run: String) -> Self {
        let Started { journal, world, reporter, lever } = started;
        Self {
            run,
            forgets: executor.state.forgets(),
            kept: Mutex::default(),
            state: executor.state,
            claims: executor.claims,
            lever,
            patience: executor.patience,
            class_patience: executor.class_patience,
            journal: Mutex::new(journal),
            scaffolds: Scaffolds::default(),
            world,
            reporter,
            reverting: Arc::new(Permits::new(AT_ONCE)),
            trouble: watch::Sender::new(None),
        }
    }

    /// Writes to the journal, on a thread: a disk that hangs holds up only the injection that waits for it.
    pub(super) async fn journal<T: Send + 'static>(
        self: &Arc<Self>,
        write: impl FnOnce(&mut Journal) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, FaultError> {
        let this = Arc::clone(self);
        let written = tokio::task::spawn_blocking(move || {
            write(&mut this.journal.lock().unwrap_or_else(PoisonError::into_inner))
                .map_err(|e| FaultError { hint: e.hint().map(str::to_owned), ..FaultError::new(e.to_string()) })
        });
        let result = written.await.unwrap_or_else(|e| Err(FaultError::new(format!("a defect while journaling: {e}"))));
        if let Err(e) = &result {
            self.trouble.send_if_modified(|trouble| {
                let first = trouble.is_none();
                trouble.get_or_insert_with(|| e.message.clone());
                first
            });
        }
        result
    }
}
