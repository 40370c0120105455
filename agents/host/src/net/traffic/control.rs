//! The control path: how we ourselves are reached, and reach what we need. It is left alone by default, and never aimed at.

use std::collections::BTreeMap;
use std::net::IpAddr;

use procfs::process::Process;

use crate::net::flow::{Flow, Network, PortRange, Protocol};
use crate::process::{Snapshot, Sockets};

/// One thing that is left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exempt {
    /// What a person calls it: `SSH (port 22)`.
    pub(super) what: String,
    /// Its packets.
    pub(super) flow: Flow,
}

impl Exempt {
    /// Is it all that is meant? Then the fault aims at the control path.
    pub(super) fn covers(&self, flow: &Flow) -> bool {
        let within = |inner: &[PortRange], outer: &[PortRange]| {
            outer.is_empty() || (!inner.is_empty() && inner.iter().all(|i| outer.iter().any(|o| o.contains(i.from) && o.contains(i.to))))
        };
        let exempt = &self.flow;
        let peers = exempt.peers.is_empty()
            || (!flow.peers.is_empty()
                && flow.peers.iter().all(|p| exempt.peers.iter().any(|e| e.bits() <= p.bits() && e.contains(p.address()))));
        let protocol = exempt.protocol.is_none() || exempt.protocol == flow.protocol || (flow.protocol.is_none() && flow.has_ports());
        peers && protocol && within(&flow.peer_ports, &exempt.peer_ports) && within(&flow.own_ports, &exempt.own_ports)
    }
}

/// What is left alone in our own network namespace. In any other, nobody of us lives.
pub(super) fn path() -> Vec<Exempt> {
    let environments = environments();
    let mut all = secure_shells();
    all.extend(environments.iter().filter_map(|e| shell_session(e.get("SSH_CONNECTION")?)));
    all.extend(resolvers(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default()));
    all.extend(environments.iter().filter_map(|e| kubernetes(e.get("KUBERNETES_SERVICE_HOST")?, e.get("KUBERNETES_SERVICE_PORT")?)));
    let mut seen: Vec<Exempt> = Vec::new();
    for exempt in all {
        if !seen.iter().any(|s| s.flow == exempt.flow) {
            seen.push(exempt);
        }
    }
    seen
}

/// Ours, and those of our ancestors: `sudo` forgets whence its user came.
fn environments() -> Vec<BTreeMap<String, String>> {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let mut pids = vec![own];
    if let Ok(snapshot) = Snapshot::take() {
        pids.extend(snapshot.ancestors(own));
    }
    let environ = |pid: i32| {
        let all = Process::new(pid).and_then(|p| p.environ()).ok()?;
        Some(all.into_iter().map(|(k, v)| (k.to_string_lossy().into_owned(), v.to_string_lossy().into_owned())).collect())
    };
    pids.into_iter().filter_map(environ).collect()
}

/// Wherever a server of the secure shell listens.
fn secure_shells() -> Vec<Exempt> {
    let Ok(snapshot) = Snapshot::take() else { return Vec::new() };
    let servers = snapshot.living().filter(|e| ["sshd", "dropbear"].contains(&e.name.as_str())).map(|e| e.id);
    let servers: Vec<_> = servers.collect();
    let Ok(sockets) = Sockets::of(servers.clone()) else { return Vec::new() };
    let ports = PortRange::of(servers.into_iter().flat_map(|id| sockets.ports_of(id)));
    let exempt = |port: PortRange| Exempt {
        what: format!("SSH (port {port})"),
        flow: Flow { protocol: Some(Protocol::Tcp), own_ports: vec![port], ..Flow::default() },
    };
    ports.into_iter().map(exempt).collect()
}

/// `client-address client-port server-address server-port`.
fn shell_session(connection: &str) -> Option<Exempt> {
    let words: Vec<&str> = connection.split_whitespace().collect();
    let [client, _, _, port] = words[..] else { return None };
    let (client, port): (IpAddr, u16) = (client.split('%').next()?.parse().ok()?, port.parse().ok()?);
    let flow = Flow {
        protocol: Some(Protocol::Tcp),
        peers: vec![Network::from(client.to_canonical())],
        own_ports: vec![port.into()],
        ..Flow::default()
    };
    Some(Exempt { what: format!("this SSH session (from {client})"), flow })
}

fn resolvers(configuration: &str) -> Vec<Exempt> {
    const DNS: u16 = 53;
    let servers = configuration.lines().filter_map(|line| line.trim().strip_prefix("nameserver")?.split_whitespace().next());
    let addresses = servers.filter_map(|a| a.split('%').next()?.parse::<IpAddr>().ok());
    let exempt = |address: IpAddr| Exempt {
        what: format!("DNS ({address})"),
        flow: Flow { peers: vec![Network::from(address)], peer_ports: vec![DNS.into()], ..Flow::default() },
    };
    addresses.map(exempt).collect()
}

fn kubernetes(host: &str, port: &str) -> Option<Exempt> {
    let (address, port): (IpAddr, u16) = (host.parse().ok()?, port.parse().ok()?);
    let flow =
        Flow { protocol: Some(Protocol::Tcp), peers: vec![Network::from(address)], peer_ports: vec![port.into()], ..Flow::default() };
    Some(Exempt { what: format!("the Kubernetes API ({address})"), flow })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(peers: &[&str], ports: &[u16]) -> Flow {
        let peers = peers.iter().map(|p| p.parse().expect("a network")).collect();
        Flow { peers, peer_ports: ports.iter().copied().map(PortRange::from).collect(), ..Flow::default() }
    }

    #[test]
    fn the_control_path_is_read_from_where_it_is_written() {
        let found = resolvers("search example\nnameserver 10.0.0.2\n  nameserver fe80::1%eth0 # comment\nnameserver\n#nameserver 10.0.0.3");
        let shown: Vec<&str> = found.iter().map(|e| e.what.as_str()).collect();
        assert_eq!(shown, ["DNS (10.0.0.2)", "DNS (fe80::1)"]);
        let session = shell_session("192.0.2.7 51234 192.0.2.1 22").expect("a session");
        assert_eq!(session.flow.to_string(), "TCP of its own port 22 with 192.0.2.7");
        assert_eq!(shell_session("::ffff:192.0.2.7 51234 ::1 22").expect("a session").flow, session.flow);
        assert!(shell_session("nonsense").is_none() && kubernetes("kubernetes", "443").is_none());
        assert!(kubernetes("10.96.0.1", "443").is_some());
        path();
    }

    #[test]
    fn a_fault_aims_at_it_only_if_it_means_nothing_else() {
        let dns = resolvers("nameserver 10.0.0.2").remove(0);
        assert!(dns.covers(&to(&["10.0.0.2"], &[53])));
        assert!(!dns.covers(&to(&["10.0.0.2"], &[])), "everything else of that host is meant");
        assert!(!dns.covers(&to(&["10.0.0.2", "10.0.0.3"], &[53])));
        assert!(!dns.covers(&to(&["10.0.0.0/24"], &[53])));
        let ssh =
            Exempt { what: String::new(), flow: Flow { protocol: Some(Protocol::Tcp), own_ports: vec![22.into()], ..Flow::default() } };
        assert!(ssh.covers(&Flow { own_ports: vec![22.into()], ..Flow::default() }));
        assert!(!ssh.covers(&Flow::default()) && !ssh.covers(&to(&[], &[22])));
    }
}
