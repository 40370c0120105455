//! `redis.delay`: commands that take longer.

use chaos_core::SpecError;
use chaos_core::fault::Reversibility;
use chaos_core::literal::{Duration, Pattern, Percent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::select::{self, Unnamed};
use super::{Asked, Verdict, all};
use crate::toxic::{self, Speaks, Text, Toxic};

/// The fields of `redis.delay`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Delay {
    /// How much later a command goes on.
    delay: Duration,
    /// How far that varies, evenly, to both sides; at most `delay`.
    #[serde(default)]
    jitter: Duration,
    /// Which commands. Default: all but those that set a connection up (`AUTH`, `HELLO`, `SELECT`, `CLIENT` …).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    commands: Vec<String>,
    /// Only commands with a key that fits one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    keys: Vec<Pattern>,
    /// The share of connections that meets it.
    #[serde(default = "all")]
    connections: Percent,
}

impl Delay {
    fn selection(&self) -> select::Selection<'_> {
        select::Selection { commands: &self.commands, keys: &self.keys, unnamed: Unnamed::All }
    }
}

impl Toxic for Delay {
    const KIND: &'static str = "redis.delay";

    fn text() -> Text {
        Text {
            summary: "delays commands of Redis",
            about: "A command goes on so long after it arrived, and whatever its connection sends after it stays behind it. A pipeline that \
                arrives at once is delayed once, as by a slow link or a busy server, not once a command. Commands inside of MULTI … EXEC pass \
                (the server only queues them): name `EXEC` to delay a transaction. Connections that subscribe pass, encrypted ones too.",
            example: "inject: redis.delay\ninto: store\nwith: {delay: 50ms, commands: [GET, MGET], keys: [\"features:*\"]}\nfor: 30s",
            speaks: &[Speaks::Redis],
            rampable: &["delay"],
            reversibility: Reversibility::Exact,
        }
    }

    fn check(&self) -> Vec<SpecError> {
        let mut errors = select::check(&self.commands);
        if self.jitter > self.delay {
            errors.push(SpecError::new("jitter", "a command cannot go on before it arrived").hint("at most `delay`"));
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
        toxic::Act::Redis(Box::new(self))
    }
}

impl super::Act for Delay {
    fn command(&self, asked: &Asked<'_>) -> Verdict {
        if !select::selects(&self.commands, &self.keys, Unnamed::All, asked.command) {
            return Verdict::Pass;
        }
        let shift = self.jitter.get().mul_f64(2.0 * asked.chance.clone().share());
        Verdict::NotBefore(asked.arrived.plus((self.delay.get() + shift).saturating_sub(self.jitter.get())))
    }
}
