//! Targets that are containers.

use std::sync::Arc;

use chaos_core::target::TargetKindTable;

use crate::world::Docker;

/// Every kind of target that an engine knows.
#[must_use]
pub fn target_kinds(_docker: &Arc<Docker>) -> TargetKindTable {
    TargetKindTable::new()
}
