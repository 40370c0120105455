//! Where a command has its keys (`COMMAND INFO` of Redis 7.2).

/// Commands without keys.
const NONE: &[&str] = &[
    "ACL",
    "ASKING",
    "AUTH",
    "BGREWRITEAOF",
    "BGSAVE",
    "CLIENT",
    "CLUSTER",
    "COMMAND",
    "CONFIG",
    "DBSIZE",
    "DISCARD",
    "ECHO",
    "EXEC",
    "FAILOVER",
    "FLUSHALL",
    "FLUSHDB",
    "FUNCTION",
    "HELLO",
    "INFO",
    "KEYS",
    "LASTSAVE",
    "LATENCY",
    "LOLWUT",
    "MODULE",
    "MONITOR",
    "MULTI",
    "PING",
    "PSUBSCRIBE",
    "PSYNC",
    "PUBLISH",
    "PUBSUB",
    "PUNSUBSCRIBE",
    "QUIT",
    "RANDOMKEY",
    "READONLY",
    "READWRITE",
    "REPLCONF",
    "REPLICAOF",
    "RESET",
    "ROLE",
    "SAVE",
    "SCAN",
    "SCRIPT",
    "SELECT",
    "SHUTDOWN",
    "SLAVEOF",
    "SLOWLOG",
    "SUBSCRIBE",
    "SWAPDB",
    "SYNC",
    "TIME",
    "UNSUBSCRIBE",
    "UNWATCH",
    "WAIT",
    "WAITAOF",
];

/// Commands whose arguments are all keys.
const ALL: &[&str] = &[
    "DEL",
    "EXISTS",
    "MGET",
    "PFCOUNT",
    "PFMERGE",
    "SDIFF",
    "SDIFFSTORE",
    "SINTER",
    "SINTERSTORE",
    "SUNION",
    "SUNIONSTORE",
    "TOUCH",
    "UNLINK",
    "WATCH",
];

/// Commands whose first two arguments are keys.
const TWO: &[&str] =
    &["BLMOVE", "BRPOPLPUSH", "COPY", "GEOSEARCHSTORE", "LCS", "LMOVE", "RENAME", "RENAMENX", "RPOPLPUSH", "SMOVE", "ZRANGESTORE"];

/// The positions of the keys among the arguments (the name not counted), some perhaps past their end.
pub(super) fn positions(
    name: &str,
    arguments: &[Vec<u8>],
) -> std::iter::StepBy<std::iter::Chain<std::ops::Range<usize>, std::ops::Range<usize>>> {
    let (first, range, step) = layout(name, arguments);
    let range = range.start..range.end.min(arguments.len());
    first.chain(range).step_by(step)
}

type Layout = (std::ops::Range<usize>, std::ops::Range<usize>, usize);

/// Keys before the others, the others, and every how many of them.
fn layout(name: &str, arguments: &[Vec<u8>]) -> Layout {
    let count = arguments.len();
    let from_to = |from: usize, to: usize| (0..0, from..to, 1);
    match name {
        _ if NONE.contains(&name) => from_to(0, 0),
        _ if ALL.contains(&name) => from_to(0, count),
        _ if TWO.contains(&name) => from_to(0, 2),
        "MSET" | "MSETNX" => (0..0, 0..count, 2),
        "BITOP" => from_to(1, count),
        "BLPOP" | "BRPOP" | "BZPOPMIN" | "BZPOPMAX" => from_to(0, count.saturating_sub(1)),
        "OBJECT" | "MEMORY" | "XINFO" | "XGROUP" | "DEBUG" => from_to(1, 2),
        "EVAL" | "EVAL_RO" | "EVALSHA" | "EVALSHA_RO" | "FCALL" | "FCALL_RO" | "BLMPOP" | "BZMPOP" => counted(arguments, 0..0, 1),
        "ZDIFF" | "ZINTER" | "ZUNION" | "ZINTERCARD" | "SINTERCARD" | "LMPOP" | "ZMPOP" => counted(arguments, 0..0, 0),
        "ZDIFFSTORE" | "ZINTERSTORE" | "ZUNIONSTORE" => counted(arguments, 0..1, 1),
        "XREAD" | "XREADGROUP" => streams(arguments),
        _ => from_to(0, 1),
    }
}

/// The argument at `at` says how many keys follow it.
fn counted(arguments: &[Vec<u8>], before: std::ops::Range<usize>, at: usize) -> Layout {
    let count = arguments.get(at).and_then(|n| std::str::from_utf8(n).ok()?.parse::<usize>().ok()).unwrap_or(0);
    (before, at + 1..(at + 1).saturating_add(count), 1)
}

/// After `STREAMS`, the first half are keys, the other half positions in them.
fn streams(arguments: &[Vec<u8>]) -> Layout {
    let start = arguments.iter().position(|a| a.eq_ignore_ascii_case(b"STREAMS")).map_or(arguments.len(), |at| at + 1);
    (0..0, start..start + (arguments.len() - start) / 2, 1)
}
