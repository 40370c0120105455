//! From the fields of a spec to packets: whose, between whom, through which interfaces, and who else feels it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use chaos_core::FaultError;
use chaos_core::fault::{Bystanders, Reach};
use chaos_core::target::{ProcessId, Target};
use procfs::process::Process;

use super::{Direction, Traffic, control, names, through};
use crate::net::flow::{Flow, Match, Network, PortRange, Protocol, Way};
use crate::net::link::Link;
use crate::net::namespace::Namespace;
use crate::net::netlink::{self, Socket};
use crate::net::reach;
use crate::process::{Kin, Snapshot, name_of};
use crate::world::HostView;

/// An interface that carries the traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interface {
    /// Its number in the namespace.
    pub(crate) index: u32,
    /// Its name.
    pub(crate) name: String,
    /// What is sent on it arrives on it: both directions pass when they are sent.
    pub(crate) loopback: bool,
    /// Its longest packet, in bytes.
    pub(crate) mtu: u32,
}

impl From<Link> for Interface {
    fn from(link: Link) -> Self {
        Self { index: link.index, name: link.name, loopback: link.loopback, mtu: link.mtu }
    }
}

/// What a network fault is aimed at.
#[derive(Debug, Clone)]
pub(crate) struct Aim {
    /// Where.
    pub(crate) namespace: Namespace,
    /// Which ways.
    pub(crate) direction: Direction,
    /// Which packets.
    pub(crate) packets: Match,
    /// Through which interfaces.
    pub(crate) interfaces: Vec<Interface>,
    /// Who feels it.
    pub(crate) reach: Reach,
    /// Who else feels it, by name.
    pub(crate) bystanders: Bystanders,
    /// What the plan says of it.
    pub(crate) notes: Vec<String>,
}

impl Traffic {
    /// Resolves it all against the world as it is now, for what stands at interfaces.
    ///
    /// # Errors
    /// If the target or its namespace is gone or may not be entered, a name is not known, there is no such interface or no way to the
    /// peers, or it is the control path that is aimed at.
    pub(crate) fn aim(&self, target: &Target, otherwise: Direction, view: &HostView) -> Result<Aim, FaultError> {
        let mut aim = self.aim_anywhere(target, otherwise, view)?;
        if aim.interfaces.is_empty() {
            return Err(
                FaultError::new(no_way(&aim.packets)).hint("`ip route get ADDRESS` in that network namespace shows what the kernel thinks")
            );
        }
        if aim.namespace.run(|| through::forwards(&aim.interfaces))? {
            self.beside_what_passes_through(&mut aim)?;
        }
        Ok(aim)
    }

    /// Interfaces see what is only passed on as well. A service's own packets are told from that by their own end.
    fn beside_what_passes_through(&self, aim: &mut Aim) -> Result<(), FaultError> {
        let own = if self.is_of_own_ports() { aim.namespace.run(through::own_networks)?? } else { None };
        let Some(own) = own else {
            aim.reach = Reach::NetworkNamespace;
            aim.notes.push("the same packets of others are met as well, which pass through here: this network namespace forwards".into());
            return Ok(());
        };
        for flow in &mut aim.packets.flows {
            flow.own.clone_from(&own);
        }
        let says =
            "this network namespace forwards: met is only what comes from or goes to the addresses that it has itself, as they are now";
        aim.notes.push(says.into());
        Ok(())
    }

    /// As [`Traffic::aim`], for what meets packets wherever they go. That there is no way to the peers is a note.
    ///
    /// # Errors
    /// The same, but for that.
    pub(crate) fn aim_anywhere(&self, target: &Target, otherwise: Direction, view: &HostView) -> Result<Aim, FaultError> {
        let snapshot = Snapshot::take().map_err(|e| FaultError::new(format!("list the processes: {e}")))?;
        let kin = Kin::of(target, &snapshot, view)?;
        let namespace = Namespace::of(kin.root)?;
        let mut notes = Vec::new();
        let flows = self.flows(target, &namespace, &mut notes)?;
        let except = exempted(&namespace, &flows, &mut notes)?;
        let interfaces = namespace.run(|| through::carrying(self.interface.as_deref(), &flows))??;
        let packets = Match { flows, except };
        let through = interfaces.iter().map(|i| i.name.as_str()).collect::<Vec<_>>().join(", ");
        notes.insert(0, if through.is_empty() { no_way(&packets) } else { format!("{packets}, through {through}") });
        let (reach, bystanders) = if self.is_of_own_ports() {
            (Reach::Target, Bystanders::default())
        } else {
            felt_in(&namespace, &snapshot, &kin.members, view)
        };
        Ok(Aim { namespace, direction: self.direction.unwrap_or(otherwise), packets, interfaces, reach, bystanders, notes })
    }

    fn flows(&self, target: &Target, namespace: &Namespace, notes: &mut Vec<String>) -> Result<Vec<Flow>, FaultError> {
        let base = Flow { family: self.family, protocol: self.protocol, ..Flow::default() };
        if self.is_of_own_ports() {
            let listening = &target.facets.listening;
            if listening.is_empty() {
                return Err(FaultError::new(format!(
                    "{} listens on no TCP port, so none of its traffic can be told by that",
                    target.label
                ))
                .hint("say who the other end is: `hosts`, `ports` or `peer`"));
            }
            let own_ports = PortRange::of(listening.iter().copied());
            return Ok(vec![Flow { protocol: Some(Protocol::Tcp), own_ports, ..base }]);
        }
        let peer_ports = self.ports.as_ref().map(|p| PortRange::of(p.iter())).unwrap_or_default();
        if let Some(peer) = &self.peer {
            return peer.members().iter().map(|member| of_member(member, namespace, &base, &peer_ports)).collect();
        }
        let hosts = names::networks_of(&self.hosts, self.family)?;
        notes.extend(hosts.notes);
        Ok(vec![Flow { peers: hosts.networks, peer_ports, ..base }])
    }
}

fn no_way(packets: &Match) -> String {
    let peers: BTreeSet<Network> = packets.flows.iter().flat_map(|f| f.peers.iter().copied()).collect();
    format!("there is no route to {}", peers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}

/// What is left alone, of that which could be met; refused where nothing else is meant. A note tells what would otherwise be met.
fn exempted(namespace: &Namespace, flows: &[Flow], notes: &mut Vec<String>) -> Result<Vec<Flow>, FaultError> {
    let path = control::path(namespace)?;
    for flow in flows {
        if let Some(aimed) = path.iter().find(|exempt| exempt.covers(flow)) {
            return Err(FaultError::new(format!("this aims at {}, by which this machine is controlled", aimed.what))
                .hint("whoever cuts it off cannot take it back: aim at something else"));
        }
    }
    let would_be_met = |exempt: &&control::Exempt| flows.iter().any(|f| f.overlaps(Way::Out, &exempt.flow, Way::Out));
    let what: Vec<&str> = path.iter().filter(would_be_met).map(|exempt| exempt.what.as_str()).collect();
    if !what.is_empty() {
        notes.push(format!("left alone, because this machine is controlled by it: {}", what.join(", ")));
    }
    let could_be_met = |exempt: &Flow| flows.iter().any(|f| f.shares(exempt));
    Ok(path.into_iter().map(|exempt| exempt.flow).filter(could_be_met).collect())
}

/// The traffic with one member of the set that `peer` names.
fn of_member(member: &Target, from: &Namespace, base: &Flow, ports: &[PortRange]) -> Result<Flow, FaultError> {
    let unknown = |why: &str| {
        FaultError::new(format!("the addresses of {} are not known: {why}", member.label)).hint("say `hosts` and `ports` instead of `peer`")
    };
    let peer_ports = if ports.is_empty() { PortRange::of(member.facets.listening.iter().copied()) } else { ports.to_vec() };
    if let Some(proxy) = &member.facets.proxy {
        let listen: std::net::SocketAddr = proxy.listen.parse().map_err(|_| unknown("its proxy listens on no plain address"))?;
        return Ok(Flow { peers: vec![Network::from(listen.ip())], peer_ports: vec![listen.port().into()], ..base.clone() });
    }
    let process = member.facets.process.ok_or_else(|| unknown("it is not a process"))?;
    let namespace = Namespace::of(process)?;
    let is_same = namespace.inode == from.inode;
    if is_same && peer_ports.is_empty() {
        return Err(unknown("it lives in the same network namespace and listens on no TCP port"));
    }
    let addresses = namespace.run(|| Socket::open(netlink::Protocol::Route).and_then(|mut s| reach::addresses(&mut s)))?;
    let addresses = addresses.map_err(|e| unknown(&e.to_string()))?;
    let reachable = |a: &IpAddr| is_same || !a.is_loopback();
    let wanted = |n: &Network| base.family.is_none_or(|f| f == n.family());
    let peers: BTreeSet<Network> = addresses.into_iter().map(|(_, a)| a).filter(reachable).map(Network::from).filter(wanted).collect();
    if peers.is_empty() {
        let family = base.family.map(|f| format!(" {f}")).unwrap_or_default();
        return Err(unknown(&format!("it has no{family} address that others reach")));
    }
    Ok(Flow { peers: peers.into_iter().collect(), peer_ports, ..base.clone() })
}

/// Who feels what is felt by a whole namespace: these alone, if nobody else lives in it. Helpers and proxies of our own that do are nobody.
pub(crate) fn felt_in(namespace: &Namespace, snapshot: &Snapshot, members: &[ProcessId], view: &HostView) -> (Reach, Bystanders) {
    let strangers: Vec<ProcessId> = strangers(snapshot, members, namespace).into_iter().filter(|id| !view.is_chaos(id.pid)).collect();
    if strangers.is_empty() { (Reach::Target, Bystanders::default()) } else { (Reach::NetworkNamespace, named(&strangers)) }
}

/// Everybody else in the namespace.
fn strangers(snapshot: &Snapshot, members: &[ProcessId], namespace: &Namespace) -> Vec<ProcessId> {
    use std::os::unix::fs::MetadataExt;
    let there = |id: &ProcessId| std::fs::metadata(format!("/proc/{}/ns/net", id.pid)).is_ok_and(|m| m.ino() == namespace.inode);
    snapshot.living().filter(|e| !e.is_kernel()).map(|e| e.id).filter(|id| !members.contains(id) && there(id)).collect()
}

fn named(strangers: &[ProcessId]) -> Bystanders {
    const SHOWN: usize = 5;
    let used = |id: &ProcessId| Process::new(id.pid).and_then(|p| p.stat()).map_or(0, |s| s.utime + s.stime);
    let mut by_use: Vec<(u64, ProcessId)> = strangers.iter().map(|id| (used(id), *id)).collect();
    by_use.sort_by_key(|(ticks, id)| (std::cmp::Reverse(*ticks), *id));
    let names = by_use.iter().take(SHOWN).map(|(_, id)| format!("{} (pid {})", name_of(id.pid), id.pid)).collect();
    Bystanders { count: strangers.len() as u64, names }
}
