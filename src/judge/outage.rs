//! Outages, of which there are two (RULES 27): what *users* saw, by the due times of the requests that failed; and how
//! long the *service* was down, bounded by what each sample can have observed between sent and done.

use std::time::Duration;

use chaos_core::clock::Mono;
use chaos_core::sample::Sample;

use super::statistics::Bounds;

/// A row of bad samples, by due time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Due time of the good sample before it.
    pub good_before: Option<Mono>,
    /// Due time of its first bad sample.
    pub first_bad: Mono,
    /// Due time of its last.
    pub last_bad: Mono,
    /// Due time of the good sample after it.
    pub good_after: Option<Mono>,
    /// How many are bad.
    pub bad: usize,
}

impl Row {
    /// How long requests failed, in seconds: surely from the first bad to the last, at most between the good ones around.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        let surely = self.last_bad.since(self.first_bad);
        let from = self.good_before.unwrap_or(self.first_bad);
        let to = self.good_after.unwrap_or(self.last_bad);
        (surely.as_secs_f64(), to.since(from).as_secs_f64())
    }
}

/// The rows of bad samples among samples in order of due time.
pub fn rows<'a>(samples: impl Iterator<Item = &'a Sample>) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let (mut open, mut good_before) = (false, None);
    for sample in samples {
        if sample.is_good() {
            if let (true, Some(row)) = (open, rows.last_mut()) {
                row.good_after = Some(sample.due);
            }
            open = false;
            good_before = Some(sample.due);
            continue;
        }
        match rows.last_mut().filter(|_| open) {
            Some(row) => {
                row.last_bad = sample.due;
                row.bad += 1;
            }
            None => rows.push(Row { good_before, first_bad: sample.due, last_bad: sample.due, good_after: None, bad: 1 }),
        }
        open = true;
    }
    rows
}

/// The longest row, in seconds; `(0, 0)` where nothing was bad.
#[must_use]
pub fn longest(rows: &[Row]) -> Bounds {
    rows.iter().map(Row::bounds).fold((0.0, 0.0), |a, b| (f64::max(a.0, b.0), f64::max(a.1, b.1)))
}

/// All rows together, in seconds.
#[must_use]
pub fn total(rows: &[Row]) -> Bounds {
    rows.iter().map(Row::bounds).fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1))
}

/// A time during which the service did not work, with bounds that hold whatever the samples' latencies were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// It began after this (none: not seen well before) …
    pub began_after: Option<Mono>,
    /// … and before this.
    pub began_before: Mono,
    /// It ended after this …
    pub ended_after: Mono,
    /// … and before this; none: not seen well again.
    pub ended_before: Option<Mono>,
    /// How many samples showed it.
    pub bad: usize,
}

impl Outage {
    /// How long it lasted at the least.
    #[must_use]
    pub fn at_least(&self) -> Duration {
        self.ended_after.since(self.began_before)
    }

    /// How long it lasted at the most, where both ends were seen.
    #[must_use]
    pub fn at_most(&self) -> Option<Duration> {
        Some(self.ended_before?.since(self.began_after?))
    }
}

/// Bad samples that nothing tells apart from one outage.
struct Group {
    sent_first: Mono,
    sent_last: Mono,
    done_first: Mono,
    bad: usize,
}

impl Group {
    fn of(sample: &Sample) -> Self {
        Self { sent_first: sample.sent(), sent_last: sample.sent(), done_first: sample.done(), bad: 1 }
    }

    fn take(&mut self, sample: &Sample) {
        self.sent_first = self.sent_first.min(sample.sent());
        self.sent_last = self.sent_last.max(sample.sent());
        self.done_first = self.done_first.min(sample.done());
        self.bad += 1;
    }
}

/// The outages of a service among samples in order of due time.
///
/// A sample observes *some* instant between sent and done. So an outage began before the first of its bad samples was
/// done, and after a good one was sent that was done before any bad one was sent. A good sample that was sent once the
/// outage had begun for certain can only have observed its end: the first such one done bounds it. Two rows of bad samples
/// are two outages only where a good sample between them observed an instant that surely lies between them.
#[must_use]
pub fn outages(samples: &[Sample]) -> Vec<Outage> {
    let mut found = Vec::new();
    let mut group: Option<Group> = None;
    // The earliest end seen after the open group: a good sample sent after that outage had surely begun.
    let mut ended: Option<Mono> = None;
    let mut began_after: Option<Mono> = None;
    let mut goods = GoodsBefore::default();
    for sample in samples {
        if sample.is_good() {
            if let Some(g) = &group
                && sample.sent() >= g.done_first
            {
                ended = Some(ended.map_or(sample.done(), |e| e.min(sample.done())));
            }
            goods.take(sample);
            continue;
        }
        match (&mut group, ended) {
            (Some(g), Some(end)) if end <= sample.sent() => {
                found.push(outage(g, began_after, ended));
                (group, ended) = (Some(Group::of(sample)), None);
                began_after = goods.done_by(sample.sent());
            }
            (Some(g), _) => g.take(sample),
            (None, _) => {
                group = Some(Group::of(sample));
                began_after = goods.done_by(sample.sent());
            }
        }
        if let Some(g) = &group {
            // A later bad sample may have been sent before an earlier one.
            began_after = began_after.min(goods.done_by(g.sent_first));
            // What looked like its end may be a good sample inside of it, were it one outage: no end then.
            ended = ended.filter(|e| *e > g.sent_last);
        }
    }
    if let Some(g) = &group {
        found.push(outage(g, began_after, ended));
    }
    found
}

fn outage(g: &Group, began_after: Option<Mono>, ended_before: Option<Mono>) -> Outage {
    Outage { began_after, began_before: g.done_first, ended_after: g.sent_last, ended_before, bad: g.bad }
}

/// Good samples seen so far, to be asked which was the last to be sent among those done by a moment.
#[derive(Default)]
struct GoodsBefore {
    /// (sent, done), the newest last; bounded, because only the last few can matter.
    recent: std::collections::VecDeque<(Mono, Mono)>,
}

impl GoodsBefore {
    const KEPT: usize = 4_096;

    fn take(&mut self, sample: &Sample) {
        if self.recent.len() == Self::KEPT {
            self.recent.pop_front();
        }
        self.recent.push_back((sample.sent(), sample.done()));
    }

    fn done_by(&self, moment: Mono) -> Option<Mono> {
        let done = self.recent.iter().rev().filter(|(_, done)| *done <= moment);
        done.map(|(sent, _)| *sent).next()
    }
}
