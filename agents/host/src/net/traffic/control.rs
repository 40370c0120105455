//! The control path: how we ourselves are reached, and reach what we need. It is left alone by default, and never aimed at.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use chaos_core::FaultError;
use chaos_core::target::ProcessId;
use procfs::ProcResult;
use procfs::net::{TcpNetEntry, TcpState};
use procfs::process::Process;

use super::through;
use crate::net::conntrack;
use crate::net::flow::{Flow, Network, PortRange, Protocol};
use crate::net::namespace::Namespace;
use crate::process::{Snapshot, sockets_of};

/// Servers of the secure shell.
const SECURE_SHELLS: [&str; 2] = ["sshd", "dropbear"];
/// Who holds the sessions by which machines are controlled from afar.
const REMOTE: [&str; 4] = ["sshd", "sshd-session", "dropbear", "tailscaled"];
const SSH: u16 = 22;

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

/// What is left alone in a network namespace: in our own, in that of the machine's first process, from where the machine is controlled
/// even when we live in a container, and in one that passes our packets on. In any other, nobody of us is met.
///
/// # Errors
/// If the namespace cannot be entered.
pub(super) fn path(namespace: &Namespace) -> Result<Vec<Exempt>, FaultError> {
    let init = Snapshot::take().ok().and_then(|all| all.living().find(|e| e.id.pid == 1).map(|e| e.id));
    let lives_there = |id: ProcessId| Namespace::of(id).is_ok_and(|its| its.inode == namespace.inode);
    let first = init.filter(|id| lives_there(*id));
    let is_own = namespace.is_own();
    if !is_own && first.is_none() && !namespace.run(through::passes_on)? {
        return Ok(Vec::new());
    }
    let environments = environments();
    let mut all = Vec::new();
    if is_own || first.is_some() {
        let sockets = tcp(namespace);
        all.extend(secure_shells(&sockets));
        all.extend(open_sessions(&REMOTE, &sockets));
        all.extend(environments.iter().filter_map(|e| shell_session(e.get("SSH_CONNECTION")?)));
    }
    // Where we are in a container, its servers of names ask those of the machine.
    let roots = [Some(String::new()), first.filter(|_| !is_own).map(|id| format!("/proc/{}/root", id.pid))];
    for root in roots.into_iter().flatten() {
        let read = |path: &str| std::fs::read_to_string(format!("{root}{path}")).unwrap_or_default();
        all.extend(resolvers(&resolver_configuration(read)));
    }
    for api in environments.iter().filter_map(|e| kubernetes(e.get("KUBERNETES_SERVICE_HOST")?, e.get("KUBERNETES_SERVICE_PORT")?)) {
        // Whoever lives beside the translation of a service's address sees what is behind it alone.
        all.extend(namespace.run(|| conntrack::stands_for(api))?.into_iter().map(kubernetes_at));
        all.push(kubernetes_at(api));
    }
    let mut seen: Vec<Exempt> = Vec::new();
    for exempt in all {
        if !seen.iter().any(|s| s.covers(&exempt.flow)) {
            seen.push(exempt);
        }
    }
    Ok(seen)
}

/// Names without which we could not go on: of this machine, and of what controls containers.
pub(crate) fn names() -> Vec<String> {
    let mut names = vec![rustix::system::uname().nodename().to_string_lossy().into_owned()];
    for environment in environments() {
        let docker = environment.get("DOCKER_HOST").and_then(|at| at.split_once("://")).filter(|(scheme, _)| *scheme != "unix");
        names.extend(docker.and_then(|(_, rest)| host_of(rest)));
        names.extend(environment.get("KUBERNETES_SERVICE_HOST").and_then(|host| host_of(host)));
        if environment.contains_key("KUBERNETES_SERVICE_HOST") {
            names.extend(["kubernetes.default.svc", "kubernetes.default.svc.cluster.local"].map(str::to_owned));
        }
    }
    names.retain(|name| !name.is_empty());
    names.sort();
    names.dedup();
    names
}

/// `user@name:port/path` without what is not the name. None: an address.
fn host_of(authority: &str) -> Option<String> {
    let authority = authority.split('/').next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    if host.starts_with('[') || host.parse::<IpAddr>().is_ok() {
        return None;
    }
    let name = host.split(':').next().unwrap_or_default();
    (!name.is_empty() && name.parse::<IpAddr>().is_err()).then(|| name.to_owned())
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
fn secure_shells(sockets: &[TcpNetEntry]) -> Vec<Exempt> {
    let Ok(snapshot) = Snapshot::take() else { return Vec::new() };
    let listening = |pids: &mut dyn Iterator<Item = i32>| -> BTreeSet<u16> {
        let held: BTreeSet<u64> = pids.flat_map(sockets_of).collect();
        let listens = |s: &&TcpNetEntry| s.state == TcpState::Listen && held.contains(&s.inode);
        sockets.iter().filter(listens).map(|s| s.local_address.port()).collect()
    };
    let servers = snapshot.living().filter(|e| SECURE_SHELLS.contains(&e.name.as_str())).map(|e| e.id.pid);
    // Where the first process listens, it starts a server for each session.
    let activated = listening(&mut std::iter::once(1)).into_iter().filter(|port| *port == SSH);
    let ports = PortRange::of(listening(&mut servers.into_iter()).into_iter().chain(activated));
    let exempt = |port: PortRange| Exempt {
        what: format!("SSH (port {port})"),
        flow: Flow { protocol: Some(Protocol::Tcp), own_ports: vec![port], ..Flow::default() },
    };
    ports.into_iter().map(exempt).collect()
}

/// The sessions that are open, of whoever listens: where pid 1 does, no server is seen to.
fn open_sessions(servers: &[&str], sockets: &[TcpNetEntry]) -> Vec<Exempt> {
    let Ok(snapshot) = Snapshot::take() else { return Vec::new() };
    let held =
        snapshot.living().filter(|e| servers.contains(&e.name.as_str())).flat_map(|e| sockets_of(e.id.pid)).collect::<BTreeSet<u64>>();
    let ours = |s: &&TcpNetEntry| s.state == TcpState::Established && held.contains(&s.inode);
    let mut by_port: BTreeMap<u16, BTreeSet<Network>> = BTreeMap::new();
    for session in sockets.iter().filter(ours) {
        let client = Network::from(session.remote_address.ip().to_canonical());
        by_port.entry(session.local_address.port()).or_default().insert(client);
    }
    let exempt = |(port, clients): (u16, BTreeSet<Network>)| {
        let peers: Vec<Network> = clients.into_iter().collect();
        let from = peers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let flow = Flow { protocol: Some(Protocol::Tcp), peers, own_ports: vec![port.into()], ..Flow::default() };
        Exempt { what: format!("open sessions on port {port} (with {from})"), flow }
    };
    by_port.into_iter().map(exempt).collect()
}

/// Every TCP socket of a namespace.
fn tcp(namespace: &Namespace) -> Vec<TcpNetEntry> {
    if namespace.is_own() {
        return sockets([procfs::net::tcp(), procfs::net::tcp6()]);
    }
    Process::new(namespace.process.pid).map(|lives_there| sockets([lives_there.tcp(), lives_there.tcp6()])).unwrap_or_default()
}

/// Without IPv6 there is no second table.
fn sockets(tables: [ProcResult<Vec<TcpNetEntry>>; 2]) -> Vec<TcpNetEntry> {
    tables.into_iter().flat_map(Result::unwrap_or_default).collect()
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

/// What names the servers of names: also those that one on this machine asks in turn, which is all that programs are told of.
fn resolver_configuration(read: impl Fn(&str) -> String) -> String {
    const BEHIND: [&str; 2] = ["/run/systemd/resolve/resolv.conf", "/run/NetworkManager/no-stub-resolv.conf"];
    let told = read("/etc/resolv.conf");
    let is_here = resolvers(&told).iter().any(|e| e.flow.peers.iter().any(|p| p.address().is_loopback()));
    let behind = BEHIND.map(|path| if is_here { read(path) } else { String::new() });
    [&told, &behind[0], &behind[1]].map(String::as_str).join("\n")
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

fn kubernetes(host: &str, port: &str) -> Option<SocketAddr> {
    Some(SocketAddr::new(host.parse().ok()?, port.parse().ok()?))
}

fn kubernetes_at(api: SocketAddr) -> Exempt {
    let flow = Flow {
        protocol: Some(Protocol::Tcp),
        peers: vec![Network::from(api.ip())],
        peer_ports: vec![api.port().into()],
        ..Flow::default()
    };
    Exempt { what: format!("the Kubernetes API ({})", api.ip()), flow }
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
        path(&Namespace::own().expect("ours")).expect("looked at");
    }

    #[test]
    fn names_that_we_need_are_told_from_addresses() {
        for (authority, name) in [
            ("engine.internal:2376", Some("engine.internal")),
            ("root@engine.internal:22/run/docker.sock", Some("engine.internal")),
            ("10.0.0.7:2375", None),
            ("[fd00::7]:2375", None),
            ("", None),
        ] {
            assert_eq!(host_of(authority).as_deref(), name, "{authority}");
        }
        assert!(names().contains(&rustix::system::uname().nodename().to_string_lossy().into_owned()));
    }

    #[test]
    fn behind_a_resolver_of_this_machine_are_those_that_it_asks() {
        let with = |told: &'static str| {
            let read = move |path: &str| match path {
                "/etc/resolv.conf" => told.to_owned(),
                "/run/systemd/resolve/resolv.conf" => "nameserver 192.0.2.53".to_owned(),
                _ => String::new(),
            };
            resolvers(&resolver_configuration(read)).into_iter().map(|e| e.what).collect::<Vec<_>>()
        };
        assert_eq!(with("nameserver 127.0.0.53\noptions edns0"), ["DNS (127.0.0.53)", "DNS (192.0.2.53)"]);
        assert_eq!(with("nameserver 10.0.0.2"), ["DNS (10.0.0.2)"]);
    }

    #[test]
    fn sessions_that_are_open_are_left_alone_whoever_listens() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        let here = listener.local_addr().expect("its address");
        let _client = std::net::TcpStream::connect(here).expect("connected");
        let _served = listener.accept().expect("accepted");
        let name = std::fs::read_to_string("/proc/self/comm").expect("our name");
        let sockets = tcp(&Namespace::own().expect("ours"));
        let found = open_sessions(&[name.trim()], &sockets);
        let ours = found.iter().find(|e| e.flow.own_ports == [PortRange::from(here.port())]).expect("the session");
        assert_eq!(ours.flow.to_string(), format!("TCP of its own port {} with 127.0.0.1", here.port()));
        assert!(open_sessions(&["nobody is called so"], &sockets).is_empty());
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
