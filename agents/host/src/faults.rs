//! The faults on a host, one file each.

mod confined;
pub(crate) mod container_limit;
pub(crate) mod cpu_burn;
pub(crate) mod cpu_limit;
pub(crate) mod disk_fill;
pub(crate) mod file_corrupt;
mod helped;
pub(crate) mod memory_fill;
pub(crate) mod memory_limit;
pub(crate) mod net_corrupt;
pub(crate) mod net_delay;
pub(crate) mod net_dns;
pub(crate) mod net_duplicate;
pub(crate) mod net_loss;
pub(crate) mod net_partition;
pub(crate) mod net_rate;
pub(crate) mod net_reorder;
pub(crate) mod net_reset;
pub(crate) mod net_root;
pub(crate) mod process_kill;
pub(crate) mod process_pause;
pub(crate) mod shaped;
pub(crate) mod system_process;

use std::io;

use chaos_core::FaultError;
use chaos_core::target::ProcessId;
use rustix::io::Errno;

use crate::net::namespace::Namespace;
use crate::process::{Held, Snapshot, name_of};

/// The processes, as a fault needs them.
fn look() -> Result<Snapshot, FaultError> {
    Snapshot::take().map_err(|e| failed("list the processes", &e))
}

/// Holds a process; `None`: it has ended.
fn hold(id: ProcessId) -> Result<Option<Held>, FaultError> {
    Held::open(id).map_err(|e| failed(&format!("hold process {}", id.pid), &e.into()))
}

fn failed(doing: &str, error: &io::Error) -> FaultError {
    FaultError::new(format!("{doing}: {error}"))
}

fn not_signalled(signal: &str, id: ProcessId, errno: Errno) -> FaultError {
    let error = FaultError::new(format!("send {signal} to process {} ({}): {errno}", id.pid, name_of(id.pid)));
    if errno == Errno::PERM { error.hint("run as root, or as the user whose process it is") } else { error }
}

/// The shell's way to ask whether a pid is still the process meant.
pub(crate) fn is_still(id: ProcessId) -> String {
    format!(r#"[ "$(sed 's/.*) //' /proc/{}/stat | cut -d' ' -f20)" = {} ]"#, id.pid, id.start_ticks)
}

/// A shell's command in a network namespace, and nowhere else.
pub(crate) fn in_namespace(namespace: &Namespace, command: &str) -> String {
    format!("{} {command}", namespace.way_in())
}
