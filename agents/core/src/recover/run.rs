//! Recovering one run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::order::{leaves, waves};
use super::report::{InjectionOutcome, RecoveredInjection, RecoveredRun, RunOutcome};
use super::survey::Standing;
use super::{Recovery, survey};
use crate::claim::{Claim, Claims};
use crate::clock::Boot;
use crate::event::InjectionState;
use crate::executor::Reporter;
use crate::fault::{Class, FaultError, InjectionId, Persistence, Reverted};
use crate::fault_call::FaultCall;
use crate::journal::{Adopted, Contents, Entry, Intent, Journal, JournalError, Record, Status, Writer};
use crate::literal::Duration;
use crate::table::Table;
use crate::take_back::{AT_ONCE, Patience, Permits, TakeBack};

/// Recovers one run if it is residue of this host.
pub(super) async fn recover(recovery: &Recovery, run: &str) -> RecoveredRun {
    let mut report =
        RecoveredRun { run: run.to_owned(), outcome: RunOutcome::Clean, injections: Vec::new(), over: Vec::new(), damage: Vec::new() };
    let standing = match survey::look(&recovery.state, run) {
        Ok((standing @ (Standing::Residue | Standing::BeforeReboot | Standing::OtherContainer), _)) => standing,
        Ok((standing, contents)) => {
            report.damage = contents.damage;
            report.outcome = untouched(standing);
            return report;
        }
        Err(JournalError::Absent(_)) => return finished(recovery, report),
        Err(e) => {
            report.outcome = RunOutcome::Failed(e.to_string());
            return report;
        }
    };
    let Adopted { journal, contents } = match Journal::adopt(&recovery.state, &Writer::here(run, &recovery.chaos, Duration::ZERO)) {
        Ok(adopted) => adopted,
        Err(JournalError::Absent(_)) => return finished(recovery, report),
        Err(JournalError::Live(_)) => {
            report.outcome = RunOutcome::Live;
            return report;
        }
        Err(e) => {
            report.outcome = RunOutcome::Failed(e.to_string());
            return report;
        }
    };
    report.damage = contents.open_damage().to_vec();
    report.over = contents.reverted();
    let journal = Arc::new(Mutex::new(journal));
    let done = take_everything_back(recovery, run, &journal, &contents, standing).await;
    report.injections = with_the_rest(done, recovery.leave_system, &contents);
    let left = report.injections.iter().any(|i| matches!(i.outcome, InjectionOutcome::Residue(_)));
    report.outcome = if left || !report.damage.is_empty() {
        RunOutcome::Residue
    } else if contents.open_entries().any(|e| !is_meant(recovery.leave_system, &e.intent)) {
        RunOutcome::SystemStands
    } else {
        match lock(&journal).finish(&recovery.state) {
            Ok(()) => {
                recovery.claims.clear(run);
                RunOutcome::Clean
            }
            Err(e) => RunOutcome::Failed(e.to_string()),
        }
    };
    report
}

/// What was open and came to nothing is left: no defect of ours may make a run clean.
fn with_the_rest(mut done: Vec<RecoveredInjection>, leave_system: bool, contents: &Contents) -> Vec<RecoveredInjection> {
    for Entry { intent, .. } in contents.open_entries().filter(|e| is_meant(leave_system, &e.intent)) {
        if !done.iter().any(|d| d.slot == intent.slot) {
            let outcome = InjectionOutcome::Residue("a defect of ours kept it from being taken back".into());
            let (slot, fault, target) = (intent.slot.clone(), intent.fault.clone(), intent.target.clone());
            done.push(RecoveredInjection { slot, fault, target, outcome });
        }
    }
    done
}

/// Is it to be taken back now?
fn is_meant(leave_system: bool, intent: &Intent) -> bool {
    !leave_system || intent.class != Class::System
}

/// Somebody else has finished it.
fn finished(recovery: &Recovery, report: RecoveredRun) -> RecoveredRun {
    match Journal::read_finished(&recovery.state, &report.run) {
        Ok(contents) => RecoveredRun { over: contents.reverted(), ..report },
        Err(e) => RecoveredRun { outcome: RunOutcome::Failed(e.to_string()), ..report },
    }
}

fn untouched(standing: Standing) -> RunOutcome {
    match standing {
        Standing::Foreign(why) => RunOutcome::Foreign(why),
        Standing::Unreadable(why) => RunOutcome::Failed(why),
        _ => RunOutcome::Live,
    }
}

fn lock(journal: &Mutex<Journal>) -> std::sync::MutexGuard<'_, Journal> {
    journal.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn take_everything_back(
    recovery: &Recovery,
    run: &str,
    journal: &Arc<Mutex<Journal>>,
    contents: &Contents,
    standing: Standing,
) -> Vec<RecoveredInjection> {
    let open: Vec<Intent> = contents.open_entries().map(|e| e.intent.clone()).filter(|i| is_meant(recovery.leave_system, i)).collect();
    let one = Arc::new(One {
        run: run.to_owned(),
        leaves: leaves(&open),
        answered: contents.open_entries().filter(|e| e.status == Status::Injected).map(|e| e.intent.slot.clone()).collect(),
        over: watch::Sender::default(),
        beyond: Beyond::of(&standing, contents.writer.as_ref()),
        table: Arc::clone(&recovery.table),
        claims: recovery.claims.try_clone(),
        patience: recovery.patience,
        journal: Arc::clone(journal),
        reporter: Reporter::reopen(recovery.state.run_folder(run).join("executor.jsonl")).ok(),
        permits: Arc::new(Permits::new(AT_ONCE)),
    });
    let mut chains = JoinSet::new();
    let mut done = Vec::new();
    for (class, wave) in waves(open) {
        if class == Class::System {
            collect(&mut chains, &mut done).await;
        }
        for chain in wave {
            let one = Arc::clone(&one);
            chains.spawn(async move { one.chain(chain).await });
        }
        // One that is stuck does not hold up the next class.
        let _ = tokio::time::timeout(recovery.class_patience, collect(&mut chains, &mut done)).await;
    }
    collect(&mut chains, &mut done).await;
    if let Some(reporter) = &one.reporter {
        reporter.written().await;
    }
    done
}

async fn collect(chains: &mut JoinSet<Vec<RecoveredInjection>>, done: &mut Vec<RecoveredInjection>) {
    while let Some(chain) = chains.join_next().await {
        done.extend(chain.unwrap_or_default());
    }
}

/// What is not durable of a run, seen from here.
#[derive(Debug, Clone, Copy)]
enum Beyond {
    /// It is here.
    Nothing,
    /// It went with this.
    Gone(&'static str),
    /// It may be in force where we cannot reach it.
    Reach,
}

impl Beyond {
    fn of(standing: &Standing, writer: Option<&Writer>) -> Self {
        match (standing, writer) {
            (Standing::BeforeReboot, _) => Self::Gone("gone with the reboot"),
            // The first process takes its container with it.
            (Standing::OtherContainer, Some(w)) if w.pid == 1 || w.host.namespace_is_gone() => Self::Gone("gone with its container"),
            (Standing::OtherContainer, _) => Self::Reach,
            _ => Self::Nothing,
        }
    }
}

/// What taking one injection back needs.
struct One {
    run: String,
    /// What stands on what, by slot.
    leaves: BTreeMap<String, Vec<String>>,
    /// The slots whose inject is known to have ended well: nothing that they asked for is still under way.
    answered: BTreeSet<String>,
    /// The slots that were seen to.
    over: watch::Sender<BTreeSet<String>>,
    beyond: Beyond,
    table: Arc<Table>,
    claims: std::io::Result<Claims>,
    patience: Patience,
    journal: Arc<Mutex<Journal>>,
    /// None where no thread can be started: taking back comes before telling.
    reporter: Option<Reporter>,
    permits: Arc<Permits>,
}

impl One {
    async fn chain(&self, chain: Vec<Intent>) -> Vec<RecoveredInjection> {
        let mut done = Vec::new();
        for intent in chain {
            self.left_by_its_leaves(&intent.slot).await;
            let outcome = self.take_back(&intent).await;
            self.over.send_modify(|over| over.extend([intent.slot.clone()]));
            done.push(RecoveredInjection { slot: intent.slot, fault: intent.fault, target: intent.target, outcome });
        }
        done
    }

    /// Waits until whatever stands on it was seen to, for as long as that may take.
    async fn left_by_its_leaves(&self, slot: &str) {
        if let Some(leaves) = self.leaves.get(slot) {
            let mut over = self.over.subscribe();
            let all = over.wait_for(|over| leaves.iter().all(|leaf| over.contains(leaf)));
            let _ = tokio::time::timeout(self.patience.give_up, all).await;
        }
    }

    fn report(&self, intent: &Intent, state: InjectionState) {
        if let Some(reporter) = &self.reporter {
            reporter.injection(&intent.slot, state);
        }
    }

    async fn take_back(&self, intent: &Intent) -> InjectionOutcome {
        self.report(intent, InjectionState::RevertAsked { because: "recovery".into() });
        match self.until_gone(intent).await {
            Ok(mut reverted) => {
                let (slot, notes) = (intent.slot.clone(), reverted.notes.clone());
                if let Err(e) = self.journal(move |journal| journal.reverted(&slot, &notes)).await {
                    reverted.notes.push(format!("not journaled, so recovery will look at it once more: {e}"));
                }
                self.report(intent, InjectionState::Reverted { notes: reverted.notes.clone(), met: reverted.met });
                InjectionOutcome::Reverted(reverted.notes)
            }
            Err(e) => {
                let record = Record::Residue { slot: intent.slot.clone(), finding: e.message.clone() };
                let _ = self.journal(move |journal| journal.note(&record)).await;
                self.report(intent, InjectionState::Residue(e.clone()));
                InjectionOutcome::Residue(e.message)
            }
        }
    }

    /// Writes on a thread: a disk that hangs must not keep anything else in force.
    async fn journal(&self, write: impl FnOnce(&mut Journal) -> Result<(), JournalError> + Send + 'static) -> Result<(), String> {
        let journal = Arc::clone(&self.journal);
        let written = tokio::task::spawn_blocking(move || write(&mut lock(&journal)).map_err(|e| e.to_string())).await;
        written.unwrap_or_else(|e| Err(e.to_string()))
    }

    async fn until_gone(&self, intent: &Intent) -> Result<Reverted, FaultError> {
        if intent.persistence != Persistence::Durable {
            match self.beyond {
                Beyond::Nothing => {}
                Beyond::Gone(with) => return Ok(Reverted::note(with)),
                Beyond::Reach => {
                    let says = "it acted in another container of this host, whose process ids mean nothing here";
                    return Err(FaultError::new(says).hint("recover it in there, or let it be when that container is gone"));
                }
            }
        }
        let fault = FaultCall::new(&self.table, &intent.fault)?;
        let claims = self.claim(intent).await?;
        let task = TakeBack {
            fault: fault.holding(Arc::new((Arc::clone(&self.journal), claims))),
            undo: intent.undo.clone(),
            reversibility: intent.reversibility,
            unanswered: !self.answered.contains(&intent.slot),
            patience: self.patience,
            permits: Arc::clone(&self.permits),
        };
        task.until_gone(|e| self.report(intent, InjectionState::RevertFailed(e.clone()))).await
    }

    /// Another run may have what this one lost: nothing is touched before that one is done.
    async fn claim(&self, intent: &Intent) -> Result<Vec<Claim>, FaultError> {
        let claims = self.claims.as_ref().map_err(|e| FaultError::new(e.to_string()))?;
        let id = InjectionId { run: self.run.clone(), slot: intent.slot.clone() };
        let give_up = Boot::now().plus(self.patience.give_up);
        loop {
            match claims.take_all(&intent.claims, &id) {
                Ok(claims) => return Ok(claims),
                Err(e) if Boot::now() >= give_up => return Err(FaultError::new(e.to_string())),
                Err(_) => tokio::time::sleep(self.patience.first_pause).await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Reversibility;

    #[test]
    fn rule_02_what_a_defect_kept_from_being_taken_back_is_left() {
        let intent = |slot: &str| Intent {
            slot: slot.into(),
            fault: "f".into(),
            target: "t".into(),
            undo: serde_json::Value::Null,
            claims: vec![],
            stands_on: Vec::new(),
            class: Class::File,
            persistence: Persistence::UntilReboot,
            reversibility: Reversibility::Exact,
            deadline: Boot(0),
            at: Boot(0),
        };
        let entry = |slot, status| Entry { intent: intent(slot), status, finding: None };
        let entries = vec![entry("1", Status::Injected), entry("2", Status::Injected), entry("3", Status::Reverted)];
        let contents = Contents { entries, ..Contents::default() };
        let reverted = InjectionOutcome::Reverted(vec![]);
        let done = vec![RecoveredInjection { slot: "1".into(), fault: "f".into(), target: "t".into(), outcome: reverted.clone() }];
        let all = with_the_rest(done, false, &contents);
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].outcome, reverted);
        assert!(matches!(&all[1], RecoveredInjection { slot, outcome: InjectionOutcome::Residue(_), .. } if slot == "2"));
    }
}
