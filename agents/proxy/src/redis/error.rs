//! `redis.error`: commands that fail.

use chaos_core::SpecError;
use chaos_core::fault::Reversibility;
use chaos_core::literal::{Pattern, Percent};
use chaos_protocol::resp::Value;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::select::{self, Unnamed};
use super::{Asked, Verdict, all};
use crate::toxic::{self, Speaks, Text, Toxic};

/// What servers say, by the first word.
const MESSAGES: &[(&str, &str)] = &[
    ("BUSY", "Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."),
    ("CLUSTERDOWN", "The cluster is down"),
    ("LOADING", "Redis is loading the dataset in memory"),
    ("MASTERDOWN", "Link with MASTER is down and replica-serve-stale-data is set to 'no'."),
    ("MISCONF", "Redis is configured to save RDB snapshots, but it's currently unable to persist to disk."),
    ("NOAUTH", "Authentication required."),
    ("NOREPLICAS", "Not enough good replicas to write."),
    ("OOM", "command not allowed when used memory > 'maxmemory'."),
    ("READONLY", "You can't write against a read only replica."),
    ("TRYAGAIN", "Multiple keys request during rehashing of slot"),
];

/// The fields of `redis.error`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Error {
    /// The first word of the error: `LOADING`, `OOM`, `BUSY`, `READONLY`, `CLUSTERDOWN`, `MASTERDOWN`, `MISCONF`, `NOAUTH`,
    /// `NOREPLICAS`, `TRYAGAIN`; or another, with `message`.
    error: String,
    /// The rest of the error. Default: what Redis says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// Which commands. Default: all but those that set a connection up (`AUTH`, `HELLO`, `SELECT`, `CLIENT` …); with `OOM`, `READONLY`,
    /// `MISCONF` and `NOREPLICAS` those that write.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    commands: Vec<String>,
    /// Only commands with a key that fits one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    keys: Vec<Pattern>,
    /// The share of connections that meets it.
    #[serde(default = "all")]
    connections: Percent,
}

impl Error {
    fn line(&self) -> Option<String> {
        let known = MESSAGES.iter().find(|(word, _)| *word == self.error).map(|(_, message)| *message);
        let message = self.message.as_deref().or(known)?;
        Some(format!("{} {message}", self.error))
    }

    fn selection(&self) -> select::Selection<'_> {
        select::Selection { commands: &self.commands, keys: &self.keys, unnamed: self.unnamed() }
    }

    fn unnamed(&self) -> Unnamed {
        match self.error.as_str() {
            "OOM" | "READONLY" | "MISCONF" | "NOREPLICAS" => Unnamed::Writes,
            _ => Unnamed::All,
        }
    }
}

impl Toxic for Error {
    const KIND: &'static str = "redis.error";

    fn text() -> Text {
        Text {
            summary: "answers commands of Redis with an error",
            about: "The command does not reach the server; the error comes in its turn, so that a pipeline keeps its order, and the \
                connection goes on. Commands inside of MULTI … EXEC pass; where `EXEC` is named, the transaction is discarded and the error \
                comes in place of its result. Connections that subscribe pass, encrypted ones too.",
            example: "inject: redis.error\ninto: store\nwith: {error: LOADING, connections: 50%}\nfor: 30s",
            speaks: &[Speaks::Redis],
            rampable: &[],
            reversibility: Reversibility::Exact,
        }
    }

    fn check(&self) -> Vec<SpecError> {
        let mut errors = select::check(&self.commands);
        let words: Vec<&str> = MESSAGES.iter().map(|(word, _)| *word).collect();
        if self.error.is_empty() || !self.error.bytes().all(|b| b.is_ascii_uppercase() || b == b'_') {
            errors.push(
                SpecError::new("error", format!("`{}` is no first word of an error", self.error))
                    .hint(format!("one of {}", words.join(", "))),
            );
        } else if self.line().is_none() {
            errors.push(
                SpecError::new("error", format!("Redis has no error `{}`", self.error))
                    .hint(format!("one of {}, or say what follows it: `message: …`", words.join(", "))),
            );
        }
        if self.message.as_ref().is_some_and(|m| m.contains(['\r', '\n'])) {
            errors.push(SpecError::new("message", "an error is one line"));
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

impl super::Act for Error {
    fn command(&self, asked: &Asked<'_>) -> Verdict {
        if !select::selects(&self.commands, &self.keys, self.unnamed(), asked.command) {
            return Verdict::Pass;
        }
        let mut reply = Vec::new();
        Value::Error(self.line().unwrap_or_else(|| self.error.clone())).write(&mut reply);
        Verdict::Reply(reply)
    }
}
