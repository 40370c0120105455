//! A fault proxy: what passes through it can be slowed, thinned, cut and falsified, and is as before afterwards.
//!
//! - [`toxic`] says what a toxic is and how to add one.
//! - [`engine`] is the data plane: a process of its own that fails open (RULES 18), run by [`serve()`].
//! - [`control`] is how others put toxics in force on it; [`Proxies`] is the world of the faults that do.

mod catalogue;
pub mod control;
pub mod engine;
mod fault;
pub mod http;
mod messages;
pub mod postgres;
pub mod redis;
mod s3;
mod serve;
mod stream;
mod target;
mod tcp;
mod termination;
pub mod toxic;
pub mod toxiproxy;
mod world;

pub use engine::{Engine, Proxy, ProxyConfig, Tls, Upstream};
pub use fault::faults;
pub use serve::{Service, ServiceError, serve, serve_api};
pub use target::target_kinds;
pub use termination::Termination;
pub use world::{Proxies, ProxiesView};
