//! The coordinator of `chaos`: reads an experiment, plans it, guards it, runs it, judges it, tells it.
//!
//! ```text
//! experiment  ─parse─▶  plan  ─guard─▶  run  ─record─▶  judge  ─▶  report
//! ```
//!
//! Start at [`cli`], the composition root and the only place that names concrete worlds.

pub mod cli;
pub mod experiment;
pub mod judge;
pub mod plan;
pub mod reference;
pub mod report;
pub mod run;
