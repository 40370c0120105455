//! The words that tests use: those that this program is assembled with.

use std::sync::Arc;

use chaos_core::probe::ProbeTable;
use chaos_core::table::Table;
use chaos_core::target::TargetKindTable;

use crate::cli::worlds::Worlds;

pub(super) fn real() -> (Table, ProbeTable, TargetKindTable) {
    let Worlds { faults, probes, kinds, .. } = Worlds::assemble().expect("the worlds");
    (Arc::into_inner(faults).expect("ours alone"), Arc::into_inner(probes).expect("ours alone"), kinds)
}
