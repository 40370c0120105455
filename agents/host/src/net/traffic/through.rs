//! Through which interfaces traffic goes: all of it, and each packet through one of them alone.

use std::collections::BTreeSet;
use std::net::IpAddr;

use chaos_core::FaultError;

use super::aim::Interface;
use crate::net::flow::{Family, Flow, Network};
use crate::net::link::{self, Link};
use crate::net::netlink::{self, NetlinkError, Socket};
use crate::net::reach;

/// Of the namespace of this thread, those that carry such packets. None: there is no way to the peers.
///
/// # Errors
/// If there is no such interface, it is down, or there is no address of a version that is meant; or the kernel cannot be asked.
pub(super) fn carrying(named: Option<&str>, flows: &[Flow]) -> Result<Vec<Interface>, FaultError> {
    let failed = |e: NetlinkError| FaultError::new(format!("look at the interfaces: {e}"));
    let mut socket = Socket::open(netlink::Protocol::Route).map_err(failed)?;
    let links = link::all(&mut socket).map_err(failed)?;
    let named = named.map(|name| one_named(name, &links)).transpose()?;
    let peers: BTreeSet<Network> = flows.iter().flat_map(|f| f.peers.iter().copied()).collect();
    let mut wanted = BTreeSet::new();
    for peer in &peers {
        wanted.extend(reach::towards(&mut socket, *peer).map_err(failed)?);
    }
    if peers.is_empty() {
        let up = |index: u32| links.iter().any(|l| l.up && l.index == index && named.is_none_or(|n| n.index == index));
        let addresses = reach::addresses(&mut socket).map_err(failed)?.into_iter().filter(|(index, _)| up(*index)).collect();
        wanted = speaking(addresses, flows, named)?;
    }
    Ok(named.map_or_else(|| each_packet_once(&links, &wanted), |link| vec![link.clone()]).into_iter().map(Interface::from).collect())
}

/// The interface of this name, if anything passes it.
fn one_named<'a>(name: &str, links: &'a [Link]) -> Result<&'a Link, FaultError> {
    let link = links.iter().find(|l| l.name == name).ok_or_else(|| {
        let names: Vec<&str> = links.iter().map(|l| l.name.as_str()).collect();
        FaultError::new(format!("there is no interface `{name}` in the target's network namespace"))
            .hint(format!("there are {}", names.join(", ")))
    })?;
    if link.up { Ok(link) } else { Err(FaultError::new(format!("the interface {name} is down: nothing passes it"))) }
}

/// Those that have an address of a version that the packets can be of.
fn speaking(addresses: Vec<(u32, IpAddr)>, flows: &[Flow], named: Option<&Link>) -> Result<BTreeSet<u32>, FaultError> {
    let meant: BTreeSet<Family> = flows.iter().flat_map(Flow::families).collect();
    let spoken: BTreeSet<u32> = addresses.iter().filter(|(_, a)| meant.contains(&Family::of(*a))).map(|(index, _)| *index).collect();
    if !spoken.is_empty() {
        return Ok(spoken);
    }
    let whose = named.map_or_else(|| "the target's network namespace".to_owned(), |link| link.name.clone());
    Err(match (meant.iter().next(), addresses.is_empty()) {
        (Some(family), false) => {
            let other = if *family == Family::Ipv4 { "ipv6" } else { "ipv4" };
            let list = addresses.iter().map(|(_, a)| a.to_string()).collect::<Vec<_>>().join(", ");
            FaultError::new(format!("{whose} has no {family} address: it has {list}"))
                .hint(format!("`family: {other}`, or leave `family` out"))
        }
        _ => FaultError::new(format!("{whose} has no address on any interface that is up"))
            .hint("`ip address` in that network namespace shows what there is"),
    })
}

/// Those wanted, without the ones whose packets pass another of them as well: a fault would meet such packets twice.
fn each_packet_once(links: &[Link], wanted: &BTreeSet<u32>) -> Vec<Link> {
    let is_wanted = |link: &Link| link.up && wanted.contains(&link.index);
    let find = |index: u32| links.iter().find(|l| l.index == index);
    // Of a VRF, the ports are the interfaces that packets are meant for.
    let is_vrf = |link: &Link| link.kind.as_deref() == Some("vrf");
    let passes_its_master = |link: &Link| link.master.is_some_and(|master| !find(master).is_some_and(is_vrf));
    let stands_on_another = |link: &Link| {
        let stacked = link.kind.as_deref().is_some_and(|kind| ["vlan", "macvlan", "macvtap", "ipvlan"].contains(&kind));
        stacked && link.below.and_then(find).is_some_and(is_wanted)
    };
    let keep = |link: &&Link| is_wanted(link) && !is_vrf(link) && !passes_its_master(link) && !stands_on_another(link);
    links.iter().filter(keep).cloned().collect()
}

/// What the namespace of this thread takes for its own. None: more than a filter had room for.
///
/// # Errors
/// If the kernel cannot be asked.
pub(super) fn own_networks() -> Result<Option<Vec<Network>>, FaultError> {
    const MOST: usize = 64;
    let asked = Socket::open(netlink::Protocol::Route).and_then(|mut socket| reach::own_networks(&mut socket));
    let own = asked.map_err(|e| FaultError::new(format!("list the addresses of the target's network namespace: {e}")))?;
    Ok((1..=MOST).contains(&own.len()).then(|| own.into_iter().collect()))
}

/// Does the namespace of this thread pass packets of others on, through one of these?
pub(super) fn forwards(through: &[Interface]) -> bool {
    through.iter().any(|i| !i.loopback) && passes_on()
}

/// Does the namespace of this thread pass packets of others on?
pub(super) fn passes_on() -> bool {
    let on = |path: &str| std::fs::read_to_string(path).is_ok_and(|text| text.trim() != "0");
    let asked_to = ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"].into_iter().any(on);
    // Of containers most say that they would, and have one interface.
    let ways = || {
        let links = Socket::open(netlink::Protocol::Route).and_then(|mut socket| link::all(&mut socket)).unwrap_or_default();
        links.iter().filter(|l| l.up && !l.loopback && l.kind.as_deref() != Some("ifb")).count()
    };
    asked_to && ways() > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str, kind: Option<&str>) -> Link {
        let kind = kind.map(str::to_owned);
        Link { index, name: name.into(), alias: None, kind, up: true, loopback: index == 1, mtu: 1500, master: None, below: None }
    }

    #[test]
    fn each_packet_passes_one_interface() {
        let links = [
            link(1, "lo", None),
            link(2, "eth0", None),
            link(3, "docker0", Some("bridge")),
            Link { master: Some(3), ..link(4, "veth1", Some("veth")) },
            Link { below: Some(2), ..link(5, "macvlan0", Some("macvlan")) },
            Link { below: Some(4), ..link(6, "vxlan0", Some("vxlan")) },
            link(7, "red", Some("vrf")),
            Link { master: Some(7), ..link(8, "eth1", None) },
            Link { up: false, ..link(9, "eth2", None) },
            Link { below: Some(9), ..link(10, "eth2.5", Some("vlan")) },
        ];
        let names = |wanted: &[u32]| {
            let found = each_packet_once(&links, &wanted.iter().copied().collect());
            found.into_iter().map(|l| l.name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), "lo eth0 docker0 vxlan0 eth1 eth2.5");
        assert_eq!(names(&[5]), "macvlan0", "what stands on one that is not meant is meant itself");
    }

    #[test]
    fn what_has_no_address_of_a_version_is_not_meant() {
        let addresses = |all: &[&str]| all.iter().map(|a| (1, a.parse().expect("an address"))).collect::<Vec<_>>();
        let only = |family| [Flow { family, ..Flow::default() }];
        assert_eq!(speaking(addresses(&["::1"]), &only(None), None).expect("spoken"), BTreeSet::from([1]));
        let error = speaking(addresses(&["::1"]), &only(Some(Family::Ipv4)), None).expect_err("not spoken");
        assert_eq!(error.message, "the target's network namespace has no IPv4 address: it has ::1");
        assert_eq!(error.hint.as_deref(), Some("`family: ipv6`, or leave `family` out"));
        assert!(speaking(Vec::new(), &only(None), None).is_err());
    }
}
