//! `postgres.delay`: statements that take longer.

use chaos_core::SpecError;
use chaos_core::fault::Reversibility;
use chaos_core::literal::{Duration, Percent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Asked, Verdict, all, kinds};
use crate::toxic::{self, Speaks, Text, Toxic};

/// The fields of `postgres.delay`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Delay {
    /// How much later a statement goes on.
    delay: Duration,
    /// How far that varies, evenly, to both sides; at most `delay`.
    #[serde(default)]
    jitter: Duration,
    /// Which kinds of statement, by their first word: `select`, `insert`, `update`, `delete`, `begin`, `commit`, `copy` … and `other`.
    /// Default: all but those that set a session up (`set`, `show`, `reset` …).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    statements: Vec<String>,
    /// The share of connections that meets it.
    #[serde(default = "all")]
    connections: Percent,
}

impl Toxic for Delay {
    const KIND: &'static str = "postgres.delay";

    fn text() -> Text {
        Text {
            summary: "delays statements of PostgreSQL",
            about: "A simple query, or the execution of a prepared statement, goes on so long after it arrived, and whatever its connection \
                sends after it stays behind it. A query of several statements is delayed if one of them is meant. What a `with` leads to \
                counts; statements prepared by `PREPARE` are `execute`.\n\n\
                Connections that are encrypted pass untouched: connect with `sslmode=disable`.",
            example: "inject: postgres.delay\ninto: registry\nwith: {delay: 200ms, statements: [insert, update]}\nfor: 30s",
            speaks: &[Speaks::Postgres],
            rampable: &["delay"],
            reversibility: Reversibility::Exact,
        }
    }

    fn check(&self) -> Vec<SpecError> {
        let mut errors = kinds::check(&self.statements);
        if self.jitter > self.delay {
            errors.push(SpecError::new("jitter", "a statement cannot go on before it arrived").hint("at most `delay`"));
        }
        errors
    }

    fn connections(&self) -> Percent {
        self.connections
    }

    fn claims(&self) -> Vec<String> {
        kinds::claims(Self::KIND, &self.statements)
    }

    fn meets(&self, other: &Self) -> bool {
        let whole = self.connections == Percent::HUNDRED && other.connections == Percent::HUNDRED;
        whole && kinds::meet(&self.statements, &other.statements)
    }

    fn notes(&self) -> Vec<String> {
        vec![kinds::ENCRYPTED.to_owned()]
    }

    fn act(self) -> toxic::Act {
        toxic::Act::Postgres(Box::new(self))
    }
}

impl super::Act for Delay {
    fn statement(&self, asked: &Asked<'_>) -> Verdict {
        if !kinds::selects(&self.statements, asked.kinds) {
            return Verdict::Pass;
        }
        let shift = self.jitter.get().mul_f64(2.0 * asked.chance.clone().share());
        Verdict::NotBefore(asked.arrived.plus((self.delay.get() + shift).saturating_sub(self.jitter.get())))
    }
}
