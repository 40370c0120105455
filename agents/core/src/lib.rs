//! The contracts of `chaos`: what a fault, a probe, a target and a world are; what a run records; how an effect is
//! journaled, leased and taken back.
//!
//! This crate knows no platform. It uses the system only for files, clocks, processes and its own socket.
//!
//! Start at [`fault`] for what it takes to add a fault, at [`event`] for what a run leaves behind.

mod boot_timer;
pub mod claim;
pub mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod event;
pub mod executor;
pub mod experiment;
pub mod expression;
pub mod failpoint;
pub mod fault;
mod fault_call;
pub mod host_id;
pub mod journal;
pub mod lever;
mod lines;
pub mod link;
pub mod literal;
pub mod plan;
pub mod probe;
mod readable;
pub mod recover;
pub mod sample;
pub mod secret;
pub mod state_dir;
pub mod table;
pub mod take_back;
pub mod target;
pub mod value;
pub mod wire;

pub use fault::{
    Armed, BoxFuture, Fault, FaultError, InjectionId, Observed, Prepared, Presence, Profile, Reverted, SpecError, UndoJson, World,
};
pub use table::{AnyFault, Table};
