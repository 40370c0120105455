//! The tables that this executor holds: each goes with its socket.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use chaos_core::FaultError;
use rustix::io::Errno;

use super::{Ownership, Ruleset, Seen};
use crate::net::namespace::{Namespace, NamespaceError};
use crate::net::netlink::{NetlinkError, Socket};

/// By tag, the sockets that own a table. Dropping one removes its table.
#[derive(Default)]
pub(crate) struct Tables {
    held: Mutex<BTreeMap<String, Socket>>,
}

impl Tables {
    /// Makes a table in a namespace. One with an owner is held until it is removed, or this program ends.
    ///
    /// # Errors
    /// What the kernel refuses, in words.
    pub(crate) fn make(&self, namespace: &Namespace, ruleset: &Ruleset, ownership: Ownership) -> Result<(), FaultError> {
        let mut socket = open_in(namespace)?;
        super::make(&mut socket, ruleset, ownership).map_err(|e| refused("make a table of nftables", &e))?;
        if ownership == Ownership::Owned {
            self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(ruleset.tag.clone(), socket);
        }
        Ok(())
    }

    /// Removes the table of a tag, if it is ours, and says what it had seen by then. `None`: there was none.
    ///
    /// # Errors
    /// What the kernel refuses, in words; or who holds it.
    pub(crate) fn remove(&self, namespace: &Namespace, tag: &str) -> Result<Option<Seen>, FaultError> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(tag);
        let mut socket = match held.map_or_else(|| open_in(namespace), Ok) {
            Ok(socket) => socket,
            Err(e) if e.gone => return Ok(None),
            Err(e) => return Err(e),
        };
        let removed = remove(&mut socket, tag);
        // Closing a socket that owned a table waits until every core has forgotten that, which takes 15 ms. The table is gone already.
        let _ = std::thread::Builder::new().spawn(move || drop(socket));
        removed
    }
}

fn remove(socket: &mut Socket, tag: &str) -> Result<Option<Seen>, FaultError> {
    let Some(table) = super::named(socket, tag).map_err(|e| refused(&format!("look for the table {tag}"), &e))? else {
        return Ok(None);
    };
    if !table.is_ours() {
        return Ok(None);
    }
    let seen = super::seen(socket, tag).map_err(|e| refused(&format!("read the table {tag}"), &e))?;
    super::remove(socket, &table).map_err(|e| {
        if table.is_owned() && e.errno == Errno::PERM {
            FaultError::new(format!("remove the table {tag}: another process holds it")).hint("it goes when that process ends")
        } else {
            refused(&format!("remove the table {tag}"), &e)
        }
    })?;
    Ok(seen)
}

/// Would the kernel take this table there? Nothing is changed.
///
/// # Errors
/// What the kernel refuses, in words.
pub(crate) fn rehearse_in(namespace: &Namespace, ruleset: &Ruleset) -> Result<Ownership, FaultError> {
    let mut socket = open_in(namespace)?;
    super::rehearse(&mut socket, ruleset).map_err(|e| refused("make a table of nftables", &e))
}

/// What the table of a tag has seen. `None`: there is none of ours, or the namespace is gone.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn seen_in(namespace: &Namespace, tag: &str) -> Result<Option<Seen>, FaultError> {
    match open_in(namespace) {
        Ok(mut socket) => super::seen(&mut socket, tag).map_err(|e| refused(&format!("read the table {tag}"), &e)),
        Err(e) if e.gone => Ok(None),
        Err(e) => Err(e),
    }
}

fn open_in(namespace: &Namespace) -> Result<Socket, FaultError> {
    let opened: Result<Result<Socket, NetlinkError>, NamespaceError> = namespace.run(super::open);
    opened?.map_err(|e| refused("speak to the packet filter of the kernel", &e))
}

/// What the kernel refused, and what to do about it.
pub(crate) fn refused(doing: &str, error: &NetlinkError) -> FaultError {
    let failed = FaultError::new(format!("{doing}: {error}"));
    match error.errno {
        Errno::PERM | Errno::ACCESS => failed.hint("run as root: filtering packets needs CAP_NET_ADMIN in the target's network namespace"),
        Errno::OPNOTSUPP | Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT => {
            failed.hint("this kernel has no nftables: load the module `nf_tables` (Linux 5.2 or later, for family `inet` with nat)")
        }
        Errno::NOENT => failed.hint(
            "a part of nftables is missing in this kernel: the modules `nft_reject_inet`, `nft_redir`, `nft_chain_nat`, `nft_fib_inet`",
        ),
        Errno::EXIST => failed.hint("a table of that name stands there, and is not ours to change"),
        Errno::MSGSIZE | Errno::NOBUFS => failed.hint("too many addresses or ports for one table: name fewer, or wider ranges"),
        _ => failed,
    }
}
