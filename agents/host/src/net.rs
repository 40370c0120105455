//! The network of a host, in the kernel: namespaces entered on threads of their own, links, and what is asked over netlink.

#![allow(dead_code, unused_imports, reason = "the faults that stand on it follow")]

pub(crate) mod connections;
pub(crate) mod cut;
pub(crate) mod filter;
pub(crate) mod flow;
pub(crate) mod lie;
pub(crate) mod link;
pub(crate) mod namespace;
pub(crate) mod netlink;
pub(crate) mod nftables;
pub(crate) mod qdisc;
pub(crate) mod reach;
pub mod redirect;
pub(crate) mod traffic;

#[cfg(test)]
mod testing;
