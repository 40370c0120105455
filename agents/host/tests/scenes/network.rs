//! Networks to harm: namespaces of the tests' own, with something that answers in them.

use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chaos_core::conformance::Scene;
use chaos_core::target::{Facets, Target};
use chaos_protocol::dns::{Data, Message, RecordType};
use chaos_testbed::Namespace;
use serde_json::Value;

use super::{process_id, target};

/// How long an answer may take that comes at all.
const PATIENCE: Duration = Duration::from_millis(500);

/// A process with a network to itself, that others believe to listen.
pub(crate) struct Networked {
    namespace: Namespace,
    listener: TcpListener,
    dns: Option<(Arc<AtomicBool>, std::thread::JoinHandle<()>)>,
}

impl Networked {
    /// Listening on a TCP port.
    pub(crate) fn listening() -> Self {
        let namespace = Namespace::new().expect("the tests run as root");
        let listener = namespace.run(|| TcpListener::bind("[::]:0").expect("a listener"));
        Self { namespace, listener, dns: None }
    }

    /// With a server of names beside it, which knows one address for every name.
    pub(crate) fn with_names() -> Self {
        let mut networked = Self::listening();
        let server = networked.namespace.run(|| UdpSocket::bind("127.0.0.1:53").expect("a server of names"));
        let over_tcp = networked.namespace.run(|| TcpListener::bind("127.0.0.1:53").expect("a server of names"));
        server.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
        over_tcp.set_nonblocking(true).expect("a listener");
        let over = Arc::new(AtomicBool::new(false));
        let serving = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while !serving.load(Ordering::Relaxed) {
                if let Ok((length, from)) = server.recv_from(&mut buffer) {
                    let _ = server.send_to(&truth(&buffer[..length]), from);
                }
                if let Ok((mut connection, _)) = over_tcp.accept() {
                    connection.set_nonblocking(false).expect("a connection");
                    connection.set_read_timeout(Some(PATIENCE)).expect("a timeout");
                    if let Ok(length) = connection.read(&mut buffer) {
                        let answer = chaos_protocol::dns::framed(&truth(&buffer[2..length.max(2)]));
                        let _ = std::io::Write::write_all(&mut connection, &answer);
                    }
                }
            }
        });
        networked.dns = Some((over, thread));
        networked
    }

    pub(crate) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    pub(crate) fn port(&self) -> u16 {
        self.listener.local_addr().expect("its address").port()
    }

    pub(crate) fn target(&self) -> Target {
        let process = Some(process_id(self.namespace.pid()));
        target(Facets { process, listening: vec![self.port()], network_namespace: Some(self.namespace.inode()), ..Facets::default() })
    }

    /// Does a connection to it come about, over either version of the internet protocol?
    pub(crate) fn dial(&self) -> String {
        let port = self.port();
        let here = ["127.0.0.1", "::1"].map(|ip| SocketAddr::new(ip.parse().expect("an address"), port));
        let said = self.namespace.run(|| here.map(dial));
        // Nobody but us ever takes the connections that came about: the queue would be full after so many.
        self.listener.set_nonblocking(true).expect("a listener");
        while self.listener.accept().is_ok() {}
        said.join(" ")
    }

    /// A connection to it, both ends.
    pub(crate) fn connection(&self) -> (TcpStream, TcpStream) {
        let here = SocketAddr::new("127.0.0.1".parse().expect("an address"), self.port());
        self.listener.set_nonblocking(false).expect("a listener");
        let near = self.namespace.run(|| TcpStream::connect(here).expect("connected"));
        (near, self.listener.accept().expect("accepted").0)
    }

    /// What its server of names says.
    pub(crate) fn ask(&self, name: &str, record_type: RecordType) -> String {
        self.namespace.run(|| ask("127.0.0.1:53", name, record_type))
    }
}

impl Drop for Networked {
    fn drop(&mut self) {
        if let Some((over, thread)) = self.dns.take() {
            over.store(true, Ordering::Relaxed);
            let _ = thread.join();
        }
    }
}

fn dial(to: SocketAddr) -> &'static str {
    match TcpStream::connect_timeout(&to, PATIENCE) {
        Ok(_) => "connected",
        Err(e) if e.kind() == ErrorKind::ConnectionRefused => "refused",
        Err(_) => "silence",
    }
}

/// Asks a server of IPv4 in the network namespace of this thread, over UDP.
pub(crate) fn ask(server: &str, name: &str, record_type: RecordType) -> String {
    ask_from("0.0.0.0:0", server, name, record_type)
}

/// The same, from an address of its version.
pub(crate) fn ask_from(here: &str, server: &str, name: &str, record_type: RecordType) -> String {
    ask_with(&UdpSocket::bind(here).expect("a socket"), server, name, record_type)
}

/// As [`ask_from`], from a socket that may have asked before.
pub(crate) fn ask_with(socket: &UdpSocket, server: &str, name: &str, record_type: RecordType) -> String {
    let question = Message::query(7, name.parse().expect("a name"), record_type);
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket.connect(server).expect("connected");
    let mut buffer = [0; 4096];
    let asked = socket.send(&question.write().expect("a question")).and_then(|_| socket.recv(&mut buffer));
    match asked {
        Ok(length) => shown(&question, &buffer[..length]),
        Err(_) => "silence".into(),
    }
}

/// Asks a server in the network namespace of this thread, over TCP.
pub(crate) fn ask_over_tcp(server: &str, name: &str) -> String {
    let question = Message::query(8, name.parse().expect("a name"), RecordType::A);
    let mut connection = TcpStream::connect(server).expect("connected");
    connection.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let sent = chaos_protocol::dns::framed(&question.write().expect("a question"));
    std::io::Write::write_all(&mut connection, &sent).expect("sent");
    let (mut length, mut answer) = ([0; 2], Vec::new());
    let read = connection.read_exact(&mut length).and_then(|()| {
        answer.resize(usize::from(u16::from_be_bytes(length)), 0);
        connection.read_exact(&mut answer)
    });
    read.map_or_else(|_| "silence".into(), |()| shown(&question, &answer))
}

fn shown(question: &Message, answer: &[u8]) -> String {
    let answer = Message::parse(answer).expect("an answer");
    assert!(answer.answers_to(question), "{answer:?}");
    let records = answer.answers.iter().map(|r| format!(" {}", r.data));
    format!("{}{}", chaos_protocol::dns::rcode_name(answer.flags.rcode()), records.collect::<String>())
}

/// What the test's own server of names answers.
fn truth(question: &[u8]) -> Vec<u8> {
    let question = Message::parse(question).unwrap_or_default();
    let answer = question.answer(0).with(300, Data::A([192, 0, 2, 53].into()));
    answer.write().unwrap_or_default()
}

/// A service that is cut off.
pub(crate) fn to_cut_off(with: Value) -> Scene {
    let networked = Arc::new(Networked::listening());
    let seen = Arc::clone(&networked);
    Scene { target: networked.target(), spec: with, look: Box::new(move || seen.dial()), keep: Box::new(networked) }
}

/// A service with connections.
pub(crate) fn to_reset() -> Scene {
    let networked = Networked::listening();
    let connections: Vec<_> = (0..3).map(|_| networked.connection()).collect();
    let ends: Vec<TcpStream> = connections.iter().map(|(near, _)| near.try_clone().expect("a copy")).collect();
    let look = move || {
        let alive = |end: &TcpStream| {
            end.set_nonblocking(true).expect("a connection");
            matches!((&*end).read(&mut [0; 1]), Err(e) if e.kind() == ErrorKind::WouldBlock)
        };
        format!("{} connections", ends.iter().filter(|end| alive(end)).count())
    };
    Scene { target: networked.target(), spec: serde_json::json!({}), look: Box::new(look), keep: Box::new((networked, connections)) }
}

/// A service that asks for names.
pub(crate) fn to_misname(with: Value) -> Scene {
    let networked = Arc::new(Networked::with_names());
    let seen = Arc::clone(&networked);
    let look = move || {
        let over_udp = ["store.internal", "other.example"].map(|name| seen.ask(name, RecordType::A));
        let over_tcp = ["store.internal", "other.example"].map(|name| seen.namespace().run(|| ask_over_tcp("127.0.0.1:53", name)));
        format!("{over_udp:?} {over_tcp:?}")
    };
    Scene { target: networked.target(), spec: with, look: Box::new(look), keep: Box::new(networked) }
}
