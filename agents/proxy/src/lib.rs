//! A fault proxy: what passes through it can be slowed, thinned, cut and falsified, and is as before afterwards.
//!
//! - [`toxic`] says what a toxic is and how to add one.
//! - [`engine`] is the data plane: a process of its own that fails open (RULES 18).

mod catalogue;
pub mod engine;
pub mod http;
pub mod postgres;
pub mod redis;
mod tcp;
pub mod toxic;

pub use engine::{Engine, Proxy, ProxyConfig, Upstream};
