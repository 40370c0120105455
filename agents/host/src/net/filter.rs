//! A match as a program of the classic packet filter, which every kernel's `cls_bpf` runs: both versions of the internet protocol, networks,
//! port ranges, extension headers, fragments and exemptions in one.
//!
//! Behind its last answer the program carries, in instructions that are never reached, whose it is and what it matches. The kernel gives
//! them back as they were, so that a filter is known for ours, and can be compared with others, by itself: journal or not.

mod assemble;
mod label;

#[cfg(test)]
mod tests;

pub(crate) use assemble::Instruction;
pub(crate) use label::Label;

use assemble::{Assembler, Target};

use super::flow::{Family, Flow, Match, Network, PortRange, Protocol, Way};

/// The kernel takes 4,096 instructions (`BPF_MAXINSNS`), but tells of a filter in one message of at most 32,448 bytes: a longer program
/// could be put somewhere, and then neither be seen nor be removed.
const LONGEST: usize = 3_900;

/// What a matched packet answers; any other number than zero would do.
const MATCHED: u32 = u32::MAX;
const NOT_MATCHED: u32 = 0;

const ETHERTYPE_IPV4: u32 = 0x0800;
const ETHERTYPE_IPV6: u32 = 0x86DD;

/// Words of memory: what is carried, where its header begins, and whether this is a fragment behind the first.
const CARRIED: u32 = 0;
const HEADER: u32 = 1;
const LATER_FRAGMENT: u32 = 2;

/// How many extension headers of IPv6 are looked behind. The standard order (RFC 8200, 4.1) has no more.
const EXTENSIONS: usize = 8;

/// The program for what goes one way.
fn compile(packets: &Match, way: Way) -> Vec<Instruction> {
    let mut a = Assembler::default();
    if packets.flows.is_empty() {
        a.answer(NOT_MATCHED);
        return a.finish();
    }
    let (ipv4, ipv6, matched, other) = (a.target(), a.target(), a.target(), a.target());
    // What bears a tag of a virtual network is seen again without it, on the interface of that network: once is enough.
    a.load_vlan_present();
    a.unless_equal(0, other);
    a.load_ethertype();
    a.if_equal(ETHERTYPE_IPV4, ipv4);
    a.if_equal(ETHERTYPE_IPV6, ipv6);
    a.jump(other);
    a.place(ipv4);
    ipv4_headers(&mut a);
    compare(&mut a, packets, way, Family::Ipv4, matched, other);
    a.place(ipv6);
    ipv6_headers(&mut a);
    except_neighbours(&mut a, other);
    compare(&mut a, packets, way, Family::Ipv6, matched, other);
    a.place(matched);
    a.answer(MATCHED);
    a.place(other);
    a.answer(NOT_MATCHED);
    a.finish()
}

fn ipv4_headers(a: &mut Assembler) {
    const PROTOCOL: u32 = 9;
    const FLAGS_AND_OFFSET: u32 = 6;
    a.load_byte(PROTOCOL);
    a.store(CARRIED);
    a.load_byte(0);
    a.and(0x0F);
    a.shift_left(2);
    a.store(HEADER);
    a.load_half(FLAGS_AND_OFFSET);
    a.and(0x1FFF);
    a.store(LATER_FRAGMENT);
}

fn ipv6_headers(a: &mut Assembler) {
    const NEXT_HEADER: u32 = 6;
    const LENGTH: u32 = 40;
    const HOP_BY_HOP: u32 = 0;
    const ROUTING: u32 = 43;
    const FRAGMENT: u32 = 44;
    const AUTHENTICATION: u32 = 51;
    const DESTINATION_OPTIONS: u32 = 60;
    a.load_byte(NEXT_HEADER);
    a.store(CARRIED);
    a.load_number(LENGTH);
    a.store(HEADER);
    a.load_number(0);
    a.store(LATER_FRAGMENT);
    let done = a.target();
    for _ in 0..EXTENSIONS {
        let (options, fragment, authentication, next) = (a.target(), a.target(), a.target(), a.target());
        a.load(CARRIED);
        for kind in [HOP_BY_HOP, ROUTING, DESTINATION_OPTIONS] {
            a.if_equal(kind, options);
        }
        a.if_equal(FRAGMENT, fragment);
        a.if_equal(AUTHENTICATION, authentication);
        a.jump(done);
        a.place(options);
        behind(a, 1, 3);
        a.jump(next);
        a.place(authentication);
        behind(a, 2, 2);
        a.jump(next);
        a.place(fragment);
        let first = a.target();
        a.load_index(HEADER);
        a.load_byte_at_index(0);
        a.store(CARRIED);
        a.load_half_at_index(2);
        a.and(0xFFF8);
        a.if_equal(0, first);
        a.store(LATER_FRAGMENT);
        a.jump(done);
        a.place(first);
        a.load_number(8);
        a.add_index();
        a.store(HEADER);
        a.place(next);
    }
    a.place(done);
}

/// By ICMPv6 neighbours find one another (133 to 137) and tell switches which groups they listen to (130 to 132, 143): without these
/// nothing at all would pass the link, whatever was meant.
fn except_neighbours(a: &mut Assembler, other: Target) {
    let next = a.target();
    a.load(CARRIED);
    a.unless_equal(Protocol::Icmp.number(Family::Ipv6).into(), next);
    a.load(LATER_FRAGMENT);
    a.unless_equal(0, next);
    a.load_index(HEADER);
    a.load_byte_at_index(0);
    a.if_between(130, 137, other);
    a.if_equal(143, other);
    a.place(next);
}

/// Behind an extension header whose second byte says how many units of `2^shift` bytes it has beside the first `more`.
fn behind(a: &mut Assembler, more: u32, shift: u32) {
    a.load_index(HEADER);
    a.load_byte_at_index(0);
    a.store(CARRIED);
    a.load_byte_at_index(1);
    a.add(more);
    a.shift_left(shift);
    a.add_index();
    a.store(HEADER);
}

fn compare(a: &mut Assembler, packets: &Match, way: Way, family: Family, matched: Target, other: Target) {
    for (flows, then) in [(&packets.except, other), (&packets.flows, matched)] {
        for flow in flows.iter().filter(|f| f.families().contains(&family)) {
            let next = a.target();
            compare_flow(a, flow, way, family, next);
            a.jump(then);
            a.place(next);
        }
    }
    a.jump(other);
}

/// Goes on if the flow fits, and to `next` if not.
fn compare_flow(a: &mut Assembler, flow: &Flow, way: Way, family: Family, next: Target) {
    let carried: Vec<Protocol> = match flow.protocol {
        Some(protocol) => vec![protocol],
        None if flow.has_ports() => vec![Protocol::Tcp, Protocol::Udp],
        None => Vec::new(),
    };
    one_of(a, &carried, next, |a, protocol, fits| {
        a.load(CARRIED);
        a.if_equal(protocol.number(family).into(), fits);
    });
    let (source, destination) = if family == Family::Ipv4 { (12, 16) } else { (8, 24) };
    let (own, peer) = if way == Way::Out { (source, destination) } else { (destination, source) };
    for (networks, at) in [(&flow.peers, peer), (&flow.own, own)] {
        let networks: Vec<Network> = networks.iter().copied().filter(|n| n.family() == family).collect();
        one_of(a, &networks, next, |a, network, fits| compare_network(a, *network, at, fits));
    }
    if flow.has_ports() {
        a.load(LATER_FRAGMENT);
        a.unless_equal(0, next);
    }
    let (peer_port, own_port) = if way == Way::Out { (2, 0) } else { (0, 2) };
    for (ports, at) in [(&flow.peer_ports, peer_port), (&flow.own_ports, own_port)] {
        if !ports.is_empty() {
            a.load_index(HEADER);
            a.load_half_at_index(at);
        }
        one_of(a, ports, next, |a, range, fits| compare_port(a, *range, fits));
    }
}

/// Goes on if one of them fits, or there are none; else to `next`.
fn one_of<T>(a: &mut Assembler, items: &[T], next: Target, compare: impl Fn(&mut Assembler, &T, Target)) {
    if items.is_empty() {
        return;
    }
    let fits = a.target();
    for item in items {
        compare(a, item, fits);
    }
    a.jump(next);
    a.place(fits);
}

fn compare_network(a: &mut Assembler, network: Network, at: u32, fits: Target) {
    let bytes = match network.address() {
        std::net::IpAddr::V4(address) => address.octets().to_vec(),
        std::net::IpAddr::V6(address) => address.octets().to_vec(),
    };
    let differs = a.target();
    let mut bits = u32::from(network.bits());
    for (word, offset) in bytes.chunks_exact(4).zip((at..).step_by(4)) {
        let same = bits.min(32);
        bits -= same;
        if same == 0 {
            break;
        }
        a.load_word(offset);
        if same < 32 {
            a.and(u32::MAX << (32 - same));
        }
        a.unless_equal(u32::from_be_bytes([word[0], word[1], word[2], word[3]]), differs);
    }
    a.jump(fits);
    a.place(differs);
}

fn compare_port(a: &mut Assembler, range: PortRange, fits: Target) {
    if range.from == range.to {
        a.if_equal(range.from.into(), fits);
    } else {
        a.if_between(range.from.into(), range.to.into(), fits);
    }
}
