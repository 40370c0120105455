//! Taking several injections back at once, in the right order.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::injection::Command;
use crate::fault::Class;

/// How far an injection's task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Progress {
    /// Nothing is on disk yet.
    Preparing,
    /// Its undo is on disk.
    InForce,
    /// One attempt to take it back has failed; others need not wait for it.
    Stuck,
    /// Its effect is gone.
    Gone,
    /// Its task has ended.
    Over {
        /// Something is left of it.
        residue: bool,
    },
}

/// A running injection, from outside.
#[derive(Clone)]
pub(super) struct Handle {
    pub(super) slot: String,
    pub(super) class: Class,
    pub(super) revert_budget: Duration,
    pub(super) commands: mpsc::UnboundedSender<Command>,
    pub(super) cancel: watch::Sender<bool>,
    pub(super) progress: watch::Receiver<Progress>,
}

impl Handle {
    pub(super) fn is_over(&self) -> bool {
        matches!(*self.progress.borrow(), Progress::Over { .. })
    }

    pub(super) fn is_in_force(&self) -> bool {
        !self.is_over() && *self.progress.borrow() != Progress::Preparing
    }

    pub(super) fn left_residue(&self) -> bool {
        *self.progress.borrow() == Progress::Over { residue: true }
    }

    pub(super) fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    /// Asks for it to be taken back. Asking twice is asking once.
    pub(super) fn revert(&self, because: &str) {
        self.cancel.send_replace(true);
        let _ = self.commands.send(Command::Revert(because.to_owned()));
    }

    pub(super) async fn reached(&self, wanted: Progress) {
        let mut progress = self.progress.clone();
        let _ = progress.wait_for(|p| *p >= wanted).await;
    }
}

/// How long the end waits for the journal's disk, once everything is taken back.
pub(super) const WRITTEN_WITHIN: Duration = Duration::from_secs(10);

/// How long a take-down waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// For one class, before the next is asked.
    pub(super) class: Duration,
    /// For one injection: by then taking it back is given up. One that is still there after it hangs somewhere else.
    pub(super) give_up: Duration,
}

impl Bounds {
    /// For the effects of all of these to be gone.
    fn gone(self, handles: &[Handle]) -> Duration {
        let longest = handles.iter().map(|h| h.revert_budget).max().unwrap_or_default();
        self.give_up.max(longest) + self.class
    }
}

/// Takes these back, class after class: what stands still must run before anything else can be asked of it, and the
/// system comes down when no fault is left. One that is stuck does not hold up the next class, and one that never ends
/// does not hold up the end.
pub(super) async fn take_down(mut handles: Vec<Handle>, because: String, bounds: Bounds) {
    handles.sort_by_key(|h| h.class);
    let bound = bounds.gone(&handles);
    for class in handles.chunk_by(|a, b| a.class == b.class) {
        if class[0].class == Class::System {
            let _ = timeout(bound, all(handles.iter().filter(|h| h.class != Class::System), Progress::Gone)).await;
        }
        for handle in class {
            handle.revert(&because);
        }
        let _ = timeout(bounds.class, all(class.iter(), Progress::Stuck)).await;
    }
    let _ = timeout(bound, all(handles.iter(), Progress::Gone)).await;
    let _ = timeout(WRITTEN_WITHIN, all(handles.iter(), Progress::Over { residue: false })).await;
}

async fn all(handles: impl Iterator<Item = &Handle>, wanted: Progress) {
    for handle in handles {
        handle.reached(wanted).await;
    }
}
