//! What became of each fault: asked, in force, taken back, and proved gone.

use std::time::Duration;

use chaos_core::clock::Mono;
use chaos_core::event::InjectionState;
use chaos_core::fault::{Grade, InPlace, Met, Presence, Reversibility};
use chaos_core::plan::PlannedInjection;

use super::record::{Record, Trace, is_own};

/// For how long what inspection saw is taken to last: it looks once a second, and a busy machine may be late.
const SEEN_LASTS: Duration = Duration::from_secs(3);

/// What was seen of an injection: by the looks before its revert, and as it ended.
#[derive(Debug, Default)]
struct Seen {
    looks: Vec<(Mono, Presence)>,
    at_end: Option<Met>,
}

/// From and to on the monotonic clock; `from <= to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Begins here.
    pub from: Mono,
    /// Ends here.
    pub to: Mono,
}

impl Span {
    /// How long.
    #[must_use]
    pub fn length(self) -> Duration {
        self.to.since(self.from)
    }
}

/// One fault on one target, as the record tells it.
#[derive(Debug, Clone)]
pub struct Injection {
    /// Its slot in the plan.
    pub slot: String,
    /// Path of its step.
    pub step: String,
    /// Kind of the fault.
    pub fault: String,
    /// The target set.
    pub set: String,
    /// What a person calls the target.
    pub target: String,
    /// Its identity.
    pub identity: String,
    /// What is promised.
    pub grade: Option<Grade>,
    /// Can it be taken back?
    pub reversibility: Reversibility,
    /// Nothing happens until it is activated.
    pub latent: bool,
    /// Granted by the coordinator.
    pub asked: Option<Mono>,
    /// Its undo is on disk.
    pub intended: Option<Mono>,
    /// From here on its effect may begin at any moment.
    pub staged: Option<Mono>,
    /// The effect has begun.
    pub injected: Option<Mono>,
    /// First seen in place by inspection.
    pub effective: Option<Mono>,
    /// When it was in place; time in which inspection found it gone is left out.
    pub in_force: Vec<Span>,
    /// For a latent fault: when it was activated, and by what.
    pub activated: Option<(Mono, String)>,
    /// Taking back was asked for: when and why.
    pub revert_asked: Option<(Mono, String)>,
    /// Taken back, and inspection found nothing.
    pub reverted: Option<Mono>,
    /// The executor would not, or could not.
    pub failure: Option<String>,
    /// It was stopped half-way because the run was: no failure.
    pub cancelled: bool,
    /// Given up.
    pub residue: Option<String>,
    /// In place all the time, yet nothing met it.
    pub idle: bool,
    /// So many things met it, where that is counted: all of them if [`Self::met_to_the_end`], else as many as the last look before the
    /// revert counted.
    pub met: Option<u64>,
    /// What met it was counted in the act of ending it.
    pub met_to_the_end: bool,
    /// What inspection, inject and revert had to say.
    pub findings: Vec<String>,
    /// The undo, for people.
    pub undo: Vec<String>,
    /// Attempts to take it back that failed.
    pub failed_reverts: usize,
    /// The end of its time in force: revert asked, else the end of what is known.
    pub until: Mono,
}

impl Injection {
    /// All faults of a record, in the order of the plan.
    #[must_use]
    pub fn all(record: &Record) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        let empty = Trace::default();
        let planned = record.plan.iter().flat_map(|p| &p.injections);
        for plan in planned.filter(|p| !is_own(&p.slot)) {
            let trace = record.traces.get(&plan.slot).unwrap_or(&empty);
            all.push(Self::of(record, &plan.slot, Some(plan), trace));
        }
        for (slot, trace) in &record.traces {
            if !is_own(slot) && all.iter().all(|i| i.slot != *slot) {
                all.push(Self::of(record, slot, None, trace));
            }
        }
        all
    }

    fn of(record: &Record, slot: &str, plan: Option<&PlannedInjection>, trace: &Trace) -> Self {
        let mut it = Self {
            slot: slot.to_owned(),
            step: plan.map_or_else(String::new, |p| p.step.clone()),
            fault: plan.map_or_else(|| "fault".into(), |p| p.fault.clone()),
            set: plan.map_or_else(String::new, |p| p.set.clone()),
            target: plan.map_or_else(String::new, |p| p.target.label.clone()),
            identity: plan.map_or_else(String::new, |p| p.target.identity.0.clone()),
            grade: plan.map(|p| p.grade),
            reversibility: plan.map_or(Reversibility::Exact, |p| p.reversibility),
            latent: plan.is_some_and(|p| p.latent),
            asked: None,
            intended: None,
            staged: None,
            injected: None,
            effective: None,
            in_force: Vec::new(),
            activated: trace.activated.clone(),
            revert_asked: None,
            reverted: None,
            failure: None,
            cancelled: false,
            residue: None,
            idle: false,
            met: None,
            met_to_the_end: false,
            findings: Vec::new(),
            undo: plan.map_or_else(Vec::new, |p| p.undo.clone()),
            failed_reverts: 0,
            until: record.end,
        };
        let mut seen = Seen::default();
        for (at, state) in &trace.states {
            it.take(*at, state, &mut seen);
        }
        it.until = match (&it.revert_asked, it.reversibility) {
            (_, Reversibility::Irreversible) => record.method_end(),
            (Some((at, _)), _) => *at,
            (None, _) => it.reverted.unwrap_or(record.end),
        };
        it.weigh(&seen);
        it
    }

    fn take(&mut self, at: Mono, state: &InjectionState, seen: &mut Seen) {
        match state {
            InjectionState::Granted(target) => {
                self.asked.get_or_insert(at);
                self.name(target);
            }
            InjectionState::Intended { target, undo } => {
                self.intended.get_or_insert(at);
                self.name(target);
                if !undo.is_empty() {
                    self.undo.clone_from(undo);
                }
            }
            InjectionState::Injected { notes } => {
                self.injected.get_or_insert(at);
                self.find(notes.iter());
            }
            InjectionState::Present(presence) => {
                self.find(presence.finding.iter());
                if self.revert_asked.is_none() {
                    seen.looks.push((at, presence.clone()));
                }
            }
            // The report says "not injected" itself.
            InjectionState::Refused(e) => {
                self.failure = Some(e.message.trim_start_matches("not injected: ").to_owned());
                self.find(e.hint.iter());
            }
            InjectionState::Failed(e) if e.cancelled => self.cancelled = true,
            InjectionState::Failed(e) => {
                self.failure = Some(e.message.clone());
                self.find(e.hint.iter());
            }
            InjectionState::RevertAsked { because } => {
                self.revert_asked.get_or_insert((at, because.clone()));
            }
            InjectionState::RevertFailed(_) => self.failed_reverts += 1,
            InjectionState::Reverted { notes, met } => {
                seen.at_end = seen.at_end.or(*met);
                self.reverted = Some(at);
                self.residue = None;
                self.find(notes.iter());
            }
            InjectionState::Residue(e) => self.residue = Some(e.message.clone()),
            InjectionState::Staged => {
                self.staged.get_or_insert(at);
            }
            InjectionState::Adjusted { .. } => {}
        }
    }

    fn name(&mut self, target: &chaos_core::target::Target) {
        self.target.clone_from(&target.label);
        self.identity.clone_from(&target.identity.0);
    }

    fn find<'a>(&mut self, notes: impl Iterator<Item = &'a String>) {
        for note in notes {
            if !self.findings.contains(note) {
                self.findings.push(note.clone());
            }
        }
    }

    /// When it was in force, from what inspection saw. A stretch ends where it was last seen in place.
    fn weigh(&mut self, seen: &Seen) {
        let mut open: Option<Span> = None;
        let mut met = Vec::new();
        for (at, presence) in &seen.looks {
            if presence.in_place == InPlace::None {
                if self.reversibility != Reversibility::Irreversible {
                    self.in_force.extend(open.take());
                }
                continue;
            }
            self.effective.get_or_insert(*at);
            met.push(presence.met);
            let span = open.get_or_insert(Span { from: *at, to: *at });
            span.to = *at;
        }
        if let Some(span) = open {
            // Nobody may be able to look any more: what was seen once is not in place for ever.
            let lasts = if self.is_irreversible() { self.until } else { span.to.plus(SEEN_LASTS) };
            let to = self.until.min(lasts).max(span.to);
            self.in_force.push(Span { to, ..span });
        }
        // The look that proves the effect comes too early to say that nothing meets it; what was counted at the end does not.
        let is_told = !met.is_empty() && (met.len() > 1 || seen.at_end.is_some());
        met.extend(seen.at_end);
        self.met_to_the_end = matches!(seen.at_end, Some(Met::Idle | Met::Count(_)));
        self.met = met.iter().fold(None, |sum, m| match m {
            Met::Count(n) => Some(sum.unwrap_or(0).max(*n)),
            _ => sum,
        });
        self.idle = is_told && met.iter().all(|m| matches!(m, Met::Idle | Met::Count(0)));
    }

    /// The share of the time from its effect to the asking of its revert in which it was in place; none: it never was.
    #[must_use]
    pub fn share_in_force(&self) -> Option<f64> {
        let asked = self.until.since(self.effective?).as_secs_f64();
        let held: f64 = self.in_force.iter().map(|s| s.length().as_secs_f64()).sum();
        Some(if asked > 0.0 { (held / asked).min(1.0) } else { 1.0 })
    }

    /// It is irreversible: nothing is claimed undone.
    #[must_use]
    pub fn is_irreversible(&self) -> bool {
        self.reversibility == Reversibility::Irreversible
    }

    /// Step and repetition: injections that share them begin together and share a clock.
    #[must_use]
    pub fn group(&self) -> &str {
        self.slot.rsplit_once('.').map_or(&self.slot, |(g, _)| g)
    }

    /// What and where: `process.pause on replica 8001`.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{} on {}", self.fault, self.target)
    }
}
