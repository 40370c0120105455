//! `redis.stale`: answers of the past.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use chaos_core::SpecError;
use chaos_core::clock::Mono;
use chaos_core::fault::Reversibility;
use chaos_core::literal::{Duration, Pattern, Percent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::select::{self, Unnamed};
use super::{Asked, Verdict, all};
use crate::toxic::{self, Speaks, Text, Toxic};

/// What is remembered at most, in bytes: what is asked beyond that is answered truly.
const REMEMBERED_BYTES: usize = 64 << 20;
/// Answers to one question that are remembered at most; beyond that, the oldest go.
const ANSWERS_MAX: usize = 1_024;
/// What an answer costs beside its bytes.
const ANSWER_COSTS: usize = 96;

/// The fields of `redis.stale`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stale {
    /// How old answers are: what the server said so long ago. Default: the first answer that came since the fault began, for as long as it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    age: Option<Duration>,
    /// Which commands. Default: those that read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    commands: Vec<String>,
    /// Only commands with a key that fits one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    keys: Vec<Pattern>,
    /// The share of connections that meets it.
    #[serde(default = "all")]
    connections: Percent,
}

impl Stale {
    fn selection(&self) -> select::Selection<'_> {
        select::Selection { commands: &self.commands, keys: &self.keys, unnamed: Unnamed::Reads }
    }
}

impl Toxic for Stale {
    const KIND: &'static str = "redis.stale";

    fn text() -> Text {
        Text {
            summary: "answers commands of Redis with what was true before",
            about: "A replica that lags, a cache that nobody refreshes: the same command gets the answer that it got first since the fault \
                began; with `age`, the answer of so long ago, as far as it was asked then. Every command still reaches the server. What has not \
                been asked since the fault began, errors, answers above 1 MiB and what does not fit into 64 MiB are answered truly. Commands \
                inside of MULTI … EXEC pass. Connections that subscribe pass, encrypted ones too.",
            example: "inject: redis.stale\ninto: store\nwith: {keys: [\"features:*\"], age: 10s}\nfor: 60s",
            speaks: &[Speaks::Redis],
            rampable: &[],
            reversibility: Reversibility::Exact,
        }
    }

    fn check(&self) -> Vec<SpecError> {
        let mut errors = select::check(&self.commands);
        if self.age.is_some_and(Duration::is_zero) {
            errors.push(SpecError::new("age", "answers of now are not stale").hint("leave it out, or say how old"));
        }
        errors
    }

    fn connections(&self) -> Percent {
        self.connections
    }

    fn claims(&self) -> Vec<String> {
        select::claims(Self::KIND, &self.commands)
    }

    fn meets(&self, other: &Self) -> bool {
        let whole = self.connections == Percent::HUNDRED && other.connections == Percent::HUNDRED;
        whole && self.selection().meets(&other.selection())
    }

    fn act(self) -> toxic::Act {
        toxic::Act::Redis(Box::new(Remembering { fields: self, past: Mutex::default() }))
    }
}

struct Remembering {
    fields: Stale,
    past: Mutex<Past>,
}

/// What was answered, by command: only changes, each with the time at which it was first seen.
#[derive(Default)]
struct Past {
    answers: HashMap<Vec<u8>, VecDeque<(Mono, Vec<u8>)>>,
    bytes: usize,
}

impl super::Act for Remembering {
    fn command(&self, asked: &Asked<'_>) -> Verdict {
        let fields = &self.fields;
        if select::selects(&fields.commands, &fields.keys, Unnamed::Reads, asked.command) { Verdict::Watch } else { Verdict::Pass }
    }

    fn reply(&self, command: &[u8], reply: &[u8], now: Mono) -> Option<Vec<u8>> {
        if matches!(reply.first(), Some(b'-' | b'!')) {
            return None;
        }
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        match self.fields.age {
            None => past.first(command, reply, now),
            Some(age) => past.of(command, reply, now, age.get()),
        }
    }
}

impl Past {
    fn first(&mut self, command: &[u8], reply: &[u8], now: Mono) -> Option<Vec<u8>> {
        if let Some(answers) = self.answers.get(command) {
            return answers.front().map(|(_, first)| first.clone());
        }
        self.remember(command, reply, now);
        None
    }

    /// The answer that was true `age` ago, or the first one since.
    fn of(&mut self, command: &[u8], reply: &[u8], now: Mono, age: std::time::Duration) -> Option<Vec<u8>> {
        let last = self.answers.get(command).and_then(VecDeque::back);
        if last.is_none_or(|(_, last)| last != reply) {
            self.remember(command, reply, now);
        }
        let then = now.minus(age);
        let answers = self.answers.get_mut(command)?;
        // Of those that are old enough, only the newest is still told.
        while answers.len() > ANSWERS_MAX || answers.get(1).is_some_and(|(seen, _)| *seen <= then) {
            if let Some((_, gone)) = answers.pop_front() {
                self.bytes -= gone.len() + ANSWER_COSTS;
            }
        }
        answers.front().map(|(_, old)| old.clone())
    }

    fn remember(&mut self, command: &[u8], reply: &[u8], now: Mono) {
        let is_new = !self.answers.contains_key(command);
        let cost = reply.len() + ANSWER_COSTS + if is_new { command.len() + ANSWER_COSTS } else { 0 };
        if self.bytes + cost <= REMEMBERED_BYTES {
            self.bytes += cost;
            self.answers.entry(command.to_vec()).or_default().push_back((now, reply.to_vec()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_then_is_told() {
        let at = |seconds: u64| Mono(seconds * 1_000_000_000);
        let (mut past, age) = (Past::default(), std::time::Duration::from_secs(10));
        let mut told =
            |second, reply: &str| past.of(b"GET k", reply.as_bytes(), at(second), age).map(|old| String::from_utf8(old).expect("text"));
        assert_eq!(told(100, "a").as_deref(), Some("a"));
        assert_eq!(told(101, "b").as_deref(), Some("a"), "the first, as long as none is old enough");
        assert_eq!(told(109, "c").as_deref(), Some("a"));
        assert_eq!(told(110, "c").as_deref(), Some("a"));
        assert_eq!(told(111, "c").as_deref(), Some("b"));
        assert_eq!(told(118, "d").as_deref(), Some("b"));
        assert_eq!(told(119, "d").as_deref(), Some("c"));
        assert_eq!(told(200, "d").as_deref(), Some("d"));
        assert_eq!(past.first(b"GET n", b"1", at(1)), None);
        assert_eq!(past.first(b"GET n", b"2", at(2)), Some(b"1".to_vec()));
    }
}
