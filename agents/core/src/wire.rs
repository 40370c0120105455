//! What coordinator and executor say to each other over their socket: JSON lines, one message each.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::Event;
use crate::experiment::SystemProcess;
use crate::literal::Duration;
use crate::plan::{Grant, Plan};

/// From the coordinator. Every request that changes something is answered by events; `Ping` by [`Reply::Pong`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// First of all. Answered by [`Reply::Ready`] or [`Reply::Refused`].
    Begin(Box<Begin>),
    /// Starts one process of `system:`; answered by `System` and `Injection` events for `system.NAME`.
    StartSystem(Box<SystemProcess>),
    /// The whole approved plan, once. Answered by [`Reply::Approved`] or [`Reply::Refused`].
    Approve(Box<Plan>),
    /// Do this one.
    Grant(Box<Grant>),
    /// Move a running injection to this spec.
    Adjust {
        /// Which.
        slot: String,
        /// The whole new spec.
        with: Value,
    },
    /// Take these back now.
    Revert {
        /// Which; empty: every fault in force (the system stays).
        slots: Vec<String>,
        /// Why, for the record.
        because: String,
    },
    /// Take everything back, bring the system down (last), finish the journal. Answered by [`Reply::Closed`].
    Close,
    /// I am alive.
    Ping {
        /// Comes back in the pong.
        n: u64,
    },
}

/// What a run tells its executor first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Begin {
    /// The run.
    pub run: String,
    /// Version of the coordinator.
    pub chaos: String,
    /// Where the run's files lie (record, logs).
    pub run_folder: PathBuf,
    /// Secrets, for the environment of processes. Crosses only this inherited socket.
    pub secrets: BTreeMap<String, String>,
    /// Silence of this length means that the coordinator is gone.
    pub lease: Duration,
}

/// From the executor.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The journal is open; requests may come.
    Ready {
        /// What this executor would survive, for the plan: `own session; dies with this container`.
        survives: String,
    },
    /// The plan is journaled.
    Approved {
        /// [`Plan::hash`] as the executor computed it.
        plan: String,
    },
    /// Nothing was done.
    Refused {
        /// Why.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// Something happened.
    Event(Box<Event>),
    /// I am alive; what is in force.
    Pong {
        /// As in the ping.
        n: u64,
        /// Slots in force.
        in_force: Vec<String>,
    },
    /// Everything is taken back (or named as residue); the journal is finished.
    Closed {
        /// Slots that are residue.
        residue: Vec<String>,
    },
}
