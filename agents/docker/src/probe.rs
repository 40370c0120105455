//! Probes that ask an engine.

mod container;

use std::sync::Arc;

use chaos_core::World;
use chaos_core::probe::ProbeTable;

use crate::world::Docker;

/// Every probe that asks an engine.
#[must_use]
pub fn probes(docker: &Arc<Docker>) -> ProbeTable {
    ProbeTable::new().with(container::ContainerProbe(docker.view().clone()))
}
