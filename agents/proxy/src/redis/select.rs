//! Which commands are meant.

use chaos_core::SpecError;
use chaos_core::literal::Pattern;
use chaos_protocol::resp::Command;

/// Commands that only read, and that a cache answers: those that can be stale or find nothing.
const READS: &[&str] = &[
    "BITCOUNT",
    "BITPOS",
    "DUMP",
    "EXISTS",
    "GEODIST",
    "GEOHASH",
    "GEOPOS",
    "GEOSEARCH",
    "GET",
    "GETBIT",
    "GETRANGE",
    "HEXISTS",
    "HGET",
    "HGETALL",
    "HKEYS",
    "HLEN",
    "HMGET",
    "HRANDFIELD",
    "HSTRLEN",
    "HVALS",
    "JSON.GET",
    "JSON.MGET",
    "LINDEX",
    "LLEN",
    "LPOS",
    "LRANGE",
    "MGET",
    "PTTL",
    "SCARD",
    "SDIFF",
    "SINTER",
    "SISMEMBER",
    "SMEMBERS",
    "SMISMEMBER",
    "SRANDMEMBER",
    "STRLEN",
    "SUBSTR",
    "SUNION",
    "TS.GET",
    "TS.RANGE",
    "TTL",
    "TYPE",
    "XLEN",
    "XRANGE",
    "XREVRANGE",
    "ZCARD",
    "ZCOUNT",
    "ZLEXCOUNT",
    "ZMSCORE",
    "ZRANGE",
    "ZRANGEBYLEX",
    "ZRANGEBYSCORE",
    "ZRANK",
    "ZREVRANGE",
    "ZREVRANGEBYSCORE",
    "ZREVRANK",
    "ZSCORE",
];

/// Commands that set a connection up or look after it; meant only where they are named.
const OWN: &[&str] = &[
    "ASKING",
    "AUTH",
    "CLIENT",
    "COMMAND",
    "DISCARD",
    "ECHO",
    "EXEC",
    "HELLO",
    "INFO",
    "MULTI",
    "QUIT",
    "READONLY",
    "READWRITE",
    "RESET",
    "SELECT",
    "UNWATCH",
];

/// What is meant where no commands are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unnamed {
    /// All but those that set a connection up.
    All,
    /// Those that read.
    Reads,
    /// All but those that read or set a connection up.
    Writes,
}

/// Is this command meant?
pub(super) fn selects(commands: &[String], keys: &[Pattern], unnamed: Unnamed, command: &Command) -> bool {
    let name = command.name.as_str();
    let named = if commands.is_empty() {
        match unnamed {
            Unnamed::All => !OWN.contains(&name),
            Unnamed::Reads => READS.contains(&name),
            Unnamed::Writes => !OWN.contains(&name) && !READS.contains(&name) && command.keys().next().is_some(),
        }
    } else {
        commands.iter().any(|c| c.eq_ignore_ascii_case(name))
    };
    named && (keys.is_empty() || command.keys().any(|key| keys.iter().any(|p| p.matches(&String::from_utf8_lossy(key)))))
}

/// Errors in the names of commands.
pub(super) fn check(commands: &[String]) -> Vec<SpecError> {
    let wrong = |name: &String| name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    let errors = commands.iter().enumerate().filter(|(_, name)| wrong(name));
    errors
        .map(|(i, name)| {
            SpecError::new(format!("commands[{i}]"), format!("`{name}` is no name of a command")).hint("one word each: `[GET, MGET]`")
        })
        .collect()
}

/// The commands that a toxic means: those named, of those keys.
pub(super) struct Selection<'a> {
    pub(super) commands: &'a [String],
    pub(super) keys: &'a [Pattern],
    pub(super) unnamed: Unnamed,
}

impl Selection<'_> {
    /// Are some commands meant by both?
    pub(super) fn meets(&self, other: &Self) -> bool {
        let commands = match (self.commands, other.commands) {
            ([], []) => self.unnamed == other.unnamed || self.unnamed == Unnamed::All || other.unnamed == Unnamed::All,
            ([], named) => named.iter().any(|name| self.unnamed.has(name)),
            (named, []) => named.iter().any(|name| other.unnamed.has(name)),
            (one, other) => one.iter().any(|name| other.iter().any(|other| other.eq_ignore_ascii_case(name))),
        };
        let keys = self.keys.is_empty() || other.keys.is_empty();
        commands && (keys || self.keys.iter().any(|key| other.keys.iter().any(|other| key.overlaps(other))))
    }
}

impl Unnamed {
    fn has(self, name: &str) -> bool {
        let name = name.to_uppercase();
        let (own, reads) = (OWN.contains(&name.as_str()), READS.contains(&name.as_str()));
        match self {
            Self::All => !own,
            Self::Reads => reads,
            Self::Writes => !own && !reads,
        }
    }
}

/// What a toxic on these commands takes for itself.
pub(super) fn claims(kind: &str, commands: &[String]) -> Vec<String> {
    if commands.is_empty() {
        return vec![kind.to_owned()];
    }
    commands.iter().map(|c| format!("{kind}/{}", c.to_uppercase())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaos_protocol::Piece;
    use chaos_protocol::resp::CommandReader;

    fn command(text: &str) -> Command {
        match CommandReader::new().read(&mut format!("{text}\r\n").as_bytes()) {
            Ok(Some(Piece::Begins { head, .. })) => head,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_meant_by_two_is_told() {
        let meet = |(one, keys, unnamed): (&[&str], &[&str], Unnamed), (other, others, of_other): (&[&str], &[&str], Unnamed)| {
            let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
            let patterns = |keys: &[&str]| keys.iter().map(|k| k.parse().expect("a pattern")).collect::<Vec<Pattern>>();
            let (a, b, c, d) = (names(one), patterns(keys), names(other), patterns(others));
            Selection { commands: &a, keys: &b, unnamed }.meets(&Selection { commands: &c, keys: &d, unnamed: of_other })
        };
        let all = Unnamed::All;
        assert!(meet((&[], &[], all), (&["get"], &[], all)));
        assert!(meet((&["GET"], &["a:*"], all), (&["get", "SET"], &["*:7"], all)));
        assert!(!meet((&["GET"], &["a:*"], all), (&["get"], &["b:*"], all)));
        assert!(!meet((&[], &[], Unnamed::Writes), (&["GET"], &[], all)));
        assert!(!meet((&[], &[], Unnamed::Writes), (&[], &[], Unnamed::Reads)));
        assert!(!meet((&[], &[], all), (&["AUTH"], &[], all)));
    }

    #[test]
    fn commands_and_keys_are_meant_together() {
        let meant = |commands: &[&str], keys: &[&str], unnamed, text: &str| {
            let commands: Vec<String> = commands.iter().map(|c| (*c).to_owned()).collect();
            let keys: Vec<Pattern> = keys.iter().map(|k| k.parse().expect("a pattern")).collect();
            selects(&commands, &keys, unnamed, &command(text))
        };
        assert!(meant(&["get"], &[], Unnamed::All, "GET a"));
        assert!(!meant(&["GET"], &[], Unnamed::All, "MGET a"));
        assert!(meant(&[], &["features:*"], Unnamed::All, "MGET other features:7"));
        assert!(!meant(&[], &["features:*"], Unnamed::All, "PING"));
        assert!(meant(&[], &[], Unnamed::All, "PING") && !meant(&[], &[], Unnamed::All, "AUTH x"));
        assert!(meant(&["AUTH"], &[], Unnamed::All, "AUTH x"));
        assert!(meant(&[], &[], Unnamed::Reads, "HGETALL h") && !meant(&[], &[], Unnamed::Reads, "SET a 1"));
        assert!(meant(&[], &[], Unnamed::Writes, "SET a 1") && !meant(&[], &[], Unnamed::Writes, "GET a"));
        assert_eq!(check(&["GET x".into()])[0].path, "commands[0]");
    }
}
