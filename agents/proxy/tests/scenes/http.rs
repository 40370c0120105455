//! Scenes for toxics on HTTP, event streams and object stores.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use chaos_core::conformance::Scene;
use chaos_proxy::toxic::Speaks;
use serde_json::{Value, json};

use super::{Standing, upstream};

/// What takes longer is late. A machine that is busy with other tests is not.
const LATE: Duration = Duration::from_millis(1_200);
/// What takes longer does not come.
const NEVER: Duration = Duration::from_secs(3);

pub(crate) fn scene_for(kind: &str) -> Option<fn() -> Scene> {
    Some(match kind {
        "http.status" => || scene(Speaks::Http, json!({"status": 429, "retry_after": "2s"})),
        "http.delay" => || scene(Speaks::Http, json!({"delay": "2s"})),
        "http.abort" => || scene(Speaks::Http, json!({"after": "10 B"})),
        "http.truncate" => || scene(Speaks::Http, json!({"after": "10 B"})),
        "http.replace" => || scene(Speaks::Http, json!({"body": "nothing of that"})),
        "stream.first_token" => || scene(Speaks::Sse, json!({"delay": "2s"})),
        "stream.gap" => || scene(Speaks::Sse, json!({"gap": "500ms"})),
        "stream.stall" => || scene(Speaks::Sse, json!({"after_tokens": 2})),
        "stream.cut" => || scene(Speaks::Sse, json!({"after_tokens": 2})),
        "stream.error" => || scene(Speaks::Sse, json!({"after_tokens": 2})),
        "stream.malformed" => || scene(Speaks::Sse, json!({"after_tokens": 2})),
        "s3.slow_first_byte" => || scene(Speaks::S3, json!({"delay": "2s"})),
        "s3.stall" => || scene(Speaks::S3, json!({"after": "10 B"})),
        "s3.truncate" => || scene(Speaks::S3, json!({"after": "10 B"})),
        "s3.slow_down" => || scene(Speaks::S3, json!({})),
        _ => return None,
    })
}

fn scene(speaks: Speaks, spec: Value) -> Scene {
    let standing = Standing::before(upstream(answer), speaks);
    let (listen, path) = (standing.listen(), if speaks == Speaks::Sse { "/v1/completions" } else { "/bucket/models/a" });
    Scene { target: standing.target(), spec, look: Box::new(move || seen(listen, path)), keep: Box::new(standing) }
}

/// Answers one request: an event stream for completions, else some bytes; then ends.
fn answer(client: TcpStream) {
    let mut lines = BufReader::new(&client).lines().map_while(Result::ok);
    let streamed = lines.next().is_some_and(|first| first.contains("/v1/completions"));
    lines.find(String::is_empty);
    let (kind, body) = if streamed {
        let token = |i| format!("data: {{\"choices\":[{{\"text\":\"t{i}\"}}]}}\n\n");
        ("text/event-stream", (0..4).map(token).chain(["data: [DONE]\n\n".to_owned()]).collect::<String>())
    } else {
        ("application/octet-stream", "x".repeat(1_000))
    };
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let _ = (&client).write_all((head + &body).as_bytes());
}

/// What a client sees of one request: the same words mean the same fate.
fn seen(listen: SocketAddr, path: &str) -> String {
    let mut client = TcpStream::connect(listen).expect("it accepts");
    client.set_read_timeout(Some(NEVER)).expect("a timeout");
    let begun = Instant::now();
    let request = format!("GET {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n");
    client.write_all(request.as_bytes()).expect("it is asked");
    let (mut all, mut buffer) = (Vec::new(), [0; 4_096]);
    let end = loop {
        match client.read(&mut buffer) {
            Ok(0) => break "ended",
            Ok(read) => all.extend_from_slice(&buffer[..read]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break "silent",
            Err(_) => break "broken",
        }
    };
    let when = if begun.elapsed() > LATE { "late" } else { "in time" };
    let text = String::from_utf8_lossy(&all);
    let status = text.lines().next().unwrap_or_default();
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    format!("{status}, {when}, {end}: {} bytes, {body}", body.len())
}
