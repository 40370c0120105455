//! The table of faults that are calls of the Engine API, one file each.

mod check_program;
mod container_disconnect;
mod container_health;
mod container_kill;
mod container_pause;
mod container_remove;
mod container_restart;
mod container_stop;
mod loss;
mod subject;

use std::sync::Arc;

use chaos_core::Table;

use crate::world::Docker;

/// Every fault on containers.
#[must_use]
pub fn faults(docker: &Arc<Docker>) -> Table {
    Table::new()
        .with(container_kill::ContainerKill, docker)
        .with(container_stop::ContainerStop, docker)
        .with(container_pause::ContainerPause, docker)
        .with(container_restart::ContainerRestart, docker)
        .with(container_remove::ContainerRemove, docker)
        .with(container_disconnect::ContainerDisconnect, docker)
        .with(container_health::ContainerHealth, docker)
}
