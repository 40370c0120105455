//! The feature store over a socket, as redis-cli and others talk to it.

mod system;

use std::{
    io::{Read, Write},
    net::{IpAddr, Shutdown, TcpStream},
    process::{Child, Command},
    thread::sleep,
    time::Duration,
};

use system::{PROGRAM, address, wait_for};

struct Store {
    ip: IpAddr,
    process: Child,
}

impl Store {
    fn start() -> Self {
        let ip = address();
        let process = Command::new(PROGRAM).args(["demo", "store", "--listen", &format!("{ip}:6379")]).spawn().unwrap();
        wait_for("the store listens", || TcpStream::connect((ip, 6379)).is_ok());
        Self { ip, process }
    }

    /// Sends pieces with a pause between them, then reads all that comes back.
    fn converse(&self, pieces: &[&[u8]]) -> String {
        let mut stream = TcpStream::connect((self.ip, 6379)).unwrap();
        stream.set_nodelay(true).unwrap();
        for piece in pieces {
            stream.write_all(piece).unwrap();
            sleep(Duration::from_millis(10));
        }
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answers = String::new();
        stream.read_to_string(&mut answers).unwrap();
        answers
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const SET: &[u8] = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nva\r\nl\r\n";
const GET: &[u8] = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";

#[test]
fn pipelined_requests_are_answered_in_order() {
    let store = Store::start();
    let pipeline = [SET, GET, b"PING\r\n", b"*1\r\n$7\r\nCOMMAND\r\n", GET].concat();
    assert_eq!(store.converse(&[&pipeline]), "+OK\r\n$5\r\nva\r\nl\r\n+PONG\r\n*0\r\n$5\r\nva\r\nl\r\n");
    let many = GET.repeat(20_000);
    assert_eq!(store.converse(&[&many]).len(), 20_000 * "$5\r\nva\r\nl\r\n".len());
}

#[test]
fn a_request_may_arrive_in_pieces() {
    let store = Store::start();
    let pieces: Vec<&[u8]> = SET.chunks(3).chain(GET.chunks(1)).collect();
    assert_eq!(store.converse(&pieces), "+OK\r\n$5\r\nva\r\nl\r\n");
}

#[test]
fn a_breach_of_the_protocol_is_named_and_ends_the_connection() {
    let store = Store::start();
    let answers = store.converse(&[b"PING\r\n*1\r\n$99999999\r\n"]);
    assert_eq!(answers, "+PONG\r\n-ERR Protocol error: invalid bulk length\r\n");
    assert_eq!(store.converse(&[b"QUIT\r\n"]), "+OK\r\n");
}

#[test]
fn features_of_some_users_are_there_from_the_start() {
    let store = Store::start();
    let answer = store.converse(&[b"MGET features:1 features:101\r\n"]);
    assert!(answer.starts_with("*2\r\n$"), "{answer}");
    assert!(answer.ends_with("\r\n$-1\r\n"), "{answer}");
}

#[test]
fn redis_cli_works() {
    let store = Store::start();
    let redis_cli = |words: &[&str]| {
        let output = Command::new("redis-cli").args(["-h", &store.ip.to_string()]).args(words).output()?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    };
    if redis_cli(&["--version"]).is_err() {
        system::not_covered("the feature store with redis-cli: redis-cli is not installed");
        return;
    }
    for (words, answer) in [
        (&["PING"][..], "PONG"),
        (&["SET", "greeting", "hello world"], "OK"),
        (&["GET", "greeting"], "hello world"),
        (&["GET", "nothing"], ""),
        (&["DEL", "greeting"], "1"),
    ] {
        assert_eq!(redis_cli(words).unwrap(), answer, "{words:?}");
    }
    assert!(redis_cli(&["INFO"]).unwrap().contains("server_name:chaos-demo-store"));
}
