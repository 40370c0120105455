//! What stands over a run and over a hypothesis: a word, a sign, and how good that is.

use chaos_core::event::Phase;

use crate::judge::exit::Headline;
use crate::judge::verdict::{HypothesisVerdict, Part, State, Verdict};
use crate::judge::{Record, failed_command};

/// A word with its sign: meaning survives without colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heading {
    pub(super) word: &'static str,
    pub(super) sign: &'static str,
    pub(super) state: State,
}

impl Heading {
    const fn of(word: &'static str, state: State) -> Self {
        Self { word, sign: sign(state), state }
    }
}

/// A sign before a line.
pub(super) const fn sign(state: State) -> &'static str {
    match state {
        State::Upheld => "✓",
        State::Refuted => "✗",
        State::Inconclusive => "?",
        State::Observed => "·",
    }
}

/// Of the run.
pub(super) fn of_run(record: &Record, verdict: &Verdict) -> Heading {
    let word = match verdict.headline {
        Headline::BaselineNotMet if record.not_started().is_some() => "system not started",
        Headline::NotInjected if failed_command(record).is_some() && verdict.injections.iter().all(|i| i.failure.is_none()) => {
            "a command failed"
        }
        other => other.words(),
    };
    match verdict.headline {
        Headline::Upheld => Heading::of(word, State::Upheld),
        Headline::Refuted | Headline::Residue | Headline::Defect => Heading::of(word, State::Refuted),
        Headline::Inconclusive => Heading::of(word, State::Inconclusive),
        // It ended before there was anything to doubt.
        _ => Heading { sign: "■", ..Heading::of(word, State::Inconclusive) },
    }
}

/// Of a hypothesis.
pub(super) fn of_hypothesis(verdict: &Verdict, h: &HypothesisVerdict) -> Heading {
    if baseline_missed(h) {
        return Heading::of("baseline not met", State::Refuted);
    }
    match h.state {
        State::Upheld if ended_early(verdict) => Heading::of("upheld so far", State::Inconclusive),
        state => Heading::of(state.word(), state),
    }
}

/// It was not well to begin with.
pub(super) fn baseline_missed(h: &HypothesisVerdict) -> bool {
    h.lines.iter().any(|l| l.part == Part::Baseline && l.state == State::Refuted)
}

/// Not all of what was asked has been observed.
pub(super) const fn ended_early(verdict: &Verdict) -> bool {
    verdict.facts.aborted || verdict.facts.stopped
}

/// Did anybody look at all? If not, there is nothing to say about users.
pub(super) fn anybody_looked(record: &Record) -> bool {
    record.phase(Phase::Baseline).is_some()
}
