//! The experiment file: text to a tree that knows every place, tree to [`Experiment`](chaos_core::experiment::Experiment).
//!
//! ```text
//! text ─yaml─▶ tree ─parameters─▶ tree ─build─▶ Experiment
//!                                   ╰── walk: every value by the schema of its own type
//! ```
//!
//! This is the only module that knows YAML and places. A fault, probe or kind of target is decoded through its schema, so that a mistake
//! in its fields is shown at its line although it knows nothing of lines. Everything that is wrong is told at once.

mod build;
mod diagnostic;
mod file;
mod later;
mod load;
mod namesake;
mod parameters;
mod pick;
mod problems;
mod read;
mod repair;
mod schema;
mod tree;
mod walk;
mod words;
mod yaml;

pub use diagnostic::{Diagnostic, Severity, render, summary};
pub use load::{LoadOptions, Loaded, load};
pub use problems::meant;
pub use schema::schema;

use chaos_core::probe::ProbeTable;
use chaos_core::table::Table;
use chaos_core::target::TargetKindTable;

/// The words that a file may use: every fault, probe and kind of target of this program.
#[derive(Clone, Copy)]
pub struct Vocabulary<'a> {
    /// What `inject` may say.
    pub faults: &'a Table,
    /// What `probe` may say.
    pub probes: &'a ProbeTable,
    /// What a target set may begin with.
    pub kinds: &'a TargetKindTable,
}

#[cfg(test)]
mod tests;
