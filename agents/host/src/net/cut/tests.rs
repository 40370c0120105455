//! What is cut off does not arrive, and all else does.

#![allow(clippy::disallowed_methods, reason = "tests make their own world")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::*;
use crate::net::netlink::Socket;
use crate::net::nftables::{self, Ownership};
use crate::net::testing::elsewhere;

fn cut(packets: Packets, ways: &[Way], how: How) -> Cut {
    Cut { packets, ways: ways.to_vec(), interface: None, how }
}

fn meant(flow: Flow) -> Packets {
    Packets { flows: vec![flow], except: Vec::new() }
}

fn networks(all: &[&str]) -> Vec<Network> {
    all.iter().map(|text| text.parse().expect("a network")).collect()
}

/// In force until it is dropped: at once, whoever else is starting processes with our descriptors in them meanwhile.
struct InForce(Socket, String);

impl InForce {
    fn new(cut: &Cut, tag: &str) -> Self {
        let mut socket = nftables::open().expect("a socket");
        nftables::make(&mut socket, &cut.ruleset(tag), Ownership::Owned).unwrap_or_else(|e| panic!("{cut:?}: {e}"));
        Self(socket, tag.to_owned())
    }

    fn met(&mut self) -> u64 {
        nftables::seen(&mut self.0, &self.1).expect("read").expect("it stands").packets
    }
}

impl Drop for InForce {
    fn drop(&mut self) {
        let table = nftables::named(&mut self.0, &self.1).expect("asked").expect("it stands");
        nftables::remove(&mut self.0, &table).expect("removed");
    }
}

/// Does a connection come about, is it refused, or does nobody answer?
fn dial(to: SocketAddr) -> &'static str {
    match TcpStream::connect_timeout(&to, Duration::from_millis(300)) {
        Ok(_) => "connected",
        Err(e) if e.kind() == ErrorKind::ConnectionRefused => "refused",
        Err(e) if e.kind() == ErrorKind::TimedOut => "silence",
        Err(e) => panic!("{to}: {e}"),
    }
}

#[test]
fn only_what_is_meant_is_cut_off() {
    let Some(namespace) = elsewhere("only_what_is_meant_is_cut_off") else { return };
    namespace.run(|| {
        let servers = ["127.0.0.1:0", "127.0.0.1:0", "[::1]:0"].map(|here| TcpListener::bind(here).expect("a listener"));
        let [one, other, six] = servers.each_ref().map(|server| server.local_addr().expect("its address"));
        let own = |address: SocketAddr| Flow { own_ports: vec![address.port().into()], ..Flow::default() };
        let to = |peers: &[&str], ports: &[u16]| Flow {
            peers: networks(peers),
            peer_ports: ports.iter().map(|p| PortRange::from(*p)).collect(),
            ..Flow::default()
        };
        let everything = Flow::default();
        for (what, packets, ways, how, expected) in [
            ("one port, silently", meant(own(one)), &[Way::In][..], How::Drop, ["silence", "connected", "connected"]),
            ("one port, its answers", meant(own(one)), &[Way::Out], How::Drop, ["silence", "connected", "connected"]),
            ("one port, refused", meant(own(one)), &[Way::In], How::Reject, ["refused", "connected", "connected"]),
            (
                "as seen by the client",
                meant(to(&["127.0.0.0/8"], &[one.port()])),
                &[Way::Out],
                How::Reject,
                ["refused", "connected", "connected"],
            ),
            ("a network", meant(to(&["127.0.0.0/8", "10.0.0.0/8"], &[])), &[Way::Out], How::Reject, ["refused", "refused", "connected"]),
            ("version 6", meant(to(&["::/0"], &[])), &[Way::Out, Way::In], How::Drop, ["connected", "connected", "silence"]),
            (
                "by family",
                meant(Flow { family: Some(Family::Ipv6), ..everything.clone() }),
                &[Way::In],
                How::Reject,
                ["connected", "connected", "refused"],
            ),
            (
                "all but one",
                Packets { flows: vec![everything.clone()], except: vec![own(other), to(&["127.0.0.1"], &[other.port()])] },
                &[Way::Out, Way::In],
                How::Reject,
                ["refused", "connected", "refused"],
            ),
            (
                "not UDP",
                meant(Flow { protocol: Some(crate::net::flow::Protocol::Udp), ..everything.clone() }),
                &[Way::Out, Way::In],
                How::Drop,
                ["connected", "connected", "connected"],
            ),
            ("elsewhere", meant(everything.clone()), &[Way::Out, Way::In], How::Drop, ["silence", "silence", "silence"]),
        ] {
            let mut in_force = InForce::new(&cut(packets, ways, how), "chaos-cut-1.0.0");
            assert_eq!([one, other, six].map(dial), expected, "{what}");
            let met = in_force.met();
            assert_eq!(met > 0, expected.iter().any(|e| *e != "connected"), "{what}: {met} packets");
        }
        assert_eq!([one, other, six].map(dial), ["connected"; 3], "all of it is gone");
    });
}

#[test]
fn an_interface_is_meant_alone() {
    let Some(namespace) = elsewhere("an_interface_is_meant_alone") else { return };
    namespace.run(|| {
        let server = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let here = server.local_addr().expect("its address");
        for (interface, expected) in [("eth0", "connected"), ("lo", "refused")] {
            let cut = Cut { interface: Some(interface.into()), ..cut(meant(Flow::default()), &[Way::Out, Way::In], How::Reject) };
            let _in_force = InForce::new(&cut, "chaos-cut-2.0.0");
            assert_eq!(dial(here), expected, "{interface}");
        }
    });
}

/// What vanishes is not noticed even by its sender; what is rejected is, at once.
#[test]
fn datagrams_vanish_or_are_refused() {
    let Some(namespace) = elsewhere("datagrams_vanish_or_are_refused") else { return };
    namespace.run(|| {
        for (here, peers) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1")] {
            let server = UdpSocket::bind(here).expect("a server");
            server.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
            let client = UdpSocket::bind(here).expect("a client");
            client.connect(server.local_addr().expect("its address")).expect("connected");
            for how in [How::Drop, How::Reject] {
                let flow = Flow { peers: networks(&[peers]), ..Flow::default() };
                let _in_force = InForce::new(&cut(meant(flow), &[Way::Out], how), "chaos-cut-3.0.0");
                let sent = client.send(b"x");
                assert_eq!(sent.is_ok(), how == How::Drop, "{here}, {how:?}: {sent:?}");
                assert_eq!(server.recv(&mut [0; 1]).expect_err("it never arrives").kind(), ErrorKind::WouldBlock);
            }
            client.send(b"x").or_else(|_| client.send(b"x")).expect("sent");
            assert_eq!(server.recv(&mut [0; 1]).expect("it arrives again"), 1);
        }
    });
}

/// What is sent in the name of another host would reach that host, if it went back to its source.
#[test]
fn what_was_sent_in_the_name_of_others_does_not_leave_this_host() {
    let Some(namespace) = elsewhere("what_was_sent_in_the_name_of_others_does_not_leave_this_host") else { return };
    namespace.run(|| {
        use rustix::net::{AddressFamily, SocketType, bind, sockopt};
        let server = UdpSocket::bind("[::1]:0").expect("a server");
        let socket = rustix::net::socket(AddressFamily::INET6, SocketType::DGRAM, None).expect("a socket");
        sockopt::set_ipv6_freebind(&socket, true).expect("any address");
        bind(&socket, &"[2001:db8::9]:9".parse::<SocketAddr>().expect("an address")).expect("bound");
        let proxy = UdpSocket::from(socket);
        let to = server.local_addr().expect("its address");
        proxy.send_to(b"x", to).expect("sent");
        let flow = Flow { peers: networks(&["::1"]), ..Flow::default() };
        let mut in_force = InForce::new(&cut(meant(flow), &[Way::Out], How::Drop), "chaos-cut-6.0.0");
        assert_eq!(proxy.send_to(b"x", to).expect_err("it goes nowhere").kind(), ErrorKind::PermissionDenied);
        UdpSocket::bind("[::1]:0").expect("a client").send_to(b"x", to).expect("it seems to be sent");
        assert_eq!(in_force.met(), 2);
    });
}

/// A list of thousands, as clouds publish theirs, is one table made at once like any other.
#[test]
fn many_peers_are_one_table() {
    let Some(namespace) = elsewhere("many_peers_are_one_table") else { return };
    namespace.run(|| {
        let server = TcpListener::bind("127.0.0.77:0").expect("a listener");
        let here = server.local_addr().expect("its address");
        let peers: Vec<String> = (0..5_000u16).map(|n| format!("10.{}.{}.0/24", n >> 8, n & 0xFF)).chain(["127.0.0.77".into()]).collect();
        let peers = networks(&peers.iter().map(String::as_str).collect::<Vec<_>>());
        let flow = Flow { peers, peer_ports: vec![here.port().into()], ..Flow::default() };
        let cut = cut(meant(flow), &[Way::Out, Way::In], How::Reject);
        let mut socket = nftables::open().expect("a socket");
        assert_eq!(nftables::rehearse(&mut socket, &cut.ruleset("chaos-cut-5.0.0")).expect("rehearsed"), Ownership::Owned);
        let _in_force = InForce::new(&cut, "chaos-cut-5.0.0");
        assert_eq!(dial(here), "refused");
    });
}

/// TCP takes what vanishes for lost on its way: it sends it again and again, at growing intervals, and so it arrives late when all is over.
#[test]
fn what_vanishes_is_sent_again_as_what_was_lost_is() {
    let Some(namespace) = elsewhere("what_vanishes_is_sent_again_as_what_was_lost_is") else { return };
    namespace.run(|| {
        let server = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let here = server.local_addr().expect("its address");
        let mut client = TcpStream::connect(here).expect("connected");
        let (mut served, _) = server.accept().expect("accepted");
        let flow = Flow { peer_ports: vec![here.port().into()], ..Flow::default() };
        let in_force = InForce::new(&cut(meant(flow), &[Way::Out], How::Drop), "chaos-cut-4.0.0");
        let before = sent_again();
        client.write_all(b"late").expect("the kernel takes it");
        let since = Instant::now();
        while sent_again() < before + 2 {
            assert!(since.elapsed() < Duration::from_secs(20), "it is never sent again");
            std::thread::sleep(Duration::from_millis(10));
        }
        drop(in_force);
        let mut late = [0; 4];
        served.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        served.read_exact(&mut late).expect("it arrives");
        assert_eq!(&late, b"late");
    });
}

/// Segments of TCP that were sent again in this network namespace, ever: `RetransSegs` (RFC 4022).
fn sent_again() -> u64 {
    let counters = std::fs::read_to_string("/proc/thread-self/net/snmp").expect("the kernel counts");
    let lines: Vec<Vec<&str>> = counters.lines().filter(|l| l.starts_with("Tcp:")).map(|l| l.split(' ').collect()).collect();
    let at = lines[0].iter().position(|name| *name == "RetransSegs").expect("the counter");
    lines[1][at].parse().expect("a number")
}
