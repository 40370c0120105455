//! Network interfaces: found by name or index, and `ifb` devices made and removed.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::netlink::{CREATE, EXCLUSIVE, Message, NetlinkError, Protocol, Reply, Socket, u32_at};

const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const GET_LINK: u16 = 18;

const ATTRIBUTE_NAME: u16 = 3;
const ATTRIBUTE_MTU: u16 = 4;
const ATTRIBUTE_BELOW: u16 = 5;
const ATTRIBUTE_MASTER: u16 = 10;
const ATTRIBUTE_LINK_INFO: u16 = 18;
const ATTRIBUTE_ALIAS: u16 = 20;
const INFO_KIND: u16 = 1;
const ATTRIBUTE_FAMILIES: u16 = 26;
const ATTRIBUTE_NAMESPACE_BELOW: u16 = 37;
const FAMILY_IPV6: u16 = 10;
const IPV6_ADDRESSES: u16 = 8;
/// `IN6_ADDR_GEN_MODE_NONE`.
const NO_ADDRESSES: u8 = 1;

/// `struct ifinfomsg`.
const FIXED: usize = 16;
const UP: u32 = 0x1;
const LOOPBACK: u32 = 0x8;

/// The longest name of an interface, in bytes.
pub(crate) const NAME_MAX: usize = 15;

/// How often it is looked whether a device is gone.
const LOOK_EVERY: Duration = Duration::from_micros(200);
/// A device that is still there by then stays.
const PATIENCE: Duration = Duration::from_secs(10);

/// One interface as it was when looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    /// Its number in its namespace.
    pub(crate) index: u32,
    /// Its name.
    pub(crate) name: String,
    /// What a person, or we, wrote on it.
    pub(crate) alias: Option<String>,
    /// What made it: `veth`, `ifb`, `bridge`. None: a device of hardware, or `lo`.
    pub(crate) kind: Option<String>,
    /// Does it carry anything?
    pub(crate) up: bool,
    /// What is sent on it arrives on it.
    pub(crate) loopback: bool,
    /// The longest packet, in bytes.
    pub(crate) mtu: u32,
    /// The device that it is a port of: a bridge, a bond.
    pub(crate) master: Option<u32>,
    /// The device of this namespace that it stands on, as a `vlan` or `macvlan` does; the other end of a `veth`.
    pub(crate) below: Option<u32>,
}

impl Link {
    fn read(reply: &Reply) -> Option<Self> {
        if reply.kind != NEW_LINK {
            return None;
        }
        let flags = u32_at(&reply.body, 8)?;
        let attributes = reply.attributes(FIXED);
        let text = |kind| attributes.get(kind).and_then(|a| a.text().map(str::to_owned));
        let below = attributes.get(ATTRIBUTE_BELOW).and_then(|a| a.u32());
        Some(Self {
            index: u32_at(&reply.body, 4)?,
            name: text(ATTRIBUTE_NAME)?,
            alias: text(ATTRIBUTE_ALIAS),
            kind: attributes.within(ATTRIBUTE_LINK_INFO).get(INFO_KIND).and_then(|a| a.text().map(str::to_owned)),
            up: flags & UP != 0,
            loopback: flags & LOOPBACK != 0,
            mtu: attributes.get(ATTRIBUTE_MTU).and_then(|a| a.u32()).unwrap_or(0),
            master: attributes.get(ATTRIBUTE_MASTER).and_then(|a| a.u32()),
            below: below.filter(|_| attributes.get(ATTRIBUTE_NAMESPACE_BELOW).is_none()),
        })
    }
}

fn fixed(index: u32, flags: u32, change: u32) -> Vec<u8> {
    [&[0; 4][..], &index.to_ne_bytes(), &flags.to_ne_bytes(), &change.to_ne_bytes()].concat()
}

/// All of them.
///
/// # Errors
/// If they cannot be listed.
pub(crate) fn all(socket: &mut Socket) -> Result<Vec<Link>, NetlinkError> {
    let replies = socket.list(&Message::new(GET_LINK, 0).fixed(&fixed(0, 0, 0)))?;
    Ok(replies.iter().filter_map(Link::read).collect())
}

/// The one of this name, if there is one.
///
/// # Errors
/// If the kernel cannot be asked.
pub(crate) fn by_name(socket: &mut Socket, name: &str) -> Result<Option<Link>, NetlinkError> {
    if name.is_empty() || name.len() > NAME_MAX {
        return Ok(None);
    }
    one(socket, Message::new(GET_LINK, 0).fixed(&fixed(0, 0, 0)).text(ATTRIBUTE_NAME, name))
}

/// The one of this number, if there is one.
///
/// # Errors
/// If the kernel cannot be asked.
pub(crate) fn by_index(socket: &mut Socket, index: u32) -> Result<Option<Link>, NetlinkError> {
    one(socket, Message::new(GET_LINK, 0).fixed(&fixed(index, 0, 0)))
}

fn one(socket: &mut Socket, message: Message) -> Result<Option<Link>, NetlinkError> {
    match socket.request(message) {
        Ok(replies) => Ok(replies.iter().find_map(Link::read)),
        Err(e) if e.errno == Errno::NODEV => Ok(None),
        Err(e) => Err(e),
    }
}

/// Makes an `ifb` device, with an alias, and takes it up: in one system call, so that no half of it is left by whoever dies meanwhile.
///
/// # Errors
/// If there is one of this name, the kernel has no such devices, or may not be asked.
pub(crate) fn create_ifb(socket: &mut Socket, name: &str, alias: &str) -> Result<(), NetlinkError> {
    // The kernel goes on after a refusal: somebody else's device of this name would get our alias.
    if by_name(socket, name)?.is_some() {
        return Err(Errno::EXIST.into());
    }
    let make = Message::new(NEW_LINK, CREATE | EXCLUSIVE)
        .fixed(&fixed(0, 0, 0))
        .text(ATTRIBUTE_NAME, name)
        .nested(ATTRIBUTE_LINK_INFO, |m| m.text(INFO_KIND, "ifb"));
    // Both are only taken of a device that exists, and addresses are made when it goes up: nobody speaks IPv6 to this one.
    let mark = Message::new(NEW_LINK, 0).fixed(&fixed(0, 0, 0)).text(ATTRIBUTE_NAME, name).text(ATTRIBUTE_ALIAS, alias);
    let mute = Message::new(NEW_LINK, 0)
        .fixed(&fixed(0, 0, 0))
        .text(ATTRIBUTE_NAME, name)
        .nested(ATTRIBUTE_FAMILIES, |m| m.nested(FAMILY_IPV6, |m| m.u8(IPV6_ADDRESSES, NO_ADDRESSES)));
    let up = Message::new(NEW_LINK, 0).fixed(&fixed(0, UP, UP)).text(ATTRIBUTE_NAME, name);
    match socket.together(vec![make, mark, mute, up]) {
        // A kernel without IPv6 has nothing to be muted; of what came after that, the device itself tells.
        Err(e) if e.errno == Errno::AFNOSUPPORT && by_name(socket, name)?.is_some_and(|l| l.up) => Ok(()),
        done => done.map(drop),
    }
}

/// Takes it up or down, as somebody else would.
///
/// # Errors
/// If it does not exist or may not be changed.
#[cfg(test)]
pub(crate) fn set_up(socket: &mut Socket, index: u32, up: bool) -> Result<(), NetlinkError> {
    let flags = if up { UP } else { 0 };
    socket.request(Message::new(NEW_LINK, 0).fixed(&fixed(index, flags, UP))).map(drop)
}

/// Removes it, with all that hangs on it. `false`: there was none.
///
/// # Errors
/// If it may not be removed.
pub(crate) fn delete(socket: &mut Socket, index: u32) -> Result<bool, NetlinkError> {
    match socket.request(Message::new(DELETE_LINK, 0).fixed(&fixed(index, 0, 0))) {
        Ok(_) => Ok(true),
        Err(e) if e.errno == Errno::NODEV => Ok(false),
        Err(e) => Err(e),
    }
}

/// May this thread change the network of its namespace? Asked by the removal of what does not exist.
///
/// # Errors
/// If it may not (CAP_NET_ADMIN), or the kernel cannot be asked.
pub(crate) fn may_change(socket: &mut Socket) -> Result<(), NetlinkError> {
    delete(socket, i32::MAX.unsigned_abs()).map(drop)
}

/// A device that is being removed, on a thread of its own.
///
/// It is gone for everybody long before the kernel has let go of its memory and answers (tens of milliseconds).
#[derive(Debug)]
pub(crate) struct Deletion {
    index: u32,
    told: Receiver<Result<bool, NetlinkError>>,
}

impl Deletion {
    /// As [`delete`], in the namespace of this thread.
    pub(crate) fn begin(index: u32) -> Self {
        let (tell, told) = channel();
        let teller = tell.clone();
        // Whoever has seen that it is gone does not listen any more.
        let thread = std::thread::Builder::new().name("chaos-net".into()).spawn(move || drop(teller.send(delete_here(index))));
        if thread.is_err() {
            // Where no thread can be had, it takes as long as it takes.
            drop(tell.send(delete_here(index)));
        }
        Self { index, told }
    }

    /// Until it is gone.
    ///
    /// # Errors
    /// If it may not be removed, or is still there after [`PATIENCE`].
    pub(crate) fn wait(&self, socket: &mut Socket) -> Result<(), NetlinkError> {
        let until = Instant::now() + PATIENCE;
        loop {
            let told = self.told.recv_timeout(LOOK_EVERY);
            if by_index(socket, self.index)?.is_none() {
                return Ok(());
            }
            match told {
                Ok(Err(error)) => return Err(error),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(NetlinkError::words(Errno::SRCH, "whoever was to remove it has ended"));
                }
                _ if Instant::now() > until => return Err(NetlinkError::words(Errno::TIMEDOUT, "it is still there")),
                _ => {}
            }
        }
    }
}

fn delete_here(index: u32) -> Result<bool, NetlinkError> {
    Socket::open(Protocol::Route).and_then(|mut socket| delete(&mut socket, index))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::testing::elsewhere;

    #[test]
    fn whoever_waits_for_a_device_to_go_does_not_wait_for_ever() {
        let Some(there) = elsewhere("whoever_waits_for_a_device_to_go_does_not_wait_for_ever") else { return };
        there.run(|| {
            let mut socket = Socket::open(Protocol::Route).expect("a socket");
            create_ifb(&mut socket, "chaos0", "chaos-a-1").expect("a device");
            let index = by_name(&mut socket, "chaos0").expect("asked").expect("it stands").index;
            // Its thread has ended without a word.
            let abandoned = Deletion { index, told: channel().1 };
            assert_eq!(abandoned.wait(&mut socket).expect_err("it stands").errno, Errno::SRCH);
            Deletion::begin(index).wait(&mut socket).expect("removed");
            abandoned.wait(&mut socket).expect("it is gone");
        });
    }
}
