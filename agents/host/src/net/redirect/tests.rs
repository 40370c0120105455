//! Connections are led here, know where they were meant to go, and go there again when the listener is gone.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use super::*;
use crate::net::testing::elsewhere;

const PATIENCE: Option<Duration> = Some(Duration::from_secs(20));

fn port(address: SocketAddr) -> Option<u16> {
    Some(address.port())
}

fn marked_connection(to: SocketAddr) -> io::Result<TcpStream> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    mark(&socket)?;
    connect(&socket, &to)?;
    Ok(socket.into())
}

#[test]
fn rule_18_connections_are_led_to_the_listener_for_as_long_as_it_is_there() {
    let Some(namespace) = elsewhere("rule_18_connections_are_led_to_the_listener_for_as_long_as_it_is_there") else { return };
    namespace.run(|| {
        let proxies = ["127.0.0.1:0", "[::1]:0"].map(|here| TcpListener::bind(here).expect("a listener"));
        let [to_v4, to_v6] = [0, 1].map(|n: usize| port(proxies[n].local_addr().expect("its address")));
        let redirection = Redirection {
            tag: "chaos-led-1.0.0",
            transports: &[Transport::Tcp],
            ports: &[6379, 6380],
            whose: Whose::ToThisHost,
            to_v4,
            to_v6,
        };
        redirection.rehearse().expect("rehearsed");
        let store: SocketAddr = "127.0.0.1:6380".parse().expect("an address");
        assert_eq!(TcpStream::connect(store).expect_err("nobody is there").kind(), ErrorKind::ConnectionRefused);

        let mut redirected = redirection.begin().expect("it begins");
        for (meant, proxy) in ["127.0.0.1:6379", "[::1]:6380"].iter().zip(&proxies) {
            let meant: SocketAddr = meant.parse().expect("an address");
            let client = TcpStream::connect(meant).expect("the proxy is there");
            let (led, _) = proxy.accept().expect("led here");
            assert_eq!(meant_for(&led, meant.is_ipv6()).expect("it was led"), meant);
            assert_eq!(client.peer_addr().expect("its peer"), meant, "the client sees whom it meant");
            assert_eq!(marked_connection(meant).expect_err("spared").kind(), ErrorKind::ConnectionRefused);
        }
        assert_eq!(redirected.met().expect("counted"), 2);
        assert_eq!(redirection.begin().expect_err("twice").kind(), ErrorKind::AlreadyExists);

        drop(redirected);
        assert_eq!(TcpStream::connect(store).expect_err("nobody is there").kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn datagrams_are_led_and_their_origin_is_known() {
    let Some(namespace) = elsewhere("datagrams_are_led_and_their_origin_is_known") else { return };
    namespace.run(|| {
        let server = UdpSocket::bind("127.0.0.1:0").expect("a server");
        server.set_read_timeout(PATIENCE).expect("a timeout");
        let here = server.local_addr().expect("its address");
        let redirection = Redirection {
            tag: "chaos-asked-1.0.0",
            transports: &[Transport::Udp, Transport::Tcp],
            ports: &[53],
            whose: Whose::FromThisHost,
            to_v4: port(here),
            to_v6: None,
        };
        let _redirected = redirection.begin().expect("it begins");
        let meant: SocketAddr = "127.0.0.9:53".parse().expect("an address");
        let client = UdpSocket::bind("127.0.0.1:0").expect("a client");
        client.connect(meant).expect("connected");
        client.set_read_timeout(PATIENCE).expect("a timeout");
        client.send(b"where?").expect("sent");
        let mut buffer = [0; 16];
        let (length, from) = server.recv_from(&mut buffer).expect("led here");
        assert_eq!(&buffer[..length], b"where?");
        let mut origins = Origins::open().expect("a socket");
        assert_eq!(origins.of_datagram(from, here).expect("asked"), Some(meant));
        let nobody = SocketAddr::new(from.ip(), from.port() ^ 1);
        assert_eq!(origins.of_datagram(nobody, here).expect("asked"), None);
        server.send_to(b"there", from).expect("answered");
        assert_eq!(client.recv(&mut buffer).expect("the answer comes from whom was asked"), 5);
    });
}
