//! The questions that a run asks while it goes on: must it stop, may it go on, has everything recovered?
//!
//! All of them are fed the batches as they come and cost next to nothing a sample.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use chaos_core::clock::Mono;
use chaos_core::experiment::{Experiment, Metric, Quantile, StopCondition, WaitFor};
use chaos_core::literal::Operator;
use chaos_core::sample::{Asked, Outcome, Sample, SampleBatch};

use super::measure::{Census, rank};
use super::recovery::GOOD_IN_A_ROW;
use super::wording;

/// A stop condition says nothing of fewer samples than this.
const FEWEST: usize = 5;

/// Which batches a watch looks at, and which of their samples say something.
#[derive(Debug, Clone)]
struct Users {
    hypothesis: usize,
    timeout: Duration,
}

impl Users {
    fn of(experiment: &Experiment, name: &str) -> Option<Self> {
        let hypothesis = experiment.hypotheses.iter().position(|h| h.name == name)?;
        Some(Self { hypothesis, timeout: experiment.hypotheses[hypothesis].question.timeout.get() })
    }

    fn rows<'a>(&self, batch: &'a SampleBatch) -> impl Iterator<Item = (usize, &'a Sample)> + 'a {
        let mine = batch.hypothesis == self.hypothesis && batch.asked == Asked::Users;
        let timeout = self.timeout;
        batch.rows.iter().enumerate().filter(move |(_, s)| mine && !s.is_void(timeout))
    }
}

/// Watches one stop condition: the observed value over the last `over`, slid at every sample that ends (LANGUAGE
/// section 5). Samples in flight do not count.
#[derive(Debug, Clone)]
pub struct StopWatch {
    condition: StopCondition,
    users: Users,
    started: Mono,
    window: VecDeque<Watched>,
    bad: usize,
    /// Values at most, and below, the operand: the rank of a quantile against it needs no sorting.
    at_most: usize,
    below: usize,
    known: usize,
}

#[derive(Debug, Clone, Copy)]
struct Watched {
    sample: Sample,
    value: Option<f64>,
}

impl StopWatch {
    /// Starts watching. `started` is when sampling began. None: the condition speaks of no hypothesis.
    #[must_use]
    pub fn new(experiment: &Experiment, condition: &StopCondition, started: Mono) -> Option<Self> {
        Some(Self {
            users: Users::of(experiment, &condition.hypothesis)?,
            condition: condition.clone(),
            started,
            window: VecDeque::new(),
            bad: 0,
            at_most: 0,
            below: 0,
            known: 0,
        })
    }

    /// The condition.
    #[must_use]
    pub fn condition(&self) -> &StopCondition {
        &self.condition
    }

    /// Takes a batch in (those of other questions are ignored). Some: the condition is met, and this was observed:
    /// `success 41.7% over 2s`. Feed it from the first sample on; before the first intent, ignore what it says.
    pub fn push(&mut self, batch: &SampleBatch) -> Option<String> {
        let users = self.users.clone();
        let field = match &self.condition.when.metric {
            Metric::Field(_, name) => batch.values.iter().find(|c| c.field == *name),
            _ => None,
        };
        // Rows of bad samples are counted anew each time, so once a batch is enough for them.
        let costly = matches!(self.condition.when.metric, Metric::LongestOutage | Metric::Downtime);
        let mut last = None;
        for (i, sample) in users.rows(batch) {
            let value = match self.condition.when.metric {
                Metric::Latency(_) if sample.outcome == Outcome::TimedOut => Some(f64::INFINITY),
                Metric::Latency(_) => Some(sample.latency().as_secs_f64()),
                Metric::Field(..) => field.and_then(|c| c.values.get(i).copied().flatten()),
                _ => None,
            };
            let now = sample.done();
            self.enter(Watched { sample: *sample, value });
            self.leave(now);
            last = Some(now);
            if !costly && let Some(met) = self.met(now) {
                return Some(met);
            }
        }
        last.filter(|_| costly).and_then(|now| self.met(now))
    }

    fn enter(&mut self, it: Watched) {
        self.count(it, 1);
        self.window.push_back(it);
    }

    fn leave(&mut self, now: Mono) {
        let from = now.minus(self.condition.over.get());
        while let Some(oldest) = self.window.front().copied()
            && oldest.sample.done() <= from
        {
            self.window.pop_front();
            self.count(oldest, -1);
        }
    }

    fn count(&mut self, it: Watched, by: isize) {
        let bound = self.condition.when.must.operand.as_number();
        let add = |n: &mut usize, yes: bool| {
            if yes {
                *n = n.saturating_add_signed(by);
            }
        };
        add(&mut self.bad, it.sample.is_bad());
        if let Some(value) = it.value {
            add(&mut self.known, true);
            add(&mut self.at_most, value <= bound);
            add(&mut self.below, value < bound);
        }
    }

    fn met(&self, now: Mono) -> Option<String> {
        let watched = now.since(self.started) >= self.condition.over.get();
        if !watched || self.window.len() < FEWEST || !self.holds() {
            return None;
        }
        let observed = self.observed()?;
        let metric = &self.condition.when.metric;
        Some(format!("{metric} {observed} over {}", self.condition.over))
    }

    #[allow(clippy::cast_precision_loss, reason = "counts of samples")]
    fn holds(&self) -> bool {
        let (n, bad) = (self.window.len(), self.bad);
        let must = &self.condition.when.must;
        match &self.condition.when.metric {
            Metric::Success => must.holds((n - bad) as f64 / n as f64),
            Metric::Bad => must.holds(bad as f64),
            Metric::Latency(q) | Metric::Field(q, _) => self.quantile_holds(*q),
            Metric::LongestOutage | Metric::Downtime => self.measured().is_some_and(|(low, _)| must.holds(low)),
        }
    }

    /// The quantile is the value at a rank; it is at most the operand when so many values are.
    fn quantile_holds(&self, q: Quantile) -> bool {
        let Some(rank) = rank(self.known, q) else {
            return false;
        };
        let (at_most, below) = (self.at_most >= rank, self.below >= rank);
        match self.condition.when.must.operator {
            Operator::AtMost => at_most,
            Operator::Below => below,
            Operator::Above => !at_most,
            Operator::AtLeast => !below,
            Operator::Equal => at_most && !below,
        }
    }

    fn measured(&self) -> Option<(f64, f64)> {
        self.census(|c, o| c.measure(&o.metric, &o.must.operand).map(|m| m.value))
    }

    fn observed(&self) -> Option<String> {
        if let Metric::Success = self.condition.when.metric {
            #[allow(clippy::cast_precision_loss, reason = "counts of samples")]
            let (n, bad) = (self.window.len() as f64, self.bad as f64);
            return Some(wording::share((n - bad) / n));
        }
        self.census(|c, o| c.measure(&o.metric, &o.must.operand).map(|m| m.text))
    }

    fn census<T>(&self, ask: impl FnOnce(&Census<'_>, &chaos_core::experiment::Objective) -> Option<T>) -> Option<T> {
        let mut series = chaos_core::sample::Series { samples: self.window.iter().map(|w| w.sample).collect(), ..Default::default() };
        if let Metric::Field(_, field) = &self.condition.when.metric {
            series
                .fields
                .push(chaos_core::sample::FieldColumn { field: field.clone(), values: self.window.iter().map(|w| w.value).collect() });
        }
        series.sort();
        let all = super::injection::Span { from: Mono(0), to: Mono(u64::MAX) };
        ask(&Census::of(&series, &[all], self.users.timeout), &self.condition.when)
    }
}

/// Watches for `wait_for`: good samples, due after the step began, for as long as `hold` (zero: one good sample).
#[derive(Debug, Clone)]
pub struct WaitWatch {
    users: Users,
    row: Row,
    hold: Duration,
}

impl WaitWatch {
    /// Starts watching at the beginning of the step. None: no such hypothesis.
    #[must_use]
    pub fn new(experiment: &Experiment, wait: &WaitFor, began: Mono) -> Option<Self> {
        let users = Users::of(experiment, &wait.hypothesis)?;
        Some(Self { row: Row::after(began, users.timeout), users, hold: wait.hold.get() })
    }

    /// Takes a batch in (those of other questions are ignored). True: it is met.
    pub fn push(&mut self, batch: &SampleBatch) -> bool {
        let users = self.users.clone();
        users.rows(batch).any(|(_, sample)| {
            self.row.take(sample);
            self.row.lasts(Mono(u64::MAX)).is_some_and(|l| l >= self.hold)
        })
    }
}

/// Watches whether a hypothesis is well again, so that a run need not observe longer than it must.
#[derive(Debug, Clone)]
pub struct RecoveryWatch {
    users: Users,
    row: Row,
    hold: Duration,
}

impl RecoveryWatch {
    /// Starts watching a hypothesis by its index, as if there had been an effect at `began`.
    ///
    /// # Panics
    /// If the experiment has no hypothesis of this index.
    #[must_use]
    pub fn new(experiment: &Experiment, hypothesis: usize, began: Mono) -> Self {
        let it = &experiment.hypotheses[hypothesis];
        let timeout = it.question.timeout.get();
        Self { row: Row::after(began, timeout), users: Users { hypothesis, timeout }, hold: hold_of(it) }
    }

    /// A new effect, or a revert: what was seen before it says nothing of what comes now.
    pub fn effect(&mut self, at: Mono) {
        self.row.restart(at);
    }

    /// Takes a batch in (those of other questions are ignored).
    pub fn push(&mut self, batch: &SampleBatch) {
        let users = self.users.clone();
        for (_, sample) in users.rows(batch) {
            self.row.take(sample);
        }
    }

    /// Well again since the last effect: 12 good samples in a row that last `hold`. Only samples that are due so long
    /// ago that none before them is still in flight count.
    #[must_use]
    pub fn recovered(&self, now: Mono) -> bool {
        let settled = now.minus(self.users.timeout);
        let enough = self.row.count(settled) >= GOOD_IN_A_ROW;
        enough && self.row.lasts(settled).is_some_and(|l| l >= self.hold)
    }
}

/// How long a hypothesis must stay well to count as recovered: 3 s where not said.
#[must_use]
pub fn hold_of(hypothesis: &chaos_core::experiment::Hypothesis) -> Duration {
    let said = hypothesis.recovery.as_ref().map(|r| r.hold.get());
    said.unwrap_or(Duration::from_secs(3))
}

/// The good samples since the last bad one, by due time; samples may come in any order.
#[derive(Debug, Clone)]
struct Row {
    began: Mono,
    /// No sample takes longer from due to done, so what is older is settled.
    reach: Duration,
    last_bad: Option<Mono>,
    /// The settled beginning of the row: due times of its first and last sample, and how many there are.
    settled: Option<(Mono, Mono, usize)>,
    recent: BTreeSet<Mono>,
}

impl Row {
    fn after(began: Mono, timeout: Duration) -> Self {
        Self { began, reach: 2 * timeout + Duration::from_secs(1), last_bad: None, settled: None, recent: BTreeSet::new() }
    }

    fn restart(&mut self, at: Mono) {
        self.began = self.began.max(at);
        self.recent = self.recent.split_off(&self.began);
        self.settled = self.settled.filter(|(first, ..)| *first >= self.began);
    }

    fn take(&mut self, sample: &Sample) {
        let after_bad = self.last_bad.is_none_or(|bad| sample.due > bad);
        if sample.due < self.began || !after_bad {
            return;
        }
        if sample.is_bad() {
            self.last_bad = Some(sample.due);
            self.settled = None;
            self.recent = self.recent.split_off(&sample.due);
            self.recent.remove(&sample.due);
        } else if sample.is_good() {
            self.recent.insert(sample.due);
            self.settle(sample.done().minus(self.reach));
        }
    }

    fn settle(&mut self, before: Mono) {
        while let Some(due) = self.recent.first().copied().filter(|due| *due < before) {
            self.recent.remove(&due);
            let (first, _, count) = self.settled.unwrap_or((due, due, 0));
            self.settled = Some((first, due, count + 1));
        }
    }

    fn count(&self, until: Mono) -> usize {
        self.settled.map_or(0, |(.., n)| n) + self.recent.range(..=until).count()
    }

    fn lasts(&self, until: Mono) -> Option<Duration> {
        let first = self.settled.map(|(first, ..)| first);
        let first = first.or_else(|| self.recent.first().copied())?;
        let last = self.recent.range(..=until).next_back().copied();
        let last = last.or(self.settled.map(|(_, last, _)| last))?;
        Some(last.since(first))
    }
}
