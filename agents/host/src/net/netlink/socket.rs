//! The way to the kernel: requests and their acknowledgements, listings, batches.

use std::collections::BTreeSet;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::sockopt::{Timeout, set_socket_send_buffer_size, set_socket_send_buffer_size_force, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recvfrom, sendto, socket_with};

use super::read::{Attributes, Reply, u32_at};
use super::{HEADER, Message, NetlinkError};

const ACK: u16 = 0x4;
const REQUEST: u16 = 0x1;
/// `NLM_F_ROOT | NLM_F_MATCH`.
const DUMP: u16 = 0x300;
/// The listing changed while it was read.
const DUMP_INTERRUPTED: u16 = 0x10;
/// The error's copy of the request is its header alone.
const CAPPED: u16 = 0x100;
/// Attributes follow that say more of the error.
const ERROR_HAS_ATTRIBUTES: u16 = 0x200;

const ERROR: u16 = 2;
const DONE: u16 = 3;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;

/// No message of the kernel's is longer: it sizes listings by what is read at once.
const BUFFER: usize = 64 * 1024;
/// The kernel answers within the sending; only a broken one would be waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// A listing that is interrupted so often is of something that never stands still.
const LISTING_TRIES: usize = 20;

/// What is spoken to in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Links, addresses, routes, queueing disciplines and filters.
    Route,
    /// nftables, among others.
    Netfilter,
    /// Sockets of everybody: listing and destroying.
    SocketDiagnosis,
}

/// A netlink socket in the network namespace of the thread that opened it, wherever it is used later. What it owns (a table of
/// nftables with an owner) lives as long as it does.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens one.
    ///
    /// # Errors
    /// If the kernel does not speak that protocol.
    pub(crate) fn open(protocol: Protocol) -> Result<Self, NetlinkError> {
        let number = match protocol {
            Protocol::Route => None,
            Protocol::Netfilter => Some(netlink::NETFILTER),
            Protocol::SocketDiagnosis => Some(netlink::SOCK_DIAG),
        };
        let fd = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, number)?;
        bind_to_an_address(&fd, protocol)?;
        set_socket_timeout(&fd, Timeout::Recv, Some(PATIENCE))?;
        // Words with the errors, and errors without a copy of the request. Where the kernel knows neither, errors are numbers.
        for option in [libc::NETLINK_EXT_ACK, libc::NETLINK_CAP_ACK] {
            switch_on(&fd, option);
        }
        if protocol == Protocol::Route {
            // Listings are filtered by the kernel where the request says of what.
            switch_on(&fd, libc::NETLINK_GET_STRICT_CHK);
        }
        Ok(Self { fd, sequence: 0, buffer: vec![0; BUFFER] })
    }

    /// Asks for one thing, and waits until it is done. Gives what was answered beside the acknowledgement.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn request(&mut self, message: Message) -> Result<Vec<Reply>, NetlinkError> {
        self.together(vec![message])
    }

    /// Asks for several things in one system call: they all reach the kernel, whatever happens to us meanwhile. It goes on after one
    /// that failed.
    ///
    /// # Errors
    /// The first that the kernel refused.
    pub(crate) fn together(&mut self, messages: Vec<Message>) -> Result<Vec<Reply>, NetlinkError> {
        let mut waiting = BTreeSet::new();
        let mut bytes = Vec::new();
        for message in &messages {
            let sequence = self.next_sequence();
            waiting.insert(sequence);
            bytes.extend(encoded(message, REQUEST | ACK, sequence)?);
        }
        self.send(&bytes)?;
        let (mut answers, mut first_error) = (Vec::new(), None);
        while !waiting.is_empty() {
            for reply in self.receive(RecvFlags::empty())? {
                match reply.kind {
                    ERROR if waiting.remove(&reply.sequence) => first_error = first_error.or(error_of(&reply).err()),
                    ERROR => {}
                    _ if waiting.contains(&reply.sequence) => answers.push(reply),
                    _ => {}
                }
            }
        }
        first_error.map_or(Ok(answers), Err)
    }

    /// Lists everything of a kind. A listing that changed while it was read is read again.
    ///
    /// # Errors
    /// What the kernel says; or that it never stood still.
    pub(crate) fn list(&mut self, message: &Message) -> Result<Vec<Reply>, NetlinkError> {
        for _ in 0..LISTING_TRIES {
            if let Some(whole) = self.list_once(message)? {
                return Ok(whole);
            }
        }
        Err(NetlinkError::words(Errno::INTR, "the listing changed each time that it was read"))
    }

    fn list_once(&mut self, message: &Message) -> Result<Option<Vec<Reply>>, NetlinkError> {
        let sequence = self.next_sequence();
        self.send(&encoded(message, REQUEST | DUMP, sequence)?)?;
        let (mut answers, mut interrupted) = (Vec::new(), false);
        loop {
            for reply in self.receive(RecvFlags::empty())?.into_iter().filter(|r| r.sequence == sequence) {
                interrupted |= reply.flags & DUMP_INTERRUPTED != 0;
                match reply.kind {
                    DONE => {
                        let code = u32_at(&reply.body, 0).unwrap_or(0).cast_signed();
                        refused(code, reply.attributes(4))?;
                        return Ok((!interrupted).then_some(answers));
                    }
                    ERROR => {
                        error_of(&reply)?;
                        return Ok((!interrupted).then_some(answers));
                    }
                    _ => answers.push(reply),
                }
            }
        }
    }

    /// Asks nfnetlink for several things at once: all of them happen, or none. Gives what was answered beside the acknowledgement
    /// (with `NLM_F_ECHO`).
    ///
    /// # Errors
    /// The first that the kernel refused; then nothing has happened.
    pub(crate) fn batch(&mut self, subsystem: u8, messages: Vec<Message>) -> Result<Vec<Reply>, NetlinkError> {
        self.batched(subsystem, messages, true)
    }

    /// Asks nfnetlink whether it would do several things at once. It tries them all, and takes them back: what has no end is not
    /// committed.
    ///
    /// # Errors
    /// The first that the kernel would refuse.
    pub(crate) fn rehearse(&mut self, subsystem: u8, messages: Vec<Message>) -> Result<(), NetlinkError> {
        self.batched(subsystem, messages, false).map(drop)
    }

    fn batched(&mut self, subsystem: u8, messages: Vec<Message>, committed: bool) -> Result<Vec<Reply>, NetlinkError> {
        let limits = [0, 0, 0, subsystem];
        let first = self.next_sequence();
        let mut bytes = Message::new(BATCH_BEGIN, 0).fixed(&limits).encode(REQUEST, first);
        let count = messages.len();
        for (number, message) in messages.iter().enumerate() {
            // What failed is told in any case; that all went well is told by the last.
            let flags = if number + 1 == count { REQUEST | ACK } else { REQUEST };
            let sequence = self.next_sequence();
            bytes.extend(encoded(message, flags, sequence)?);
        }
        let last = self.sequence;
        let end = self.next_sequence();
        if committed {
            bytes.extend(Message::new(BATCH_END, 0).fixed(&limits).encode(REQUEST, end));
        }
        self.make_room(bytes.len())?;
        self.send(&bytes)?;
        self.batch_answers(first, last, end)
    }

    /// A batch is sent at once or not at all, and a socket takes no more at once than it has room for.
    fn make_room(&self, length: usize) -> Result<(), Errno> {
        /// What the smallest of machines grant every socket.
        const GRANTED: usize = 64 * 1024;
        if length > GRANTED && set_socket_send_buffer_size_force(&self.fd, length).is_err() {
            // Who may not have more than the system's limit has as much.
            set_socket_send_buffer_size(&self.fd, length)?;
        }
        Ok(())
    }

    /// The kernel works the batch off within the sending, so all its answers lie there.
    fn batch_answers(&mut self, first: u32, last: u32, end: u32) -> Result<Vec<Reply>, NetlinkError> {
        let (mut answers, mut first_error, mut done) = (Vec::new(), None, false);
        loop {
            match self.receive(RecvFlags::DONTWAIT) {
                Ok(replies) => {
                    for reply in replies.into_iter().filter(|r| (first..=end).contains(&r.sequence)) {
                        if reply.kind == ERROR {
                            done |= reply.sequence == last;
                            first_error = first_error.or(error_of(&reply).err());
                        } else {
                            answers.push(reply);
                        }
                    }
                }
                Err(e) if e.errno == Errno::AGAIN => break,
                Err(e) => return Err(e),
            }
        }
        match first_error {
            Some(error) => Err(error),
            None if done || first == last => Ok(answers),
            None => Err(NetlinkError::words(Errno::PROTO, "the kernel did not acknowledge the batch")),
        }
    }

    fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    fn send(&self, bytes: &[u8]) -> Result<(), NetlinkError> {
        loop {
            match sendto(&self.fd, bytes, SendFlags::empty(), &SocketAddrNetlink::new(0, 0)) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    fn receive(&mut self, flags: RecvFlags) -> Result<Vec<Reply>, NetlinkError> {
        loop {
            let got = recvfrom(&self.fd, &mut self.buffer[..], flags | RecvFlags::TRUNC);
            let (length, from) = match got {
                Ok((_, length, from)) => (length, from),
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno.into()),
            };
            // Any process may write to us; only the kernel is port 0.
            if from.and_then(|a| SocketAddrNetlink::try_from(a).ok()).is_none_or(|a| a.pid() != 0) {
                continue;
            }
            let whole = self.buffer.get(..length).ok_or_else(|| NetlinkError::words(Errno::MSGSIZE, "the kernel's answer is too long"))?;
            return Reply::all(whole).ok_or_else(|| NetlinkError::words(Errno::PROTO, "the kernel's answer cannot be read"));
        }
    }
}

/// The kernel would give every first socket of a process the same address: its pid. But when a socket closes, nftables removes, perhaps
/// milliseconds later, every table whose owner has its address: also that of another which got the address meanwhile. So those of nftables
/// never have one twice.
fn bind_to_an_address(fd: &OwnedFd, protocol: Protocol) -> Result<(), Errno> {
    /// No process has such a pid.
    const NO_PID: u32 = 1 << 31;
    loop {
        let address = if protocol == Protocol::Netfilter { rand::random::<u32>() | NO_PID } else { 0 };
        match bind(fd, &SocketAddrNetlink::new(address, 0)) {
            Err(Errno::ADDRINUSE) => {}
            done => return done,
        }
    }
}

fn encoded(message: &Message, flags: u16, sequence: u32) -> Result<Vec<u8>, NetlinkError> {
    if message.is_overlong() {
        return Err(NetlinkError::words(Errno::MSGSIZE, "an attribute is longer than 65,535 bytes"));
    }
    Ok(message.encode(flags, sequence))
}

/// What an acknowledgement says: an error's number, a copy of the request's header or of all of it, and perhaps words.
fn error_of(reply: &Reply) -> Result<(), NetlinkError> {
    let code = u32_at(&reply.body, 0).ok_or_else(|| NetlinkError::words(Errno::PROTO, "the kernel's answer is cut off"))?.cast_signed();
    if reply.flags & ERROR_HAS_ATTRIBUTES == 0 {
        return refused(code, Attributes::new(&[]));
    }
    let copied = if reply.flags & CAPPED == 0 { u32_at(&reply.body, 4).unwrap_or(0) as usize } else { HEADER };
    refused(code, reply.attributes(4 + copied))
}

/// A negative number is an error, and attribute 1 says it in words.
fn refused(code: i32, words: Attributes<'_>) -> Result<(), NetlinkError> {
    const WORDS: u16 = 1;
    if code >= 0 {
        return Ok(());
    }
    let text = words.get(WORDS).and_then(|a| a.text().map(str::to_owned)).filter(|t| !t.is_empty());
    Err(NetlinkError { errno: Errno::from_raw_os_error(code.saturating_neg()), text })
}

#[allow(unsafe_code)]
fn switch_on(fd: &OwnedFd, option: libc::c_int) {
    let on: libc::c_int = 1;
    let size = u32::try_from(size_of_val(&on)).unwrap_or(4);
    // SAFETY: the descriptor is open; the kernel reads `size` bytes from a value that lives through the call.
    unsafe {
        libc::setsockopt(fd.as_raw_fd(), libc::SOL_NETLINK, option, (&raw const on).cast(), size);
    }
}
