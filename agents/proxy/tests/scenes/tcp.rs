//! Scenes for toxics on bytes and connections.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use chaos_core::conformance::Scene;
use chaos_proxy::toxic::Speaks;
use serde_json::{Value, json};

use super::{Standing, echo};

/// What is sent to see how it comes back.
const BYTES: usize = 2_000;
/// What takes longer is late. A machine that is busy with other tests is not.
const LATE: Duration = Duration::from_millis(700);
/// What takes longer does not come.
const NEVER: Duration = Duration::from_millis(2_500);

pub(crate) fn scene_for(kind: &str) -> Option<fn() -> Scene> {
    Some(match kind {
        "tcp.latency" => || scene(json!({"delay": "1s"})),
        "tcp.rate" => || scene(json!({"rate": "1500 B/s"})),
        "tcp.blackhole" => || scene(json!({})),
        "tcp.half_open" => || scene(json!({})),
        "tcp.reset" => || scene(json!({})),
        "tcp.slow_close" => || scene(json!({"delay": "1s"})),
        "tcp.limit" => || scene(json!({"bytes": "1 kB"})),
        "tcp.slice" => || scene(json!({"size": "100 B", "gap": "50ms"})),
        "tcp.refuse" => || scene(json!({})),
        "tcp.down" => || scene(json!({})),
        _ => return None,
    })
}

fn scene(spec: Value) -> Scene {
    let standing = Standing::before(echo(), Speaks::Tcp);
    let listen = standing.listen();
    Scene { target: standing.target(), spec, look: Box::new(move || seen(listen)), keep: Box::new(standing) }
}

/// What a client sees of an echo: the same words mean the same fate.
fn seen(listen: SocketAddr) -> String {
    let Ok(mut client) = TcpStream::connect(listen) else { return "refused".into() };
    client.set_read_timeout(Some(NEVER)).expect("a timeout");
    let begun = Instant::now();
    if client.write_all(&[7; BYTES]).is_err() {
        return "broken".into();
    }
    let (mut back, mut buffer) = (0, [0; BYTES]);
    while back < BYTES {
        match client.read(&mut buffer) {
            Ok(0) => return format!("ended after {}", if back == 0 { "nothing" } else { "some" }),
            Ok(read) => back += read,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return "silent".into(),
            Err(_) => return "broken".into(),
        }
    }
    let bytes = if begun.elapsed() > LATE { "late" } else { "whole" };
    let (begun, _) = (Instant::now(), client.shutdown(Shutdown::Write));
    let end = match client.read(&mut buffer) {
        Ok(0) if begun.elapsed() > LATE => "late",
        Ok(0) => "at once",
        _ => "wrong",
    };
    format!("{bytes}, ended {end}")
}
