//! Recovery: finishing what a dead executor left.
//!
//! # Guarantees
//! - Only residue is touched: a journal that somebody holds, or that another host or user wrote, is listed and left alone.
//! - Of a run in another container of this host, what is durable is taken back; what lived there went with it, or is named.
//! - Everything that is not reverted is taken back, the bare intents included; one that fails does not keep the rest.
//! - After a reboot only durable effects are left; the others are noted as gone with it.
//! - What cannot be read is named, and stays residue until a person forgets it.

mod forget;
mod order;
mod report;
mod run;
mod survey;

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

pub use forget::{ForgetError, forget};
pub use report::{InjectionOutcome, RecoveredInjection, RecoveredRun, RecoveryReport, RunOutcome};
pub use survey::{Found, Standing, residue, survey};

use crate::claim::Claims;
use crate::fault::{FaultError, InjectionId, Reverted, UndoJson};
use crate::fault_call::FaultCall;
use crate::state_dir::StateDir;
use crate::table::Table;
use crate::take_back::{Patience, Permits, TakeBack};

/// What recovery is given by the composition root.
pub struct Recovery {
    /// Where the journals lie.
    pub state: StateDir,
    /// Asked before anything is touched.
    pub claims: Claims,
    /// Every fault that this program knows.
    pub table: Arc<Table>,
    /// How long it tries.
    pub patience: Patience,
    /// How long one class of faults may keep the next from being taken back.
    pub class_patience: Duration,
    /// Version of this program.
    pub chaos: String,
    /// Leaves the processes of `system:` as they are: whoever asks still watches them, and asks once more (RULES 39).
    pub leave_system: bool,
}

/// Waits for all of them, beside one another.
async fn all<T>(wanted: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut under_way: Vec<_> = wanted.map(|one| (Box::pin(one), None)).collect();
    poll_fn(|context| {
        for (one, done) in under_way.iter_mut().filter(|(_, done)| done.is_none()) {
            if let Poll::Ready(result) = one.as_mut().poll(context) {
                *done = Some(result);
            }
        }
        if under_way.iter().all(|(_, done)| done.is_some()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    under_way.into_iter().filter_map(|(_, done)| done).collect()
}

impl Recovery {
    /// Recovers these runs, or everything that is residue here.
    ///
    /// # Errors
    /// If the folder of journals cannot be read. What becomes of each run is in the report.
    pub async fn recover(&self, runs: Option<&[String]>) -> std::io::Result<RecoveryReport> {
        self.state.remove_unnamed_journals();
        let unfinished = self.state.unfinished()?;
        let wanted: Vec<String> = match runs {
            None => unfinished,
            Some(runs) => runs.to_vec(),
        };
        // Beside one another: one that is stuck keeps no other in force.
        Ok(RecoveryReport { runs: all(wanted.iter().map(|run| run::recover(self, run))).await })
    }

    /// Follows one undo that was found beside its effect, without a journal. Whoever calls has shown it to a person.
    ///
    /// # Errors
    /// That its run lives, wherever its journal lies; or what is still there.
    pub async fn follow_stamp(&self, run: &str, kind: &str, undo: &UndoJson) -> Result<Reverted, FaultError> {
        if self.claims.runs().contains(run) {
            return Err(FaultError::new(format!("run {run} lives, or is being recovered: it has claims on this host")));
        }
        let id = InjectionId { run: run.to_owned(), slot: "sweep".into() };
        let claim = self.claims.take(&format!("undo:{undo}"), &id).map_err(|e| FaultError::new(e.to_string()))?;
        let fault = FaultCall::new(&self.table, kind)?.holding(Arc::new(claim));
        let reversibility = fault.fault()?.profile().reversibility;
        let patience = Patience { give_up: self.patience.attempt, ..self.patience };
        let permits = Arc::new(Permits::new(1));
        let task = TakeBack { fault, undo: undo.clone(), reversibility, unanswered: true, patience, permits };
        task.until_gone(|_| {}).await
    }

    /// The undo of everything that is residue, as shell commands for a person. Nothing is done.
    ///
    /// # Errors
    /// If the folder of journals cannot be read.
    pub fn print(&self) -> std::io::Result<Vec<String>> {
        let mut lines = Vec::new();
        for found in survey(&self.state)? {
            match &found.standing {
                Standing::Live => continue,
                Standing::Residue => lines.push(format!("# run {}", found.run)),
                Standing::BeforeReboot => lines.push(format!("# run {}, before the last reboot", found.run)),
                Standing::OtherContainer => {
                    lines.push(format!("# run {}, in another container of this host: process ids mean nothing here", found.run));
                }
                Standing::Foreign(why) => lines.push(format!("# run {}: {why}; check every line before using it", found.run)),
                Standing::Unreadable(why) => {
                    lines.push(format!("# run {}: {why}", found.run));
                    continue;
                }
            }
            lines.extend(found.contents.open_damage().iter().map(|d| format!("# damaged, its undo may be lost: {d}")));
            let mut entries: Vec<_> = found.contents.open_entries().collect();
            entries.reverse();
            entries.sort_by_key(|e| e.intent.class);
            for entry in entries {
                let intent = &entry.intent;
                lines.push(format!("# {}/{}: {} on {}", found.run, intent.slot, intent.fault, intent.target));
                match self.table.get(&intent.fault) {
                    Some(fault) => lines.extend(fault.explain(&intent.undo)),
                    None => lines.push(format!("# this chaos knows no fault {}; its undo: {}", intent.fault, intent.undo)),
                }
            }
        }
        Ok(lines)
    }
}
