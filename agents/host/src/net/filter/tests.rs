//! The program says of every packet what the match itself says of it.

use std::net::IpAddr;

use proptest::prelude::*;

use super::assemble::*;
use super::label::TooLong;
use super::{LONGEST, Label, MATCHED, NOT_MATCHED, compile};
use crate::net::flow::{Family, Flow, Match, Network, PortRange, Protocol, Way};
use crate::net::hook::{self, Hook};
use crate::net::netlink::{self, Socket};
use crate::net::testing::elsewhere;
use crate::net::{link, qdisc};

/// What the kernel's interpreter would do with a packet that begins with its network header.
fn run(program: &[Instruction], ethertype: u16, vlan: bool, packet: &[u8]) -> u32 {
    let (mut a, mut x, mut memory, mut at) = (0u32, 0u32, [0u32; 16], 0usize);
    loop {
        let i = program[at];
        at += 1;
        let load = |place: u32, size: usize| -> Option<u32> {
            match place {
                ETHERTYPE => return Some(ethertype.into()),
                VLAN_PRESENT => return Some(vlan.into()),
                _ => {}
            }
            let place = usize::try_from(place.wrapping_sub(NETWORK)).ok()?;
            Some(packet.get(place..place.checked_add(size)?)?.iter().fold(0, |n, byte| n << 8 | u32::from(*byte)))
        };
        let loaded = match i.code {
            LD_WORD => load(i.k, 4),
            LD_HALF => load(i.k, 2),
            LD_BYTE => load(i.k, 1),
            LD_HALF_AT_INDEX => load(i.k.wrapping_add(x), 2),
            LD_BYTE_AT_INDEX => load(i.k.wrapping_add(x), 1),
            LD_NUMBER => Some(i.k),
            LD_MEMORY => Some(memory[i.k as usize]),
            ADD => Some(a.wrapping_add(i.k)),
            ADD_INDEX => Some(a.wrapping_add(x)),
            AND => Some(a & i.k),
            SHIFT_LEFT => Some(a << i.k),
            _ => {
                let branch = |yes: bool| usize::from(if yes { i.jt } else { i.jf });
                match i.code {
                    LDX_MEMORY => x = memory[i.k as usize],
                    STORE => memory[i.k as usize] = a,
                    JUMP => at += i.k as usize,
                    IF_EQUAL => at += branch(a == i.k),
                    IF_GREATER => at += branch(a > i.k),
                    IF_AT_LEAST => at += branch(a >= i.k),
                    ANSWER => return i.k,
                    other => panic!("{other:#x} is no instruction that we write"),
                }
                continue;
            }
        };
        // What lies outside of the packet ends the program with nothing matched.
        let Some(loaded) = loaded else { return NOT_MATCHED };
        a = loaded;
    }
}

/// A packet, before it is bytes.
#[derive(Debug, Clone)]
struct Packet {
    from: IpAddr,
    to: IpAddr,
    protocol: Protocol,
    /// The type of a message of ICMP.
    says: u8,
    from_port: u16,
    to_port: u16,
    /// Words of options (version 4), or kinds of extension headers (version 6) with their length.
    options: Vec<(u8, u8)>,
    /// Offset of this fragment, in units of eight bytes. None: it is whole.
    fragment: Option<u16>,
    vlan: bool,
}

impl Packet {
    fn family(&self) -> Family {
        Family::of(self.from)
    }

    fn bytes(&self) -> Vec<u8> {
        let later = self.fragment.is_some_and(|f| f > 0);
        let body = match (later, self.protocol) {
            (true, _) => vec![0xAB; 16],
            (false, Protocol::Icmp) => vec![self.says, 0, 0, 0, 0, 0, 0, 0],
            (false, _) => [&self.from_port.to_be_bytes()[..], &self.to_port.to_be_bytes(), &[0; 16]].concat(),
        };
        let number = self.protocol.number(self.family());
        match (self.from, self.to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let options = vec![1; self.options.len().min(10) * 4];
                let length = u8::try_from(5 + options.len() / 4).expect("few options");
                let fragment = self.fragment.unwrap_or(0).to_be_bytes();
                let head = [0x40 | length, 0, 0, 0, 0, 0, fragment[0] | 0x20, fragment[1], 64, number, 0, 0];
                [&head[..], &from.octets(), &to.octets(), &options, &body].concat()
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let mut extensions: Vec<(u8, Vec<u8>)> = Vec::new();
                for (kind, length) in &self.options {
                    extensions.push(match kind % 4 {
                        0 => (0, vec![*length % 3; (usize::from(*length % 3) + 1) * 8]),
                        1 => (43, vec![*length % 3; (usize::from(*length % 3) + 1) * 8]),
                        2 => (60, vec![*length % 3; (usize::from(*length % 3) + 1) * 8]),
                        _ => (51, vec![*length % 5 + 2; (usize::from(*length % 5) + 4) * 4]),
                    });
                }
                if let Some(fragment) = self.fragment {
                    let place = (fragment << 3).to_be_bytes();
                    extensions.push((44, vec![0, 0, place[0], place[1] | 1, 0, 0, 0, 7]));
                }
                let mut next = number;
                let mut behind = body;
                for (kind, mut header) in extensions.into_iter().rev() {
                    header[0] = next;
                    next = kind;
                    behind = [header, behind].concat();
                }
                [&[0x60, 0, 0, 0, 0, 0, next, 64][..], &from.octets(), &to.octets(), &behind].concat()
            }
            _ => unreachable!("both ends speak the same version"),
        }
    }
}

/// The match, word by word.
fn belongs(packet: &Packet, flow: &Flow, way: Way) -> bool {
    let (from, to) = ((packet.from, packet.from_port), (packet.to, packet.to_port));
    let ((own, own_port), (peer, peer_port)) = if way == Way::Out { (from, to) } else { (to, from) };
    let bears_ports = packet.protocol.has_ports() && packet.fragment.is_none_or(|f| f == 0);
    let ports = |wanted: &[PortRange], port| wanted.is_empty() || (bears_ports && wanted.iter().any(|r| r.contains(port)));
    flow.family.is_none_or(|f| f == packet.family())
        && flow.protocol.is_none_or(|p| p == packet.protocol)
        && (flow.peers.is_empty() || flow.peers.iter().any(|n| n.contains(peer)))
        && (flow.own.is_empty() || flow.own.iter().any(|n| n.contains(own)))
        && ports(&flow.peer_ports, peer_port)
        && ports(&flow.own_ports, own_port)
}

/// Without these there is no link.
fn is_of_neighbours(packet: &Packet) -> bool {
    let is_told = packet.family() == Family::Ipv6 && packet.protocol == Protocol::Icmp && packet.fragment.is_none_or(|f| f == 0);
    is_told && matches!(packet.says, 130..=137 | 143)
}

fn says(packets: &Match, way: Way, packet: &Packet) -> bool {
    !packet.vlan
        && !is_of_neighbours(packet)
        && packets.flows.iter().any(|f| belongs(packet, f, way))
        && !packets.except.iter().any(|f| belongs(packet, f, way))
}

/// Few addresses and ports, so that they meet.
fn addresses(family: Family) -> BoxedStrategy<IpAddr> {
    match family {
        Family::Ipv4 => {
            prop_oneof![(0u8..3, 0u8..3).prop_map(|(a, b)| IpAddr::from([10, a, 0, b])), any::<[u8; 4]>().prop_map(IpAddr::from),].boxed()
        }
        Family::Ipv6 => prop_oneof![
            (0u16..3, 0u16..3).prop_map(|(a, b)| IpAddr::from([0xfd00, a, 0, 0, 0, b, 0, 1])),
            any::<[u8; 16]>().prop_map(IpAddr::from),
        ]
        .boxed(),
    }
}

fn families() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::Ipv4), Just(Family::Ipv6)]
}

fn protocols() -> impl Strategy<Value = Protocol> {
    prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Icmp)]
}

fn ways() -> impl Strategy<Value = Way> {
    prop_oneof![Just(Way::Out), Just(Way::In)]
}

fn networks() -> impl Strategy<Value = Network> {
    (families().prop_flat_map(addresses), 0u8..=128).prop_map(|(address, bits)| Network::new(address, bits))
}

fn port_ranges() -> impl Strategy<Value = Vec<PortRange>> {
    let range = (1u16..6, 0u16..3).prop_map(|(from, more)| PortRange { from, to: from + more });
    prop::collection::vec(range, 0..3)
}

fn flows() -> impl Strategy<Value = Flow> {
    let parts = (
        prop::option::of(families()),
        prop::option::of(protocols()),
        prop::collection::vec(networks(), 0..4),
        prop::collection::vec(networks(), 0..3),
        port_ranges(),
        port_ranges(),
    );
    parts.prop_map(|(family, protocol, peers, own, peer_ports, own_ports)| Flow { family, protocol, peers, peer_ports, own_ports, own })
}

fn matches() -> impl Strategy<Value = Match> {
    (prop::collection::vec(flows(), 1..4), prop::collection::vec(flows(), 0..3)).prop_map(|(flows, except)| Match { flows, except })
}

fn packets() -> impl Strategy<Value = Packet> {
    let ends = families().prop_flat_map(|f| (addresses(f), addresses(f)));
    let options = prop::collection::vec((any::<u8>(), any::<u8>()), 0..5);
    let fragment = prop_oneof![3 => Just(None), 1 => Just(Some(0)), 1 => (1u16..100).prop_map(Some)];
    let says = prop_oneof![Just(8), Just(128), 129u8..=144];
    (ends, (protocols(), says), 1u16..9, 1u16..9, options, fragment, prop::bool::weighted(0.05)).prop_map(
        |((from, to), (protocol, says), from_port, to_port, options, fragment, vlan)| Packet {
            from,
            to,
            protocol,
            says,
            from_port,
            to_port,
            options,
            fragment,
            vlan,
        },
    )
}

fn ethertype(packet: &Packet) -> u16 {
    if packet.family() == Family::Ipv4 { 0x0800 } else { 0x86DD }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_program_says_what_the_match_says(wanted in matches(), way in ways(), packets in prop::collection::vec(packets(), 1..20)) {
        let program = compile(&wanted, way);
        for packet in packets {
            let answer = run(&program, ethertype(&packet), packet.vlan, &packet.bytes());
            let expected = if says(&wanted, way, &packet) { MATCHED } else { NOT_MATCHED };
            prop_assert_eq!(answer, expected, "{:?}", packet);
        }
    }

    #[test]
    fn what_is_no_packet_never_leads_astray(wanted in matches(), way in ways(), bytes in prop::collection::vec(any::<u8>(), 0..80), ethertype: u16) {
        let program = compile(&wanted, way);
        for ethertype in [ethertype, 0x0800, 0x86DD] {
            run(&program, ethertype, false, &bytes);
        }
    }

    #[test]
    fn a_program_says_whose_it_is(wanted in matches(), way in ways(), tag in "[a-z0-9.-]{1,40}", at: usize) {
        let label = Label { tag, way, packets: wanted };
        let mut program = label.program().expect("short enough");
        prop_assert_eq!(Label::of(&program), Some(label));
        // Damage is no reason to panic.
        let length = program.len();
        program[at % length] ^= 1;
        let _ = Label::of(&program);
        let _ = Label::of(&program[..at % length]);
    }
}

#[test]
fn jumps_lead_forward_within_the_program() {
    let many = |n: u8| (0..n).map(|i| Network::new(IpAddr::from([0xfd00, i.into(), 1, 2, 3, 4, 5, 6]), 128)).collect();
    let wanted = Match { flows: vec![Flow { peers: many(100), ..Flow::default() }], except: Vec::new() };
    let program = compile(&wanted, Way::In);
    assert!(program.len() > 300, "longer than a condition reaches");
    for (at, i) in program.iter().enumerate() {
        let reach = match i.code {
            JUMP => i.k as usize,
            IF_EQUAL | IF_GREATER | IF_AT_LEAST => usize::from(i.jt.max(i.jf)),
            _ => 0,
        };
        assert!(at + reach + 1 < program.len() || i.code == ANSWER, "instruction {at}");
    }
    let last = IpAddr::from([0xfd00, 99, 1, 2, 3, 4, 5, 6]);
    let packet = Packet {
        from: last,
        to: last,
        protocol: Protocol::Udp,
        says: 0,
        from_port: 1,
        to_port: 2,
        options: Vec::new(),
        fragment: None,
        vlan: false,
    };
    assert_eq!(run(&program, 0x86DD, false, &packet.bytes()), MATCHED);
    let flows = (0..40).map(|_| Flow { peers: many(100), ..Flow::default() }).collect();
    let label = Label { tag: "chaos-a-1".into(), way: Way::Out, packets: Match { flows, except: Vec::new() } };
    assert_eq!(label.program(), Err(TooLong));
}

/// What the kernel takes it also tells of, and lets go again.
#[test]
fn the_longest_program_can_be_seen_and_removed() {
    let Some(there) = elsewhere("the_longest_program_can_be_seen_and_removed") else { return };
    let label = |tag: usize, hosts: u16| {
        let peers = (0..hosts).map(|n| Network::new(IpAddr::from([0xfd00, 1, 2, 3, 4, 5, 6, n]), 128)).collect();
        Label { tag: "x".repeat(tag), way: Way::Out, packets: Match { flows: vec![Flow { peers, ..Flow::default() }], except: Vec::new() } }
    };
    let hosts = (1..4096).rev().find(|n| label(0, *n).program().is_ok()).expect("some fit");
    // What is left is filled to the last instruction by the name.
    let tag = (0..200).rev().find(|n| label(*n, hosts).program().is_ok()).expect("some fit");
    let program = label(tag, hosts).program().expect("the longest");
    assert_eq!(program.len(), LONGEST * Instruction::SIZE);
    there.run(|| {
        let mut socket = Socket::open(netlink::Protocol::Route).expect("a socket");
        let lo = link::by_name(&mut socket, "lo").expect("asked").expect("a loopback").index;
        socket.request(qdisc::hooks(lo)).expect("its hooks");
        hook::put(&mut socket, lo, Hook::Egress, u16::MAX, &program, lo).expect("taken");
        let standing = hook::filters(&mut socket, lo, Hook::Egress).expect("listed");
        assert_eq!(standing.iter().map(|f| &f.program).collect::<Vec<_>>(), [&program]);
        hook::remove(&mut socket, lo, Hook::Egress, &standing[0], &standing).expect("removed");
        assert_eq!(hook::filters(&mut socket, lo, Hook::Egress).expect("listed"), Vec::new());
    });
}
