//! Recovery: from a fault's effect until the users are well again, as an interval with true bounds.

use std::time::Duration;

use chaos_core::clock::Mono;
use chaos_core::sample::Sample;
use serde::{Deserialize, Serialize};

use super::injection::Injection;
use super::window::{self, Window};

/// So many good samples in a row, at the least, make a recovery: with a third of replicas bad, a false one stays under
/// 1 % (RULES 29).
pub const GOOD_IN_A_ROW: usize = 12;

/// What became of a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Never bad: fulfils every objective.
    Unaffected,
    /// Well again.
    Recovered {
        /// Due time of the first bad sample.
        first_bad: Mono,
        /// Due time of the first good sample of the row.
        point: Mono,
        /// The service was still bad after this …
        after: Mono,
        /// … and well before this.
        before: Mono,
        /// When the first twelve of the row were all done.
        seen_well: Mono,
        /// How long the answer that bounds it took: what a faster cadence cannot improve.
        answer: Duration,
        /// Bad samples between recovery and the end of the clock.
        relapses: usize,
    },
    /// Not recovered by the end of observation: later than this, censored.
    NotYet {
        /// Due time of the first bad sample.
        first_bad: Mono,
        /// When the last bad sample was sent.
        more_than: Mono,
    },
    /// There were no samples to tell by.
    Unknown,
}

/// By whose merit it is well again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Merit {
    /// It was never bad.
    Unaffected,
    /// It was seen well, 12 good samples in a row, before the fault was taken back: resilience.
    ByItself,
    /// It was not seen well before the fault was taken back: mere rollback.
    AfterRevert,
    /// Not recovered by the end of observation.
    NotRecovered,
    /// There were no samples to tell by.
    Unknown,
}

/// One clock: it starts at an effect and ends when the users are well again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clock {
    /// When the effect was seen.
    pub started: Mono,
    /// The injections that started it: all of one step and repetition.
    pub injections: Vec<usize>,
    /// What became of it.
    pub outcome: Outcome,
    /// The same, counted from the last revert of the fault episode; none: nothing was to be reverted.
    pub after_revert: Option<Outcome>,
    /// When the last revert of the episode was asked for and when it was proved.
    pub reverted: Option<(Mono, Mono)>,
    /// Whose merit it is.
    pub merit: Merit,
}

/// All clocks of a hypothesis.
#[must_use]
pub fn clocks(injections: &[Injection], windows: &[Window], begins: &[Option<Mono>], samples: &Watched<'_>) -> Vec<Clock> {
    let mut starts: Vec<(Mono, Vec<usize>)> = Vec::new();
    for (i, injection) in injections.iter().enumerate() {
        let Some(begun) = begins[i] else { continue };
        let same = starts.iter_mut().find(|(_, of)| injections[of[0]].group() == injection.group());
        match same {
            Some((at, of)) => {
                *at = (*at).min(begun);
                of.push(i);
            }
            None => starts.push((begun, vec![i])),
        }
    }
    starts.sort_by_key(|(at, _)| *at);
    let effects: Vec<Mono> = starts.iter().map(|(at, _)| *at).collect();
    starts
        .into_iter()
        .map(|(started, of)| {
            let episode = windows
                .iter()
                .find(|w| w.injections.contains(&of[0]) && w.span.from <= started && started <= w.span.to)
                .map_or(of.as_slice(), |w| w.injections.as_slice());
            let closes: Vec<Mono> = effects.iter().copied().filter(|e| *e > started).collect();
            clock(injections, started, of.clone(), episode, &closes, samples)
        })
        .collect()
}

fn clock(injections: &[Injection], started: Mono, of: Vec<usize>, episode: &[usize], closes: &[Mono], samples: &Watched<'_>) -> Clock {
    let outcome = run(samples, started, closes);
    let reversible = || episode.iter().map(|i| &injections[*i]).filter(|i| !i.is_irreversible());
    let asked = |i: &Injection| i.revert_asked.as_ref().map(|(at, _)| *at);
    let first_revert = reversible().filter_map(asked).min();
    let last = reversible().filter_map(|i| Some((i.reverted?, asked(i).unwrap_or(i.reverted?)))).max();
    let after_revert = last.map(|(_, asked)| {
        let later: Vec<Mono> = closes.iter().copied().filter(|c| *c > asked).collect();
        run(samples, asked, &later)
    });
    let merit = match (outcome, first_revert) {
        (Outcome::Unaffected, _) => Merit::Unaffected,
        (Outcome::Unknown, _) => Merit::Unknown,
        (Outcome::NotYet { .. }, _) => Merit::NotRecovered,
        (Outcome::Recovered { .. }, None) => Merit::ByItself,
        (Outcome::Recovered { seen_well, .. }, Some(revert)) if seen_well <= revert => Merit::ByItself,
        (Outcome::Recovered { .. }, Some(_)) => Merit::AfterRevert,
    };
    Clock { started, injections: of, outcome, after_revert, reverted: last.map(|(reverted, asked)| (asked, reverted)), merit }
}

/// Runs one clock: a new effect closes it if it is good at that moment, else it goes on.
#[must_use]
pub fn run(samples: &Watched<'_>, started: Mono, closes: &[Mono]) -> Outcome {
    for close in closes {
        let seen = Seen::until(samples, started, Some(*close));
        let tail = seen.bad.last().map_or(0, |last| seen.good.partition_point(|g| g.due <= last.due));
        if seen.is_empty() {
            continue;
        }
        if seen.bad.is_empty() {
            return Outcome::Unaffected;
        }
        let at_close = seen.good.len() - tail >= GOOD_IN_A_ROW;
        match seen.outcome(samples.hold) {
            Outcome::Recovered { .. } => return seen.outcome(samples.hold),
            _ if at_close => return seen.recovered(tail, seen.bad.len()),
            _ => {}
        }
    }
    Seen::until(samples, started, None).outcome(samples.hold)
}

/// The samples of a hypothesis and what makes it well again.
#[derive(Debug, Clone, Copy)]
pub struct Watched<'a> {
    /// By due time, without void ones.
    pub samples: &'a [Sample],
    /// It must stay well for so long.
    pub hold: Duration,
    /// No sample takes longer than this from due to done.
    pub reach: Duration,
}

/// What a clock sees: good and bad samples by due time.
struct Seen<'a> {
    good: Vec<&'a Sample>,
    bad: Vec<&'a Sample>,
}

impl<'a> Seen<'a> {
    /// The samples that can have observed an instant after `started`; up to a close, those done by then.
    fn until(watched: &Watched<'a>, started: Mono, close: Option<Mono>) -> Self {
        let Watched { samples, reach, .. } = *watched;
        let from = samples.partition_point(|s| s.due.plus(reach) < started);
        let seen = samples[from..].iter().take_while(|s| close.is_none_or(|c| s.due < c)).filter(|s| close.is_none_or(|c| s.done() <= c));
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for sample in seen {
            if sample.is_good() && sample.due >= started {
                good.push(sample);
            } else if sample.is_bad() && sample.done() > started {
                bad.push(sample);
            }
        }
        Self { good, bad }
    }

    fn is_empty(&self) -> bool {
        self.good.is_empty() && self.bad.is_empty()
    }

    /// The first row of good samples after a bad one that is long enough.
    fn outcome(&self, hold: Duration) -> Outcome {
        if self.is_empty() {
            return Outcome::Unknown;
        }
        let (Some(first), Some(last)) = (self.bad.first(), self.bad.last()) else {
            return Outcome::Unaffected;
        };
        for (i, bad) in self.bad.iter().enumerate() {
            let from = self.good.partition_point(|g| g.due <= bad.due);
            let to = match self.bad.get(i + 1) {
                Some(next) => self.good.partition_point(|g| g.due < next.due),
                None => self.good.len(),
            };
            let row = &self.good[from.min(to)..to];
            let lasts = row.first().zip(row.last()).map_or(Duration::ZERO, |(a, b)| b.due.since(a.due));
            if row.len() >= GOOD_IN_A_ROW && lasts >= hold {
                return self.recovered(from, i + 1);
            }
        }
        let more_than = self.bad.iter().map(|b| b.sent()).max();
        Outcome::NotYet { first_bad: first.due, more_than: more_than.unwrap_or(last.due) }
    }

    /// Recovered with the row of good samples that begins at `from`, after the first `bads` bad ones.
    ///
    /// A good sample that was sent once it was bad for certain can only have observed the end, so the first such one
    /// bounds it (see [`super::outage`]). Not so where good and bad were mixed all along, one replica of three being
    /// down: there any one good sample may be luck, and only the twelfth in a row bounds the end (RULES 29).
    fn recovered(&self, from: usize, bads: usize) -> Outcome {
        let (before, relapses) = self.bad.split_at(bads);
        let (mixed, row) = self.good.split_at(from);
        let begun = before.iter().map(|b| b.done()).min().unwrap_or_default();
        let after = before.iter().map(|b| b.sent()).max().unwrap_or_default();
        let first_dozen = &row[..row.len().min(GOOD_IN_A_ROW)];
        let seen_well = first_dozen.iter().map(|g| g.done()).max();
        let seen_well = seen_well.unwrap_or_default();
        let partial = mixed.iter().any(|g| g.sent() >= begun);
        let sure = row.iter().filter(|g| g.sent() >= begun);
        let by = sure.min_by_key(|g| g.done()).unwrap_or(&row[0]);
        let (end, answer) = if partial { (seen_well, Duration::ZERO) } else { (by.done(), by.done().since(by.sent())) };
        Outcome::Recovered {
            first_bad: before[0].due,
            point: row[0].due,
            after,
            before: end.max(after),
            seen_well,
            answer,
            relapses: relapses.len(),
        }
    }
}

/// When each injection begins for a hypothesis, by index.
#[must_use]
pub fn begins(injections: &[Injection], users: &chaos_core::sample::Series, timeout: Duration) -> Vec<Option<Mono>> {
    injections.iter().map(|i| window::begin(i, users, timeout)).collect()
}
