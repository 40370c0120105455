//! The contracts of chaos: Fault, World, Target, Undo, Probe, Event; journal, lease, executor.

pub mod literal;
