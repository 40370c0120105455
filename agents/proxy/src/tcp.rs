//! Toxics on bytes and connections, whatever the proxy speaks; one file each.

pub(crate) mod latency;
