//! Traffic as it is matched once everything is resolved: addresses, ports, protocols, seen from the side of the target.

mod network;

pub(crate) use network::{Network, NotANetwork};

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A version of the internet protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Family {
    /// Version 4.
    Ipv4,
    /// Version 6.
    Ipv6,
}

impl Family {
    /// Of an address.
    pub(crate) fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::Ipv4 } else { Self::Ipv6 }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Ipv4 { "IPv4" } else { "IPv6" })
    }
}

/// What is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP, or ICMPv6.
    Icmp,
}

impl Protocol {
    /// Its number in the header of a packet.
    pub(crate) fn number(self, family: Family) -> u8 {
        match (self, family) {
            (Self::Tcp, _) => 6,
            (Self::Udp, _) => 17,
            (Self::Icmp, Family::Ipv4) => 1,
            (Self::Icmp, Family::Ipv6) => 58,
        }
    }

    /// Does it know ports?
    pub(crate) fn has_ports(self) -> bool {
        self != Self::Icmp
    }
}

/// Ports from one to another, both among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct PortRange {
    /// The first.
    pub(crate) from: u16,
    /// The last.
    pub(crate) to: u16,
}

impl PortRange {
    /// Is this port among them?
    pub(crate) fn contains(self, port: u16) -> bool {
        (self.from..=self.to).contains(&port)
    }

    /// Ports as few ranges, in rising order.
    pub(crate) fn of(ports: impl IntoIterator<Item = u16>) -> Vec<Self> {
        let ports: std::collections::BTreeSet<u16> = ports.into_iter().collect();
        let mut ranges: Vec<Self> = Vec::new();
        for port in ports {
            match ranges.last_mut() {
                Some(last) if last.to.checked_add(1) == Some(port) => last.to = port,
                _ => ranges.push(Self::from(port)),
            }
        }
        ranges
    }
}

impl From<u16> for PortRange {
    fn from(port: u16) -> Self {
        Self { from: port, to: port }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.from == self.to { write!(f, "{}", self.from) } else { write!(f, "{}-{}", self.from, self.to) }
    }
}

/// Which way a packet goes, as the target sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Way {
    /// From the target to a peer.
    Out,
    /// From a peer to the target.
    In,
}

/// Packets between the target and its peers, in either direction. A field that says nothing matches everything; what it lists are
/// alternatives. Ports match nothing but TCP and UDP, and of a packet in fragments only the first, which alone bears them.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Flow {
    /// Of this version alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) family: Option<Family>,
    /// Carrying this alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) protocol: Option<Protocol>,
    /// The peer's address is in one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) peers: Vec<Network>,
    /// The peer's port is one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) peer_ports: Vec<PortRange>,
    /// The target's own port is one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) own_ports: Vec<PortRange>,
    /// The target's own address is in one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) own: Vec<Network>,
}

impl Flow {
    /// Does it look at ports?
    pub(crate) fn has_ports(&self) -> bool {
        !self.peer_ports.is_empty() || !self.own_ports.is_empty()
    }

    /// Does what is spoken between these two carry such packets?
    pub(crate) fn carries(&self, protocol: Protocol, own: SocketAddr, peer: SocketAddr) -> bool {
        let any = |ranges: &[PortRange], port| ranges.is_empty() || ranges.iter().any(|range| range.contains(port));
        self.protocol.is_none_or(|only| only == protocol)
            && self.family.is_none_or(|family| family == Family::of(peer.ip()))
            && (self.peers.is_empty() || self.peers.iter().any(|network| network.contains(peer.ip())))
            && (self.own.is_empty() || self.own.iter().any(|network| network.contains(own.ip())))
            && any(&self.peer_ports, peer.port())
            && any(&self.own_ports, own.port())
    }

    /// The versions that it can match.
    pub(crate) fn families(&self) -> Vec<Family> {
        let named = |networks: &[Network], family| networks.is_empty() || networks.iter().any(|n| n.family() == family);
        let wanted = |family| self.family.is_none_or(|only| only == family);
        let can = |family: &Family| wanted(*family) && named(&self.peers, *family) && named(&self.own, *family);
        [Family::Ipv4, Family::Ipv6].into_iter().filter(can).collect()
    }

    /// What it can carry, by number; none: anything.
    fn numbers(&self, family: Family) -> Option<Vec<u8>> {
        match self.protocol {
            Some(protocol) => Some(vec![protocol.number(family)]),
            None if self.has_ports() => Some(vec![Protocol::Tcp.number(family), Protocol::Udp.number(family)]),
            None => None,
        }
    }

    /// Have they a version and something carried in common?
    fn is_alike(&self, other: &Self) -> bool {
        let families = self.families();
        let common = |family: &Family| {
            let carried = match (self.numbers(*family), other.numbers(*family)) {
                (Some(a), Some(b)) => a.iter().any(|p| b.contains(p)),
                _ => true,
            };
            carried && other.families().contains(family)
        };
        families.iter().any(common)
    }

    /// May any packet at all that goes one way belong to both?
    pub(crate) fn shares(&self, other: &Self) -> bool {
        self.is_alike(other)
            && any_network(&self.peers, &other.peers)
            && any_network(&self.own, &other.own)
            && any_port(&self.peer_ports, &other.peer_ports)
            && any_port(&self.own_ports, &other.own_ports)
    }

    /// Is one about a service of the target's, and the other about services that it uses? Whoever uses one over TCP does so from a port
    /// of no service.
    fn is_of_another_service(&self, other: &Self) -> bool {
        let of_own = |flow: &Self| !flow.own_ports.is_empty() && flow.peer_ports.is_empty();
        let of_peer = |flow: &Self| flow.own_ports.is_empty() && !flow.peer_ports.is_empty();
        let apart = |own: &Self, peer: &Self| of_own(own) && of_peer(peer) && !any_port(&own.own_ports, &peer.peer_ports);
        let tcp = [self, other].iter().any(|flow| flow.protocol == Some(Protocol::Tcp));
        tcp && (apart(self, other) || apart(other, self))
    }

    /// May packets belong to both, when they go these ways?
    ///
    /// Two that constrain opposite ends of a connection alone are held to be apart: no connection has a service at both of its ends.
    pub(crate) fn overlaps(&self, way: Way, other: &Self, others_way: Way) -> bool {
        if way == others_way {
            return self.shares(other) && !self.is_of_another_service(other);
        }
        let apart = (self.own_ports.is_empty() != self.peer_ports.is_empty())
            && (self.own_ports.is_empty() == other.own_ports.is_empty())
            && (self.peer_ports.is_empty() == other.peer_ports.is_empty());
        !apart && self.is_alike(other) && any_port(&self.peer_ports, &other.own_ports) && any_port(&self.own_ports, &other.peer_ports)
    }
}

fn any_network(a: &[Network], b: &[Network]) -> bool {
    a.is_empty() || b.is_empty() || a.iter().any(|a| b.iter().any(|b| a.overlaps(*b)))
}

fn any_port(a: &[PortRange], b: &[PortRange]) -> bool {
    a.is_empty() || b.is_empty() || a.iter().any(|a| b.iter().any(|b| a.from <= b.to && b.from <= a.to))
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |items: &mut dyn Iterator<Item = String>| items.collect::<Vec<_>>().join(", ");
        let mut words = Vec::new();
        match self.protocol {
            Some(Protocol::Tcp) => words.push("TCP".to_owned()),
            Some(Protocol::Udp) => words.push("UDP".to_owned()),
            Some(Protocol::Icmp) => words.push("ICMP".to_owned()),
            None => {}
        }
        words.extend(self.family.map(|family| format!("over {family}")));
        if !self.own_ports.is_empty() {
            words.push(format!("of its own port {}", list(&mut self.own_ports.iter().map(ToString::to_string))));
        }
        if !self.peers.is_empty() {
            words.push(format!("with {}", list(&mut self.peers.iter().map(ToString::to_string))));
        }
        if !self.peer_ports.is_empty() {
            words.push(format!("on the peer's port {}", list(&mut self.peer_ports.iter().map(ToString::to_string))));
        }
        if !self.own.is_empty() {
            words.push("at its own addresses".to_owned());
        }
        f.write_str(&if words.is_empty() { "everything".to_owned() } else { words.join(" ") })
    }
}

/// One of some flows, and none of others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Match {
    /// Any of these.
    pub(crate) flows: Vec<Flow>,
    /// Never one of these: the control path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) except: Vec<Flow>,
}

impl Match {
    /// May a packet belong to both?
    pub(crate) fn overlaps(&self, way: Way, other: &Self, others_way: Way) -> bool {
        self.flows.iter().any(|a| other.flows.iter().any(|b| a.overlaps(way, b, others_way)))
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.flows.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap_or_else(|e| panic!("{text}: {e:?}"))
    }

    #[test]
    fn ports_become_few_ranges() {
        let shown: Vec<String> = PortRange::of([8002, 80, 8001, 8003, 65535]).iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["80", "8001-8003", "65535"]);
    }

    #[test]
    fn flows_overlap_where_one_packet_may_be_in_both() {
        let to = |peer: &str, port: u16| Flow { peers: vec![network(peer)], peer_ports: vec![port.into()], ..Flow::default() };
        let own = |port: u16| Flow { own_ports: vec![port.into()], ..Flow::default() };
        let icmp = Flow { protocol: Some(Protocol::Icmp), ..Flow::default() };
        let out = |a: &Flow, b: &Flow| a.overlaps(Way::Out, b, Way::Out);
        assert!(out(&to("10.0.0.0/8", 6379), &to("10.1.0.0/16", 6379)));
        assert!(!out(&to("10.0.0.0/8", 6379), &to("10.0.0.0/8", 6380)));
        assert!(!out(&to("10.0.0.0/8", 6379), &to("11.0.0.0/8", 6379)));
        assert!(!out(&to("10.0.0.0/8", 6379), &to("fd00::/8", 6379)));
        assert!(!out(&to("10.0.0.0/8", 6379), &icmp), "ports are of TCP and UDP alone");
        assert!(out(&own(8001), &to("10.0.0.0/8", 6379)), "the same end may have both");
        let service = |port: u16| Flow { protocol: Some(Protocol::Tcp), ..own(port) };
        assert!(!out(&service(8001), &to("10.0.0.0/8", 6379)) && !out(&to("10.0.0.0/8", 6379), &service(8001)), "two services");
        assert!(out(&service(8001), &to("10.0.0.0/8", 8001)), "it may speak to others of its kind");
        assert!(service(22).shares(&to("10.0.0.0/8", 51234)), "an exemption is of any packet");
        assert!(!own(8001).overlaps(Way::Out, &own(8001), Way::In), "from the service, to the service");
        assert!(own(8001).overlaps(Way::Out, &to("10.0.0.0/8", 8001), Way::In), "sent from 8001, as seen by both");
        assert!(Flow::default().overlaps(Way::Out, &own(1), Way::In));
    }
}
