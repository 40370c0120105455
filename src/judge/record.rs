//! The events of a run, folded into what is known about it, and merged from the files of coordinator and executor.

use std::collections::{BTreeMap, HashSet};
use std::io::BufRead;

use chaos_core::clock::{Mono, Wall};
use chaos_core::event::{AbortedBy, Event, InjectionState, Phase, RECORD_VERSION, Source, Started, StepState, SystemState, What};
use chaos_core::plan::Plan;
use chaos_core::sample::{Asked, Series};
use chaos_core::target::Target;
use serde_json::Value;

/// Why a record cannot be read at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RecordError {
    /// What was being read and what happened.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// Whose record is folded: that of the run that folds it, or one that was read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// The run is still there to finish it: a missing end means nothing yet.
    OwnRun,
    /// From files: a missing end means that the coordinator was lost.
    Back,
}

/// Both questions of one hypothesis.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    /// What its users got.
    pub users: Series,
    /// What the system said about itself.
    pub health: Series,
}

/// Everything that was said about one slot, by time.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    /// States, by time.
    pub states: Vec<(Mono, InjectionState)>,
    /// For a latent fault: when it was activated, and by what.
    pub activated: Option<(Mono, String)>,
}

/// A command that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandEnd {
    /// When.
    pub at: Mono,
    /// Path of its step.
    pub step: String,
    /// The command.
    pub command: Vec<String>,
    /// Its exit code; none: killed or timed out.
    pub exit: Option<i32>,
    /// The end of its output.
    pub output: String,
}

/// A run, as its events tell it.
#[derive(Debug, Clone)]
pub struct Record {
    /// The first event.
    pub started: Started,
    /// When it was.
    pub at: Mono,
    /// The time of the last event.
    pub end: Mono,
    /// No end was written: the coordinator was lost.
    pub lost: bool,
    /// What of the files could not be read.
    pub damage: Vec<String>,
    told: Told,
}

/// All that the other events told. Part of a [`Record`], which gives access to it as its own.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// The plan, once approved.
    pub plan: Option<Plan>,
    /// When each phase began.
    pub phases: Vec<(Mono, Phase)>,
    /// What was sampled, by hypothesis.
    pub answers: Vec<Answers>,
    /// What the gate said: met, and what is evidently missed.
    pub gate: Option<(Mono, bool, Vec<String>)>,
    /// What became of each step.
    pub steps: Vec<(Mono, String, StepState)>,
    /// Every injection by slot, those of `system:` among them.
    pub traces: BTreeMap<String, Trace>,
    /// Commands that ended.
    pub commands: Vec<CommandEnd>,
    /// Processes of `system:`.
    pub system: Vec<(Mono, String, SystemState)>,
    /// Targets that changed although no fault of ours did that.
    pub changes: Vec<(Mono, Target, String)>,
    /// The stop condition that was met, and what was observed.
    pub stop: Option<(Mono, String, String)>,
    /// The run was ended early: by whom and why.
    pub aborted: Vec<(Mono, AbortedBy, String)>,
    /// What was refused, and what to do.
    pub refused: Vec<(Mono, String, Option<String>)>,
    /// The executor died.
    pub executor_lost: Vec<(Mono, String)>,
    /// Sentences for the report.
    pub notes: Vec<(Mono, String)>,
    /// What was still found at the end: slot and finding.
    pub residue: Vec<(String, String)>,
    /// The verdict as judged then.
    pub judged: Option<Value>,
    /// Exit code and wall clock of the end.
    pub finished: Option<(Mono, u8, Wall)>,
}

impl std::ops::Deref for Record {
    type Target = Told;

    fn deref(&self) -> &Told {
        &self.told
    }
}

impl Record {
    /// Folds the events of a record that was read back. They need not be in order.
    ///
    /// # Errors
    /// If no event says how the run was started, or a newer `chaos` wrote it.
    pub fn from_events(events: impl IntoIterator<Item = Event>) -> Result<Self, RecordError> {
        let mut folding = Folding::default();
        for event in events {
            folding.push(event)?;
        }
        folding.into_record(Reading::Back)
    }

    /// The seed of every random choice: the plan's, once there is one; it may have been drawn while planning.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.plan.as_ref().map_or(self.started.seed, |p| p.seed)
    }

    /// Why the experiment's own system could not be started, where that ended the run: nothing was sampled at all.
    #[must_use]
    pub fn not_started(&self) -> Option<&str> {
        let (_, met, missed) = self.gate.as_ref()?;
        let sampled = self.phase(Phase::Baseline).is_some();
        if *met || sampled { None } else { missed.first().map(String::as_str) }
    }

    /// A moment as time since the run began.
    #[must_use]
    pub fn since(&self, at: Mono) -> std::time::Duration {
        at.since(self.at)
    }

    /// When this phase first began.
    #[must_use]
    pub fn phase(&self, phase: Phase) -> Option<Mono> {
        self.phases.iter().find(|(_, p)| *p == phase).map(|(at, _)| *at)
    }

    /// The phase that was on at a moment.
    #[must_use]
    pub fn phase_at(&self, at: Mono) -> Option<Phase> {
        self.phases.iter().take_while(|(begun, _)| *begun <= at).last().map(|(_, p)| *p)
    }

    /// When steps ended: the first phase after the method, else the end.
    #[must_use]
    pub fn method_end(&self) -> Mono {
        let after = self.phases.iter().find(|(_, p)| *p > Phase::Method);
        after.map_or(self.end, |(at, _)| *at)
    }

    /// The first intent of a fault; none: nothing was ever touched.
    #[must_use]
    pub fn first_intent(&self) -> Option<Mono> {
        let faults = self.traces.iter().filter(|(slot, _)| !is_own(slot));
        faults.flat_map(|(_, trace)| &trace.states).filter(|(_, s)| matches!(s, InjectionState::Intended { .. })).map(|(at, _)| *at).min()
    }
}

/// Is this slot a process of `system:`, not a fault?
#[must_use]
pub fn is_system(slot: &str) -> bool {
    slot.starts_with("system.")
}

/// Is this slot something of ours that nobody planned: a process of `system:`, or what several faults stand on?
#[must_use]
pub fn is_own(slot: &str) -> bool {
    is_system(slot) || slot.starts_with("scaffold.")
}

/// Folds events one by one, so that a run need not keep them: samples take 24 bytes each.
#[derive(Debug, Default)]
pub struct Folding {
    started: Option<(Mono, Started)>,
    seen: HashSet<(bool, u64, Mono)>,
    told: Told,
    end: Mono,
    damage: Vec<String>,
}

impl Folding {
    /// Adds what could not be read, for the report.
    pub fn damaged(&mut self, what: impl Into<String>) {
        self.damage.push(what.into());
    }

    /// Adds an event. One that both files hold (same source, number and time) counts once.
    ///
    /// # Errors
    /// If a newer `chaos` wrote it.
    pub fn push(&mut self, event: Event) -> Result<(), RecordError> {
        let twice = !matches!(event.what, What::Samples(_)) && !self.seen.insert((event.from == Source::Executor, event.seq, event.at));
        if twice {
            return Ok(());
        }
        self.end = self.end.max(event.at);
        let (at, r) = (event.at, &mut self.told);
        match event.what {
            What::Started(started) => {
                check_version(started.record)?;
                if self.started.is_none() {
                    self.started = Some((at, *started));
                }
            }
            What::Planned(plan) => r.plan = Some(*plan),
            What::Phase(phase) => r.phases.push((at, phase)),
            What::Samples(batch) => {
                if r.answers.len() <= batch.hypothesis {
                    r.answers.resize_with(batch.hypothesis + 1, Answers::default);
                }
                let answers = &mut r.answers[batch.hypothesis];
                match batch.asked {
                    Asked::Users => answers.users.push(&batch),
                    Asked::Health => answers.health.push(&batch),
                }
            }
            What::Baseline { met, missed } => r.gate = Some((at, met, missed)),
            What::Step { path, state } => r.steps.push((at, path, state)),
            What::Injection { slot, state } => {
                r.traces.entry(slot).or_default().states.push((at, state));
            }
            What::Activated { slot, by } => {
                let activated = &mut r.traces.entry(slot).or_default().activated;
                if activated.as_ref().is_none_or(|(then, _)| at < *then) {
                    *activated = Some((at, by));
                }
            }
            What::Command { path, command, exit, output } => r.commands.push(CommandEnd { at, step: path, command, exit, output }),
            What::System { name, state } => r.system.push((at, name, state)),
            What::TargetChanged { target, finding } => r.changes.push((at, *target, finding)),
            What::StopCondition { condition, observed } => {
                r.stop.get_or_insert((at, condition, observed));
            }
            What::Aborted { by, because } => r.aborted.push((at, by, because)),
            What::Refused { message, hint } => r.refused.push((at, message, hint)),
            What::ExecutorLost { message } => r.executor_lost.push((at, message)),
            What::Note(text) => r.notes.push((at, text)),
            What::Residue { slot, finding } => {
                if !r.residue.contains(&(slot.clone(), finding.clone())) {
                    r.residue.push((slot, finding));
                }
            }
            What::Judged(verdict) => r.judged = Some(verdict),
            What::Finished { exit, wall } => r.finished = Some((at, exit, wall)),
        }
        Ok(())
    }

    /// The record of all that was folded.
    ///
    /// # Errors
    /// If no event said how the run was started.
    pub fn into_record(self, reading: Reading) -> Result<Record, RecordError> {
        let Some((at, started)) = self.started else {
            return Err(RecordError {
                message: "the record does not say how the run was started".into(),
                hint: Some("its first line is missing: is this the file of a run?".into()),
            });
        };
        let mut told = self.told;
        told.phases.sort_by_key(|(at, _)| *at);
        told.steps.sort_by_key(|(at, ..)| *at);
        for trace in told.traces.values_mut() {
            trace.states.sort_by_key(|(at, _)| *at);
        }
        let hypotheses = started.experiment.hypotheses.len();
        let teardown = told.phases.iter().find(|(_, p)| *p == Phase::Teardown).map(|(at, _)| *at);
        told.answers.resize_with(hypotheses, Answers::default);
        for answers in &mut told.answers {
            for series in [&mut answers.users, &mut answers.health] {
                if let Some(at) = teardown {
                    cut(series, at);
                }
                series.sort();
            }
        }
        Ok(Record { lost: reading == Reading::Back && told.finished.is_none(), started, at, end: self.end, damage: self.damage, told })
    }
}

/// Leaves out what was not done when the system was taken down: its end is no outage.
fn cut(series: &mut Series, at: Mono) {
    let before: Vec<bool> = series.samples.iter().map(|s| s.done() <= at).collect();
    if before.iter().all(|b| *b) {
        return;
    }
    let mut kept = before.iter();
    series.samples.retain(|_| *kept.next().unwrap_or(&true));
    for column in &mut series.fields {
        let mut kept = before.iter();
        column.values.retain(|_| *kept.next().unwrap_or(&true));
    }
}

fn check_version(version: u32) -> Result<(), RecordError> {
    if version <= RECORD_VERSION {
        return Ok(());
    }
    Err(RecordError {
        message: format!("the record is of version {version}, and this chaos reads up to {RECORD_VERSION}"),
        hint: Some("read it with the version of chaos that wrote it, or a newer one".into()),
    })
}

/// Folds one file of events, a JSON line each, into `folding`. `name` is what messages call the file.
///
/// A line that is torn or cannot be read is left out and named in [`Record::damage`], never a failure of the whole:
/// a coordinator that was killed leaves a half line behind.
///
/// # Errors
/// If a newer `chaos` wrote the file, or it cannot be read.
pub fn read_events(folding: &mut Folding, name: &str, mut file: impl BufRead) -> Result<(), RecordError> {
    let (mut line, mut number) = (Vec::new(), 0_usize);
    loop {
        line.clear();
        number += 1;
        let read =
            file.read_until(b'\n', &mut line).map_err(|e| RecordError { message: format!("read the record {name}: {e}"), hint: None })?;
        if read == 0 {
            return Ok(());
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match serde_json::from_slice::<Event>(&line) {
            Ok(event) => folding.push(event)?,
            Err(error) => {
                newer_version(&line)?;
                folding.damaged(match line.last() {
                    Some(b'\n') => format!("{name}:{number}: unreadable ({error}); left out"),
                    _ => format!("{name}:{number}: the last line is torn; left out"),
                });
            }
        }
    }
}

/// A line that this version cannot read may be the first of a newer record.
fn newer_version(line: &[u8]) -> Result<(), RecordError> {
    let value: Value = serde_json::from_slice(line).unwrap_or_default();
    match value["what"]["started"]["record"].as_u64() {
        Some(version) => check_version(u32::try_from(version).unwrap_or(u32::MAX)),
        None => Ok(()),
    }
}
