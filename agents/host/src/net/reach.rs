//! Through which interfaces traffic goes: addresses and routes, as the kernel decides.

use std::collections::BTreeSet;
use std::net::IpAddr;

use rustix::io::Errno;

use super::flow::{Family, Network};
use super::netlink::{Attribute, Message, NetlinkError, Reply, Socket, u32_at};

const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;
const NEW_ROUTE: u16 = 24;
const GET_ROUTE: u16 = 26;

/// `struct ifaddrmsg`.
const ADDRESS_FIXED: usize = 8;
/// `struct rtmsg`.
const ROUTE_FIXED: usize = 12;

/// The kernel's number of a version.
fn number(family: Family) -> u8 {
    match family {
        Family::Ipv4 => 2,
        Family::Ipv6 => 10,
    }
}

fn bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    }
}

fn address(attribute: Attribute<'_>) -> Option<IpAddr> {
    <[u8; 4]>::try_from(attribute.value).map(IpAddr::from).ok().or_else(|| <[u8; 16]>::try_from(attribute.value).map(IpAddr::from).ok())
}

/// Every address of this namespace, with the interface that bears it.
///
/// # Errors
/// If they cannot be listed.
pub(crate) fn addresses(socket: &mut Socket) -> Result<Vec<(u32, IpAddr)>, NetlinkError> {
    const PEER: u16 = 1;
    const LOCAL: u16 = 2;
    let replies = socket.list(&Message::new(GET_ADDRESS, 0).fixed(&[0; ADDRESS_FIXED]))?;
    let read = |reply: &Reply| {
        let attributes = reply.attributes(ADDRESS_FIXED);
        let own = attributes.get(LOCAL).or_else(|| attributes.get(PEER))?;
        Some((u32_at(&reply.body, 4)?, address(own)?))
    };
    Ok(replies.iter().filter(|r| r.kind == NEW_ADDRESS).filter_map(read).collect())
}

/// What is delivered here: every address of this namespace, and whatever else it takes for its own, such as all of `127.0.0.0/8`.
///
/// # Errors
/// If the kernel cannot be asked.
pub(crate) fn own_networks(socket: &mut Socket) -> Result<BTreeSet<Network>, NetlinkError> {
    const LOCAL: u8 = 2;
    let mut own = BTreeSet::new();
    for family in [Family::Ipv4, Family::Ipv6] {
        let routes = socket.list(&Message::new(GET_ROUTE, 0).fixed(&[number(family), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]))?;
        let local = routes.iter().filter(|r| r.kind == NEW_ROUTE && r.body.get(7) == Some(&LOCAL));
        let to = |route: &Reply| route.attributes(ROUTE_FIXED).get(DESTINATION).and_then(address);
        own.extend(local.filter_map(|route| Some(Network::new(to(route)?, *route.body.get(1)?))));
    }
    // What is in another is said by that.
    let all: Vec<Network> = own.iter().copied().collect();
    own.retain(|one| !all.iter().any(|other| other.bits() < one.bits() && other.contains(one.address())));
    Ok(own)
}

const DESTINATION: u16 = 1;
const INTERFACE: u16 = 4;
const SEVERAL: u16 = 9;

/// The interfaces through which packets to a network go: those that its first address is routed to, and those of every route into a
/// part of it. None: there is no way there.
///
/// # Errors
/// If the kernel cannot be asked.
pub(crate) fn towards(socket: &mut Socket, network: Network) -> Result<BTreeSet<u32>, NetlinkError> {
    let mut interfaces: BTreeSet<u32> = to_address(socket, network.address())?.into_iter().collect();
    if !network.is_one_address() {
        let family = number(network.family());
        let routes = socket.list(&Message::new(GET_ROUTE, 0).fixed(&[family, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]))?;
        let within = |route: &&Reply| {
            let bits = route.body.get(1).copied().unwrap_or(0);
            let to = route.attributes(ROUTE_FIXED).get(DESTINATION).and_then(address);
            route.kind == NEW_ROUTE && is_way(route) && bits > network.bits() && to.is_some_and(|to| network.contains(to))
        };
        interfaces.extend(routes.iter().filter(within).flat_map(through));
    }
    Ok(interfaces)
}

fn to_address(socket: &mut Socket, address: IpAddr) -> Result<Vec<u32>, NetlinkError> {
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let fixed = [number(Family::of(address)), bits, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    match socket.request(Message::new(GET_ROUTE, 0).fixed(&fixed).bytes(DESTINATION, &bytes(address))) {
        Ok(routes) => Ok(routes.iter().filter(|r| r.kind == NEW_ROUTE && is_way(r)).flat_map(through).collect()),
        Err(e) if [Errno::NETUNREACH, Errno::HOSTUNREACH, Errno::INVAL, Errno::ACCESS, Errno::AFNOSUPPORT].contains(&e.errno) => {
            Ok(Vec::new())
        }
        Err(e) => Err(e),
    }
}

/// Does it lead anywhere? `unicast`, `local`, `broadcast`, `anycast`, `multicast`.
fn is_way(route: &Reply) -> bool {
    const LAST: u8 = 5;
    route.body.get(7).is_some_and(|kind| (1..=LAST).contains(kind))
}

/// The interfaces of a route, of which it may name several.
fn through(route: &Reply) -> Vec<u32> {
    let attributes = route.attributes(ROUTE_FIXED);
    let mut interfaces: Vec<u32> = attributes.get(INTERFACE).and_then(Attribute::u32).into_iter().collect();
    let mut hops = attributes.get(SEVERAL).map(|a| a.value).unwrap_or_default();
    while let (Some(index), Some(length)) = (u32_at(hops, 4), super::netlink::u16_at(hops, 0)) {
        interfaces.push(index);
        hops = hops.get(usize::from(length).max(8)..).unwrap_or_default();
    }
    interfaces
}
