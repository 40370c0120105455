//! What all injections of a run share, and the one way to its journal.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use super::reporter::Reporter;
use super::{Composition, Executor};
use crate::claim::Claims;
use crate::fault::FaultError;
use crate::journal::{Journal, JournalError};
use crate::lever::Lever;
use crate::state_dir::StateDir;
use crate::take_back::{AT_ONCE, Patience};

/// What all injections of a run share.
pub(super) struct Shared {
    pub(super) run: String,
    pub(super) state: StateDir,
    pub(super) claims: Claims,
    pub(super) lever: Lever,
    pub(super) patience: Patience,
    pub(super) class_patience: Duration,
    pub(super) journal: Mutex<Journal>,
    pub(super) world: Composition,
    pub(super) reporter: Arc<Reporter>,
    pub(super) reverting: Arc<Semaphore>,
    /// Why nothing new may be injected: said once.
    pub(super) trouble: watch::Sender<Option<String>>,
}

impl Shared {
    pub(super) fn new(executor: Executor, journal: Journal, world: Composition, reporter: Arc<Reporter>, run: String) -> Self {
        Self {
            run,
            state: executor.state,
            claims: executor.claims,
            lever: executor.lever,
            patience: executor.patience,
            class_patience: executor.class_patience,
            journal: Mutex::new(journal),
            world,
            reporter,
            reverting: Arc::new(Semaphore::new(AT_ONCE)),
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
