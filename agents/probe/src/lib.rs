//! Probes that need no platform (`http`, `sse`, `grpc`, `tcp`, `redis`, `dns`, `process`, `command`, `file`) and the open-loop
//! prober that asks them.
//!
//! A new probe is one file and one line in [`probes`]. Start at [`prober`] for how questions are asked.

mod command;
mod connection;
mod dns;
mod file;
mod grpc;
mod http;
pub mod prober;
mod process;
mod reason;
mod redis;
mod request;
mod resolve;
mod sse;
mod tcp;
mod tls;
mod url;
mod words;

use chaos_core::probe::ProbeTable;

pub use command::{Command, CommandSpec};
pub use dns::{Dns, DnsSpec};
pub use file::{File, FileSpec};
pub use grpc::{Grpc, GrpcSpec};
pub use http::{Http, HttpSpec};
pub use prober::{AskedQuestion, Prober};
pub use process::{Process, ProcessSpec};
pub use redis::{Redis, RedisSpec};
pub use sse::{Sse, SseSpec};
pub use tcp::{Tcp, TcpSpec};
pub use tls::Tls;
pub use url::Url;

/// Every probe of this crate.
#[must_use]
pub fn probes() -> ProbeTable {
    ProbeTable::new().with(Http).with(Sse).with(Grpc).with(Tcp).with(Redis).with(Dns).with(Process).with(Command).with(File)
}
