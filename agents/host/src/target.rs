//! The kinds of target on a host, one file each.

pub(crate) mod files;
pub(crate) mod processes;
