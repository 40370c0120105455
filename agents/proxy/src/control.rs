//! The control surface of a proxy: a Unix socket of its own, one JSON value a line.
//!
//! The socket lies in a folder that only this user may enter, and who speaks is asked of the kernel (RULES 36). **A toxic lives as long
//! as the connection that armed it**: when its executor is killed the kernel closes the connection, the toxic is gone and traffic flows
//! on (RULES 3, 18). It has a deadline of its own, too: an executor that is only stopped takes nothing back (RULES 5).
//!
//! ```text
//! → {"arm":{"id":"chaos-r1-0.0.0","kind":"tcp.latency","with":{"delay":"50ms"}}}
//! ← "done"
//! → {"adjust":{"id":"chaos-r1-0.0.0","with":{"delay":"80ms"}}}      on any connection
//! → {"disarm":{"id":"chaos-r1-0.0.0"}}                              on any connection; none of that id is well too
//! → "state"
//! ← {"state":{"listen":"127.0.0.1:6390","upstream":"127.0.0.1:6379","speaks":"redis","pid":4711,"connections":12,"toxics":[…]}}
//! ← {"refused":{"message":"…","hint":"…"}}                          nothing was done
//! ```

mod client;
mod place;
mod server;

use chaos_core::clock::Boot;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::{Proxy, Unreachable, Upstream};
use crate::toxic::Speaks;

pub use client::{ControlError, Lifeline, ask, state};
#[cfg(test)]
pub(crate) use place::made;
pub use place::{place, place_before};
pub(crate) use server::serve;

/// No question is longer.
const LONGEST_LINE: usize = 256 << 10;

/// What a proxy can be asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Puts a toxic in force for as long as this connection stands.
    Arm {
        /// By which it is known.
        id: String,
        /// Its kind.
        kind: String,
        /// Its fields.
        with: Value,
        /// Gone then, whoever still holds the connection: an executor that is stopped takes nothing back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Boot>,
    },
    /// Gives a toxic other fields.
    Adjust {
        /// By which it is known.
        id: String,
        /// Its fields.
        with: Value,
    },
    /// Takes a toxic back.
    Disarm {
        /// By which it is known.
        id: String,
    },
    /// What the proxy is, and what is in force.
    State,
}

/// What a proxy answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// As asked.
    Done,
    /// What the proxy is, and what is in force.
    State(State),
    /// Nothing was done.
    Refused {
        /// Why.
        message: String,
        /// What to do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
}

/// What a proxy is, and what is in force on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Where it listens.
    pub listen: String,
    /// What it stands before; none: whatever each connection was going to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// What it speaks.
    pub speaks: Speaks,
    /// Does TLS end there?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ends_tls: bool,
    /// The run that it belongs to and ends with; none: it is a service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Its process.
    pub pid: u32,
    /// How many connections it has accepted.
    pub connections: u64,
    /// Those of them that could not be led to the upstream, if there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreachable: Option<Unreachable>,
    /// What is in force, in the order in which it was armed.
    pub toxics: Vec<ToxicState>,
}

/// A toxic in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToxicState {
    /// By which it is known.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// Its fields.
    pub with: Value,
    /// How often it acted; none: the kernel acts for it, and does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hits: Option<u64>,
    /// Why the upstream could not be reached for a connection since this is in force, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreachable: Option<String>,
}

impl State {
    /// Of a proxy, now.
    #[must_use]
    pub fn of(proxy: &Proxy) -> Self {
        let (toxics, unreachable) = (proxy.toxics(), proxy.unreachable());
        let since = |t: &crate::toxic::ArmedToxic| unreachable.as_ref().filter(|u| u.connections > t.unreachable_before);
        let toxic = |t: &std::sync::Arc<crate::toxic::ArmedToxic>| ToxicState {
            id: t.id.clone(),
            kind: t.kind.to_owned(),
            with: t.with.clone(),
            hits: Some(t.hits()).filter(|hits| *hits > 0 || t.is_counted()),
            unreachable: since(t).map(|u| u.why.clone()),
        };
        Self {
            listen: proxy.listen().to_string(),
            upstream: match proxy.upstream() {
                Upstream::Fixed(to) => Some(to.to_string()),
                Upstream::Original { .. } => None,
            },
            speaks: proxy.speaks(),
            ends_tls: proxy.ends_tls(),
            run: std::env::var("CHAOS_RUN").ok(),
            pid: std::process::id(),
            connections: proxy.connections(),
            toxics: toxics.iter().map(toxic).collect(),
            unreachable: unreachable.clone(),
        }
    }

    /// The toxic of this id.
    #[must_use]
    pub fn toxic(&self, id: &str) -> Option<&ToxicState> {
        self.toxics.iter().find(|t| t.id == id)
    }
}
