//! What a rule is made of: what it asks of a packet, and what becomes of the packet. Each turns into expressions of the kernel's small
//! machine, which loads a part of the packet into a register and compares it (`linux/netfilter/nf_tables.h`).

use std::net::IpAddr;

use crate::net::flow::{Family, Network, PortRange};
use crate::net::netlink::{Attributes, Message};

/// `IPPROTO_TCP`, `IPPROTO_UDP`, `IPPROTO_ICMP`, `IPPROTO_ICMPV6`.
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMP: u8 = 1;
pub(crate) const ICMP6: u8 = 58;

const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const LIST_ELEMENT: u16 = 1;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;

/// `NFT_REG_1`: sixteen bytes, all that is ever compared here.
const REGISTER: u32 = 1;
/// `NFT_REG_VERDICT`.
const VERDICT_REGISTER: u32 = 0;

const META_MARK: u32 = 3;
const META_IN_INTERFACE: u32 = 6;
const META_OUT_INTERFACE: u32 = 7;
const META_FAMILY: u32 = 15;
const META_PROTOCOL: u32 = 16;

const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;

/// In the fourteenth byte of the header of TCP.
const RESET_FLAG: u8 = 0x04;

const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;

/// `IFNAMSIZ`.
const INTERFACE_NAME: usize = 16;
/// `RTN_LOCAL`.
const LOCAL: u32 = 2;

/// One question to a packet. All of a rule must be answered with yes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Match {
    /// It is of this family.
    Family(Family),
    /// It carries this protocol.
    Protocol(u8),
    /// It comes from there.
    Source(Network),
    /// It goes there.
    Destination(Network),
    /// It comes from one of these ports. Only of a packet of a protocol that has ports.
    SourcePort(PortRange),
    /// It goes to one of these ports. Only of a packet of a protocol that has ports.
    DestinationPort(PortRange),
    /// It resets a connection. Only of a packet of TCP.
    Resets,
    /// Its type, of a packet of ICMP, lies between these two.
    IcmpType(u8, u8),
    /// It does not leave by this interface.
    LeavesElsewhere(String),
    /// It arrived on this interface.
    Arrived(String),
    /// It did not arrive on this interface.
    ArrivedElsewhere(String),
    /// It bears this mark: of who sent it (`SO_MARK`), or of [`Then::Void`].
    Mark(u32),
    /// It goes to an address of this very host.
    ToThisHost,
    /// It comes from an address of this very host.
    FromThisHost,
}

impl Match {
    fn write(&self, list: Message) -> Message {
        match self {
            Self::Family(family) => compare(meta(list, META_FAMILY), EQUAL, &[family_number(*family)]),
            Self::Protocol(number) => compare(meta(list, META_PROTOCOL), EQUAL, &[*number]),
            Self::Source(network) => address(list, *network, 12, 8),
            Self::Destination(network) => address(list, *network, 16, 24),
            Self::SourcePort(ports) => port(list, *ports, 0),
            Self::DestinationPort(ports) => port(list, *ports, 2),
            Self::Resets => compare(masked(payload(list, TRANSPORT_HEADER, 13, 1), &[RESET_FLAG]), EQUAL, &[RESET_FLAG]),
            Self::IcmpType(from, to) => range(payload(list, TRANSPORT_HEADER, 0, 1), &[*from], &[*to]),
            Self::LeavesElsewhere(name) => compare(meta(list, META_OUT_INTERFACE), NOT_EQUAL, &padded(name)),
            Self::Arrived(name) => compare(meta(list, META_IN_INTERFACE), EQUAL, &padded(name)),
            Self::ArrivedElsewhere(name) => compare(meta(list, META_IN_INTERFACE), NOT_EQUAL, &padded(name)),
            Self::Mark(mark) => compare(meta(list, META_MARK), EQUAL, &mark.to_ne_bytes()),
            Self::ToThisHost => compare(kind_of_address(list, 1 << 1), EQUAL, &LOCAL.to_ne_bytes()),
            Self::FromThisHost => compare(kind_of_address(list, 1), EQUAL, &LOCAL.to_ne_bytes()),
        }
    }
}

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Then {
    /// It goes on; the rest of this table is not asked.
    Accept,
    /// It is gone. If this very host sent it, its sender is told: a datagram with EPERM, and TCP tries again sooner than it would had it
    /// been lost on its way.
    Drop,
    /// It is gone, and not even its sender on this host knows: it goes to its own source, by way of the loopback interface, with this mark, by
    /// which a rule of [`At::Prerouting`](super::At::Prerouting) drops it. Only in a chain that may change the way of a packet.
    Void(Family, u32),
    /// It is gone, and the sender gets a TCP reset.
    Reset,
    /// It is gone, and the sender is told that nobody is there (ICMP, of either version).
    Unreachable,
    /// The chain of this name is asked, and where it does not decide, the next rule.
    Jump(String),
    /// It goes to this port of this host instead.
    Redirect(u16),
}

impl Then {
    fn write(&self, list: Message) -> Message {
        const ACCEPT: i32 = 1;
        const DROP: i32 = 0;
        const JUMP: i32 = -3;
        const UNREACHABLE: u32 = 2;
        const RESET: u32 = 1;
        const PORT_UNREACHABLE: u8 = 1;
        match self {
            Self::Accept => verdict(list, ACCEPT, None),
            Self::Drop => verdict(list, DROP, None),
            Self::Void(family, mark) => verdict(marked(to_its_source(list, *family), *mark), ACCEPT, None),
            Self::Jump(chain) => verdict(list, JUMP, Some(chain)),
            Self::Reset => expression(list, "reject", |m| m.be32(1, RESET).u8(2, 0)),
            Self::Unreachable => expression(list, "reject", |m| m.be32(1, UNREACHABLE).u8(2, PORT_UNREACHABLE)),
            Self::Redirect(port) => {
                let loaded = expression(list, "immediate", |m| m.be32(1, REGISTER).nested(2, |m| m.bytes(DATA_VALUE, &port.to_be_bytes())));
                expression(loaded, "redir", |m| m.be32(1, REGISTER))
            }
        }
    }
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    /// What it asks.
    pub(crate) when: Vec<Match>,
    /// Are the packets counted that answer yes?
    pub(crate) counted: bool,
    /// What becomes of them.
    pub(crate) then: Then,
}

impl Rule {
    /// A rule that does not count.
    pub(crate) fn new(when: impl Into<Vec<Match>>, then: Then) -> Self {
        Self { when: when.into(), counted: false, then }
    }

    /// The same, and it counts.
    #[must_use]
    pub(crate) fn counted(mut self) -> Self {
        self.counted = true;
        self
    }

    /// Its expressions, as elements of a list.
    pub(super) fn write(&self, list: Message) -> Message {
        let asked = self.when.iter().fold(list, |list, question| question.write(list));
        let counted = if self.counted { expression(asked, "counter", |m| m) } else { asked };
        self.then.write(counted)
    }
}

fn expression(list: Message, name: &str, fill: impl FnOnce(Message) -> Message) -> Message {
    list.nested(LIST_ELEMENT, |m| m.text(EXPRESSION_NAME, name).nested(EXPRESSION_DATA, fill))
}

fn meta(list: Message, key: u32) -> Message {
    expression(list, "meta", |m| m.be32(1, REGISTER).be32(2, key))
}

fn payload(list: Message, base: u32, offset: u32, length: u32) -> Message {
    expression(list, "payload", |m| m.be32(1, REGISTER).be32(2, base).be32(3, offset).be32(4, length))
}

/// Its source becomes its destination.
fn to_its_source(list: Message, family: Family) -> Message {
    const SOURCE_REGISTER: u16 = 5;
    const CHECKSUM: u16 = 6;
    const CHECKSUM_AT: u16 = 7;
    const INTERNET: u32 = 1;
    const OF_V4_AT: u32 = 10;
    let (from, to, length) = match family {
        Family::Ipv4 => (12, 16, 4),
        Family::Ipv6 => (8, 24, 16),
    };
    let loaded = payload(list, NETWORK_HEADER, from, length);
    expression(loaded, "payload", |m| {
        let m = m.be32(SOURCE_REGISTER, REGISTER).be32(2, NETWORK_HEADER).be32(3, to).be32(4, length);
        // The header of version 6 has none.
        if family == Family::Ipv4 { m.be32(CHECKSUM, INTERNET).be32(CHECKSUM_AT, OF_V4_AT) } else { m }
    })
}

fn marked(list: Message, mark: u32) -> Message {
    const SOURCE_REGISTER: u16 = 3;
    let loaded = expression(list, "immediate", |m| m.be32(1, REGISTER).nested(2, |m| m.bytes(DATA_VALUE, &mark.to_ne_bytes())));
    expression(loaded, "meta", |m| m.be32(2, META_MARK).be32(SOURCE_REGISTER, REGISTER))
}

/// Which kind of address its source (1) or destination (2) is to this host.
fn kind_of_address(list: Message, whose: u32) -> Message {
    const KIND_OF_ADDRESS: u32 = 3;
    expression(list, "fib", |m| m.be32(1, REGISTER).be32(2, KIND_OF_ADDRESS).be32(3, whose))
}

fn compare(list: Message, how: u32, value: &[u8]) -> Message {
    expression(list, "cmp", |m| m.be32(1, REGISTER).be32(2, how).nested(3, |m| m.bytes(DATA_VALUE, value)))
}

fn range(list: Message, from: &[u8], to: &[u8]) -> Message {
    let bound = |m: Message, kind, value: &[u8]| m.nested(kind, |m| m.bytes(DATA_VALUE, value));
    expression(list, "range", |m| bound(bound(m.be32(1, REGISTER).be32(2, EQUAL), 3, from), 4, to))
}

fn masked(list: Message, mask: &[u8]) -> Message {
    let length = u32::try_from(mask.len()).unwrap_or(0);
    let zeroes = vec![0; mask.len()];
    expression(list, "bitwise", |m| {
        let m = m.be32(1, REGISTER).be32(2, REGISTER).be32(3, length);
        m.nested(4, |m| m.bytes(DATA_VALUE, mask)).nested(5, |m| m.bytes(DATA_VALUE, &zeroes))
    })
}

/// So many ones, then zeroes.
fn mask(length: usize, ones: u8) -> Vec<u8> {
    let ones_in = |byte: usize| usize::from(ones).saturating_sub(byte * 8).min(8);
    (0..length).map(|byte| u8::try_from(0xFF00u16 >> ones_in(byte) & 0xFF).unwrap_or(0)).collect()
}

/// `NFPROTO_IPV4`, `NFPROTO_IPV6`.
fn family_number(family: Family) -> u8 {
    match family {
        Family::Ipv4 => 2,
        Family::Ipv6 => 10,
    }
}

/// An address of the header of its family: in version 4 at `at_v4`, in version 6 at `at_v6`.
fn address(list: Message, network: Network, at_v4: u32, at_v6: u32) -> Message {
    let of_family = Match::Family(network.family()).write(list);
    let (at, bytes) = match network.address() {
        IpAddr::V4(address) => (at_v4, address.octets().to_vec()),
        IpAddr::V6(address) => (at_v6, address.octets().to_vec()),
    };
    let loaded = payload(of_family, NETWORK_HEADER, at, u32::try_from(bytes.len()).unwrap_or(0));
    let loaded = if network.is_one_address() { loaded } else { masked(loaded, &mask(bytes.len(), network.bits())) };
    compare(loaded, EQUAL, &bytes)
}

fn port(list: Message, ports: PortRange, at: u32) -> Message {
    let loaded = payload(list, TRANSPORT_HEADER, at, 2);
    let (from, to) = (ports.from.to_be_bytes(), ports.to.to_be_bytes());
    if from == to { compare(loaded, EQUAL, &from) } else { range(loaded, &from, &to) }
}

fn verdict(list: Message, code: i32, chain: Option<&str>) -> Message {
    const CODE: u16 = 1;
    const CHAIN: u16 = 2;
    expression(list, "immediate", |m| {
        m.be32(1, VERDICT_REGISTER).nested(2, |m| {
            m.nested(DATA_VERDICT, |m| {
                let m = m.be32(CODE, code.cast_unsigned());
                chain.map_or(m.clone(), |chain| m.text(CHAIN, chain))
            })
        })
    })
}

/// The name of an interface as the kernel compares it: whole.
fn padded(name: &str) -> [u8; INTERFACE_NAME] {
    let mut out = [0; INTERFACE_NAME];
    for (to, from) in out.iter_mut().take(INTERFACE_NAME - 1).zip(name.bytes()) {
        *to = from;
    }
    out
}

/// How many packets an expression has counted. `None`: it does not count.
pub(super) fn packets(expression: Attributes<'_>) -> Option<u64> {
    const PACKETS: u16 = 2;
    let counts = expression.get(EXPRESSION_NAME)?.text()? == "counter";
    if !counts {
        return None;
    }
    expression.within(EXPRESSION_DATA).get(PACKETS)?.be64()
}
