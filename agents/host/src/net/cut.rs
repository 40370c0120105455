//! Cutting traffic off: flows as rules of nftables.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::conntrack::Entry;
use super::flow::{Family, Flow, Match as Packets, Network, PortRange, Way};
use super::leaf::{Branch, Leaf, Place};
use super::nftables::{At, Chain, ICMP, ICMP6, Kind, Match, Rule, Ruleset, TCP, Then, UDP};

/// How it is cut off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum How {
    /// Packets vanish, and nobody is told: whoever waits for an answer waits until their own timeout. A connection is half-open.
    #[default]
    Drop,
    /// The sender is told at once that nobody is there: `connection refused`; a datagram of the target's own: `operation not permitted`.
    Reject,
}

/// After the filters of others (`NF_IP_PRI_FILTER` is 0): what they drop never met us. What arrives is asked before the translation of
/// source addresses (`NF_IP_PRI_NAT_SRC` is 100) hides the peer; where what is sent goes has been translated long before.
const PRIORITY_IN: i32 = 50;
const PRIORITY_OUT: i32 = 300;
/// Before anybody else sees what should not be.
const PRIORITY_VOID: i32 = -300;

const HARM: &str = "harm";
const SPARE: &str = "spare";
const VANISH: &str = "vanish";

/// The mark of what is on its way to nowhere: in the bits of [`super::redirect::MARK`], and another.
const VOID: u32 = 0x46;

/// What is cut off, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cut {
    /// Which packets.
    pub(crate) packets: Packets,
    /// Which ways.
    pub(crate) ways: Vec<Way>,
    /// Only what passes this interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) interface: Option<String>,
    /// How.
    pub(crate) how: How,
}

impl Cut {
    /// The table that does it.
    pub(crate) fn ruleset(&self, tag: &str) -> Ruleset {
        let mut chains: Vec<Chain> = self.ways.iter().flat_map(|way| self.chains_of(*way)).collect();
        chains.push(Chain::plain(SPARE, vec![Rule::new([], Then::Accept)]));
        chains.push(Chain::plain(HARM, self.how.rules()));
        if self.how == How::Drop {
            // Only what this host sends in its own name: a transparent proxy sends in the name of others, who would get it.
            let void = |family| Rule::new([Match::Family(family), Match::FromThisHost], Then::Void(family, VOID)).counted();
            let nowhere = Rule::new([Match::Arrived("lo".into()), Match::Mark(VOID)], Then::Drop);
            chains.push(Chain::plain(VANISH, vec![void(Family::Ipv4), void(Family::Ipv6), Rule::new([], Then::Drop).counted()]));
            chains.push(Chain::base("void", Kind::Filter, At::Prerouting, PRIORITY_VOID, vec![nowhere]));
        }
        Ruleset { tag: tag.to_owned(), chains }
    }

    /// What this and another of the same namespace share, if a packet could meet both.
    pub(crate) fn meets(&self, other: &Self) -> Option<String> {
        let here = match (&self.interface, &other.interface) {
            (Some(mine), Some(theirs)) => mine == theirs,
            _ => true,
        };
        let both = |way: &Way| other.ways.contains(way) && self.packets.overlaps(*way, &other.packets, *way);
        (here && self.ways.iter().any(both)).then(|| format!("packets: {}; {}", self.packets, other.packets))
    }

    /// As [`Cut::meets`], of what is slowed or damaged.
    pub(crate) fn meets_leaf(&self, leaf: &Leaf) -> Option<String> {
        let passes = |place: &Place| self.interface.as_ref().is_none_or(|name| *name == place.interface);
        let both = |branch: &Branch| {
            let shared = self.ways.contains(&branch.way) && self.packets.overlaps(branch.way, &leaf.packets, branch.way);
            shared && branch.places.iter().any(passes)
        };
        leaf.branches.iter().any(both).then(|| format!("packets: {}; {}", self.packets, leaf.packets))
    }

    /// Did this connection begin while it was cut off? What vanishes does so by way of the loopback interface, so no translation of source
    /// addresses was chosen for its true way, and none would be.
    pub(crate) fn led_astray(&self, entry: &Entry) -> bool {
        let Entry { original, reply, answered } = *entry;
        let cut_off = self.how == How::Drop && self.ways.contains(&Way::Out);
        let meant = || self.packets.flows.iter().any(|flow| flow.carries(original.protocol, original.from, reply.from));
        cut_off && !answered && reply.to == original.from && meant()
    }

    /// The chain that packets of a way meet, and those that it asks about ports.
    fn chains_of(&self, way: Way) -> Vec<Chain> {
        let (name, at, priority) = match way {
            Way::Out => ("out", At::Output, PRIORITY_OUT),
            Way::In => ("in", At::Input, PRIORITY_IN),
        };
        let (kind, harm) = match (way, self.how) {
            (Way::Out, How::Drop) => (Kind::Route, VANISH),
            _ => (Kind::Filter, HARM),
        };
        let mut rules = self.how.exempt();
        rules.extend(self.interface.iter().map(|name| Rule::new([elsewhere(way, name)], Then::Accept)));
        let mut below = Vec::new();
        let spared = self.packets.except.iter().map(|flow| (flow, SPARE));
        let meant = self.packets.flows.iter().map(|flow| (flow, harm));
        for (number, (flow, verdict)) in spared.chain(meant).enumerate() {
            let carried = carried(flow, way);
            let next = if carried.is_empty() { verdict.to_owned() } else { format!("{name}-{number}") };
            rules.extend(peers(flow, way).into_iter().map(|when| Rule::new(when, Then::Jump(next.clone()))));
            if !carried.is_empty() {
                let rules = carried.into_iter().map(|when| Rule::new(when, Then::Jump(verdict.to_owned())));
                below.push(Chain::plain(&next, rules.collect()));
            }
        }
        below.insert(0, Chain::base(name, kind, at, priority, rules));
        below
    }
}

impl How {
    /// What is never cut off. By ICMPv6 neighbours find one another (133 to 137) and tell switches which groups they listen to (130 to 132,
    /// 143), as they do by ARP in version 4, which passes no table of this family. And what says *no* must arrive: our own answers pass
    /// here too.
    fn exempt(self) -> Vec<Rule> {
        let accept = |when: [Match; 2]| Rule::new(when, Then::Accept);
        let of_neighbours = |from, to| accept([Match::Protocol(ICMP6), Match::IcmpType(from, to)]);
        let mut rules = vec![of_neighbours(130, 137), of_neighbours(143, 143)];
        if self == Self::Reject {
            rules.push(accept([Match::Protocol(TCP), Match::Resets]));
            rules.push(accept([Match::Protocol(ICMP), Match::IcmpType(3, 3)]));
            rules.push(accept([Match::Protocol(ICMP6), Match::IcmpType(1, 1)]));
        }
        rules
    }

    fn rules(self) -> Vec<Rule> {
        match self {
            Self::Drop => vec![Rule::new([], Then::Drop).counted()],
            Self::Reject => {
                vec![Rule::new([Match::Protocol(TCP)], Then::Reset).counted(), Rule::new([], Then::Unreachable).counted()]
            }
        }
    }
}

fn elsewhere(way: Way, interface: &str) -> Match {
    match way {
        Way::Out => Match::LeavesElsewhere(interface.to_owned()),
        Way::In => Match::ArrivedElsewhere(interface.to_owned()),
    }
}

/// One alternative for each network of the peers.
fn peers(flow: &Flow, way: Way) -> Vec<Vec<Match>> {
    let peer = |network: &Network| match way {
        Way::Out => Match::Destination(*network),
        Way::In => Match::Source(*network),
    };
    if flow.peers.is_empty() {
        return vec![flow.family.map(Match::Family).into_iter().collect()];
    }
    let wanted = flow.peers.iter().filter(|network| flow.family.is_none_or(|family| family == network.family()));
    wanted.map(|network| vec![peer(network)]).collect()
}

/// What asks for a port at one end.
type End = fn(PortRange) -> Match;

/// One alternative for each protocol with each pair of ports; none where anything may be carried.
fn carried(flow: &Flow, way: Way) -> Vec<Vec<Match>> {
    let (peers_end, own_end): (End, End) = match way {
        Way::Out => (Match::DestinationPort, Match::SourcePort),
        Way::In => (Match::SourcePort, Match::DestinationPort),
    };
    let of_peer = any_of(&flow.peer_ports, peers_end);
    let own = any_of(&flow.own_ports, own_end);
    let ports = of_peer.iter().flat_map(|of_peer| own.iter().map(move |own| of_peer.iter().chain(own).cloned().collect::<Vec<_>>()));
    let ports: Vec<Vec<Match>> = ports.collect();
    let protocols = protocols(flow);
    protocols.iter().flat_map(|protocol| ports.iter().map(move |ports| std::iter::once(protocol).chain(ports).cloned().collect())).collect()
}

/// One alternative for each; one that asks nothing where there is none.
fn any_of<T: Copy>(ports: &[T], end: impl Fn(T) -> Match) -> Vec<Option<Match>> {
    if ports.is_empty() { vec![None] } else { ports.iter().map(|range| Some(end(*range))).collect() }
}

fn protocols(flow: &Flow) -> Vec<Match> {
    match flow.protocol {
        Some(protocol) => {
            let numbers: std::collections::BTreeSet<u8> = flow.families().into_iter().map(|family| protocol.number(family)).collect();
            numbers.into_iter().map(Match::Protocol).collect()
        }
        None if flow.has_ports() => vec![Match::Protocol(TCP), Match::Protocol(UDP)],
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
