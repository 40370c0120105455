//! `redis.throttle`: only so many commands in a second.

use std::sync::Arc;

use chaos_core::SpecError;
use chaos_core::fault::Reversibility;
use chaos_core::literal::{Pattern, Percent, Rate};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::select::{self, Unnamed};
use super::turns::Turns;
use super::{Asked, Verdict, all};
use crate::toxic::{self, Speaks, Text, Toxic};

/// The fields of `redis.throttle`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Throttle {
    /// How many commands go on in a second or minute, of all connections together.
    rate: Rate,
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

impl Throttle {
    fn selection(&self) -> select::Selection<'_> {
        select::Selection { commands: &self.commands, keys: &self.keys, unnamed: Unnamed::All }
    }
}

impl Toxic for Throttle {
    const KIND: &'static str = "redis.throttle";

    fn text() -> Text {
        Text {
            summary: "lets only so many commands of Redis pass in a second",
            about: "As a server at its limit: commands go on one after the other at equal distances, those of all connections together, and \
                each waits its turn; what its connection sends after it stays behind it. Nothing is refused: a client that asks faster waits \
                ever longer, until it gives up. A client that gives up gives its turn to the next, and its command never reaches the server. Commands inside of MULTI … EXEC pass. \
                Connections that subscribe pass, encrypted ones too.",
            example: "inject: redis.throttle\ninto: store\nwith: {rate: 20/s, commands: [GET, MGET]}\nfor: 30s",
            speaks: &[Speaks::Redis],
            rampable: &["rate"],
            reversibility: Reversibility::Exact,
        }
    }

    fn check(&self) -> Vec<SpecError> {
        let mut errors = select::check(&self.commands);
        match self.rate.events_per_second() {
            Some(rate) if rate > 0.0 => {}
            Some(_) => {
                errors.push(SpecError::new("rate", "nothing would pass at this rate").hint("to stop everything, use `tcp.blackhole`"))
            }
            None => errors.push(SpecError::new("rate", "this is a rate of bytes, not of commands").hint("for example `20/s`")),
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
        let rate = self.rate.events_per_second().unwrap_or(1.0).max(1e-6);
        let turns = Turns::new(std::time::Duration::from_secs_f64(1.0 / rate));
        toxic::Act::Redis(Box::new(Throttling { turns, fields: self }))
    }
}

/// The toxic with the line of those who wait, of all connections.
struct Throttling {
    fields: Throttle,
    turns: Arc<Turns>,
}

impl super::Act for Throttling {
    fn command(&self, asked: &Asked<'_>) -> Verdict {
        let fields = &self.fields;
        if select::selects(&fields.commands, &fields.keys, Unnamed::All, asked.command) {
            Verdict::Turn(Arc::new(self.turns.join(asked.called)))
        } else {
            Verdict::Pass
        }
    }
}
