//! The language model and its relay, as their users see them.

mod system;

use std::{
    io::{Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream},
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use system::{PATIENCE, PROGRAM, address, wait_for};

/// One part of the demo, gone when dropped.
struct Part {
    address: SocketAddr,
    process: Child,
}

impl Part {
    fn start(words: &[&str], ip: IpAddr, port: u16) -> Self {
        let address = SocketAddr::new(ip, port);
        let process = Command::new(PROGRAM).arg("demo").args(words).args(["--listen", &address.to_string()]).spawn().unwrap();
        wait_for("it listens", || TcpStream::connect(address).is_ok());
        Self { address, process }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn post(address: SocketAddr, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!("POST /v1/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    stream
}

/// The whole answer, as far as it came.
fn ask(address: SocketAddr, body: &str) -> String {
    let mut answer = Vec::new();
    // A connection that is broken off ends the answer.
    let _ = post(address, body).read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

/// The words of an event stream.
fn text(answer: &str) -> String {
    answer.lines().filter_map(|line| line.split_once(r#""text":""#)?.1.split_once('"').map(|(text, _)| text)).collect()
}

/// A stretch of network that breaks the first connections after so many bytes of answer, and carries the others.
fn fragile(model: SocketAddr, breaks: usize, after: usize) -> SocketAddr {
    let listener = TcpListener::bind((model.ip(), 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for (number, user) in listener.incoming().flatten().enumerate() {
            let limit = if number < breaks { after } else { usize::MAX };
            let Ok(model) = TcpStream::connect(model) else { continue };
            let (mut from, mut to) = (user.try_clone().unwrap(), model.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut from, &mut to));
            thread::spawn(move || {
                let _ = std::io::copy(&mut (&model).take(limit as u64), &mut &user);
                let _ = (user.shutdown(Shutdown::Both), model.shutdown(Shutdown::Both));
            });
        }
    });
    address
}

const QUESTION: &str = r#"{"prompt":"The sea is","max_tokens":40,"stream":true,"stream_options":{"include_usage":true}}"#;

fn is_billed_in_full(answer: &str) -> bool {
    [r#""prompt_tokens":3"#, r#""completion_tokens":40"#, r#""total_tokens":43"#].iter().all(|count| answer.contains(count))
}

#[test]
fn an_answer_comes_token_by_token() {
    let model = Part::start(&["llm", "--tokens-per-second", "100"], address(), 9101);
    let asked = Instant::now();
    let answer = ask(model.address, QUESTION);
    let took = asked.elapsed();
    assert!(answer.contains("content-type: text/event-stream"), "{answer}");
    assert!(text(&answer).starts_with(" never the same twice,"), "{answer}");
    assert!(answer.contains(r#""finish_reason":"length""#) && is_billed_in_full(&answer) && answer.contains("data: [DONE]"), "{answer}");
    assert!(took >= Duration::from_millis(100 + 39 * 10), "40 tokens at 100 a second took {took:?}");
    let whole = ask(model.address, r#"{"prompt":"The sea is","max_tokens":1000}"#);
    assert!(whole.contains(r#""finish_reason":"stop""#) && text(&whole).ends_with("how close it was."), "{whole}");
    for wrong in [r#"{"max_tokens":4}"#, "{", r#"{"prompt":["a"]}"#] {
        assert!(ask(model.address, wrong).contains("invalid_request_error"), "{wrong}");
    }
}

#[test]
fn who_finds_no_free_slot_waits_and_who_leaves_makes_room() {
    let model = Part::start(&["llm", "--slots", "1", "--tokens-per-second", "20"], address(), 9101);
    let health = || system::ask(model.address, "GET", "/health", "").map_or(String::new(), |(_, health)| health);
    assert!(health().contains(r#""slots_idle":1"#));
    let first = post(model.address, r#"{"prompt":"","max_tokens":1000,"stream":true}"#);
    wait_for("the slot is busy", || health().contains(r#""slots_processing":1"#));
    let mut second = post(model.address, r#"{"prompt":"","max_tokens":1}"#);
    second.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(second.read(&mut [0]).is_err(), "there is one slot, and it is busy");
    drop(first);
    second.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = String::new();
    second.read_to_string(&mut answer).unwrap();
    assert!(answer.contains(r#""text":" The""#), "{answer}");
}

#[test]
fn a_relay_that_resumes_mends_answers_and_one_that_does_not_passes_the_break_on() {
    let ip = address();
    let model = Part::start(&["llm", "--tokens-per-second", "200", "--first-token", "10ms"], ip, 9101);
    let whole = ask(model.address, QUESTION);
    let relay = |resume: &str, port: u16| {
        let fragile = fragile(model.address, 2, 2_500).to_string();
        Part::start(&["relay", "--model", &fragile, "--resume", resume], ip, port)
    };
    let mended = ask(relay("true", 9000).address, QUESTION);
    assert_eq!(text(&mended), text(&whole));
    assert!(is_billed_in_full(&mended) && mended.contains("data: [DONE]"), "{mended}");
    let plain = relay("false", 9001);
    let broken = ask(plain.address, QUESTION);
    assert!(text(&whole).starts_with(&text(&broken)) && !broken.contains("[DONE]"), "{broken}");
    assert!(!broken.ends_with("0\r\n\r\n"), "the connection breaks, as the one behind it did");
    ask(plain.address, QUESTION);
    assert_eq!(text(&ask(plain.address, QUESTION)), text(&whole), "what is not broken passes through");
}

#[test]
fn a_relay_without_a_model_says_so() {
    let ip = address();
    let relay = Part::start(&["relay", "--model", &format!("{ip}:1"), "--resume", "true"], ip, 9000);
    let answer = ask(relay.address, QUESTION);
    assert!(answer.starts_with("HTTP/1.1 502") && answer.contains("the model failed"), "{answer}");
    assert!(ask(relay.address, "{").contains("invalid_request_error"));
}
