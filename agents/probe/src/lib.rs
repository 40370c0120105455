//! Probes that need no platform (`http`, `tcp`, `process`, `command`, `file`) and the open-loop prober that asks them.
//!
//! A new probe is one file and one line in [`probes`]. Start at [`prober`] for how questions are asked.

mod command;
mod file;
mod http;
pub mod prober;
mod process;
mod reason;
mod resolve;
mod tcp;

use chaos_core::probe::ProbeTable;

pub use command::{Command, CommandSpec};
pub use file::{File, FileSpec};
pub use http::{Http, HttpSpec, Tls, Url};
pub use prober::{AskedQuestion, Prober};
pub use process::{Process, ProcessSpec};
pub use tcp::{Tcp, TcpSpec};

/// Every probe of this crate.
#[must_use]
pub fn probes() -> ProbeTable {
    ProbeTable::new().with(Http).with(Tcp).with(Process).with(Command).with(File)
}
