//! `redis.null`: keys that are not there.

use chaos_core::SpecError;
use chaos_core::fault::Reversibility;
use chaos_core::literal::{Pattern, Percent};
use chaos_protocol::resp::Command;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::select::{self, Unnamed};
use super::{Asked, Verdict, all};
use crate::toxic::{self, Speaks, Text, Toxic};

/// The fields of `redis.null`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Null {
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

impl Null {
    fn selection(&self) -> select::Selection<'_> {
        select::Selection { commands: &self.commands, keys: &self.keys, unnamed: Unnamed::Reads }
    }
}

impl Toxic for Null {
    const KIND: &'static str = "redis.null";

    fn text() -> Text {
        Text {
            summary: "answers commands of Redis as if the key did not exist",
            about: "A cold or emptied cache: `GET` finds nothing, `MGET` as many nothings as it asked for, `HGETALL` an empty hash, `LLEN` and \
                `EXISTS` zero, in RESP2 or RESP3 as the connection speaks. The command does not reach the server. Of several keys one that fits \
                is enough for all to be missing. Commands inside of MULTI … EXEC pass. Connections that subscribe pass, encrypted ones too.",
            example: "inject: redis.null\ninto: store\nwith: {keys: [\"features:*\"]}\nfor: 30s",
            speaks: &[Speaks::Redis],
            rampable: &[],
            reversibility: Reversibility::Exact,
        }
    }

    fn check(&self) -> Vec<SpecError> {
        select::check(&self.commands)
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

impl super::Act for Null {
    fn command(&self, asked: &Asked<'_>) -> Verdict {
        if !select::selects(&self.commands, &self.keys, Unnamed::Reads, asked.command) {
            return Verdict::Pass;
        }
        Verdict::Reply(missing(asked.command, asked.resp3).into_bytes())
    }
}

/// What Redis answers where the key does not exist.
fn missing(command: &Command, resp3: bool) -> String {
    let null = if resp3 { "_\r\n" } else { "$-1\r\n" };
    let list_of = |count: usize, item: &str| format!("*{count}\r\n{}", item.repeat(count));
    let arguments = command.arguments.len();
    match command.name.as_str() {
        "MGET" => list_of(arguments, null),
        // The last argument is a path.
        "HMGET" | "ZMSCORE" | "GEOHASH" | "JSON.MGET" => list_of(arguments.saturating_sub(1), null),
        "GEOPOS" => list_of(arguments.saturating_sub(1), if resp3 { "_\r\n" } else { "*-1\r\n" }),
        "SMISMEMBER" => list_of(arguments.saturating_sub(1), ":0\r\n"),
        "HGETALL" if resp3 => "%0\r\n".into(),
        "SMEMBERS" | "SDIFF" | "SINTER" | "SUNION" if resp3 => "~0\r\n".into(),
        "HGETALL" | "SMEMBERS" | "SDIFF" | "SINTER" | "SUNION" | "HKEYS" | "HVALS" | "LRANGE" | "ZRANGE" | "ZREVRANGE"
        | "ZRANGEBYSCORE" | "ZREVRANGEBYSCORE" | "ZRANGEBYLEX" | "XRANGE" | "XREVRANGE" | "GEOSEARCH" | "KEYS" | "TS.RANGE" => {
            "*0\r\n".into()
        }
        "EXISTS" | "HEXISTS" | "SISMEMBER" | "LLEN" | "HLEN" | "SCARD" | "ZCARD" | "XLEN" | "STRLEN" | "HSTRLEN" | "BITCOUNT"
        | "GETBIT" | "ZCOUNT" | "ZLEXCOUNT" | "DEL" | "UNLINK" | "TOUCH" => ":0\r\n".into(),
        "BITPOS" => ":-1\r\n".into(),
        "TTL" | "PTTL" => ":-2\r\n".into(),
        "TYPE" => "+none\r\n".into(),
        "GETRANGE" | "SUBSTR" => "$0\r\n\r\n".into(),
        _ => null.into(),
    }
}
