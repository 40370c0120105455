//! The table of faults that are calls of the Engine API, one file each.

use std::sync::Arc;

use chaos_core::Table;

use crate::world::Docker;

/// Every fault on containers.
#[must_use]
pub fn faults(_docker: &Arc<Docker>) -> Table {
    Table::new()
}
