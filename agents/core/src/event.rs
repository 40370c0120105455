//! The record of a run: an event stream from which everything shown and judged is folded.
//!
//! One JSON line an event. The first is always [`What::Started`], the last [`What::Finished`]; a record without it
//! means that the coordinator was lost. The executor writes the same type into a file of its own beside the journal,
//! and a report merges both by time (RULES 34).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::{Mono, Wall};
use crate::experiment::Experiment;
use crate::fault::{FaultError, Met, Presence};
use crate::plan::Plan;
use crate::sample::SampleBatch;
use crate::target::Target;

/// Version of the record. A reader refuses a higher one and reads all lower ones.
pub const RECORD_VERSION: u32 = 1;

/// One event.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Event {
    /// Rises by one with each event of one source.
    pub seq: u64,
    /// When, on the host's monotonic clock.
    pub at: Mono,
    /// Who says so.
    pub from: Source,
    /// What happened.
    pub what: What,
}

/// Who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// `chaos run` itself.
    Coordinator,
    /// The executor, where the harm is done.
    Executor,
}

/// What happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// First of all: everything that is needed to understand the rest.
    Started(Box<Started>),
    /// The plan, approved.
    Planned(Box<Plan>),
    /// A phase begins.
    Phase(Phase),
    /// Some answers.
    Samples(SampleBatch),
    /// The gate was judged.
    Baseline {
        /// Nothing speaks against it.
        met: bool,
        /// One sentence an objective that is evidently missed.
        missed: Vec<String>,
    },
    /// A step of the method.
    Step {
        /// Its path.
        path: String,
        /// What became of it.
        state: StepState,
    },
    /// An injection changes its state.
    Injection {
        /// Its slot in the plan, or `system.NAME`.
        slot: String,
        /// Its new state.
        state: InjectionState,
    },
    /// A latent fault was activated: its recovery clock starts here.
    Activated {
        /// Its slot.
        slot: String,
        /// What did it: a step's path, or `first bad sample`.
        by: String,
    },
    /// A command of the method, or one that a probe ran, has ended.
    Command {
        /// Path of its step.
        path: String,
        /// The command.
        command: Vec<String>,
        /// Its exit code; none: killed or timed out.
        exit: Option<i32>,
        /// The end of its output, for people.
        output: String,
    },
    /// A process of `system:`.
    System {
        /// Its name.
        name: String,
        /// What became of it.
        state: SystemState,
    },
    /// A target died or changed although no fault of ours did that.
    TargetChanged {
        /// Which.
        target: Box<Target>,
        /// What was found.
        finding: String,
    },
    /// A stop condition was met.
    StopCondition {
        /// As in the file.
        condition: String,
        /// What was observed: `success 41.7 % over 2s`.
        observed: String,
    },
    /// The run is ended early.
    Aborted {
        /// By whom.
        by: AbortedBy,
        /// In words.
        because: String,
    },
    /// Something was refused; nothing was done.
    Refused {
        /// By whom and why.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The executor died; a recovering one was started.
    ExecutorLost {
        /// What is known.
        message: String,
    },
    /// A sentence for the report.
    Note(String),
    /// What inspection still finds after everything was taken back.
    Residue {
        /// The slot.
        slot: String,
        /// What is left, and how a person removes it.
        finding: String,
    },
    /// The verdict, as judged then: authoritative for ever.
    Judged(Value),
    /// Last of all.
    Finished {
        /// Exit code of the run.
        exit: u8,
        /// Wall clock, for people.
        wall: Wall,
    },
}

/// Everything that is needed to understand a record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Started {
    /// [`RECORD_VERSION`].
    pub record: u32,
    /// Version of `chaos`.
    pub chaos: String,
    /// The run's id.
    pub run: String,
    /// The whole experiment as resolved from its files.
    pub experiment: Experiment,
    /// Seed of every random choice.
    pub seed: u64,
    /// Where the coordinator ran.
    pub host: HostId,
    /// Wall clock at `at`, for people.
    pub wall: Wall,
    /// Who ran it.
    pub user: String,
}

/// Which machine, and which boot of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostId {
    /// Its name, for people.
    pub name: String,
    /// `/etc/machine-id`.
    pub machine: String,
    /// The boot.
    pub boot: String,
    /// Inode of the pid namespace.
    pub pid_namespace: u64,
    /// When the first process of that namespace began, in clock ticks since boot: inodes are used again. Zero: unknown.
    #[serde(default, skip_serializing_if = "is_unknown")]
    pub namespace_began: u64,
}

fn is_unknown(ticks: &u64) -> bool {
    *ticks == 0
}

/// Phases of a run, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The system under test is started.
    System,
    /// Health is watched; nothing is injected.
    Baseline,
    /// Steps run.
    Method,
    /// Everything that is still in force is taken back.
    Revert,
    /// Waiting for recovery.
    Verify,
    /// The system under test comes down.
    Teardown,
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// It began.
    Began,
    /// It ended as it should.
    Ended,
    /// It was left out: why.
    LeftOut(String),
    /// A `wait_for` was not met in time, a command ended otherwise: why.
    Failed(String),
}

/// States of an injection, in this order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InjectionState {
    /// The coordinator allowed it, on this target.
    Granted(Box<Target>),
    /// The executor would not: nothing was done.
    Refused(FaultError),
    /// Its undo is on disk.
    Intended {
        /// The target as the executor proved it.
        target: Box<Target>,
        /// The undo as shell commands, for people.
        undo: Vec<String>,
    },
    /// Our own objects stand.
    Staged,
    /// The effect was asked for and has begun.
    Injected {
        /// What was learned.
        notes: Vec<String>,
    },
    /// What inspection found. The first after `Injected` proves the effect; then one a second, and whenever it changes.
    Present(Presence),
    /// A ramp moved it.
    Adjusted {
        /// The field's value now.
        to: Value,
    },
    /// It could not be injected; it is being taken back.
    Failed(FaultError),
    /// Taking it back was asked for.
    RevertAsked {
        /// Why: `held for 10s`, `asked`, `lease`, `deadline`.
        because: String,
    },
    /// One attempt failed; it is tried again.
    RevertFailed(FaultError),
    /// It is taken back, and inspection finds nothing.
    Reverted {
        /// What was done.
        notes: Vec<String>,
        /// What had met it by its end, where that was counted as it ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        met: Option<Met>,
    },
    /// Given up; it is residue now.
    Residue(FaultError),
}

/// What became of a process of `system:`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SystemState {
    /// Started, with this pid.
    Started {
        /// The pid.
        pid: i32,
    },
    /// Its ready probe was answered well.
    Ready,
    /// It ended: how.
    Died {
        /// `exit 1`, `signal 9`.
        how: String,
    },
    /// Started again.
    Restarted {
        /// The new pid.
        pid: i32,
    },
    /// Stopped at the end.
    Stopped,
}

/// Who ended a run early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AbortedBy {
    /// Ctrl-C.
    Person,
    /// SIGTERM, SIGHUP, a closed terminal.
    Signal,
    /// `chaos halt`.
    Lever,
    /// A stop condition.
    StopCondition,
    /// Limits no longer fit the world as found.
    Guard,
    /// A fault or a command failed.
    Failure,
    /// The executor was lost.
    Executor,
    /// The machine slept, or the coordinator was stopped past its lease.
    Slept,
    /// A defect of ours.
    Defect,
}
