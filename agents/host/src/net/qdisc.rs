//! Queueing disciplines: what stands at the root of an interface or before its hooks, and ours at the root of our own devices.

pub(crate) mod distribution;
mod netem;
mod tbf;

#[cfg(test)]
mod tests;

pub(crate) use distribution::Distribution;
pub(crate) use netem::{Burst, Netem};
pub(crate) use tbf::Tbf;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::netlink::{CREATE, ECHO, EXCLUSIVE, Message, NetlinkError, Reply, Socket, u32_at};

const NEW_QDISC: u16 = 36;
const DELETE_QDISC: u16 = 37;
const GET_QDISC: u16 = 38;

pub(super) const KIND: u16 = 1;
pub(super) const OPTIONS: u16 = 2;
const STATISTICS: u16 = 7;

/// `struct tcmsg`.
pub(super) const FIXED: usize = 20;

/// `TC_H_ROOT`: what an interface sends goes through it.
const ROOT: u32 = 0xFFFF_FFFF;
/// `TC_H_CLSACT`, `TC_H_INGRESS`: the place of the hooks.
pub(super) const HOOKS: u32 = 0xFFFF_FFF1;
/// The handle of whatever stands there.
const HOOKS_HANDLE: u32 = 0xFFFF_0000;
/// The handle of ours at the root of our own devices.
const OWN_HANDLE: u32 = 0x0001_0000;

/// `struct tcmsg`.
pub(super) fn fixed(index: u32, handle: u32, parent: u32, info: u32) -> Vec<u8> {
    [&[0; 4][..], &index.to_ne_bytes(), &handle.to_ne_bytes(), &parent.to_ne_bytes(), &info.to_ne_bytes()].concat()
}

/// A discipline of ours, with its options.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Discipline {
    /// Delays, loses, doubles, damages, reorders.
    Netem(Netem),
    /// Lets pass so many bytes a second.
    Tbf(Tbf),
}

impl Discipline {
    /// As the kernel calls it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Netem(_) => "netem",
            Self::Tbf(_) => "tbf",
        }
    }

    fn message(&self, flags: u16, index: u32) -> Message {
        let message = Message::new(NEW_QDISC, flags).fixed(&fixed(index, OWN_HANDLE, ROOT, 0)).text(KIND, self.kind());
        match self {
            Self::Netem(netem) => message.bytes(OPTIONS, &netem.options()),
            Self::Tbf(tbf) => message.nested(OPTIONS, |m| tbf.options(m)),
        }
    }

    /// For people.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Netem(netem) => format!("netem {}", netem.words()),
            Self::Tbf(tbf) => format!("tbf {}", tbf.words()),
        }
    }

    /// What whoever reads the plan may not expect.
    pub(crate) fn surprise(&self) -> Option<String> {
        match self {
            Self::Netem(_) => None,
            Self::Tbf(tbf) => tbf.wide_at_first(),
        }
    }

    /// Is what stands there this, whatever a ramp may have made of the strength?
    pub(crate) fn is(&self, standing: &Standing) -> bool {
        standing.kind == self.kind()
            && match self {
                Self::Netem(netem) => netem.is(&standing.options),
                Self::Tbf(tbf) => tbf.is(&standing.options),
            }
    }
}

/// Puts one at the root of a device of ours.
///
/// # Errors
/// If the kernel does not know it, or refuses.
pub(crate) fn put(socket: &mut Socket, index: u32, discipline: &Discipline) -> Result<(), NetlinkError> {
    socket.request(discipline.message(CREATE | EXCLUSIVE, index)).map(drop)
}

/// Changes the options of the one that stands there: what waits in it goes on waiting as before.
///
/// # Errors
/// If there is none of that kind.
pub(crate) fn change(socket: &mut Socket, index: u32, discipline: &Discipline) -> Result<(), NetlinkError> {
    socket.request(discipline.message(0, index)).map(drop)
}

/// What stands somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    /// As the kernel calls it.
    pub(crate) kind: String,
    /// Its options, as the kernel says them.
    pub(crate) options: Vec<u8>,
    /// How many packets wait in it.
    pub(crate) waiting: u32,
}

impl Standing {
    fn read(reply: &Reply) -> Option<Self> {
        const QUEUE: u16 = 3;
        let attributes = reply.attributes(FIXED);
        (reply.kind == NEW_QDISC).then_some(())?;
        Some(Self {
            kind: attributes.get(KIND)?.text()?.to_owned(),
            options: attributes.get(OPTIONS).map(|a| a.value.to_vec()).unwrap_or_default(),
            waiting: attributes.within(STATISTICS).get(QUEUE).and_then(|a| u32_at(a.value, 0)).unwrap_or(0),
        })
    }
}

/// What stands at the root of an interface. `None`: nothing that the kernel tells of, or no such interface.
///
/// # Errors
/// If the kernel cannot be asked.
pub(crate) fn at_root(socket: &mut Socket, index: u32) -> Result<Option<Standing>, NetlinkError> {
    at(socket, index, ROOT)
}

/// What stands before the hooks of an interface: `clsact`, or the older `ingress`, which has one hook alone.
///
/// # Errors
/// If the kernel cannot be asked.
pub(crate) fn at_hooks(socket: &mut Socket, index: u32) -> Result<Option<Standing>, NetlinkError> {
    at(socket, index, HOOKS)
}

/// Without the echo the kernel would tell everybody but us.
fn at(socket: &mut Socket, index: u32, parent: u32) -> Result<Option<Standing>, NetlinkError> {
    match socket.request(Message::new(GET_QDISC, ECHO).fixed(&fixed(index, 0, parent, 0))) {
        Ok(replies) => Ok(replies.iter().find_map(Standing::read)),
        Err(e) if [Errno::NOENT, Errno::NODEV, Errno::INVAL].contains(&e.errno) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Asks for the hooks of an interface, where there are none yet.
pub(crate) fn hooks(index: u32) -> Message {
    Message::new(NEW_QDISC, CREATE | EXCLUSIVE).fixed(&fixed(index, HOOKS_HANDLE, HOOKS, 0)).text(KIND, "clsact")
}

/// Removes the hooks of an interface, with every filter on them. `false`: there were none.
///
/// # Errors
/// If the kernel refuses.
pub(crate) fn remove_hooks(socket: &mut Socket, index: u32) -> Result<bool, NetlinkError> {
    match socket.request(Message::new(DELETE_QDISC, 0).fixed(&fixed(index, HOOKS_HANDLE, HOOKS, 0)).text(KIND, "clsact")) {
        Ok(_) => Ok(true),
        Err(e) if [Errno::NOENT, Errno::NODEV, Errno::INVAL].contains(&e.errno) => Ok(false),
        Err(e) => Err(e),
    }
}
