//! A real PostgreSQL, a client that speaks frames, and scenes for toxics on statements.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use chaos_core::conformance::Scene;
use chaos_protocol::Piece;
use chaos_protocol::postgres::{ErrorFields, Frame, FrameReader, Side, frontend};
use chaos_proxy::toxic::Speaks;
use serde_json::{Value as Json, json};

use super::{Standing, wait_for};

const LATE: Duration = Duration::from_millis(700);
/// Debian's package makes this user; the server does not run as root.
const USER: &str = "postgres";

/// A server on a port of its own, which ends with it.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    _folder: tempfile::TempDir,
}

/// Where Debian keeps the newest version's programs.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed (tests/needs)").flatten();
    versions.map(|v| v.path().join("bin")).filter(|bin| bin.join("initdb").exists()).max().expect("a version with a server")
}

/// A program of the server's, as its own user.
fn as_server(program: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", USER, "--regid", USER, "--clear-groups", "--"]).arg(program);
    command
}

fn give(path: &Path) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let id = |flag: &str| {
        let told = Command::new("id").args([flag, USER]).output().expect("id runs").stdout;
        String::from_utf8_lossy(&told).trim().parse::<u32>().expect("a number")
    };
    chown(path, Some(id("-u")), Some(id("-g"))).expect("the folder is given away");
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        give(folder.path());
        let data = folder.path().join("data");
        let made = as_server(&programs().join("initdb"))
            .args(["--username", "me", "--auth", "trust", "--no-sync", "--no-instructions", "--pgdata"])
            .arg(&data)
            .stdout(Stdio::null())
            .status()
            .expect("initdb runs");
        assert!(made.success(), "initdb failed");
        let address = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
        let child = as_server(&programs().join("postgres"))
            .arg("-D")
            .arg(&data)
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "shared_buffers=8MB"])
            .args(["-p", &address.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("postgres runs");
        let server = Self { child, address, _folder: folder };
        wait_for("postgres takes queries", || Client::try_to(address).is_some());
        server
    }
}

impl Drop for Server {
    /// Its children end with it, but not at once if it is killed.
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        }
        let _ = self.child.wait();
    }
}

/// A frame: its tag and all its bytes.
pub(crate) type Answer = (char, Vec<u8>);

/// A client that sends what it is told and reads what comes.
pub(crate) struct Client {
    stream: TcpStream,
    reader: FrameReader,
    came: Vec<u8>,
}

impl Client {
    pub(crate) fn to(address: SocketAddr) -> Self {
        Self::try_to(address).expect("the server takes queries")
    }

    fn try_to(address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_nodelay(true).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
        let mut client = Self { stream, reader: FrameReader::new(Side::Backend), came: Vec::new() };
        // First whether it can be encrypted, as every driver asks.
        client.stream.write_all(b"\0\0\0\x08\x04\xd2\x16\x2f").ok()?;
        let mut answer = [0];
        client.stream.read_exact(&mut answer).ok()?;
        assert_eq!(answer, *b"N");
        client.stream.write_all(b"\0\0\0\x23\0\x03\0\0user\0me\0database\0postgres\0\0").ok()?;
        client.until_ready().iter().all(|(tag, _)| *tag != 'E').then_some(client)
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("it is sent");
    }

    /// Everything up to `ReadyForQuery`, or to an error that ends the connection.
    pub(crate) fn until_ready(&mut self) -> Vec<Answer> {
        let mut answers = Vec::new();
        loop {
            let mut rest = self.came.as_slice();
            let read = self.reader.read(&mut rest).expect("a frame");
            let read = read.map(|piece| match piece {
                Piece::Begins { head: Frame::Tagged(tag), bytes, .. } => (char::from(tag), bytes),
                Piece::GoesOn { bytes, .. } => ('+', bytes.to_vec()),
                Piece::Begins { head, .. } => panic!("{head:?}"),
            });
            self.came = rest.to_vec();
            let Some(answer) = read else {
                let mut chunk = vec![0; 8 << 10];
                match self.stream.read(&mut chunk) {
                    Ok(n @ 1..) => self.came = chunk[..n].to_vec(),
                    _ => return [answers, vec![('E', Vec::new())]].concat(),
                }
                continue;
            };
            match (answer, answers.last_mut()) {
                (('+', more), Some((_, bytes))) => bytes.extend_from_slice(&more),
                (answer, _) => answers.push(answer),
            }
            if answers.last().is_some_and(|(tag, _)| *tag == 'Z') {
                return answers;
            }
        }
    }

    /// What the server answers to a query, as [`told`].
    pub(crate) fn simple(&mut self, sql: &str) -> String {
        self.send(&frontend::write_query(sql));
        told(&self.until_ready())
    }
}

/// The tags, with the code of an error and the state at the end: `C Z:I`, `E:40001 Z:E`.
pub(crate) fn told(answers: &[Answer]) -> String {
    let words = answers.iter().filter(|(tag, _)| !"TDSKN".contains(*tag)).map(|(tag, bytes)| match tag {
        'E' => format!("E:{}", ErrorFields::parse(bytes).code),
        'Z' => format!("Z:{}", char::from(bytes[5])),
        tag => tag.to_string(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// One server for the whole test process: making one takes seconds. Ended by whoever holds it last.
pub(crate) fn server() -> std::sync::Arc<Server> {
    static SERVER: OnceLock<std::sync::Mutex<std::sync::Weak<Server>>> = OnceLock::new();
    let mut kept = SERVER.get_or_init(std::sync::Mutex::default).lock().expect("the lock");
    kept.upgrade().unwrap_or_else(|| {
        let server = std::sync::Arc::new(Server::start());
        *kept = std::sync::Arc::downgrade(&server);
        server
    })
}

pub(crate) fn scene_for(kind: &str) -> Option<fn() -> Scene> {
    Some(match kind {
        "postgres.delay" => || scene(json!({"delay": "1s", "statements": ["select"]})),
        "postgres.error" => || scene(json!({"sqlstate": "40001"})),
        _ => return None,
    })
}

fn scene(spec: Json) -> Scene {
    let server = server();
    let standing = Standing::before(server.address, Speaks::Postgres);
    let listen = standing.listen();
    let look = move || {
        let mut client = Client::to(listen);
        let begun = Instant::now();
        let seen = client.simple("select 1");
        format!("{seen} {}", if begun.elapsed() > LATE { "late" } else { "at once" })
    };
    Scene { target: standing.target(), spec, look: Box::new(look), keep: Box::new((server, standing)) }
}
