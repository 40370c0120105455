//! The world of a Linux host: its processes, files and control groups, and the faults on them.
//!
//! - [`Host`] is the world; [`HostView`] is the part of it that can only be read.
//! - [`target_kinds`] are the kinds of target that are found here, one file each in `target/`.
//! - [`faults`] are the faults, one file each in `faults/`. A fault module never signals, spawns or writes by itself: it asks the
//!   world, whose modules (`process`, `spawn`, `file`, `cgroup`) are the only ones that may. `clippy.toml` holds that line.

mod cgroup;
mod disk;
mod file;
mod guard;
mod helper;
mod limit;
mod memory;
mod net;
mod process;
mod spawn;
mod sweep;
mod system;
mod target;
mod world;

mod faults;

pub use helper::helper_main;
pub use net::redirect;
pub use process::{Entry, Snapshot, name_of};
pub use sweep::{Found, sweep};
pub use world::{Host, HostView};

use std::sync::Arc;

use chaos_core::Table;
use chaos_core::target::TargetKindTable;
use faults::shaped::Shaped;

/// Every fault on a host. The one line that a new fault costs is here.
#[must_use]
pub fn faults(world: &Arc<Host>) -> Table {
    Table::new()
        .with(faults::process_kill::ProcessKill, world)
        .with(faults::process_pause::ProcessPause, world)
        .with(faults::cpu_burn::CpuBurn, world)
        .with(faults::cpu_limit::CpuLimit, world)
        .with(faults::memory_limit::MemoryLimit, world)
        .with(faults::container_limit::ContainerLimit, world)
        .with(faults::memory_fill::MemoryFill, world)
        .with(faults::disk_fill::DiskFill, world)
        .with(faults::file_corrupt::FileCorrupt, world)
        .with(faults::net_partition::NetPartition, world)
        .with(faults::net_reset::NetReset::default(), world)
        .with(faults::net_dns::NetDns, world)
        .with(Shaped(faults::net_delay::NetDelay), world)
        .with(Shaped(faults::net_loss::NetLoss), world)
        .with(Shaped(faults::net_duplicate::NetDuplicate), world)
        .with(Shaped(faults::net_corrupt::NetCorrupt), world)
        .with(Shaped(faults::net_reorder::NetReorder), world)
        .with(Shaped(faults::net_rate::NetRate), world)
        .with(faults::net_root::NetRoot, world)
        .with(faults::system_process::SystemProcessFault, world)
}

/// Every kind of target on a host. The one line that a new kind costs is here.
#[must_use]
pub fn target_kinds(view: &HostView) -> TargetKindTable {
    TargetKindTable::new().with(target::processes::Processes(view.clone())).with(target::files::Files(view.clone()))
}
