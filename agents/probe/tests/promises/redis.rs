//! The `redis` probe, against a real server, and against scripted ones for what a real one does not do when it is asked to.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::asked::{any, ask, mistake, number, open, open_in};

/// A real server on a port of its own, which ends with it.
struct Server {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Server {
    async fn start(arguments: &[&str]) -> Self {
        let address = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let child = Command::new("redis-server")
            .args(["--port", &address.port().to_string(), "--bind", "127.0.0.1", "--save", "", "--daemonize", "no"])
            .arg("--dir")
            .arg(folder.path())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server runs (tests/needs)");
        let server = Self { child, address, _folder: folder };
        for _ in 0..2_000 {
            if std::net::TcpStream::connect(address).is_ok() {
                return server;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("redis-server never listened");
    }

    async fn asked(&self, command: &str) -> Result<Value, String> {
        let client = open("redis", json!({"connect": self.address.to_string(), "command": command})).await;
        ask(&client).await.map(|answer| any(&answer, "value").clone())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn redis_tells_every_kind_of_value() {
    let server = Server::start(&[]).await;
    for (command, value) in [
        ("PING", json!("PONG")),
        ("SET k 'two words'", json!("OK")),
        ("GET k", json!("two words")),
        ("GET none", json!(null)),
        ("SET n 7", json!("OK")),
        ("INCR n", json!(8)),
        ("SET j '{\"state\": \"open\"}'", json!("OK")),
        ("GET j", json!({"state": "open"})),
        ("MGET n none", json!(["8", null])),
        ("HSET h a 1 b 2", json!(2)),
        ("HGETALL h", json!({"a": "1", "b": "2"})),
        ("ZADD z 1.5 m", json!(1)),
        ("ZSCORE z m", json!(1.5)),
    ] {
        assert_eq!(server.asked(command).await.unwrap(), value, "{command}");
    }
    assert!(server.asked("LPUSH k x").await.unwrap_err().starts_with("WRONGTYPE "));
}

#[tokio::test]
async fn redis_tells_the_age_of_a_value() {
    let server = Server::start(&[]).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    server.asked(&format!("HSET features updated {} clicks 3", now - 600)).await.unwrap();
    server.asked(&format!("SET blob '{{\"updated\": {}}}'", (now - 30) * 1000)).await.unwrap();
    for (command, age) in [("HGETALL features", 600.0), ("GET blob", 30.0)] {
        let asked = open("redis", json!({"connect": server.address.to_string(), "command": command, "age_field": "updated"})).await;
        let told = number(&ask(&asked).await.unwrap(), "age");
        assert!((age..age + 60.0).contains(&told), "{command}: {told}");
    }
    let asked = open("redis", json!({"connect": server.address.to_string(), "command": "GET none", "age_field": "updated"})).await;
    assert_eq!(ask(&asked).await.unwrap().get("age"), None);
}

#[tokio::test]
async fn redis_asks_as_somebody() {
    let server = Server::start(&["--requirepass", "secret", "--user", "reader", "on", ">word", "~*", "+get", "+hello"]).await;
    assert!(server.asked("GET k").await.unwrap_err().starts_with("NOAUTH "));
    let asked = async |with: Value| {
        let mut all = json!({"connect": server.address.to_string(), "command": "GET k"});
        all.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
        ask(&open("redis", all).await).await.map(|a| any(&a, "value").clone())
    };
    assert_eq!(asked(json!({"password": "secret"})).await.unwrap(), Value::Null);
    assert_eq!(asked(json!({"user": "reader", "password": "word"})).await.unwrap(), Value::Null);
    assert!(asked(json!({"password": "wrong"})).await.unwrap_err().starts_with("WRONGPASS "));
}

#[tokio::test]
async fn a_kept_connection_that_the_server_closed_is_replaced() {
    let server = Server::start(&[]).await;
    let client = open("redis", json!({"connect": server.address.to_string(), "command": "INCR n"})).await;
    for n in 1..=3 {
        assert_eq!(any(&ask(&client).await.unwrap(), "value"), &json!(n));
    }
    let connected = server.asked("INFO clients").await.unwrap();
    assert!(connected.as_str().unwrap().contains("connected_clients:2"), "the three questions share one: {connected}");
    server.asked("CLIENT KILL TYPE normal SKIPME yes").await.unwrap();
    assert_eq!(any(&ask(&client).await.unwrap(), "value"), &json!(4));
}

/// Answers `HELLO` as told, `AUTH` well and everything else with `reply`; counts connections.
async fn scripted(hello: &'static str, reply: &'static str) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(replies(stream, hello, reply));
        }
    });
    (address, connections)
}

async fn replies(mut stream: impl AsyncRead + AsyncWrite + Unpin, hello: &str, reply: &str) -> std::io::Result<()> {
    let mut chunk = [0; 1024];
    loop {
        let n = stream.read(&mut chunk).await?;
        if n == 0 {
            return Ok(());
        }
        let asked = String::from_utf8_lossy(&chunk[..n]).into_owned();
        let told = if asked.contains("HELLO") { hello } else { reply };
        // In pieces: a reply may come in parts.
        for byte in told.as_bytes() {
            stream.write_all(&[*byte]).await?;
        }
        if told.is_empty() {
            return Ok(());
        }
    }
}

#[tokio::test]
async fn old_servers_pushes_and_errors_are_understood() {
    let reason = async |hello, reply| {
        let (address, _) = scripted(hello, reply).await;
        let asked = open("redis", json!({"connect": address.to_string(), "command": "HGETALL h", "age_field": "t"})).await;
        ask(&asked).await.map(|a| any(&a, "value").clone())
    };
    let old = "-ERR unknown command `HELLO`\r\n";
    assert_eq!(reason(old, "*2\r\n$1\r\nt\r\n$1\r\n5\r\n").await.unwrap(), json!(["t", "5"]));
    assert_eq!(reason("%0\r\n", ">2\r\n+invalidate\r\n*0\r\n%1\r\n+t\r\n:5\r\n").await.unwrap(), json!({"t": 5}));
    let loading = "LOADING Redis is loading the dataset in memory";
    assert_eq!(reason("-LOADING Redis is loading the dataset in memory\r\n", "").await.unwrap_err(), loading);
    assert_eq!(reason("%0\r\n", "").await.unwrap_err(), "connection closed before the answer was complete");
    assert_eq!(reason("HTTP/1.1 400 Bad Request\r\n", "").await.unwrap_err(), "not the protocol of Redis: no value begins with byte 0x48");
}

#[tokio::test]
async fn fresh_questions_connect_anew() {
    let (address, connections) = scripted("%0\r\n", "+OK\r\n").await;
    let fresh = open("redis", json!({"connect": address.to_string(), "command": "PING", "fresh": true})).await;
    for _ in 0..3 {
        ask(&fresh).await.unwrap();
    }
    assert_eq!(connections.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn redis_over_tls_is_verified() {
    let (config, folder) = crate::http::certificate(false);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = tokio_rustls::TlsAcceptor::from(Arc::clone(&config)).accept(stream).await {
                tokio::spawn(replies(stream, "%0\r\n", "+PONG\r\n"));
            }
        }
    });
    let asked = async |folder: &Path, tls: Value| {
        let with = json!({"connect": format!("localhost:{port}"), "command": "PING", "tls": tls});
        let client = open_in(folder, "redis", with).await.unwrap();
        (ask(&client).await, ask(&client).await)
    };
    let (first, second) = asked(folder.path(), json!({"ca": "ca.pem"})).await;
    assert_eq!(any(&first.unwrap(), "value"), any(&second.unwrap(), "value"));
    assert!(asked(folder.path(), json!({"verify": false})).await.0.is_ok());
}

#[test]
fn mistakes_in_a_redis_question_are_told_by_path() {
    for (with, path) in [
        (json!({"connect": "127.0.0.1", "command": "PING"}), "connect"),
        (json!({"connect": "a:1", "command": " "}), "command"),
        (json!({"connect": "a:1", "command": "GET 'k"}), "command"),
        (json!({"connect": "a:1", "command": "subscribe news"}), "command"),
        (json!({"connect": "a:1", "command": "PING", "age_field": ""}), "age_field"),
        (json!({"connect": "a:1", "command": "PING", "user": "me"}), "user"),
    ] {
        assert_eq!(mistake("redis", &with).0, path, "{with}");
    }
}
