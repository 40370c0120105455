//! The method laid out in time: what is asked when, how long it can take, and what can be in force together.

use std::time::Duration;

use chaos_core::experiment::{Action, Hold, Inject, Step};

/// One asking of one inject step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Asking<'a> {
    /// Path of the step.
    pub step: &'a str,
    /// Which repetition, from 0.
    pub repetition: u32,
}

/// An asking, with what it asks and its earliest begin.
#[derive(Debug, Clone)]
pub struct Scheduled<'a> {
    /// Which.
    pub asking: Asking<'a>,
    /// The step's own fields.
    pub inject: &'a Inject,
    /// Counted from the start of the method, if every wait is as short as it can be.
    pub earliest: Duration,
}

/// Askings that may be in force at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment<'a> {
    /// What is in force.
    pub in_force: Vec<Asking<'a>>,
    from: Duration,
    to: Duration,
}

/// Above this, everything in a `parallel` is taken to be in force together: safe, and quick to see.
const MOMENTS_MAX: usize = 4_096;

/// How long taking a fault back may take, by kind.
pub type Budget<'f> = &'f dyn Fn(&str) -> Duration;

/// Every asking of the method, in the order of the file.
#[must_use]
pub fn scheduled<'a>(method: &'a [Step], budget: Budget<'_>) -> Vec<Scheduled<'a>> {
    let mut out = Vec::new();
    collect(method, Duration::ZERO, budget, &mut out);
    out.sort_by_key(|s| s.earliest);
    out
}

/// The longest path through the method: every `within` and `timeout` in full, and every revert as slow as it may be.
#[must_use]
pub fn longest(method: &[Step], budget: Budget<'_>) -> Duration {
    method.iter().map(|s| span(s, budget).1).sum()
}

/// Everything that can be in force together, as moments. Askings of one sequence never are: a step begins when the
/// one before is reverted.
#[must_use]
pub fn moments<'a>(method: &'a [Step], budget: Budget<'_>) -> Vec<Moment<'a>> {
    sequence(method, Duration::ZERO, Duration::ZERO, budget)
}

fn collect<'a>(steps: &'a [Step], mut at: Duration, budget: Budget<'_>, out: &mut Vec<Scheduled<'a>>) {
    for step in steps {
        match &step.action {
            Action::Inject(inject) => {
                for repetition in 0..times(inject) {
                    out.push(Scheduled {
                        asking: Asking { step: &step.path, repetition },
                        inject,
                        earliest: at + every(inject) * repetition,
                    });
                }
                if let Hold::Meanwhile(inner) = &inject.hold {
                    collect(inner, at, budget, out);
                }
            }
            Action::Parallel(branches) => {
                for branch in branches {
                    collect(std::slice::from_ref(branch), at + after(branch), budget, out);
                }
            }
            Action::Wait(_) | Action::WaitFor(_) | Action::Run(_) => {}
        }
        at += span(step, budget).0;
    }
}

/// How long a step takes, at the shortest and at the longest, `after` left out.
fn span(step: &Step, budget: Budget<'_>) -> (Duration, Duration) {
    match &step.action {
        Action::Wait(d) => (d.get(), d.get()),
        Action::WaitFor(w) => (w.hold.get(), w.within.get()),
        Action::Run(r) => (Duration::ZERO, r.timeout.get()),
        Action::Parallel(branches) => {
            let spans = branches.iter().map(|b| (after(b), span(b, budget)));
            spans.fold((Duration::ZERO, Duration::ZERO), |(min, max), (off, (a, b))| (min.max(off + a), max.max(off + b)))
        }
        Action::Inject(inject) => {
            let (min, max) = held(inject, budget);
            let repeats = every(inject) * times(inject).saturating_sub(1);
            (repeats + min, repeats + max)
        }
    }
}

/// How long one asking is in force, its ramp and its revert included.
fn held(inject: &Inject, budget: Budget<'_>) -> (Duration, Duration) {
    let ramp = inject.ramp.as_ref().map_or(Duration::ZERO, |r| r.over.get());
    match &inject.hold {
        Hold::For(d) => (ramp + d.get(), ramp + d.get() + budget(&inject.fault)),
        Hold::Meanwhile(inner) => {
            let (min, max) = inner.iter().map(|s| span(s, budget)).fold((Duration::ZERO, Duration::ZERO), |a, b| (a.0 + b.0, a.1 + b.1));
            (ramp + min, ramp + max + budget(&inject.fault))
        }
        Hold::Never => (Duration::ZERO, Duration::ZERO),
    }
}

fn sequence<'a>(steps: &'a [Step], mut from: Duration, mut to: Duration, budget: Budget<'_>) -> Vec<Moment<'a>> {
    let mut out = Vec::new();
    for step in steps {
        out.extend(of_step(step, from, to, budget));
        let (min, max) = span(step, budget);
        from += min;
        to += max;
    }
    out
}

fn of_step<'a>(step: &'a Step, from: Duration, to: Duration, budget: Budget<'_>) -> Vec<Moment<'a>> {
    match &step.action {
        Action::Wait(_) | Action::WaitFor(_) | Action::Run(_) => Vec::new(),
        Action::Inject(inject) => of_inject(step, inject, from, to, budget),
        Action::Parallel(branches) => {
            let each: Vec<_> = branches.iter().map(|b| of_step(b, from + after(b), to + after(b), budget)).collect();
            together(each)
        }
    }
}

fn of_inject<'a>(step: &'a Step, inject: &'a Inject, from: Duration, to: Duration, budget: Budget<'_>) -> Vec<Moment<'a>> {
    let held_max = held(inject, budget).1;
    let mut out: Vec<Moment<'a>> = (0..times(inject))
        .map(|repetition| Moment {
            in_force: vec![Asking { step: &step.path, repetition }],
            from: from + every(inject) * repetition,
            to: to + every(inject) * repetition + held_max,
        })
        .collect();
    if let Hold::Meanwhile(inner) = &inject.hold {
        let own = Asking { step: &step.path, repetition: 0 };
        out.extend(sequence(inner, from, to, budget).into_iter().map(|mut m| {
            m.in_force.insert(0, own);
            m
        }));
    }
    out
}

/// Branches that run side by side: each moment alone, and joined with every moment of the others that it can meet.
fn together(branches: Vec<Vec<Moment<'_>>>) -> Vec<Moment<'_>> {
    let mut out: Vec<Moment<'_>> = Vec::new();
    for branch in branches {
        let mut joined = Vec::new();
        for a in &out {
            for b in &branch {
                let (from, to) = (a.from.max(b.from), a.to.min(b.to));
                if from <= to {
                    joined.push(Moment { in_force: a.in_force.iter().chain(&b.in_force).copied().collect(), from, to });
                }
            }
        }
        out.extend(branch);
        out.extend(joined);
        if out.len() > MOMENTS_MAX {
            return vec![everything(&out)];
        }
    }
    out
}

fn everything<'a>(moments: &[Moment<'a>]) -> Moment<'a> {
    let mut in_force: Vec<Asking<'a>> = moments.iter().flat_map(|m| m.in_force.iter().copied()).collect();
    in_force.sort_unstable();
    in_force.dedup();
    Moment {
        in_force,
        from: moments.iter().map(|m| m.from).min().unwrap_or_default(),
        to: moments.iter().map(|m| m.to).max().unwrap_or_default(),
    }
}

fn after(step: &Step) -> Duration {
    step.after.map_or(Duration::ZERO, chaos_core::literal::Duration::get)
}

fn times(inject: &Inject) -> u32 {
    inject.repeat.map_or(1, |r| r.times)
}

fn every(inject: &Inject) -> Duration {
    inject.repeat.map_or(Duration::ZERO, |r| r.every.get())
}
