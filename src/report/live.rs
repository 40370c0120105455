//! What is going on, while it goes on: a fold over events that writes to the person's terminal.
//!
//! On a terminal it is a few lines, drawn again in place: phase and time, what users get, which faults are in force and
//! for how much longer. Elsewhere (a CI log) it is one plain line for each thing that happens.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::time::Duration;

use chaos_core::clock::Mono;
use chaos_core::event::{Event, InjectionState, Phase, StepState, SystemState, What};
use chaos_core::experiment::{Action, Experiment, Hypothesis};
use chaos_core::fault::{InPlace, Reversibility};
use chaos_core::plan::Plan;
use chaos_core::sample::{Asked, SampleBatch};

use super::strip::{self, Slice};
use super::style::{Ink, Style, clip, plain, wrap};
use crate::judge::wording::{length, plural, share};

/// Drawn at most this often.
const EVERY: Duration = Duration::from_millis(100);
/// A column of a sparkline is so long, and so many are shown.
const COLUMN: Duration = Duration::from_millis(500);
const COLUMNS: usize = 32;

/// The display of one run.
pub struct Live<W: Write> {
    out: W,
    style: Style,
    /// Drawn again in place; else plain lines.
    redraw: bool,
    drawn_lines: usize,
    drawn_at: Option<Mono>,
    started: Mono,
    now: Mono,
    experiment: Option<Box<Experiment>>,
    plan: Option<Box<Plan>>,
    phase: Option<(Phase, Mono)>,
    users: Vec<Recent>,
    in_force: BTreeMap<String, InForce>,
    /// Why the run is being ended, as last told: coordinator and executor may both say so.
    ending: Option<String>,
}

/// What users got in the last seconds.
#[derive(Default)]
struct Recent {
    columns: VecDeque<(u64, Slice)>,
    last_second: VecDeque<(Mono, bool)>,
}

struct InForce {
    label: String,
    ends: Option<Mono>,
    reverting: bool,
}

impl<W: Write> Live<W> {
    /// A display that writes to `out`. `redraw`: it is a terminal that can move its cursor.
    pub fn new(out: W, style: Style, redraw: bool) -> Self {
        Self {
            out,
            style,
            redraw,
            drawn_lines: 0,
            drawn_at: None,
            started: Mono(0),
            now: Mono(0),
            experiment: None,
            plan: None,
            phase: None,
            users: Vec::new(),
            in_force: BTreeMap::new(),
            ending: None,
        }
    }

    /// Takes an event in. A terminal that is gone is no reason to stop a run: nothing is reported.
    pub fn event(&mut self, event: &Event) {
        self.now = self.now.max(event.at);
        if let What::Started(started) = &event.what {
            self.started = event.at;
            self.experiment = Some(Box::new(started.experiment.clone()));
            self.users.resize_with(started.experiment.hypotheses.len(), Recent::default);
        }
        let line = self.fold(&event.what);
        if let Some((ink, text)) = line {
            self.say(ink, &text);
        }
        if self.redraw {
            self.draw_if_due();
        }
    }

    /// The run is over: takes the display away, so that the final screen stands alone.
    pub fn finish(&mut self) {
        self.wipe();
        let _ = self.out.flush();
    }

    /// Folds an event in; some deserve a line of their own.
    fn fold(&mut self, what: &What) -> Option<(Ink, String)> {
        match what {
            What::Samples(batch) => {
                self.take(batch);
                None
            }
            What::Planned(plan) => {
                self.plan = Some(plan.clone());
                Some((Ink::Faint, format!("planned {}, seed {}", plural(plan.injections.len(), "injection"), plan.seed)))
            }
            What::Phase(phase) => {
                self.phase = Some((*phase, self.now));
                Some((Ink::Strong, phase_words(*phase).into()))
            }
            What::Baseline { met: true, .. } => Some((Ink::Good, "the baseline is met".into())),
            What::Baseline { missed, .. } if self.phase.is_some_and(|(phase, _)| phase == Phase::System) => {
                Some((Ink::Bad, missed.join("; ")))
            }
            What::Baseline { missed, .. } => Some((Ink::Bad, format!("the baseline is not met: {}", missed.join("; ")))),
            What::Step { path, state } => self.step(path, state),
            What::Injection { slot, state } => self.injection(slot, state),
            What::Activated { slot, by } => {
                let label = self.label(slot);
                Some((Ink::Fault, format!("{label} was activated by {by}")))
            }
            // Where there is no exit code, its step says why.
            What::Command { command, exit, .. } => exit.map(|code| (Ink::Faint, format!("{}: exit {code}", command.join(" ")))),
            What::System { name, state } => Some((Ink::Faint, system_words(name, state))),
            What::TargetChanged { target, finding } => Some((Ink::Doubt, format!("{}: {finding}", target.label))),
            What::StopCondition { condition, observed } => Some((Ink::Bad, format!("stopping: {condition} ({observed})"))),
            What::Aborted { because, .. } => {
                let told = self.ending.replace(because.clone()).is_some_and(|then| then == *because);
                (!told).then(|| (Ink::Bad, format!("ending the run: {because}")))
            }
            What::ExecutorLost { message } => Some((Ink::Bad, format!("the executor was lost: {message}"))),
            What::Note(text) => Some((Ink::Faint, text.clone())),
            What::Residue { finding, .. } => Some((Ink::Bad, format!("left behind: {finding}"))),
            What::Started(started) => Some((Ink::Strong, format!("{} (run {})", started.experiment.title, started.run))),
            // A refusal is told once, with its place in the file, when the run has ended.
            What::Refused { .. } | What::Judged(_) | What::Finished { .. } => None,
        }
    }

    fn step(&self, path: &str, state: &StepState) -> Option<(Ink, String)> {
        let step = self.experiment.as_ref().and_then(|e| e.method.iter().find(|s| s.path == path));
        let words = step.map(|s| match &s.action {
            Action::Wait(time) => format!("waiting for {time}"),
            Action::WaitFor(wait) => format!("waiting until \"{}\" is good", wait.hypothesis),
            Action::Run(run) => format!("running {}", run.command.join(" ")),
            Action::Inject(inject) => format!("{} into {}", inject.fault, inject.into),
            Action::Parallel(steps) => format!("{} steps at once", steps.len()),
        });
        match state {
            StepState::Began => Some((Ink::Faint, words?)),
            StepState::Ended => None,
            StepState::LeftOut(why) => Some((Ink::Doubt, format!("{path} was left out: {why}"))),
            StepState::Failed(why) => Some((Ink::Bad, format!("{path} failed: {why}"))),
        }
    }

    fn injection(&mut self, slot: &str, state: &InjectionState) -> Option<(Ink, String)> {
        let label = self.label(slot);
        match state {
            InjectionState::Present(presence) => {
                let known = self.in_force.contains_key(slot);
                if presence.in_place == InPlace::None {
                    let finding = presence.finding.clone().unwrap_or_default();
                    let gone = self.in_force.remove(slot).filter(|i| !i.reverting)?;
                    return Some((Ink::Doubt, format!("{} is gone {finding}", gone.label)));
                }
                if known {
                    return None;
                }
                let plan = self.plan.as_ref().and_then(|p| p.injection(slot))?;
                if plan.reversibility == Reversibility::Irreversible {
                    self.in_force.insert(slot.to_owned(), InForce { label: label.clone(), ends: None, reverting: true });
                    return Some((Ink::Fault, format!("{label} is done")));
                }
                let ends = plan.hold.map(|hold| self.now.plus(hold.get()));
                self.in_force.insert(slot.to_owned(), InForce { label: label.clone(), ends, reverting: false });
                let held = plan.hold.map_or(String::new(), |h| format!(" for {h}"));
                Some((Ink::Fault, format!("{label} is in force{held}")))
            }
            InjectionState::RevertAsked { .. } => {
                if let Some(i) = self.in_force.get_mut(slot) {
                    i.reverting = true;
                }
                None
            }
            InjectionState::Reverted { .. } => {
                self.in_force.remove(slot);
                let planned = self.plan.as_ref().and_then(|p| p.injection(slot));
                let planned = planned.filter(|p| p.reversibility != Reversibility::Irreversible);
                planned.map(|_| (Ink::Good, format!("{label} is taken back; nothing is left")))
            }
            InjectionState::Refused(e) => Some((Ink::Bad, format!("{label} was refused: {e}"))),
            InjectionState::Failed(e) if e.cancelled => None,
            InjectionState::Failed(e) => Some((Ink::Bad, format!("{label} could not be injected: {e}"))),
            InjectionState::RevertFailed(e) => Some((Ink::Bad, format!("{label}: taking it back failed, again: {e}"))),
            InjectionState::Residue(e) => Some((Ink::Bad, format!("{label} could not be taken back: {e}"))),
            InjectionState::Granted(_)
            | InjectionState::Intended { .. }
            | InjectionState::Staged
            | InjectionState::Injected { .. }
            | InjectionState::Adjusted { .. } => None,
        }
    }

    fn label(&self, slot: &str) -> String {
        let planned = self.plan.as_ref().and_then(|p| p.injection(slot));
        planned.map_or_else(|| slot.to_owned(), |p| format!("{} on {}", p.fault, p.target.label))
    }

    fn take(&mut self, batch: &SampleBatch) {
        if batch.asked != Asked::Users {
            return;
        }
        let Some(recent) = self.users.get_mut(batch.hypothesis) else {
            return;
        };
        for sample in &batch.rows {
            if !(sample.is_good() || sample.is_bad()) {
                continue;
            }
            self.now = self.now.max(sample.done());
            recent.take(sample.done(), sample.is_good());
        }
        recent.forget(self.now);
    }

    // --- writing ---

    fn say(&mut self, ink: Ink, text: &str) {
        const STAMP: usize = 8;
        let time = stamp(self.now.since(self.started));
        let room = self.style.width.saturating_sub(STAMP + 1).max(20);
        let mut lines = String::new();
        for (i, line) in wrap(&plain(text), room).iter().enumerate() {
            let time = if i == 0 { time.as_str() } else { "" };
            let time = self.style.ink(Ink::Faint, &format!("{time:>7}"));
            lines.push_str(&format!("{time} {}\n", self.style.ink(ink, line)));
        }
        self.wipe();
        let _ = self.out.write_all(lines.as_bytes());
        let _ = self.out.flush();
        self.drawn_at = None;
    }

    fn wipe(&mut self) {
        if self.drawn_lines > 0 {
            let _ = write!(self.out, "\x1b[{}A\r\x1b[J", self.drawn_lines);
            self.drawn_lines = 0;
        }
    }

    fn draw_if_due(&mut self) {
        let due = self.drawn_at.is_none_or(|then| self.now.since(then) >= EVERY);
        if !due || self.experiment.is_none() {
            return;
        }
        let lines = self.lines();
        self.wipe();
        let _ = self.out.write_all((lines.join("\n") + "\n").as_bytes());
        let _ = self.out.flush();
        self.drawn_lines = lines.len();
        self.drawn_at = Some(self.now);
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec![String::new(), self.status()];
        let experiment = self.experiment.as_ref();
        let names = experiment.iter().flat_map(|e| &e.hypotheses);
        for (h, recent) in names.zip(&self.users) {
            lines.push(self.users_line(h, recent));
        }
        for i in self.in_force.values() {
            let left = match (i.reverting, i.ends) {
                (true, _) => "being taken back".into(),
                (false, Some(ends)) => {
                    format!("{} left", whole(ends.since(self.now)))
                }
                (false, None) => "until asked".into(),
            };
            let room = self.style.width.saturating_sub(left.len() + 6);
            let label = clip(&plain(&i.label), room);
            let gap = " ".repeat(room.saturating_sub(label.chars().count()) + 1);
            lines.push(self.style.ink(Ink::Fault, &format!("  ↯ {label}{gap}{left}")));
        }
        lines
    }

    fn status(&self) -> String {
        let elapsed = whole(self.now.since(self.started));
        let phase = self.phase.map_or("starting", |(phase, _)| phase_words(phase));
        let most = self.expected().map(|most| format!(" of at most {}", length(most.as_secs_f64())));
        let text = format!("  {phase}  {elapsed}{}", most.unwrap_or_default());
        self.style.ink(Ink::Strong, &clip(&text, self.style.width.saturating_sub(1)))
    }

    /// Baseline, method at its longest, and the longest recovery that may be waited for.
    fn expected(&self) -> Option<Duration> {
        let experiment = self.experiment.as_ref()?;
        let baseline = experiment.hypotheses.iter().filter_map(|h| h.baseline.as_ref());
        let baseline = baseline.map(|b| b.lasts.get()).max().unwrap_or_default();
        let verify = experiment.hypotheses.iter().filter_map(|h| h.recovery.as_ref());
        let verify = verify
            .map(|r| {
                let longest = r.within.max(r.after_revert);
                longest.map_or(Duration::from_secs(10), |w| w.get() + r.hold.get())
            })
            .max();
        let verify = verify.unwrap_or(Duration::from_secs(10));
        Some(baseline + self.plan.as_ref()?.lasts_at_most.get() + verify)
    }

    fn users_line(&self, hypothesis: &Hypothesis, recent: &Recent) -> String {
        let (good, all) = recent.counts();
        #[allow(clippy::cast_precision_loss, reason = "samples of one second")]
        let (ink, success) = match (good, all) {
            (_, 0) => (Ink::Faint, "–".to_owned()),
            (good, all) if good == all && !hypothesis.is_observation() => (Ink::Good, "100%".to_owned()),
            (good, all) => (if hypothesis.is_observation() { Ink::Faint } else { Ink::Bad }, share(good as f64 / all as f64)),
        };
        let columns = COLUMNS.min(self.style.width / 3);
        let room = self.style.width.saturating_sub(columns + 13).clamp(8, 40);
        let name = clip(&plain(&hypothesis.name), room);
        let chart: String = recent.chart(columns, self.now);
        let (mark, rest) = match ink {
            Ink::Good => ("✓", Ink::Faint),
            Ink::Bad => ("✗", Ink::Bad),
            _ => ("·", Ink::Faint),
        };
        format!(
            "  {} {name:<room$} {} {}",
            self.style.ink(ink, mark),
            self.style.ink(ink, &format!("{success:>6}")),
            self.style.ink(rest, &chart)
        )
    }
}

impl Recent {
    fn take(&mut self, done: Mono, good: bool) {
        self.last_second.push_back((done, good));
        let column = column_of(done);
        // Samples end roughly in order, so the right column is at the back or just before it.
        let at = self.columns.iter().rposition(|(c, _)| *c <= column);
        let slice = match at {
            Some(i) if self.columns[i].0 == column => &mut self.columns[i].1,
            _ => {
                let i = at.map_or(0, |i| i + 1);
                self.columns.insert(i, (column, Slice::default()));
                &mut self.columns[i].1
            }
        };
        if good {
            slice.good += 1;
        } else {
            slice.bad += 1;
        }
    }

    fn forget(&mut self, now: Mono) {
        let second_ago = now.minus(Duration::from_secs(1));
        while self.last_second.front().is_some_and(|(at, _)| *at < second_ago) {
            self.last_second.pop_front();
        }
        while self.columns.len() > COLUMNS {
            self.columns.pop_front();
        }
    }

    fn counts(&self) -> (usize, usize) {
        let good = self.last_second.iter().filter(|(_, good)| *good).count();
        (good, self.last_second.len())
    }

    fn chart(&self, columns: usize, now: Mono) -> String {
        let last = column_of(now);
        let from = last.saturating_sub(columns as u64 - 1);
        (from..=last)
            .map(|column| {
                let slice = self.columns.iter().find(|(c, _)| *c == column);
                strip::bar(slice.map_or(Slice::default(), |(_, s)| *s))
            })
            .collect()
    }
}

/// A moment of the run, for a column of them: `0.0s`, `12.3s`, `2m03s`.
fn stamp(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 119.95 { format!("{seconds:.1}s") } else { length(seconds) }
}

/// Whole seconds: a number that is drawn ten times a second must be readable.
fn whole(time: Duration) -> String {
    length(Duration::from_secs(time.as_secs()).as_secs_f64())
}

fn column_of(at: Mono) -> u64 {
    at.0 / u64::try_from(COLUMN.as_nanos()).unwrap_or(1)
}

const fn phase_words(phase: Phase) -> &'static str {
    match phase {
        Phase::System => "starting the system",
        Phase::Baseline => "watching the baseline",
        Phase::Method => "running the method",
        Phase::Revert => "taking everything back",
        Phase::Verify => "verifying the recovery",
        Phase::Teardown => "stopping the system",
    }
}

fn system_words(name: &str, state: &SystemState) -> String {
    match state {
        SystemState::Started { pid } => format!("{name}: started, pid {pid}"),
        SystemState::Ready => format!("{name}: ready"),
        SystemState::Died { how } => format!("{name}: ended ({how})"),
        SystemState::Restarted { pid } => format!("{name}: started again, pid {pid}"),
        SystemState::Stopped => format!("{name}: stopped"),
    }
}
