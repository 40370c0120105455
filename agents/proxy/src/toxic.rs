//! What a toxic is, and how to add one.
//!
//! A toxic is one file: a struct whose documented fields stand under `with:`, its text for the reference page, and what it does. One
//! line in [`catalogue`](crate::catalogue) makes a [`Fault`](chaos_core::Fault) of it, known to the YAML, the schema, `chaos faults`,
//! the reference, the data plane and the contract suite (which then wants a scene for it in `tests/conformance.rs`).
//!
//! ```text
//! struct Delay { … }                     the fields: serde, schemars, a doc comment each; `deny_unknown_fields`
//! impl Toxic for Delay                   KIND, text, check, act
//!     fn act(self) -> Act                at which level it acts: Act::Transport(Box::new(self)), Act::Redis(Box::new(self)) …
//! impl redis::Act for Delay { … }        the hooks of that level
//! ```
//!
//! # Levels
//! - [`Act::Transport`]: listening, whole connections, and bytes in each direction ([`Transport`]). Works whatever the proxy speaks,
//!   and below whatever it speaks: bytes are shaped on their way out.
//! - [`Act::Http`], [`Act::Redis`], [`Act::Postgres`]: messages. The layer of that protocol (`http/`, `redis/`, `postgres/`) relays a
//!   connection message by message and asks before each one what is armed ([`Live::acts`](crate::engine::Live::acts)). So a toxic takes
//!   effect, and ends, at the next message of a connection that is already open.
//!
//! # What an author may rely on
//! - Arming, adjusting and disarming reach open connections at once; every pending wait of a layer is polled again.
//! - The share of `connections:` is drawn before the layer sees the toxic: what [`Live`](crate::engine::Live) lists meets this connection.
//! - Whoever acts says so with [`ArmedToxic::met`], at each message or connection: *present but idle* comes from that count.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chaos_core::SpecError;
use chaos_core::clock::Mono;
use chaos_core::fault::Reversibility;
use chaos_core::literal::Percent;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::Chance;
use crate::{http, postgres, redis};

/// One toxic, typed for its author: the fields under `with:` are the struct's own.
pub trait Toxic: Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// Its name in the file: `tcp.latency`.
    const KIND: &'static str;

    /// How it describes itself.
    fn text() -> Text;

    /// Errors in the fields that need no world, by path inside `with:`.
    fn check(&self) -> Vec<SpecError> {
        Vec::new()
    }

    /// The share of connections that meets it. Drawn for each connection from the injection's seed.
    fn connections(&self) -> Percent {
        Percent::HUNDRED
    }

    /// What of a proxy it takes for itself: another toxic that takes the same is refused, others compose. Its kind, where it has no
    /// direction; see [`Direction::claims`].
    fn claims(&self) -> Vec<String> {
        vec![Self::KIND.to_owned()]
    }

    /// Would another of its kind act on some of the same, although what they claim differs?
    fn meets(&self, _other: &Self) -> bool {
        false
    }

    /// Sentences for the plan about these very fields.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// At which level it acts, and how.
    fn act(self) -> Act;
}

/// How a toxic describes itself.
#[derive(Debug, Clone)]
pub struct Text {
    /// One line: what it does.
    pub summary: &'static str,
    /// A paragraph or two for the reference page: what is felt, what is kept, limits.
    pub about: &'static str,
    /// An inject step, as YAML, that is valid as it stands.
    pub example: &'static str,
    /// What the proxy must speak for it; empty: whatever it speaks.
    pub speaks: &'static [Speaks],
    /// The fields that `ramp` may move.
    pub rampable: &'static [&'static str],
    /// `Exact`, unless connections or messages that met it are lost for good (`WithLoss`).
    pub reversibility: Reversibility,
}

/// The protocol that a proxy understands. Whatever it is, bytes that it does not understand pass unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Speaks {
    /// Bytes.
    #[default]
    Tcp,
    /// HTTP/1.1 and HTTP/2.
    Http,
    /// HTTP whose answers are event streams.
    Sse,
    /// HTTP of an object store.
    S3,
    /// Redis, RESP2 and RESP3.
    Redis,
    /// The frontend/backend protocol of PostgreSQL.
    Postgres,
}

impl Speaks {
    /// Every one.
    pub const ALL: [Self; 6] = [Self::Tcp, Self::Http, Self::Sse, Self::S3, Self::Redis, Self::Postgres];

    /// Does it understand HTTP?
    #[must_use]
    pub const fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Sse | Self::S3)
    }

    /// The word in the file.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Http => "http",
            Self::Sse => "sse",
            Self::S3 => "s3",
            Self::Redis => "redis",
            Self::Postgres => "postgres",
        }
    }
}

/// Which way: `requests` go from the client to the upstream, `answers` come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the client to the upstream.
    Requests,
    /// From the upstream to the client.
    #[default]
    Answers,
    /// Both ways, each for itself.
    Both,
}

impl Direction {
    /// Is this way meant?
    #[must_use]
    pub fn covers(self, way: Way) -> bool {
        match self {
            Self::Requests => way == Way::Requests,
            Self::Answers => way == Way::Answers,
            Self::Both => true,
        }
    }

    /// The claims of a toxic that takes each direction for itself.
    #[must_use]
    pub fn claims(self, kind: &str) -> Vec<String> {
        let ways = [(Way::Requests, "requests"), (Way::Answers, "answers")];
        ways.into_iter().filter(|(way, _)| self.covers(*way)).map(|(_, word)| format!("{kind}/{word}")).collect()
    }
}

/// One way through a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// From the client to the upstream.
    Requests,
    /// From the upstream to the client.
    Answers,
}

/// At which level a toxic acts.
pub enum Act {
    /// Listening, connections and bytes.
    Transport(Box<dyn Transport>),
    /// Requests and responses of HTTP, streams of events and objects among them.
    Http(Box<dyn http::Act>),
    /// Commands and replies of Redis.
    Redis(Box<dyn redis::Act>),
    /// Statements and results of PostgreSQL.
    Postgres(Box<dyn postgres::Act>),
}

impl Act {
    /// If it acts on bytes and connections.
    #[must_use]
    pub fn transport(&self) -> Option<&dyn Transport> {
        if let Self::Transport(act) = self { Some(act.as_ref()) } else { None }
    }

    /// If it acts on HTTP.
    #[must_use]
    pub fn http(&self) -> Option<&dyn http::Act> {
        if let Self::Http(act) = self { Some(act.as_ref()) } else { None }
    }

    /// If it acts on Redis.
    #[must_use]
    pub fn redis(&self) -> Option<&dyn redis::Act> {
        if let Self::Redis(act) = self { Some(act.as_ref()) } else { None }
    }

    /// If it acts on PostgreSQL.
    #[must_use]
    pub fn postgres(&self) -> Option<&dyn postgres::Act> {
        if let Self::Postgres(act) = self { Some(act.as_ref()) } else { None }
    }
}

/// A toxic below every protocol. Each hook has a default that does nothing.
pub trait Transport: Send + Sync {
    /// Is the proxy's listening socket closed while this is armed, so that the kernel refuses?
    fn closes_listener(&self) -> bool {
        false
    }

    /// What befalls a connection that meets it, whether it is open already or new.
    fn fate(&self) -> Option<Fate> {
        None
    }

    /// What befalls the bytes of one connection in one direction. Asked for each connection that meets the toxic.
    fn stream(&self, _way: Way, _chance: Chance) -> Option<Box<dyn Stream>> {
        None
    }
}

/// What befalls a connection as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Reset at both ends, so long after the toxic met it. `only_new`: connections that were open already go on.
    Reset {
        /// How long it may live.
        after: std::time::Duration,
        /// Does it spare what is open?
        only_new: bool,
    },
    /// Ended in good order at both ends, at once.
    Close,
    /// The upstream is gone; the client is not told, and what it sends is taken and never answered.
    HalfOpen,
}

/// What befalls the bytes of one connection in one direction.
///
/// Bytes are stamped when they arrive. [`due`](Stream::due) says when they may go on at the earliest; once that time has come,
/// [`pass`](Stream::pass) is asked how many may go. Order is kept, whatever is answered; several streams on one direction compose.
pub trait Stream: Send {
    /// When bytes that arrived at `arrived` may go on, at the earliest; [`NEVER`]: not while this is armed. Called once for each piece in the order of arrival, and
    /// again for what still waits when the armed toxics change.
    fn due(&mut self, arrived: Mono) -> Mono {
        arrived
    }

    /// When the end of the stream, seen at `arrived`, may go on at the earliest.
    fn end_due(&mut self, arrived: Mono) -> Mono {
        self.due(arrived)
    }

    /// How many of `len` bytes may go now. `len` is never zero.
    fn pass(&mut self, _now: Mono, len: usize) -> Pass {
        Pass::Now(len)
    }

    /// So many bytes went.
    fn sent(&mut self, _now: Mono, _len: usize) {}

    /// What counts as having met it.
    fn meets(&self) -> Meets {
        Meets::Bytes
    }

    /// May it hold what the wire would: bandwidth × delay? Otherwise the sender feels a full line soon.
    fn holds_a_line(&self) -> bool {
        false
    }
}

/// What counts as having met a toxic on bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meets {
    /// Every piece of bytes.
    Bytes,
    /// The end of the stream.
    TheEnd,
    /// That it ended the connection ([`Pass::End`]).
    TheCut,
}

/// A time that does not come: bytes wait for as long as the toxic is armed.
pub const NEVER: Mono = Mono(u64::MAX);

/// How many bytes may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// So many, at least one, now.
    Now(usize),
    /// None before this time.
    Later(Mono),
    /// No more: the connection ends.
    End(Ending),
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// In good order (FIN).
    #[default]
    Close,
    /// By a reset (RST).
    Reset,
}

/// A toxic in force on a proxy.
pub struct ArmedToxic {
    /// By which it is known: the injection's tag.
    pub id: String,
    /// Its kind.
    pub kind: &'static str,
    /// Its fields, as they were given.
    pub with: Value,
    /// What chance starts from.
    pub seed: u64,
    /// No other toxic of this process has it, not even a later one of the same id; kept across adjustments.
    pub serial: u64,
    /// Of its fields: grows with each adjustment.
    pub generation: u64,
    /// When it was armed.
    pub since: Mono,
    /// Connections with a lower number were open already then.
    pub first_new: u64,
    /// So many connections could not be led to the upstream before.
    pub unreachable_before: u64,
    /// The share of connections that meets it.
    pub connections: Percent,
    /// What it does.
    pub act: Act,
    /// How often it acted; kept across adjustments.
    pub(crate) hits: Arc<AtomicU64>,
}

impl ArmedToxic {
    /// What tells it, with these fields, from all others.
    #[must_use]
    pub fn identity(&self) -> (u64, u64) {
        (self.serial, self.generation)
    }

    /// It acted, on one message or piece.
    pub fn met(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
    }

    /// Is everything that it does counted? What the kernel refuses for it is not.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        !self.act.transport().is_some_and(|act| act.closes_listener())
    }

    /// How often it acted.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    /// Does a connection meet it? The same for the connection's whole life.
    #[must_use]
    pub fn meets(&self, connection: u64) -> bool {
        let drawn = Chance::new(self.seed, connection).number() % 1_000_000_000;
        drawn < u64::from(self.connections.parts_per_billion())
    }
}
