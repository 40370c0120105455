//! nftables, spoken to by itself: no `nft`. One table an injection, made at once and removed at once, in any order.
//!
//! A table has an owner where the kernel knows owners (5.12): the socket that made it. Nobody else can change it, `nft flush ruleset`
//! passes it by, and it goes with the socket, whatever ends the process that holds that (RULES 3). An older kernel gets an ordinary
//! table, which is known for ours by its comment, and taken back by whoever recovers.

mod expression;
mod held;
mod ruleset;

#[cfg(test)]
mod tests;

pub(crate) use expression::{ICMP, ICMP6, Match, Rule, TCP, Then, UDP};
pub(crate) use held::{Tables, refused, rehearse_in, seen_in};
pub(crate) use ruleset::{At, Chain, Kind, Ruleset};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::netlink::{Message, NetlinkError, Protocol, Reply, Socket};

const SUBSYSTEM: u8 = 10;
/// `NFPROTO_INET`.
const INET: u8 = 1;

const NEW_TABLE: u8 = 0;
const GET_TABLE: u8 = 1;
const DELETE_TABLE: u8 = 2;
const NEW_CHAIN: u8 = 3;
const NEW_RULE: u8 = 6;
const GET_RULE: u8 = 7;

/// `struct nfgenmsg`.
const FIXED: usize = 4;

/// What the name of every table of ours begins with, as every tag does.
const PREFIX: &str = "chaos-";

/// Who holds a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ownership {
    /// The socket that made it: it goes with the socket.
    Owned,
    /// Nobody: it stays until it is removed.
    Ordinary,
}

fn message(kind: u8, flags: u16) -> Message {
    Message::new(u16::from(SUBSYSTEM) << 8 | u16::from(kind), flags).fixed(&[INET, 0, 0, 0])
}

/// Would the kernel take this table, and with an owner? Everything is tried, to the last expression, and nothing is done.
///
/// # Errors
/// What the kernel refuses.
pub(crate) fn rehearse(socket: &mut Socket, ruleset: &Ruleset) -> Result<Ownership, NetlinkError> {
    match socket.rehearse(SUBSYSTEM, ruleset.messages(Ownership::Owned)) {
        Ok(()) => Ok(Ownership::Owned),
        Err(e) if knows_no_owner(&e) => socket.rehearse(SUBSYSTEM, ruleset.messages(Ownership::Ordinary)).map(|()| Ownership::Ordinary),
        Err(e) => Err(taken(socket, &ruleset.tag, e)),
    }
}

/// Of a table that another socket owns the kernel only says that we may not: which is true of much else.
fn taken(socket: &mut Socket, tag: &str, error: NetlinkError) -> NetlinkError {
    match named(socket, tag) {
        Ok(Some(_)) if error.errno == Errno::PERM => Errno::EXIST.into(),
        _ => error,
    }
}

/// A kernel before 5.12 does not know the flag; one before 5.13 has no word for a flag that it does not know.
fn knows_no_owner(error: &NetlinkError) -> bool {
    matches!(error.errno, Errno::OPNOTSUPP | Errno::INVAL)
}

/// Makes a table, whole or not at all. One with an owner lives as long as this socket.
///
/// # Errors
/// If there is one of that name, or what the kernel refuses.
pub(crate) fn make(socket: &mut Socket, ruleset: &Ruleset, ownership: Ownership) -> Result<(), NetlinkError> {
    socket.batch(SUBSYSTEM, ruleset.messages(ownership)).map(drop).map_err(|e| taken(socket, &ruleset.tag, e))
}

/// A table that stands in the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Its name.
    pub(crate) name: String,
    /// Its number, never given again.
    handle: u64,
    /// Its comment.
    comment: Option<String>,
    /// The netlink address of the socket that owns it.
    owner: Option<u32>,
}

impl Standing {
    /// Did we make it? Its name alone could be anybody's.
    #[must_use]
    pub(crate) fn is_ours(&self) -> bool {
        self.name.starts_with(PREFIX) && self.comment.as_ref() == Some(&self.name)
    }

    /// Does it go with a socket?
    #[must_use]
    pub(crate) fn is_owned(&self) -> bool {
        self.owner.is_some()
    }

    fn read(reply: &Reply) -> Option<Self> {
        const NAME: u16 = 1;
        const HANDLE: u16 = 4;
        const USERDATA: u16 = 6;
        const OWNER: u16 = 7;
        if reply.kind != u16::from(SUBSYSTEM) << 8 | u16::from(NEW_TABLE) || reply.body.first() != Some(&INET) {
            return None;
        }
        let attributes = reply.attributes(FIXED);
        Some(Self {
            name: attributes.get(NAME)?.text()?.to_owned(),
            handle: attributes.get(HANDLE)?.be64()?,
            comment: attributes.get(USERDATA).and_then(|a| ruleset::commented(a.value)).map(str::to_owned),
            owner: attributes.get(OWNER).and_then(|a| a.be32()),
        })
    }
}

/// The tables of ours that stand in the namespace of the socket.
///
/// # Errors
/// If they cannot be listed.
pub(crate) fn ours(socket: &mut Socket) -> Result<Vec<Standing>, NetlinkError> {
    let tables = socket.list(&message(GET_TABLE, 0))?;
    Ok(tables.iter().filter_map(Standing::read).filter(Standing::is_ours).collect())
}

/// The table of this tag, ours or not.
///
/// # Errors
/// If it cannot be asked for.
pub(crate) fn named(socket: &mut Socket, tag: &str) -> Result<Option<Standing>, NetlinkError> {
    const NAME: u16 = 1;
    // No tag of ours is that long, and the kernel has no such names.
    if tag.is_empty() || tag.len() >= 256 {
        return Ok(None);
    }
    match socket.request(message(GET_TABLE, 0).text(NAME, tag)) {
        Ok(replies) => Ok(replies.iter().find_map(Standing::read)),
        Err(e) if e.errno == Errno::NOENT => Ok(None),
        Err(e) => Err(e),
    }
}

/// Removes a table with all that is in it: that very one, by its number.
///
/// # Errors
/// If it is held by another socket, or what else the kernel refuses.
pub(crate) fn remove(socket: &mut Socket, table: &Standing) -> Result<(), NetlinkError> {
    const HANDLE: u16 = 4;
    match socket.batch(SUBSYSTEM, vec![message(DELETE_TABLE, 0).be64(HANDLE, table.handle)]) {
        Err(e) if e.errno != Errno::NOENT => Err(e),
        _ => Ok(()),
    }
}

/// What the rules of a table have seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// How many rules there are.
    pub(crate) rules: usize,
    /// How many packets met a rule that counts.
    pub(crate) packets: u64,
}

/// Reads the counters of a table. `None`: there is none of ours.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn seen(socket: &mut Socket, tag: &str) -> Result<Option<Seen>, NetlinkError> {
    const TABLE: u16 = 1;
    const EXPRESSIONS: u16 = 4;
    if !named(socket, tag)?.is_some_and(|table| table.is_ours()) {
        return Ok(None);
    }
    let rules = socket.list(&message(GET_RULE, 0).text(TABLE, tag))?;
    let rules: Vec<&Reply> = rules.iter().filter(|r| r.attributes(FIXED).get(TABLE).and_then(|a| a.text()) == Some(tag)).collect();
    let counted =
        |rule: &&Reply| -> u64 { rule.attributes(FIXED).within(EXPRESSIONS).filter_map(|e| expression::packets(e.nested())).sum() };
    Ok(Some(Seen { rules: rules.len(), packets: rules.iter().map(counted).sum() }))
}

/// A socket for all of this, in the namespace of this thread.
///
/// # Errors
/// If the kernel has no nfnetlink.
pub(crate) fn open() -> Result<Socket, NetlinkError> {
    Socket::open(Protocol::Netfilter)
}
