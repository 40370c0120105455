//! A real Redis, a client that knows nothing of the proxy, and scenes for toxics on commands.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chaos_core::conformance::Scene;
use chaos_protocol::resp::{Command as Asked, Value, ValueReader};
use chaos_proxy::toxic::Speaks;
use serde_json::{Value as Json, json};

use super::{Standing, wait_for};

/// What takes longer is late. A machine that is busy with other tests is not.
const LATE: Duration = Duration::from_millis(700);

/// A server on a port of its own, which ends with it.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Server {
    pub(crate) fn start() -> Self {
        let address = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
        let folder = tempfile::tempdir().expect("a folder");
        let child = Command::new("redis-server")
            .args(["--port", &address.port().to_string(), "--bind", "127.0.0.1", "--save", "", "--daemonize", "no"])
            .arg("--dir")
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server runs (tests/needs)");
        let server = Self { child, address, _folder: folder };
        wait_for("redis-server listens", || TcpStream::connect(address).is_ok());
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that sends what it is told and reads what comes.
pub(crate) struct Client {
    stream: TcpStream,
    reader: ValueReader,
    came: Vec<u8>,
}

impl Client {
    pub(crate) fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("it accepts");
        stream.set_nodelay(true).expect("no delay");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        Self { stream, reader: ValueReader::new(64 << 20), came: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("it is sent");
    }

    pub(crate) fn reply(&mut self) -> Value {
        loop {
            let mut rest = self.came.as_slice();
            let read = self.reader.read(&mut rest).expect("a reply");
            self.came = rest.to_vec();
            if let Some(value) = read {
                return value;
            }
            let mut chunk = vec![0; 64 << 10];
            let n = self.stream.read(&mut chunk).expect("it answers");
            assert!(n > 0, "closed");
            self.came = chunk[..n].to_vec();
        }
    }

    pub(crate) fn ask(&mut self, command: &str) -> Value {
        self.send(&command_bytes(command));
        self.reply()
    }

    /// As a person reads it.
    pub(crate) fn told(&mut self, command: &str) -> String {
        told(&self.ask(command))
    }
}

/// A command of these words, as client libraries send it.
pub(crate) fn command_bytes(command: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    Asked::write(&command.split(' ').map(str::as_bytes).collect::<Vec<_>>(), &mut bytes);
    bytes
}

pub(crate) fn told(value: &Value) -> String {
    match value {
        Value::Null => "(nil)".into(),
        Value::Simple(text) | Value::Error(text) => text.clone(),
        Value::Integer(n) => n.to_string(),
        Value::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Array(items) => items.iter().map(told).collect::<Vec<_>>().join(" "),
        other => format!("{other:?}"),
    }
}

pub(crate) fn scene_for(kind: &str) -> Option<fn() -> Scene> {
    Some(match kind {
        "redis.delay" => || scene(json!({"delay": "1s", "commands": ["GET"]})),
        "redis.error" => || scene(json!({"error": "LOADING"})),
        "redis.throttle" => || scene(json!({"rate": "1/s", "commands": ["GET"]})),
        "redis.null" => || scene(json!({"keys": ["k*"]})),
        "redis.stale" => stale,
        _ => return None,
    })
}

fn scene(spec: Json) -> Scene {
    let server = Server::start();
    Client::to(server.address).ask("SET k v");
    let standing = Standing::before(server.address, Speaks::Redis);
    let listen = standing.listen();
    let look = move || {
        let mut client = Client::to(listen);
        let begun = Instant::now();
        let seen = [client.told("GET k"), client.told("GET k")].join(", ");
        format!("{seen} {}", if begun.elapsed() > LATE { "late" } else { "at once" })
    };
    Scene { target: standing.target(), spec, look: Box::new(look), keep: Box::new((server, standing)) }
}

/// Asks, changes what it asked for by another way, asks again.
fn stale() -> Scene {
    let server = Server::start();
    let standing = Standing::before(server.address, Speaks::Redis);
    let (listen, direct) = (standing.listen(), server.address);
    let look = move || {
        let (mut client, mut writer) = (Client::to(listen), Client::to(direct));
        let mut seen = |value: &str| {
            writer.ask(&format!("SET k {value}"));
            client.told("GET k")
        };
        let (_, first, second) = (seen("first"), seen("first"), seen("second"));
        (if first == second { "stale" } else { "fresh" }).to_owned()
    };
    Scene { target: standing.target(), spec: json!({}), look: Box::new(look), keep: Box::new((server, standing)) }
}
