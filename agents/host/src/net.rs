//! The network of a host, in the kernel: namespaces entered on threads of their own, links, and what is asked over netlink.

pub(crate) mod connections;
pub(crate) mod conntrack;
pub(crate) mod cut;
pub(crate) mod filter;
pub(crate) mod flow;
pub(crate) mod hook;
pub(crate) mod kernel;
pub(crate) mod leaf;
pub(crate) mod lie;
pub(crate) mod link;
pub(crate) mod namespace;
pub(crate) mod netlink;
pub(crate) mod nftables;
pub(crate) mod qdisc;
pub(crate) mod reach;
pub mod redirect;
pub(crate) mod root;
pub(crate) mod tcx;
pub(crate) mod traffic;

#[cfg(test)]
mod testing;
