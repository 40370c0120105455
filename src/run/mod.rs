//! Runs an experiment: phases, one after the other, and the way out of each of them.
//!
//! ```text
//! system ▶ resolve, plan, guard ▶ baseline ▶ method ▶ revert ▶ verify ▶ teardown
//!    └────────────┴───────────────────┴─────────┴──▶ (any interrupt) ──▶ revert
//! ```
//!
//! **Invariants.** Only the executor harms and reverts; this module asks. Whatever ends a phase, everything after it
//! from *revert* on still happens. It knows no report: who listens is handed in.

mod command;
mod method;
mod phases;
mod pump;
mod record_file;
mod recorder;
mod signals;
mod stage;
mod state;

pub use phases::{Done, Setup, run};
pub use pump::Interrupt;
pub use record_file::{RecordFile, Torn};
pub use recorder::{Recorder, Sink};
